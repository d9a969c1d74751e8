//! Adds units to batches: filtered, with the grace, in the words of the target. Pure.

use super::{Batch, BatchedUnit, UnitRefusal};
use crate::{
    contract::Publish,
    decode::UnitSpan,
    expiry::{ExpiryArgument, expiry},
    filter::{Verdict, judge},
    position::DbIndex,
    resp::{RespError, command::Command, encode},
    terms::{Question, Terms},
    translate::{Form, MISSING, Output, Presence, Rule},
};

/// Most commands have no more words.
const FEW_WORDS: usize = 16;

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
        self.each_command(buf, unit, |this, buf, bytes| {
            if let Verdict::Select(db) = judge(&this.command, buf, bytes) {
                this.db = Some(db);
            }
            Ok(())
        })?;
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
        self.each_command(buf, unit, |this, buf, bytes| this.add_command(batch, buf, bytes))
    }

    /// Visits the commands of a unit, each parsed, with the buffer up to the unit's end and its own bytes.
    fn each_command(
        &mut self,
        buf: &[u8],
        unit: &UnitSpan,
        mut visit: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), UnitRefusal>,
    ) -> Result<(), UnitRefusal> {
        // The decoder has seen that the unit is whole, so each command in it is.
        let unit_buf = &buf[..unit.bytes.end];
        let mut at = unit.bytes.start;
        while at < unit.bytes.end {
            let Some(end) = self.command.parse(unit_buf, at)? else {
                return Err(RespError::MissingCrLf.into());
            };
            visit(self, unit_buf, &unit_buf[at..end])?;
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
                    .map_err(|why| UnitRefusal::unsupported(name, why))?;
                batch.command_count += out.count;
                form
            }
            _ => Form::Same,
        };
        if form == Form::Same {
            match presence {
                Presence::Known => {}
                Presence::Missing => return Err(UnitRefusal::unsupported(name, MISSING)),
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
