//! A key of a full copy as commands: a string as SET, anything else as RESTORE with its value as it stood in the RDB.
//! Pure. Every form replaces what is there, so a copy may start again from its beginning.

use super::examine::Capabilities;
use crate::{
    keys::{Keys, keys},
    position::DbIndex,
    rdb::{
        backlen::{find_backlens, fit_backlens},
        dump::{dump_trailer, payload_len},
        elements::ValueError,
        error::RdbError,
        event::RdbEntry,
        support::{Unsupported, can_restore},
    },
    resp::{command::Command, encode},
    route::Route,
};

/// What an emptied batch keeps of its memory.
const BYTES_KEPT: usize = 2 << 20;

/// Why a key cannot be sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EntryRefusal {
    /// The target cannot take it as it is.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Its string cannot be read.
    #[error(transparent)]
    Corrupt(#[from] RdbError),
    /// Its elements cannot be read.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Keys gathered for one EXEC.
#[derive(Debug, Default)]
pub struct RestoreBatch {
    /// The commands as bytes.
    pub bytes: Vec<u8>,
    /// How many they are.
    pub command_count: usize,
    /// How many of them are SELECTs: they succeed whatever may be written.
    pub select_count: usize,
    /// For each key, how many commands of the batch end with it, and what it is.
    pub entries: Vec<(usize, &'static str)>,
    /// A RENAME of a value that may be gone by now: all fields of a hash may have expired.
    pub may_be_gone: Option<usize>,
    /// What must be there under a temporary name before any of it is sent.
    pub wanted_length: Option<WantedLength>,
    /// The key of the one value that all of it builds, where that is not the key that the commands name.
    pub builds: Option<(DbIndex, Vec<u8>)>,
    route: Route,
}

/// How long a value under construction must be: a target that evicts may have dropped it in the middle, and what came
/// behind would have made a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLength {
    /// Its database.
    pub db: DbIndex,
    /// Its name.
    pub key: String,
    /// What tells its length.
    pub verb: &'static str,
    /// Elements that must be there.
    pub least: u64,
    /// Elements that were sent.
    pub most: u64,
}

/// A key that the target refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKey {
    /// Its database.
    pub db: DbIndex,
    /// Its name.
    pub key: Vec<u8>,
    /// What it is.
    pub name: &'static str,
}

/// A place in a batch to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    command_count: usize,
    select_count: usize,
    entries: usize,
    route: Route,
}

impl RestoreBatch {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        // One huge value must not keep its memory for ever.
        self.bytes.shrink_to(BYTES_KEPT);
        self.entries.clear();
        self.command_count = 0;
        self.select_count = 0;
        self.may_be_gone = None;
        self.builds = None;
        self.wanted_length = None;
        self.route = Route::new();
    }

    /// Where it stands.
    pub fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes.len(),
            command_count: self.command_count,
            select_count: self.select_count,
            entries: self.entries.len(),
            route: self.route,
        }
    }

    /// Forgets what was added since.
    pub fn go_back(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.entries.truncate(mark.entries);
        self.command_count = mark.command_count;
        self.select_count = mark.select_count;
        self.route = mark.route;
    }

    /// Commands were written into `bytes` for a key of this type.
    pub fn end_commands(&mut self, count: usize, name: &'static str) {
        self.command_count += count;
        self.entries.push((self.command_count, name));
    }

    /// Adds one command.
    pub fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A], name: &'static str) {
        encode::command(&mut self.bytes, arguments);
        self.end_commands(1, name);
    }

    /// Adds the removal of a key.
    pub fn remove(&mut self, key: &[u8], target: &Capabilities, name: &'static str) {
        let verb = if target.has_unlink() { "UNLINK" } else { "DEL" };
        self.command(&[verb.as_bytes(), key], name);
    }

    /// Adds a key's time of expiry.
    pub fn expire(&mut self, key: &[u8], at_ms: i64, name: &'static str) {
        let at_ms = at_ms.max(1).to_string();
        self.command(&[b"PEXPIREAT".as_slice(), key, at_ms.as_bytes()], name);
    }

    /// Adds a key. After a refusal go back to where it stood before.
    pub fn add(
        &mut self,
        db: DbIndex,
        entry: &RdbEntry<'_>,
        target: &Capabilities,
        scratch: &mut Vec<u8>,
    ) -> Result<(), EntryRefusal> {
        self.select(db);
        self.command_count += match entry.string_value(scratch)? {
            Some(value) => set(&mut self.bytes, entry, value, target),
            None => restore(&mut self.bytes, entry, target, scratch)?,
        };
        self.entries.push((self.command_count, entry.value_type.name()));
        Ok(())
    }

    /// Adds the source of a library of functions.
    pub fn add_function(&mut self, code: &[u8]) {
        encode::command(&mut self.bytes, &[b"FUNCTION".as_slice(), b"LOAD", b"REPLACE", code]);
        self.command_count += 1;
        self.entries.push((self.command_count, "function library"));
    }

    /// Adds a script that the source keeps for EVALSHA (up to 6.2).
    pub fn add_script(&mut self, body: &[u8]) {
        encode::command(&mut self.bytes, &[b"SCRIPT".as_slice(), b"LOAD", body]);
        self.command_count += 1;
        self.entries.push((self.command_count, "script"));
    }

    /// Ends it where the record lives: the next watch is set there.
    pub fn finish(&mut self) {
        self.select(Route::RECORD_DB);
    }

    /// Makes `db` the database of what follows.
    pub fn select(&mut self, db: DbIndex) {
        if self.route.select(db, &mut self.bytes) {
            self.command_count += 1;
            self.select_count += 1;
        }
    }

    /// The keys of these commands, read from their words; each once, and without the commands that have none. `indexes`
    /// are in order.
    pub fn keys_of(&self, indexes: &[usize]) -> Vec<RefusedKey> {
        let mut found: Vec<RefusedKey> = Vec::new();
        let mut command = Command::default();
        let mut db = Route::RECORD_DB;
        let (mut at, mut number) = (0, 0);
        let mut indexes = indexes.iter().copied().peekable();
        while let Some(index) = indexes.peek().copied()
            && let Ok(Some(next)) = command.parse(&self.bytes, at)
        {
            if number == index {
                indexes.next();
                let key = match keys(&command, &self.bytes) {
                    Keys::At(at) => at.first().and_then(|at| command.argument(&self.bytes, *at)),
                    Keys::Unknown => None,
                };
                if let Some(key) = key
                    && found.last().is_none_or(|last| last.db != db || last.key != key)
                {
                    found.push(RefusedKey { db, key: key.to_vec(), name: self.type_of(index) });
                }
            } else if command.name(&self.bytes) == b"SELECT"
                && let Some(text) = command.argument(&self.bytes, 1)
                && let Some(number) = std::str::from_utf8(text).ok().and_then(|db| db.parse().ok())
            {
                db = DbIndex(number);
            }
            (at, number) = (next, number + 1);
        }
        found
    }

    /// What the key of command `index` is.
    pub fn type_of(&self, index: usize) -> &'static str {
        let at = self.entries.partition_point(|(end, _)| *end <= index);
        self.entries.get(at).map_or("SELECT", |(_, name)| name)
    }
}

/// A time of expiry that the target's options can state: they must be positive. What lies in the past stays there.
fn expiry_ms(entry: &RdbEntry<'_>) -> Option<i64> {
    entry.expire_at_ms.map(|at| at.max(1))
}

fn set(out: &mut Vec<u8>, entry: &RdbEntry<'_>, value: &[u8], target: &Capabilities) -> usize {
    let expiry = expiry_ms(entry);
    let is_one_command = expiry.is_none() || target.has_set_pxat;
    encode::array_header(out, if expiry.is_some() && is_one_command { 5 } else { 3 });
    encode::bulk(out, b"SET");
    encode::bulk(out, entry.key);
    encode::bulk(out, value);
    match expiry {
        None => 1,
        Some(at) if is_one_command => {
            encode::bulk(out, b"PXAT");
            encode::bulk_number(out, at);
            1
        }
        Some(at) => {
            encode::array_header(out, 3);
            encode::bulk(out, b"PEXPIREAT");
            encode::bulk(out, entry.key);
            encode::bulk_number(out, at);
            2
        }
    }
}

fn restore(
    out: &mut Vec<u8>,
    entry: &RdbEntry<'_>,
    target: &Capabilities,
    scratch: &mut Vec<u8>,
) -> Result<usize, EntryRefusal> {
    can_restore(target.family, target.rdb_version, entry.value_type)?;
    let fitted = match target.backlen_form {
        Some(form) => fit_backlens(form, entry, scratch)?,
        None => None,
    };
    let value = fitted.as_deref().unwrap_or(entry.value);
    let mut commands = 1;
    let has_replace = target.rdb_version > 6;
    if !has_replace {
        // 2.8 knows no REPLACE and refuses a key that is there.
        encode::command(out, &[b"DEL".as_slice(), entry.key]);
        commands += 1;
    }
    let expiry = expiry_ms(entry);
    let with_absttl = expiry.is_some() && target.has_absttl;
    let frequency = entry.freq.map(u64::from).filter(|_| target.has_absttl);
    let idle = entry.idle_seconds.filter(|_| target.has_absttl && frequency.is_none());
    let options = usize::from(has_replace)
        + usize::from(with_absttl)
        + 2 * usize::from(frequency.is_some() || idle.is_some());
    encode::array_header(out, 4 + options);
    encode::bulk(out, b"RESTORE");
    encode::bulk(out, entry.key);
    match expiry {
        None => encode::bulk(out, b"0"),
        Some(at) if with_absttl => encode::bulk_number(out, at),
        Some(at) => encode::bulk_number(out, (at - now_ms()).max(1)),
    }
    encode::bulk_header(out, payload_len(value));
    out.push(entry.value_type.byte);
    out.extend_from_slice(value);
    out.extend_from_slice(&dump_trailer(entry.value_type, value, target.rdb_version));
    out.extend_from_slice(b"\r\n");
    if has_replace {
        encode::bulk(out, b"REPLACE");
    }
    if with_absttl {
        encode::bulk(out, b"ABSTTL");
    }
    if let Some((option, number)) =
        frequency.map(|count| ("FREQ", count)).or(idle.map(|seconds| ("IDLETIME", seconds)))
    {
        encode::bulk(out, option.as_bytes());
        encode::bulk_number(out, number);
    }
    Ok(commands)
}

/// The clock of expiry.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Whether RESTORE may be asked to take the value: a back length that the target does not know is answered with +OK and
/// crashes it later. Where the target's form is not certain, no value that has one of either form goes so.
pub fn has_known_backlens(
    entry: &RdbEntry<'_>,
    target: &Capabilities,
    scratch: &mut Vec<u8>,
) -> Result<bool, Unsupported> {
    if target.backlen_form.is_some() || !entry.has_large_listpack {
        return Ok(true);
    }
    let found = find_backlens(entry, scratch)?;
    Ok(!found.has_old && !found.has_new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::{
        backlen::BacklenForm,
        value::{Family, ValueType},
    };
    use crate::target::modules::MissingModules;

    const TARGET: Capabilities = Capabilities {
        family: Family::Redis,
        version: (7, 0, 15),
        rdb_version: 10,
        has_set_pxat: true,
        has_absttl: true,
        bulk_bytes_max: 512 << 20,
        backlen_form: Some(BacklenForm::Old),
        missing_modules: MissingModules::NONE,
    };

    fn entry<'a>(byte: u8, value: &'a [u8], expire_at_ms: Option<i64>) -> RdbEntry<'a> {
        RdbEntry {
            key: b"k",
            value_type: ValueType { family: Family::Redis, byte },
            value,
            expire_at_ms,
            idle_seconds: None,
            freq: None,
            has_large_listpack: false,
            value_bytes_max: 1 << 20,
        }
    }

    fn words(entry: &RdbEntry<'_>, target: &Capabilities) -> String {
        let mut batch = RestoreBatch::default();
        batch.add(DbIndex(0), entry, target, &mut Vec::new()).unwrap();
        String::from_utf8_lossy(&batch.bytes).replace("\r\n", " ")
    }

    #[test]
    fn strings_are_set_and_keep_their_expiry() {
        assert_eq!(words(&entry(0, b"\x01v", None), &TARGET), "*3 $3 SET $1 k $1 v ");
        assert_eq!(
            words(&entry(0, b"\x01v", Some(77)), &TARGET),
            "*5 $3 SET $1 k $1 v $4 PXAT $2 77 "
        );
        let old = Capabilities { has_set_pxat: false, ..TARGET };
        assert_eq!(
            words(&entry(0, b"\xc0\x07", Some(0)), &old),
            "*3 $3 SET $1 k $1 7 *3 $9 PEXPIREAT $1 k $1 1 "
        );
    }

    #[test]
    fn other_values_are_restored_over_what_is_there() {
        let text = words(&entry(1, b"\x01\x01v", Some(99)), &TARGET);
        assert!(text.starts_with("*6 $7 RESTORE $1 k $2 99 $14 \u{1}\u{1}\u{1}v\n"), "{text:?}");
        assert!(text.ends_with(" $7 REPLACE $6 ABSTTL "), "{text:?}");
    }

    #[test]
    fn a_refused_command_leads_to_its_key() {
        let mut batch = RestoreBatch::default();
        for db in [DbIndex(0), DbIndex(7)] {
            batch.add(db, &entry(0, b"\x01v", None), &TARGET, &mut Vec::new()).unwrap();
        }
        batch.add_function(b"code");
        batch.finish();
        batch.command(&["XGROUP", "CREATE", "s", "g", "0"], "STREAM");
        batch.command(&["XADD", "s", "1-1", "f", "v"], "STREAM");
        // SET, SELECT 7, SET, FUNCTION, SELECT 0, XGROUP, XADD; beyond it there is none.
        let found = batch.keys_of(&[0, 2, 3, 5, 6, 9]);
        let found: Vec<_> = found.iter().map(|one| (one.db.0, &one.key[..], one.name)).collect();
        let expected: [(u32, &[u8], &str); 3] =
            [(0, b"k", "STRING"), (7, b"k", "STRING"), (0, b"s", "STREAM")];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_the_target_does_not_understand_is_refused_with_a_remedy() {
        let mut batch = RestoreBatch::default();
        let refusal = batch.add(DbIndex(0), &entry(21, b"x", None), &TARGET, &mut Vec::new());
        assert!(matches!(refusal, Err(EntryRefusal::Unsupported(_))));
    }
}
