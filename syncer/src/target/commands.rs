//! A value as the commands that build it, from its elements. Pure: elements in, commands out, a bounded number of
//! elements to a command. Between the decoder of values and a batch; it never knows whether the key that it writes is
//! the value's own or one that is renamed later.

use super::{
    examine::Capabilities,
    restore::{RestoreBatch, WantedLength, now_ms},
    way::{NO_FIELD_EXPIRY, NO_FUNCTIONS},
};
use crate::{
    grace::Grace,
    position::DbIndex,
    rdb::{
        element::{Element, StreamId, StreamTotals, Words},
        support::Unsupported,
    },
    resp::encode,
};

/// How long a string is; one under construction is watched besides.
pub const STRLEN: &str = "STRLEN";
/// Elements of one command: the target does nothing else meanwhile. Below the 1024 × 1024 words that servers up to
/// 6.2 take.
const ELEMENTS_MAX: usize = 1000;
/// A command is closed at so many bytes.
const COMMAND_BYTES_MAX: usize = 64 << 10;
/// Words that the server adds or we do, on top of an element's own bytes.
const BULK_SLACK: u64 = 1 << 10;

/// A field that expires later than this from now is there when its value is whole. With a grace of its default it is
/// every one that the source still has.
const BUILDING_MS_MAX: i64 = 3_600_000 - 60_000;

/// Builds one value under one key.
#[derive(Debug)]
pub struct ValueWriter {
    key: Vec<u8>,
    name: &'static str,
    target: Capabilities,
    /// How much later fields expire (Promise 6).
    grace: Grace,
    /// The command that elements are gathered for, and their words.
    verb: &'static str,
    words: Vec<u8>,
    word_count: usize,
    element_count: usize,
    /// Expiries of the fields that are gathered: they come behind them.
    expiries: Vec<u8>,
    expiry_count: usize,
    has_expiries: bool,
    /// How much of a string was written.
    written: u64,
    /// The last byte of a string that came in pieces, which is kept back.
    last_byte: Option<u8>,
    /// What tells how many elements the key has.
    length_verb: &'static str,
    /// Elements that were sent, and those of them that do not expire while the value is built.
    sent: u64,
    lasting: u64,
    /// A field that expires later is there when the value is whole.
    lasting_from_ms: i64,
    has_entries: bool,
}

impl ValueWriter {
    /// Writes under `key`; `name` is the type's, for what is told of errors.
    pub fn new(key: &[u8], name: &'static str, target: Capabilities, grace: Grace) -> Self {
        Self {
            key: key.to_vec(),
            name,
            target,
            grace,
            verb: "",
            words: Vec::new(),
            word_count: 0,
            element_count: 0,
            expiries: Vec::new(),
            expiry_count: 0,
            has_expiries: false,
            written: 0,
            last_byte: None,
            length_verb: "EXISTS",
            sent: 0,
            lasting: 0,
            lasting_from_ms: now_ms() + BUILDING_MS_MAX,
            has_entries: false,
        }
    }

    /// Adds an element. On a refusal the value must not be shown.
    pub fn add(
        &mut self,
        element: &Element<'_>,
        batch: &mut RestoreBatch,
    ) -> Result<(), Unsupported> {
        match *element {
            Element::Piece { total, bytes } => self.piece(total, bytes, batch)?,
            Element::Item(item) => {
                self.count("LLEN", true);
                self.gather("RPUSH", &[item], batch)?;
            }
            Element::Member(member) => {
                self.count("SCARD", true);
                self.gather("SADD", &[member], batch)?;
            }
            Element::Scored { member, score } => {
                self.count("ZCARD", true);
                self.gather("ZADD", &[score, member], batch)?;
            }
            Element::Field { field, value, expire_at_ms } => {
                let at = expire_at_ms.map(|at| self.grace.shift_millis(at).unwrap_or(at));
                self.count("HLEN", at.is_none_or(|at| at > self.lasting_from_ms));
                // HSET with several fields came with 4.0; HMSET is understood everywhere.
                self.gather("HMSET", &[field, value], batch)?;
                if let Some(at) = expire_at_ms {
                    self.expire_field(field, at)?;
                }
            }
            Element::Entry { id, words } => {
                self.count("XLEN", true);
                self.entry(id, words, batch)?;
            }
            Element::Stream(totals) => self.totals(totals, batch),
            Element::Group { name, last, entries_read } => {
                let last = last.to_string();
                let read = entries_read.map(|read| read.to_string());
                let mut words = vec![b"CREATE".as_slice(), &self.key, name, last.as_bytes()];
                if self.target.has_stream_history()
                    && let Some(read) = &read
                {
                    words.extend([b"ENTRIESREAD".as_slice(), read.as_bytes()]);
                }
                self.command("XGROUP", &words, batch);
            }
            Element::Consumer { group, name } => {
                // Before 6.2 a consumer comes into being with its first entry.
                if self.target.has_create_consumer() {
                    let words = [b"CREATECONSUMER".as_slice(), &self.key, group, name];
                    self.command("XGROUP", &words, batch);
                }
            }
            Element::Pending { group, consumer, id, delivered_at_ms, deliveries } => {
                let (id, time) = (id.to_string(), delivered_at_ms.to_string());
                let count = deliveries.to_string();
                let words = [
                    &self.key[..],
                    group,
                    consumer,
                    b"0",
                    id.as_bytes(),
                    b"TIME",
                    time.as_bytes(),
                    b"RETRYCOUNT",
                    count.as_bytes(),
                    b"FORCE",
                    b"JUSTID",
                ];
                self.command("XCLAIM", &words, batch);
            }
            Element::Beyond(_) => {
                return Err(Unsupported {
                    reason: "the stream holds what no command carries (entries that were given \
                             back, or ids of idempotent producers)",
                    remedy: "use a target of the source's version",
                });
            }
        }
        Ok(())
    }

    fn count(&mut self, verb: &'static str, is_lasting: bool) {
        self.length_verb = verb;
        self.sent += 1;
        self.lasting += u64::from(is_lasting);
    }

    /// How long the value must be at the target when all that was added so far is there. Of one that is empty, or may
    /// be, nothing is asked: RENAME tells whether it is there.
    pub fn wanted_length(&self, db: DbIndex, key: &str) -> Option<WantedLength> {
        let (verb, least, most) = match self.written {
            0 => (self.length_verb, self.lasting, self.sent),
            bytes => (STRLEN, bytes, bytes),
        };
        (least > 0).then(|| WantedLength { db, key: key.to_owned(), verb, least, most })
    }

    /// What is kept back until the value was seen to be whole. It changes no length.
    pub fn close(&mut self, batch: &mut RestoreBatch) {
        if let Some(byte) = self.last_byte.take() {
            let at = (self.written - 1).to_string();
            self.command("SETRANGE", &[&self.key, at.as_bytes(), &[byte]], batch);
        }
    }

    /// Whether some field of the value expires: by the time that it is whole all of them may have.
    pub fn has_expiries(&self) -> bool {
        self.has_expiries
    }

    /// Writes what is gathered.
    pub fn flush(&mut self, batch: &mut RestoreBatch) {
        if self.element_count > 0 {
            self.head(2 + self.word_count, batch);
            batch.bytes.extend_from_slice(&self.words);
            batch.end_commands(1, self.name);
        }
        if self.expiry_count > 0 {
            batch.bytes.extend_from_slice(&self.expiries);
            batch.end_commands(self.expiry_count, self.name);
        }
        self.words.clear();
        self.words.shrink_to(2 * COMMAND_BYTES_MAX);
        self.expiries.clear();
        self.expiries.shrink_to(2 * COMMAND_BYTES_MAX);
        (self.word_count, self.element_count, self.expiry_count) = (0, 0, 0);
    }

    fn head(&self, words: usize, batch: &mut RestoreBatch) {
        encode::array_header(&mut batch.bytes, words);
        encode::bulk(&mut batch.bytes, self.verb.as_bytes());
        encode::bulk(&mut batch.bytes, &self.key);
    }

    fn gather(
        &mut self,
        verb: &'static str,
        words: &[&[u8]],
        batch: &mut RestoreBatch,
    ) -> Result<(), Unsupported> {
        self.check_sizes(words)?;
        let bytes: usize = words.iter().map(|word| word.len()).sum();
        let is_large = bytes >= COMMAND_BYTES_MAX;
        if is_large || self.element_count == ELEMENTS_MAX || self.words.len() >= COMMAND_BYTES_MAX {
            self.flush(batch);
        }
        self.verb = verb;
        if is_large {
            // Straight into the batch: an element may be as large as memory allows to hold it twice, not three times.
            self.head(2 + words.len(), batch);
            words.iter().for_each(|word| encode::bulk(&mut batch.bytes, word));
            batch.end_commands(1, self.name);
            return Ok(());
        }
        for word in words {
            encode::bulk(&mut self.words, word);
        }
        self.word_count += words.len();
        self.element_count += 1;
        Ok(())
    }

    fn check_sizes(&self, words: &[&[u8]]) -> Result<(), Unsupported> {
        let largest = words.iter().map(|word| word.len() as u64).max().unwrap_or(0);
        if largest.saturating_add(BULK_SLACK) > self.target.bulk_bytes_max {
            return Err(TOO_LARGE);
        }
        Ok(())
    }

    fn expire_field(&mut self, field: &[u8], at: i64) -> Result<(), Unsupported> {
        if !self.target.has_field_expiry() {
            return Err(NO_FIELD_EXPIRY);
        }
        let at = self.grace.shift_millis(at).unwrap_or(at).max(1).to_string();
        let words = [b"HPEXPIREAT".as_slice(), &self.key, at.as_bytes(), b"FIELDS", b"1", field];
        encode::command(&mut self.expiries, &words);
        self.expiry_count += 1;
        self.has_expiries = true;
        Ok(())
    }

    fn command(&self, verb: &str, words: &[&[u8]], batch: &mut RestoreBatch) {
        encode::array_header(&mut batch.bytes, 1 + words.len());
        encode::bulk(&mut batch.bytes, verb.as_bytes());
        for word in words {
            encode::bulk(&mut batch.bytes, word);
        }
        batch.end_commands(1, self.name);
    }

    /// A string is made at its full length first: growing it piece by piece would move it each time. Its last byte comes
    /// with [`close`](Self::close): were the key dropped in the middle, the other pieces would not make it as long again.
    fn piece(
        &mut self,
        total: u64,
        bytes: &[u8],
        batch: &mut RestoreBatch,
    ) -> Result<(), Unsupported> {
        // A string may not become longer than a word may be.
        if total > self.target.bulk_bytes_max {
            return Err(TOO_LARGE);
        }
        if bytes.len() as u64 == total {
            self.command("SET", &[&self.key, bytes], batch);
        } else {
            if self.written == 0 {
                let last = (total - 1).to_string();
                self.command("SETRANGE", &[&self.key, last.as_bytes(), b"\0"], batch);
            }
            let at = self.written.to_string();
            let is_last = self.written + bytes.len() as u64 == total;
            let now = match bytes.split_last() {
                Some((last, others)) if is_last => {
                    self.last_byte = Some(*last);
                    others
                }
                _ => bytes,
            };
            if !now.is_empty() {
                self.command("SETRANGE", &[&self.key, at.as_bytes(), now], batch);
            }
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn entry(
        &mut self,
        id: StreamId,
        words: Words<'_>,
        batch: &mut RestoreBatch,
    ) -> Result<(), Unsupported> {
        let largest = words.iter().map(<[u8]>::len).max().unwrap_or(0) as u64;
        if largest.saturating_add(BULK_SLACK) > self.target.bulk_bytes_max {
            return Err(TOO_LARGE);
        }
        encode::array_header(&mut batch.bytes, 3 + words.count());
        encode::bulk(&mut batch.bytes, b"XADD");
        encode::bulk(&mut batch.bytes, &self.key);
        encode::bulk(&mut batch.bytes, id.to_string().as_bytes());
        words.iter().for_each(|word| encode::bulk(&mut batch.bytes, word));
        batch.end_commands(1, self.name);
        self.has_entries = true;
        Ok(())
    }

    fn totals(&self, totals: StreamTotals, batch: &mut RestoreBatch) {
        if !self.has_entries {
            // No command makes an empty stream; this one adds an entry and takes it off again.
            self.command("XADD", &[&self.key, b"MAXLEN", b"0", b"0-1", b"x", b"y"], batch);
        }
        let last = totals.last.to_string();
        let mut words = vec![&self.key[..], last.as_bytes()];
        let history =
            totals.history.map(|(deleted, added)| (deleted.to_string(), added.to_string()));
        if self.target.has_stream_history()
            && let Some((deleted, added)) = &history
        {
            words.extend([b"ENTRIESADDED".as_slice(), added.as_bytes()]);
            words.extend([b"MAXDELETEDID".as_slice(), deleted.as_bytes()]);
        }
        self.command("XSETID", &words, batch);
    }
}

const TOO_LARGE: Unsupported = Unsupported {
    reason: "a string or an element is longer than the target takes",
    remedy: "raise proto-max-bulk-len and client-query-buffer-limit at the target, or make it smaller at the source",
};

/// Whether the target takes libraries of functions.
pub fn check_functions(target: &Capabilities) -> Result<(), Unsupported> {
    if target.has_functions() { Ok(()) } else { Err(NO_FUNCTIONS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::value::Family;

    fn written(target: Capabilities, elements: &[Element<'_>]) -> Result<String, Unsupported> {
        let mut batch = RestoreBatch::default();
        let mut writer = ValueWriter::new(b"k", "T", target, Grace::NONE);
        for element in elements {
            writer.add(element, &mut batch)?;
        }
        writer.flush(&mut batch);
        writer.close(&mut batch);
        let text = String::from_utf8_lossy(&batch.bytes).into_owned();
        let words: Vec<&str> = text.split("\r\n").filter(|word| !word.starts_with('$')).collect();
        assert_eq!(text.matches('*').count(), batch.command_count);
        Ok(words.join(" ").replace(" *", "\n*").trim_end().to_owned())
    }

    fn redis(rdb_version: u16) -> Capabilities {
        Capabilities::for_tests(Family::Redis, rdb_version)
    }

    #[test]
    fn elements_are_gathered_into_commands() {
        let items = [Element::Item(b"a"), Element::Item(b"b")];
        assert_eq!(written(redis(6), &items).unwrap(), "*4 RPUSH k a b");
        let scored = [Element::Scored { member: b"m", score: b"1.5" }];
        assert_eq!(written(redis(6), &scored).unwrap(), "*4 ZADD k 1.5 m");
        let many = vec![Element::Member(b"m"); ELEMENTS_MAX + 1];
        let commands = written(redis(6), &many).unwrap();
        assert!(commands.starts_with("*1002 SADD") && commands.ends_with("\n*3 SADD k m"));
    }

    #[test]
    fn expiries_of_fields_follow_their_fields_or_are_refused() {
        let fields = [
            Element::Field { field: b"f", value: b"v", expire_at_ms: Some(-5) },
            Element::Field { field: b"g", value: b"w", expire_at_ms: None },
        ];
        let expected = "*6 HMSET k f v g w\n*6 HPEXPIREAT k 1 FIELDS 1 f";
        assert_eq!(written(redis(12), &fields).unwrap(), expected);
        assert_eq!(written(redis(11), &fields), Err(NO_FIELD_EXPIRY));
        assert_eq!(written(redis(6), &fields[1..]).unwrap(), "*4 HMSET k g w");
    }

    #[test]
    fn a_string_is_made_at_its_length_and_filled() {
        let pieces =
            [Element::Piece { total: 5, bytes: b"abc" }, Element::Piece { total: 5, bytes: b"de" }];
        assert_eq!(
            written(redis(6), &pieces).unwrap(),
            "*4 SETRANGE k 4 \0\n*4 SETRANGE k 0 abc\n*4 SETRANGE k 3 d\n*4 SETRANGE k 4 e"
        );
        let small = Capabilities { bulk_bytes_max: 4, ..redis(6) };
        assert_eq!(written(small, &pieces), Err(TOO_LARGE));
    }

    #[test]
    fn a_stream_is_built_with_as_much_history_as_the_target_knows() {
        let id = |ms| StreamId { ms, seq: 1 };
        let elements = [
            Element::Stream(StreamTotals { length: 0, last: id(9), history: Some((id(8), 7)) }),
            Element::Group { name: b"g", last: id(5), entries_read: Some(3) },
            Element::Consumer { group: b"g", name: b"c" },
            Element::Pending {
                group: b"g",
                consumer: b"c",
                id: id(4),
                delivered_at_ms: 77,
                deliveries: 2,
            },
        ];
        let claim = "*12 XCLAIM k g c 0 4-1 TIME 77 RETRYCOUNT 2 FORCE JUSTID";
        assert_eq!(
            written(redis(10), &elements).unwrap(),
            format!(
                "*7 XADD k MAXLEN 0 0-1 x y\n*7 XSETID k 9-1 ENTRIESADDED 7 MAXDELETEDID 8-1\n\
                 *7 XGROUP CREATE k g 5-1 ENTRIESREAD 3\n*5 XGROUP CREATECONSUMER k g c\n{claim}"
            )
        );
        let old = Capabilities { has_set_pxat: false, ..redis(9) };
        assert_eq!(
            written(old, &elements).unwrap(),
            format!(
                "*7 XADD k MAXLEN 0 0-1 x y\n*3 XSETID k 9-1\n*5 XGROUP CREATE k g 5-1\n{claim}"
            )
        );
    }
}
