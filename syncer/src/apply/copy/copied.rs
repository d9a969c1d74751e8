//! What is read of the RDB: its keys go into batches, what cannot be sent is refused with a remedy.

use super::{SPLIT_ABOVE, building::WHOLE_BYTES_MAX, left_out::LeftOut, stop::Stop};
use crate::{
    apply::attach::Attached,
    contract::HaltReason,
    filter::is_reserved_key,
    grace::Grace,
    position::DbIndex,
    rdb::{
        dump::payload_len,
        event::{RdbEntry, RdbEvent},
        value::ValueType,
    },
    record::Record,
    release::Decision,
    state::HaltDetails,
    target::{
        commands::check_functions,
        error::TargetError,
        examine::Capabilities,
        key_set::KeySetBuilder,
        restore::{EntryRefusal, RestoreBatch},
        way::{UNREADABLE, Way, by_commands},
        whole::{build_whole, way_of},
    },
};

/// A longer key's value is built under a temporary name, however small it is.
const KEY_BYTES_MAX: usize = 1 << 10;

pub(super) fn corrupt(record: &Record, error: &dyn std::fmt::Display) -> Stop {
    let copy = Decision::copy_again_after(record.copy_id);
    Stop::Halt(HaltDetails {
        reason: HaltReason::CorruptRdb,
        message: format!("the source's RDB cannot be read: {error}"),
        remedy: format!(
            "release with {copy}; if it comes back, this source needs another version of the syncer"
        ),
        offset: None,
        copy_id: Some(record.copy_id.to_string()),
    })
}

/// What was read of the RDB so far.
pub(super) struct Copied {
    left_out: LeftOut,
    /// What goes to the target next.
    pub(super) batch: RestoreBatch,
    /// The database of the keys that follow.
    pub(super) db: DbIndex,
    /// The database that the stream begins in, if the RDB says it.
    pub(super) stream_db: Option<DbIndex>,
    /// Keys so far.
    pub(super) keys: u64,
    /// Keys that the RDB announces.
    pub(super) keys_total: u64,
    pub(super) grace: Grace,
    scratch: Vec<u8>,
    shifted: Vec<u8>,
}

#[derive(PartialEq, Eq)]
pub(super) enum Step {
    Next,
    /// The keys that follow are of another database.
    Database,
    End,
}

/// What becomes of a key.
#[derive(PartialEq, Eq)]
pub(super) enum Entered {
    /// It is in the batch, or passed over.
    Done,
    /// It is to be built from its elements.
    ToBuild,
}

/// Why a record of the RDB cannot be applied.
pub(super) enum Refusal {
    Entry(&'static str, EntryRefusal),
    Module(String),
    KeySet(std::io::Error),
    SlotImport,
    Database(DbIndex),
}

impl Refusal {
    /// `listed` says where the key's name is found.
    pub(super) fn halt(self, record: &Record, listed: &str) -> Stop {
        let (reason, message, remedy) = match self {
            Self::KeySet(error) => return Stop::Target(TargetError::KeySet(error)),
            Self::Entry(name, EntryRefusal::Unsupported(unsupported)) => (
                HaltReason::UnsupportedValue,
                format!("a key of type {name} cannot be sent: {}; {listed}", unsupported.reason),
                unsupported.remedy.to_owned(),
            ),
            Self::Entry(name, EntryRefusal::Corrupt(error)) => (
                HaltReason::CorruptRdb,
                format!("a key of type {name} cannot be read: {error}"),
                "check the source's data".to_owned(),
            ),
            Self::Entry(name, EntryRefusal::Value(error)) => (
                HaltReason::CorruptRdb,
                format!("a key of type {name} cannot be read: {error}"),
                "check the key at the source, or delete it there".to_owned(),
            ),
            Self::Module(name) => (
                HaltReason::UnsupportedValue,
                format!(
                    "the source's module {name} keeps data beside the keys, which no command can carry"
                ),
                "unload the module at the source, or wait for a version that carries it".to_owned(),
            ),
            Self::Database(db) => (
                HaltReason::UnsupportedValue,
                format!("the source has keys in database {db}, which the target lacks"),
                "raise `databases` in the target's configuration".to_owned(),
            ),
            Self::SlotImport => (
                HaltReason::UnsupportedValue,
                "the source is importing slots of a cluster".to_owned(),
                "wait until the migration has ended".to_owned(),
            ),
        };
        Stop::Halt(HaltDetails {
            reason,
            message,
            remedy: format!(
                "{remedy}; then release with {}",
                Decision::copy_again_after(record.copy_id)
            ),
            offset: None,
            copy_id: Some(record.copy_id.to_string()),
        })
    }
}

impl Copied {
    /// Times of expiry get the grace.
    pub(super) fn new(left_out: LeftOut, grace: Grace) -> Self {
        Self {
            left_out,
            batch: RestoreBatch::default(),
            db: DbIndex(0),
            stream_db: None,
            keys: 0,
            keys_total: 0,
            grace,
            scratch: Vec::new(),
            shifted: Vec::new(),
        }
    }

    /// Takes what is no key.
    pub(super) fn take(
        &mut self,
        event: &RdbEvent<'_>,
        target: &Capabilities,
    ) -> Result<Step, Refusal> {
        match *event {
            RdbEvent::SelectDb(db) => {
                self.db = DbIndex(db);
                return Ok(Step::Database);
            }
            RdbEvent::ResizeDb { keys, .. } => self.keys_total += keys,
            RdbEvent::Function { code } => match check_functions(target) {
                Ok(()) => self.batch.add_function(code),
                Err(_) if self.left_out.may_skip() => self.left_out.count(1),
                Err(refusal) => return Err(Refusal::Entry("FUNCTION", refusal.into())),
            },
            RdbEvent::Aux { key, value } if key == b"lua" => self.batch.add_script(value),
            RdbEvent::Aux { key, value } if key == b"repl-stream-db" => {
                let db = std::str::from_utf8(value).ok().and_then(|db| db.parse().ok());
                self.stream_db = db.map(DbIndex);
            }
            RdbEvent::ModuleAux { is_empty: false, .. } if self.left_out.may_skip() => {
                self.left_out.count(1);
            }
            RdbEvent::ModuleAux { module, is_empty: false } => {
                return Err(Refusal::Module(module.to_string()));
            }
            RdbEvent::Unreadable { key, value_type } => {
                // With Skip as well: where the next key begins is not known.
                self.left_out.list(&mut self.batch, self.db, value_type.name(), key);
                return Err(Refusal::Entry(value_type.name(), UNREADABLE.into()));
            }
            RdbEvent::SlotImport { .. } => return Err(Refusal::SlotImport),
            RdbEvent::Header { .. }
            | RdbEvent::Aux { .. }
            | RdbEvent::ModuleAux { .. }
            | RdbEvent::Entry(_)
            | RdbEvent::LargeBegin { .. }
            | RdbEvent::LargePart(_)
            | RdbEvent::LargeEnd
            | RdbEvent::SlotInfo { .. } => {}
            RdbEvent::End { .. } => return Ok(Step::End),
        }
        Ok(Step::Next)
    }

    /// Takes a key that came whole. A refusal has left the batch as it was, but for the key's name in the list.
    pub(super) fn entry(
        &mut self,
        entry: &RdbEntry<'_>,
        attached: &Attached,
        keys: &mut KeySetBuilder,
    ) -> Result<Entered, Refusal> {
        if is_reserved_key(entry.key) {
            return Ok(Entered::Done);
        }
        let target = &attached.capabilities;
        let mark = self.batch.mark();
        let added = match self.way(entry, target) {
            Ok(Way::Verbatim) => match entry.with_grace(self.grace, &mut self.shifted) {
                Ok(later) => self.batch.add(self.db, &later, target, &mut self.scratch),
                Err(error) => Err(error.into()),
            },
            Ok(Way::Commands)
                if entry.value_type.is_string()
                    || entry.value.len() > WHOLE_BYTES_MAX
                    // It stands in each command.
                    || entry.key.len() > KEY_BYTES_MAX =>
            {
                return Ok(Entered::ToBuild);
            }
            Ok(Way::Commands) => build_whole(&mut self.batch, self.db, entry, target, self.grace),
            Err(refusal) => Err(refusal),
        };
        match added {
            Ok(()) => self.count(entry.key, keys)?,
            Err(refusal) => {
                self.batch.go_back(mark);
                self.leave_out(entry.key, entry.value_type, refusal)?;
            }
        }
        Ok(Entered::Done)
    }

    /// The cheapest way that the target takes, by type and size.
    fn way(&mut self, entry: &RdbEntry<'_>, target: &Capabilities) -> Result<Way, EntryRefusal> {
        let way = way_of(entry, target, &mut self.scratch)?;
        if way == Way::Commands {
            return Ok(way);
        }
        let is_fit = match entry.string_len() {
            // Compressed it may be small.
            Some(length) => length <= SPLIT_ABOVE.min(target.bulk_bytes_max),
            None => payload_len(entry.value) as u64 <= target.bulk_bytes_max,
        };
        if is_fit {
            return Ok(way);
        }
        Ok(by_commands(entry.value_type, target).unwrap_or(Way::Commands))
    }

    /// A key goes to the target.
    pub(super) fn count(&mut self, key: &[u8], keys: &mut KeySetBuilder) -> Result<(), Refusal> {
        self.keys += 1;
        keys.add(self.db, key).map_err(Refusal::KeySet)
    }

    /// A key does not: its name is listed, and the copy goes on or halts. The sweep does not spare it, since what the
    /// target has of it is old.
    pub(super) fn leave_out(
        &mut self,
        key: &[u8],
        value_type: ValueType,
        refusal: EntryRefusal,
    ) -> Result<(), Refusal> {
        let name = value_type.name();
        self.left_out.list(&mut self.batch, self.db, name, key);
        if matches!(refusal, EntryRefusal::Unsupported(_)) && self.left_out.may_skip() {
            self.left_out.count(1);
            return Ok(());
        }
        Err(Refusal::Entry(name, refusal))
    }
}
