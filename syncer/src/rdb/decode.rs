//! Bytes in, events out. The caller pushes what the spool holds and takes events until there is
//! none; the decoder keeps only the record that is still incomplete. After an error it stays
//! failed: the length of what it did not understand is unknown, so there is no next record.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod large;
mod record;
#[cfg(test)]
mod tests;

use record::{Found, Outcome, Stop};

use super::{
    crc64::Crc64,
    error::{Fault, RdbError},
    event::{ModuleId, RdbEntry, RdbEvent},
    length::{StringForm, Text, decode_into},
    skip::Skipper,
    value::{Family, ValueType},
};

/// What the buffer keeps of its size once large values have passed.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// After so many pushes that a buffer of that size would have held, a larger one is given back.
/// Large values often come in rows, and growing anew for each halves the speed.
const SMALL_PUSHES_MAX: u32 = 64;

/// The bounds of what the decoder keeps in memory.
#[derive(Clone, Copy, Debug)]
pub struct RdbLimits {
    /// The most bytes of one key, value or other record, as written and as decompressed. The
    /// decoder's buffer grows up to twice this size, and only as bytes really arrive.
    pub value_bytes_max: u64,
    /// A value larger than this comes in parts, if its type can be decoded into elements; of any size then. Streams
    /// are held whole up to eight times as much: commands do not carry all that they remember.
    pub split_above: u64,
}

/// How much more of a stream is held whole.
const STREAM_FACTOR: u64 = 8;

/// A decoder of one RDB.
#[derive(Debug)]
pub struct RdbDecoder {
    limits: RdbLimits,
    buffer: Vec<u8>,
    /// Where in the buffer the first incomplete record begins.
    start: usize,
    small_pushes: u32,
    /// How many bytes of the RDB were dropped from the buffer's front.
    dropped: u64,
    checksum: Crc64,
    /// Up to where in the buffer the checksum has been computed.
    checksummed: usize,
    phase: Phase,
    family: Family,
    version: u32,
    next_key: NextKey,
    skipper: Skipper,
    has_large_listpack: bool,
    scratch: [Vec<u8>; 2],
    ranges: Vec<(u16, u16)>,
    failed: Option<RdbError>,
}

/// Where in the RDB the next byte lies.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Magic,
    /// Before the first byte of a record.
    Record,
    /// In the value of a key; places count from the record's start.
    Value {
        value_type: ValueType,
        key: Text,
        from: usize,
    },
    /// In a value that comes in parts. The record's start moves with them.
    Large,
    /// Before a value whose end is not known.
    Unreadable(ValueType),
    /// In what a module keeps beside the keys.
    ModuleAux {
        module: ModuleId,
        from: usize,
    },
    Ended,
}

/// What opcodes said of the key that follows them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct NextKey {
    expire_at_ms: Option<i64>,
    idle_seconds: Option<u64>,
    freq: Option<u8>,
}

impl RdbDecoder {
    /// A decoder at the first byte of an RDB.
    pub fn new(limits: RdbLimits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            start: 0,
            small_pushes: 0,
            dropped: 0,
            checksum: Crc64::default(),
            checksummed: 0,
            phase: Phase::Magic,
            family: Family::Redis,
            version: 0,
            next_key: NextKey::default(),
            skipper: Skipper::new(),
            has_large_listpack: false,
            scratch: [Vec::new(), Vec::new()],
            ranges: Vec::new(),
            failed: None,
        }
    }

    /// Appends bytes. Take all events before the next push, else the buffer grows.
    pub fn push(&mut self, bytes: &[u8]) {
        self.add_to_checksum(self.known_end());
        self.buffer.drain(..self.start);
        self.dropped += self.start as u64;
        self.checksummed -= self.start;
        self.start = 0;
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            let is_small = self.buffer.len() + bytes.len() <= BUFFER_KEPT_BYTES;
            self.small_pushes = if is_small { self.small_pushes + 1 } else { 0 };
            if self.small_pushes > SMALL_PUSHES_MAX {
                self.buffer.shrink_to(BUFFER_KEPT_BYTES);
                self.small_pushes = 0;
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next record, `None` if more bytes are needed or the RDB has ended.
    #[expect(clippy::should_implement_trait, reason = "the item borrows from the decoder")]
    pub fn next(&mut self) -> Result<Option<RdbEvent<'_>>, RdbError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let record = self.start;
        let found = loop {
            match self.take_record() {
                Ok(Outcome::Found(found)) => break found,
                Ok(Outcome::Taken) => {}
                Ok(Outcome::NeedsBytes) => return Ok(None),
                Err(stop) => return Err(self.fail(stop, self.start)),
            }
        };
        // Two calls, since the first may set `failed` and the second lends out the buffers.
        if let Err(fault) = self.decode_texts(&found) {
            return Err(self.fail(Stop::Fault(fault), record));
        }
        Ok(Some(self.event(found)))
    }

    /// There are no more bytes: an error if the RDB has not ended.
    pub fn finish(&self) -> Result<(), RdbError> {
        match (&self.failed, self.phase) {
            (Some(error), _) => Err(error.clone()),
            (None, Phase::Ended) => Ok(()),
            (None, _) => {
                Err(RdbError::UnexpectedEnd { at: self.dropped + self.buffer.len() as u64 })
            }
        }
    }

    /// True once `End` was returned.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// How many bytes of the RDB are behind the events returned so far.
    pub fn consumed(&self) -> u64 {
        self.dropped + self.start as u64
    }

    /// What was pushed and not consumed. After `End` this is not part of the RDB.
    pub fn remaining(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Up to where in the buffer the bytes are known to precede the end of the RDB.
    fn known_end(&self) -> usize {
        match self.phase {
            Phase::Magic | Phase::Record | Phase::Unreadable(_) | Phase::Ended => self.start,
            Phase::Value { from, .. } | Phase::ModuleAux { from, .. } => {
                self.start + from + self.skipper.at()
            }
            Phase::Large => self.start + self.skipper.at(),
        }
    }

    /// Adds the bytes of the buffer before `end`, in as large pieces as there are.
    fn add_to_checksum(&mut self, end: usize) {
        // The stored checksum itself, and what follows it, is never added.
        if matches!(self.phase, Phase::Ended) {
            self.checksummed = self.start;
        } else if end > self.checksummed {
            self.checksum.update(&self.buffer[self.checksummed..end]);
            self.checksummed = end;
        }
    }

    fn fail(&mut self, stop: Stop, record: usize) -> RdbError {
        let at = self.dropped + record as u64;
        let (family, version) = (self.family, self.version);
        let error = match stop {
            Stop::Fault(Fault::Corrupt(what)) => RdbError::Corrupt { what, at },
            Stop::Fault(Fault::TooLarge) => {
                RdbError::TooLarge { limit: self.limits.value_bytes_max, at }
            }
            Stop::UnknownOpcode(opcode) => RdbError::UnknownOpcode { opcode, family, version, at },
            Stop::UnknownType(value_type) => {
                RdbError::UnknownType { value_type, family, version, at }
            }
            Stop::Error(error) => error,
        };
        self.failed = Some(error.clone());
        error
    }

    /// Writes the texts of a record that are not plain into the scratch buffers.
    fn decode_texts(&mut self, found: &Found) -> Result<(), Fault> {
        let texts = match *found {
            Found::Aux { key, value } => [Some(key), Some(value)],
            Found::Function { code: text }
            | Found::SlotImport { job: text }
            | Found::LargeBegin { key: text, .. }
            | Found::Unreadable { key: text, .. }
            | Found::Entry { key: text, .. } => [Some(text), None],
            _ => return Ok(()),
        };
        for (text, scratch) in texts.into_iter().zip(&mut self.scratch) {
            if let Some(Text { form, from, to }) = text
                && form != StringForm::Raw
            {
                decode_into(&self.buffer[from..to], form, scratch)?;
            }
        }
        Ok(())
    }

    fn text(&self, text: Text, index: usize) -> &[u8] {
        match text.form {
            StringForm::Raw => &self.buffer[text.from..text.to],
            _ => &self.scratch[index],
        }
    }

    fn event(&self, found: Found) -> RdbEvent<'_> {
        match found {
            Found::Header => RdbEvent::Header { family: self.family, version: self.version },
            Found::Aux { key, value } => {
                RdbEvent::Aux { key: self.text(key, 0), value: self.text(value, 1) }
            }
            Found::SelectDb(db) => RdbEvent::SelectDb(db),
            Found::ResizeDb { keys, expires } => RdbEvent::ResizeDb { keys, expires },
            Found::Function { code } => RdbEvent::Function { code: self.text(code, 0) },
            Found::ModuleAux { module, is_empty } => RdbEvent::ModuleAux { module, is_empty },
            Found::SlotInfo { slot, keys, expires } => RdbEvent::SlotInfo { slot, keys, expires },
            Found::SlotImport { job } => {
                RdbEvent::SlotImport { job: self.text(job, 0), ranges: &self.ranges }
            }
            Found::Entry { value_type, key, from, to, about } => RdbEvent::Entry(RdbEntry {
                key: self.text(key, 0),
                value_type,
                value: &self.buffer[from..to],
                expire_at_ms: about.expire_at_ms,
                idle_seconds: about.idle_seconds,
                freq: about.freq,
                has_large_listpack: self.has_large_listpack,
                value_bytes_max: self.limits.value_bytes_max,
            }),
            Found::LargeBegin { value_type, key, about } => RdbEvent::LargeBegin {
                key: self.text(key, 0),
                value_type,
                expire_at_ms: about.expire_at_ms,
            },
            Found::LargePart { from, to } => RdbEvent::LargePart(&self.buffer[from..to]),
            Found::LargeEnd => RdbEvent::LargeEnd,
            Found::Unreadable { value_type, key } => {
                RdbEvent::Unreadable { key: self.text(key, 0), value_type }
            }
            Found::End(checksum) => RdbEvent::End { checksum },
        }
    }
}
