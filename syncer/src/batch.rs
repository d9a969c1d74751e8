//! The units that reach the target together: one MULTI/EXEC. Pure; between route and the target's socket.
//!
//! The order of units is the source's (Invariant 14), a unit is never split (Promise 3), and a refused command is
//! led back to its unit.

use std::ops::Range;

use crate::{
    contract::Publish,
    decode::UnitSpan,
    expiry::{ExpiryArgument, expiry},
    filter::{Verdict, judge},
    position::{DbIndex, Offset},
    rdb::support::Unsupported,
    resp::{RespError, command::Command, encode},
    route::Route,
    terms::{Question, Terms},
    translate::{Form, MISSING, Output, Presence, Rule},
};

/// Most commands have no more words.
const FEW_WORDS: usize = 16;
/// What an emptied batch keeps of its memory.
const BYTES_KEPT: usize = 4 << 20;

/// A unit's place in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchedUnit {
    /// Behind the unit, in the source's history.
    pub end: Offset,
    /// The source's database behind it.
    pub db: Option<DbIndex>,
    /// How many commands of the batch end with it.
    pub commands_end: usize,
    /// How many of them are SELECTs.
    pub selects_end: usize,
    /// What the batch has counted there.
    pub counts: BatchCounts,
    /// Where the batch's bytes end with it.
    pub bytes_end: usize,
    /// The target's selected database there.
    pub route: Route,
}

/// What a batch counts of its units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Commands forwarded.
    pub commands: u64,
    /// Commands dropped: they are ours, or the target has no use for them.
    pub dropped: u64,
    /// Commands that carry a time of expiry.
    pub expiring: u64,
    /// Units that went to the dead letters instead.
    pub rejected: u64,
}

/// Units gathered for one EXEC.
#[derive(Debug, Default)]
pub struct Batch {
    /// The commands as bytes, without MULTI and EXEC.
    pub bytes: Vec<u8>,
    /// Its units in order, those without commands included.
    pub units: Vec<BatchedUnit>,
    /// How many commands `bytes` holds.
    pub command_count: usize,
    /// For the counters.
    pub counts: BatchCounts,
    /// How many of the commands are SELECTs: they succeed whatever may be written.
    pub select_count: usize,
    route: Route,
}

/// Why a unit cannot be batched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitRefusal {
    /// The filter refuses a command of it.
    #[error("{what}")]
    Refused {
        /// What it is.
        what: &'static str,
        /// What a human can do.
        remedy: &'static str,
    },
    /// The target cannot take a command of it in any form.
    #[error("{command}: {}", .why.reason)]
    Unsupported {
        /// The command's name.
        command: String,
        /// Why, and what helps.
        why: Unsupported,
    },
    /// The target refused a command of it when it was queued.
    #[error("the target refuses a command of it: {error:?}")]
    Rejected {
        /// The server's words, as they may be shown.
        error: String,
    },
    /// Something must be asked before the unit can be judged.
    #[error("not asked yet: {0:?}")]
    Unasked(Question),
    /// The target has no such database.
    #[error("the target has no database {0}")]
    NoDatabase(DbIndex),
    /// The database is not known: no SELECT came since the stream's start.
    #[error("a command before the first SELECT of a stream whose database is not known")]
    UnknownDatabase,
    /// The unit is larger than what is held in memory.
    #[error("a transaction or command of more than {0} bytes")]
    TooLarge(usize),
    /// The unit's bytes are no commands.
    #[error("the stream is no RESP")]
    Corrupt(#[from] RespError),
}

impl Batch {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        // One huge transaction must not keep its memory for ever.
        self.bytes.shrink_to(BYTES_KEPT);
        self.units.clear();
        self.command_count = 0;
        self.counts = BatchCounts::default();
        self.select_count = 0;
        self.route = Route::new();
    }

    /// Whether nothing of it needs to reach the target.
    pub fn has_commands(&self) -> bool {
        self.command_count > 0
    }

    /// The end of its last unit.
    pub fn end(&self) -> Option<Offset> {
        self.units.last().map(|unit| unit.end)
    }

    /// The last unit that has commands.
    pub fn last_data_unit(&self) -> Option<&BatchedUnit> {
        let last = self.units.partition_point(|unit| unit.commands_end < self.unit_commands());
        self.units.get(last).filter(|unit| unit.commands_end > 0)
    }

    /// How many commands belong to units; what the record adds comes behind them.
    fn unit_commands(&self) -> usize {
        self.units.last().map_or(0, |unit| unit.commands_end)
    }

    /// The unit that command `index` belongs to, as an index into `units`. What is behind the last unit (the
    /// record's own commands) belongs to none.
    pub fn unit_of(&self, index: usize) -> Option<usize> {
        let at = self.units.partition_point(|unit| unit.commands_end <= index);
        (at < self.units.len()).then_some(at)
    }

    /// These commands, with the database of each. `indexes` are in order.
    pub fn commands_at(&self, indexes: &[usize]) -> Vec<(usize, DbIndex, Range<usize>)> {
        let mut found = Vec::new();
        let mut command = Command::default();
        let mut db = Route::RECORD_DB;
        let (mut at, mut number) = (0, 0);
        let mut indexes = indexes.iter().copied().peekable();
        while let Some(index) = indexes.peek().copied()
            && let Ok(Some(next)) = command.parse(&self.bytes, at)
        {
            if number == index {
                indexes.next();
                found.push((index, db, at..next));
            } else if command.name(&self.bytes) == b"SELECT"
                && let Some(text) = command.argument(&self.bytes, 1)
                && let Some(selected) =
                    std::str::from_utf8(text).ok().and_then(|db| db.parse().ok())
            {
                db = DbIndex(selected);
            }
            (at, number) = (next, number + 1);
        }
        found
    }

    /// Keeps the first `count` units only.
    pub fn truncate(&mut self, count: usize) {
        self.units.truncate(count);
        match self.units.last() {
            None => self.clear(),
            Some(&BatchedUnit { commands_end, selects_end, counts, bytes_end, route, .. }) => {
                self.command_count = commands_end;
                self.select_count = selects_end;
                self.counts = counts;
                self.route = route;
                self.bytes.truncate(bytes_end);
            }
        }
    }

    /// The record's commands are to follow: back to its database.
    pub fn select_record_db(&mut self) {
        self.select(Route::RECORD_DB);
    }

    fn select(&mut self, db: DbIndex) {
        if self.route.select(db, &mut self.bytes) {
            self.command_count += 1;
            self.select_count += 1;
        }
    }
}

/// Adds units to batches; knows the source's selected database.
#[derive(Debug)]
pub struct Assembler {
    db: Option<DbIndex>,
    /// What is known of the target, and how its data are to be.
    terms: Terms,
    command: Command,
}

impl Assembler {
    /// Starts behind a position whose database is known, or not (`None`).
    pub fn new(db: Option<DbIndex>, terms: Terms) -> Self {
        Self { db, terms, command: Command::default() }
    }

    /// What is known of the target; answers to questions are put here.
    pub fn terms(&mut self) -> &mut Terms {
        &mut self.terms
    }

    /// Adds a unit. On a refusal the batch is as it was before, and so is the assembler.
    pub fn add(
        &mut self,
        batch: &mut Batch,
        buf: &[u8],
        unit: &UnitSpan,
    ) -> Result<(), UnitRefusal> {
        let before = (
            self.db,
            batch.bytes.len(),
            batch.command_count,
            batch.select_count,
            batch.counts,
            batch.route,
        );
        let result = self.add_commands(batch, buf, unit);
        match result {
            Ok(()) => self.note_end(batch, unit),
            Err(_) => {
                let bytes;
                (
                    self.db,
                    bytes,
                    batch.command_count,
                    batch.select_count,
                    batch.counts,
                    batch.route,
                ) = before;
                batch.bytes.truncate(bytes);
            }
        }
        result
    }

    /// Leaves a unit out that a human told to skip; its SELECTs count all the same.
    pub fn skip(
        &mut self,
        batch: &mut Batch,
        buf: &[u8],
        unit: &UnitSpan,
    ) -> Result<(), UnitRefusal> {
        let unit_buf = &buf[..unit.bytes.end];
        let mut at = unit.bytes.start;
        while at < unit.bytes.end {
            let Some(end) = self.command.parse(unit_buf, at)? else {
                return Err(RespError::MissingCrLf.into());
            };
            if let Verdict::Select(db) = judge(&self.command, unit_buf, &unit_buf[at..end]) {
                self.db = Some(db);
            }
            at = end;
        }
        self.note_end(batch, unit);
        Ok(())
    }

    /// Leaves a unit out that went to the dead letters.
    pub fn reject(
        &mut self,
        batch: &mut Batch,
        buf: &[u8],
        unit: &UnitSpan,
    ) -> Result<(), UnitRefusal> {
        batch.counts.rejected += 1;
        self.skip(batch, buf, unit)
    }

    /// The source's selected database.
    pub fn db(&self) -> Option<DbIndex> {
        self.db
    }

    fn note_end(&self, batch: &mut Batch, unit: &UnitSpan) {
        batch.units.push(BatchedUnit {
            end: unit.end,
            db: self.db,
            commands_end: batch.command_count,
            selects_end: batch.select_count,
            counts: batch.counts,
            bytes_end: batch.bytes.len(),
            route: batch.route,
        });
    }

    fn add_commands(
        &mut self,
        batch: &mut Batch,
        buf: &[u8],
        unit: &UnitSpan,
    ) -> Result<(), UnitRefusal> {
        // The decoder has seen that the unit is whole, so each command in it is.
        let unit_buf = &buf[..unit.bytes.end];
        let mut at = unit.bytes.start;
        while at < unit.bytes.end {
            let Some(end) = self.command.parse(unit_buf, at)? else {
                return Err(RespError::MissingCrLf.into());
            };
            self.add_command(batch, unit_buf, &unit_buf[at..end])?;
            at = end;
        }
        Ok(())
    }

    fn add_command(
        &mut self,
        batch: &mut Batch,
        buf: &[u8],
        bytes: &[u8],
    ) -> Result<(), UnitRefusal> {
        match judge(&self.command, buf, bytes) {
            Verdict::Housekeeping | Verdict::Bracket => return Ok(()),
            Verdict::Select(db) => {
                self.db = Some(db);
                return Ok(());
            }
            Verdict::Reserved => {
                batch.counts.dropped += 1;
                return Ok(());
            }
            Verdict::Refuse { what, remedy } => return Err(UnitRefusal::Refused { what, remedy }),
            verdict @ (Verdict::Forward | Verdict::ForwardWithout(_)) => {
                let left_out = match verdict {
                    Verdict::ForwardWithout(left_out) => left_out,
                    _ => Vec::new(),
                };
                self.forward(batch, buf, bytes, &left_out)?;
            }
        }
        Ok(())
    }

    fn forward(
        &self,
        batch: &mut Batch,
        buf: &[u8],
        bytes: &[u8],
        left_out: &[usize],
    ) -> Result<(), UnitRefusal> {
        let is = |word: &[u8]| self.command.name(buf).eq_ignore_ascii_case(word);
        if self.terms.publish == Publish::Drop && (is(b"PUBLISH") || is(b"SPUBLISH")) {
            batch.counts.dropped += 1;
            return Ok(());
        }
        let db = self.db.ok_or(UnitRefusal::UnknownDatabase)?;
        self.terms.check_databases(db, &self.command, buf)?;
        let name = self.command.name(buf);
        let Rule { translator, presence } = self.terms.known.rule(name);
        batch.select(db);
        let expiry = expiry(&self.command, buf);
        batch.counts.expiring += u64::from(expiry.is_some());
        let shifted = expiry.and_then(|expiry| self.shifted(buf, expiry));
        let form = match translator {
            Some((from, translator)) if self.command.argument_count() >= from => {
                let mut out = Output::new(&mut batch.bytes, &self.terms.target, self.terms.grace);
                let form = self
                    .with_words(buf, left_out, shifted, |words| translator(words, &mut out))
                    .map_err(|why| unsupported(name, why))?;
                batch.command_count += out.count;
                form
            }
            _ => Form::Same,
        };
        if form == Form::Same {
            match presence {
                Presence::Known => {}
                Presence::Missing => return Err(unsupported(name, MISSING)),
                Presence::Unasked => {
                    return Err(UnitRefusal::Unasked(Question::Command(name.to_vec())));
                }
            }
        }
        match form {
            Form::Written => {}
            Form::Dropped => {
                batch.counts.dropped += 1;
                return Ok(());
            }
            Form::Same => {
                // An inline command: inside a pipeline it is sent in the usual form.
                let is_inline = bytes.first() != Some(&b'*');
                match shifted.is_some() || is_inline || !left_out.is_empty() {
                    true => self.rewrite(batch, buf, left_out, shifted),
                    false => batch.bytes.extend_from_slice(bytes),
                }
                batch.command_count += 1;
            }
        }
        batch.counts.commands += 1;
        Ok(())
    }

    /// The command's words as they are to be sent. Few words cost no allocation.
    fn with_words<R>(
        &self,
        buf: &[u8],
        left_out: &[usize],
        shifted: Option<(usize, i64)>,
        run: impl FnOnce(&[&[u8]]) -> R,
    ) -> R {
        let mut digits = itoa::Buffer::new();
        let (at, time) = match shifted {
            Some((at, time)) => (at, digits.format(time).as_bytes()),
            None => (usize::MAX, &b""[..]),
        };
        let count = self.command.argument_count();
        let words = (0..count).filter(|index| !left_out.contains(index)).map(|index| {
            if index == at { time } else { self.command.argument(buf, index).unwrap_or_default() }
        });
        if count > FEW_WORDS {
            return run(&words.collect::<Vec<_>>());
        }
        let mut few = [&b""[..]; FEW_WORDS];
        let mut used = 0;
        for word in words {
            few[used] = word;
            used += 1;
        }
        run(&few[..used])
    }

    /// The argument that states the time of expiry, and the time with the grace (Promise 6). `None`: it stays as it is.
    fn shifted(&self, buf: &[u8], expiry: ExpiryArgument) -> Option<(usize, i64)> {
        let text = self.command.argument(buf, expiry.index)?;
        Some((expiry.index, self.terms.grace.shift_text(text, expiry.unit)?))
    }

    fn rewrite(
        &self,
        batch: &mut Batch,
        buf: &[u8],
        left_out: &[usize],
        shifted: Option<(usize, i64)>,
    ) {
        let count = self.command.argument_count();
        encode::array_header(&mut batch.bytes, count - left_out.len());
        for index in (0..count).filter(|index| !left_out.contains(index)) {
            match shifted {
                Some((at, time)) if at == index => encode::bulk_number(&mut batch.bytes, time),
                _ => encode::bulk(
                    &mut batch.bytes,
                    self.command.argument(buf, index).unwrap_or_default(),
                ),
            }
        }
    }
}

fn unsupported(name: &[u8], why: Unsupported) -> UnitRefusal {
    // A name is as long as the source took it, and no secret; what is odd in it is not for a log.
    let command = name.iter().take(40).map(|byte| match byte {
        b'!'..=b'~' => char::from(*byte).to_ascii_uppercase(),
        _ => '?',
    });
    UnitRefusal::Unsupported { command: command.collect(), why }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        decode::UnitDecoder, grace::Grace, rdb::value::Family, target::examine::Capabilities,
        translate::Known,
    };

    fn text(batch: &Batch) -> Vec<String> {
        let mut command = Command::default();
        let mut at = 0;
        let mut lines = Vec::new();
        while at < batch.bytes.len() {
            let end = command.parse(&batch.bytes, at).unwrap().unwrap();
            let words: Vec<_> = (0..command.argument_count())
                .map(|i| String::from_utf8_lossy(command.argument(&batch.bytes, i).unwrap()))
                .collect();
            lines.push(words.join(" "));
            at = end;
        }
        lines
    }

    fn assemble(commands: &[&[&str]]) -> (Batch, Option<UnitRefusal>) {
        let mut decoder = UnitDecoder::new(Offset(0));
        for command in commands {
            encode::command(decoder.input(), command);
        }
        let target = Capabilities::for_tests(Family::Redis, 12);
        let grace = Grace::new(Duration::from_secs(60));
        let mut terms = Terms::new(target, Known::new(&target, false), grace);
        terms.allow(DbIndex(2));
        let mut assembler = Assembler::new(None, terms);
        let mut batch = Batch::default();
        while let Some(unit) = decoder.next_unit().unwrap() {
            if let Err(refusal) = assembler.add(&mut batch, decoder.buffer(), &unit) {
                return (batch, Some(refusal));
            }
        }
        (batch, None)
    }

    #[test]
    fn a_source_transaction_lies_flat_in_the_batch_and_databases_change_only_where_they_must() {
        let (mut batch, refusal) = assemble(&[
            &["SELECT", "0"],
            &["SET", "a", "1"],
            &["MULTI"],
            &["INCR", "b"],
            &["SELECT", "2"],
            &["INCR", "c"],
            &["EXEC"],
            &["SELECT", "2"],
            &["DEL", "x", "redissync:default:0"],
            &["PING"],
        ]);
        assert_eq!(refusal, None);
        batch.select_record_db();
        assert_eq!(text(&batch), ["SET a 1", "INCR b", "SELECT 2", "INCR c", "DEL x", "SELECT 0"]);
        assert_eq!(batch.command_count, 6);
        assert_eq!(batch.units.len(), 6);
        assert_eq!(batch.units[5].db, Some(DbIndex(2)));
        assert_eq!(batch.unit_of(0), Some(1));
        assert_eq!(batch.unit_of(3), Some(2));
        assert_eq!(batch.unit_of(4), Some(4));
        assert_eq!(batch.unit_of(5), None, "the record's own commands");
        assert_eq!(
            batch.last_data_unit().map(|unit| unit.end),
            Some(batch.units[4].end),
            "PING is no data"
        );
        assert_eq!(Batch::default().last_data_unit(), None);
        batch.truncate(5);
        batch.select_record_db();
        assert_eq!(text(&batch), ["SET a 1", "INCR b", "SELECT 2", "INCR c", "DEL x", "SELECT 0"]);
        batch.truncate(2);
        batch.select_record_db();
        assert_eq!(text(&batch), ["SET a 1"], "database 0 is selected already");
        assert_eq!(batch.command_count, 1);
    }

    #[test]
    fn promise_6_times_of_expiry_get_the_grace_and_all_else_stays_as_it_came() {
        let (batch, refusal) = assemble(&[
            &["SELECT", "0"],
            &["SET", "k", "PX", "NX", "PXAT", "1000"],
            &["set", "k", "v", "keepttl"],
            &["PEXPIREAT", "k", "1000", "GT"],
            &["MULTI"],
            &["EXPIRE", "k", "10"],
            &["SETEX", "k", "10", "v"],
            &["EXEC"],
            &["HPEXPIREAT", "h", "1000", "FIELDS", "1", "f"],
            &["RESTORE", "k", "1000", "\0\u{1}v\u{b}\0\0\0\0\0\0\0\0\0", "ABSTTL"],
            &["RESTORE", "k", "0", "\0\u{1}v\u{b}\0\0\0\0\0\0\0\0\0"],
            &["PEXPIREAT", "k", "281474976710654"],
        ]);
        assert_eq!(refusal, None);
        assert_eq!(
            text(&batch),
            [
                "SET k PX NX PXAT 61000",
                "set k v keepttl",
                "PEXPIREAT k 61000 GT",
                "EXPIRE k 70",
                "SETEX k 70 v",
                "HPEXPIREAT h 61000 FIELDS 1 f",
                "SET k v",
                "PEXPIREAT k 61000",
                "SET k v",
                "PEXPIREAT k 281474976710654",
            ]
        );
        assert_eq!(batch.counts.expiring, 7);
    }

    #[test]
    fn a_refused_unit_leaves_no_trace_in_the_batch() {
        let (batch, refusal) = assemble(&[
            &["SELECT", "0"],
            &["SET", "a", "1"],
            &["MULTI"],
            &["SELECT", "2"],
            &["SET", "b", "1"],
            &["SWAPDB", "0", "1"],
            &["EXEC"],
        ]);
        assert!(matches!(refusal, Some(UnitRefusal::Refused { .. })));
        assert_eq!(text(&batch), ["SET a 1"]);
        assert_eq!(batch.units.len(), 2);
    }

    #[test]
    fn a_command_for_a_database_that_the_target_may_lack_is_held_back() {
        let (batch, refusal) = assemble(&[&["SELECT", "9"], &["SET", "a", "1"]]);
        assert_eq!(refusal, Some(UnitRefusal::Unasked(Question::Database(DbIndex(9)))));
        assert!(!batch.has_commands());
    }

    #[test]
    fn a_command_whose_database_is_not_known_is_refused() {
        assert_eq!(assemble(&[&["SET", "a", "1"]]).1, Some(UnitRefusal::UnknownDatabase));
    }
}
