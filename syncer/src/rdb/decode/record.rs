//! One record of the RDB: an opcode with what follows it, or a key with its value. A record whose
//! head is incomplete is read again when more has arrived; a value is not, it may be large.

use super::{NextKey, Phase, RdbDecoder, STREAM_FACTOR};
use crate::rdb::{
    crc64::Crc64,
    elements::ValueDecoder,
    error::{Fault, RdbError},
    event::{Checksum, ModuleId},
    length::{Text, read_array, read_number, read_text},
    value::{Family, Kind, MODULE_BODY, ValueType, layout},
};

/// `REDIS` and four digits, or `VALKEY` and three.
const MAGIC_LEN: usize = 9;

/// From here on a blob can hold a listpack entry of 16383 bytes, the smallest whose back length
/// differs between servers: 6 bytes stand before it, its back length and the end mark behind.
const LARGE_LISTPACK_BYTES: u64 = 16_390;

/// Slots of a cluster.
const SLOT_COUNT: u64 = 16_384;

/// The redis.h of every version keeps the number of databases in an `int`.
const DB_MAX: u64 = i32::MAX as u64;

mod opcode {
    pub(super) const SLOT_IMPORT: u8 = 243;
    pub(super) const SLOT_INFO: u8 = 244;
    pub(super) const FUNCTION: u8 = 245;
    pub(super) const MODULE_AUX: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const FREQ: u8 = 249;
    pub(super) const AUX: u8 = 250;
    pub(super) const RESIZE_DB: u8 = 251;
    pub(super) const EXPIRE_MS: u8 = 252;
    pub(super) const EXPIRE_SECONDS: u8 = 253;
    pub(super) const SELECT_DB: u8 = 254;
    pub(super) const END: u8 = 255;
    /// The lowest byte that any version uses as an opcode.
    pub(super) const LOWEST: u8 = 242;
}

/// A complete record, by its places in the buffer.
#[derive(Debug)]
pub(super) enum Found {
    Header,
    Aux { key: Text, value: Text },
    SelectDb(u32),
    ResizeDb { keys: u64, expires: u64 },
    Function { code: Text },
    ModuleAux { module: ModuleId, is_empty: bool },
    SlotInfo { slot: u16, keys: u64, expires: u64 },
    SlotImport { job: Text },
    Entry { value_type: ValueType, key: Text, from: usize, to: usize, about: NextKey },
    LargeBegin { value_type: ValueType, key: Text, about: NextKey },
    LargePart { from: usize, to: usize },
    LargeEnd,
    Unreadable { value_type: ValueType, key: Text },
    End(Checksum),
}

/// How one look at the buffer ended.
pub(super) enum Outcome {
    Found(Found),
    /// Something without an event of its own was taken: look again.
    Taken,
    NeedsBytes,
}

/// Why decoding stops; the decoder adds what it knows of the place.
pub(super) enum Stop {
    Fault(Fault),
    UnknownOpcode(u8),
    UnknownType(ValueType),
    Error(RdbError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What was read, or the wish for more bytes.
macro_rules! arrived {
    ($read:expr) => {
        match $read {
            Some(read) => read,
            None => return Ok(Outcome::NeedsBytes),
        }
    };
}

impl RdbDecoder {
    /// Takes the record at `start`, and moves `start` behind it when it is complete.
    pub(super) fn take_record(&mut self) -> Result<Outcome, Stop> {
        match self.phase {
            Phase::Magic => self.take_magic(),
            Phase::Record => {
                let first = *arrived!(self.buffer.get(self.start));
                if first < opcode::LOWEST { self.take_key(first) } else { self.take_opcode(first) }
            }
            Phase::Value { value_type, key, from } => self.take_value(value_type, key, from),
            Phase::Large => self.take_large(),
            Phase::Unreadable(value_type) => Err(Stop::UnknownType(value_type)),
            Phase::ModuleAux { module, from } => self.take_module_aux(module, from),
            Phase::Ended => Ok(Outcome::NeedsBytes),
        }
    }

    fn take_magic(&mut self) -> Result<Outcome, Stop> {
        let magic: [u8; MAGIC_LEN] = arrived!(read_array(&self.buffer, self.start));
        let (family, digits) = match &magic {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (Family::Redis, &digits[..]),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (Family::Valkey, &digits[..]),
            _ => return Err(Stop::Error(RdbError::NotRdb)),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(Stop::Error(RdbError::NotRdb));
        }
        let version = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if !family.knows_version(version) {
            return Err(Stop::Error(RdbError::UnsupportedVersion { family, version }));
        }
        (self.family, self.version) = (family, version);
        self.phase = Phase::Record;
        self.start += MAGIC_LEN;
        Ok(Outcome::Found(Found::Header))
    }

    /// Type byte and key; the value follows.
    fn take_key(&mut self, byte: u8) -> Result<Outcome, Stop> {
        let value_type = ValueType { family: self.family, byte };
        let record = &self.buffer[self.start..];
        let mut from = 1;
        let key = arrived!(read_text(record, &mut from, self.limits.value_bytes_max)?);
        let Some(layout) = layout(value_type, self.version) else {
            // Its name is told; then decoding stops, since the value's end is not known.
            self.phase = Phase::Unreadable(value_type);
            let key = Text { from: self.start + key.from, to: self.start + key.to, ..key };
            return Ok(Outcome::Found(Found::Unreadable { value_type, key }));
        };
        // What comes in parts is bounded by its elements, in the decoder of those.
        let limit = match self.split_above(value_type) {
            Some(_) => u64::MAX,
            None => self.limits.value_bytes_max,
        };
        self.skipper.begin(layout, limit);
        self.has_large_listpack = false;
        self.take_value(value_type, key, from)
    }

    #[inline]
    fn take_value(
        &mut self,
        value_type: ValueType,
        key: Text,
        from: usize,
    ) -> Result<Outcome, Stop> {
        let value = &self.buffer[self.start + from..];
        let has_large_listpack = &mut self.has_large_listpack;
        let is_whole = self.skipper.advance(value, &mut |head| {
            *has_large_listpack |= head.decoded_len() >= LARGE_LISTPACK_BYTES;
        })?;
        if !is_whole {
            let held = value.len() as u64;
            if self.split_above(value_type).is_some_and(|bound| held > bound) {
                return Ok(Outcome::Found(self.begin_large(value_type, key, from)));
            }
            self.phase = Phase::Value { value_type, key, from };
            return Ok(Outcome::NeedsBytes);
        }
        self.phase = Phase::Record;
        let record = self.start;
        let from = record + from;
        let to = from + self.skipper.at();
        self.start = to;
        let key = Text { from: record + key.from, to: record + key.to, ..key };
        let about = std::mem::take(&mut self.next_key);
        Ok(Outcome::Found(Found::Entry { value_type, key, from, to, about }))
    }

    /// How much of a value of this type is held before it comes in parts; `None` if it never does.
    fn split_above(&self, value_type: ValueType) -> Option<u64> {
        let bound = self.limits.split_above;
        if bound == u64::MAX || !ValueDecoder::knows(value_type) {
            return None;
        }
        let is_stream = value_type.kind() == Some(Kind::Stream);
        Some(if is_stream { bound.saturating_mul(STREAM_FACTOR) } else { bound })
    }

    /// The key now, the value in parts from the next look on.
    fn begin_large(&mut self, value_type: ValueType, key: Text, from: usize) -> Found {
        let record = self.start;
        // The key's bytes stay in the buffer until the next push.
        self.start = record + from;
        self.phase = Phase::Large;
        let key = Text { from: record + key.from, to: record + key.to, ..key };
        Found::LargeBegin { value_type, key, about: std::mem::take(&mut self.next_key) }
    }

    fn take_large(&mut self) -> Result<Outcome, Stop> {
        let is_whole = self.skipper.advance(&self.buffer[self.start..], &mut |_| {})?;
        let walked = self.skipper.at();
        if walked > 0 {
            self.add_to_checksum(self.start + walked);
            let from = self.start;
            self.start += walked;
            self.skipper.forget_walked();
            return Ok(Outcome::Found(Found::LargePart { from, to: self.start }));
        }
        if !is_whole {
            return Ok(Outcome::NeedsBytes);
        }
        self.phase = Phase::Record;
        Ok(Outcome::Found(Found::LargeEnd))
    }

    fn take_module_aux(&mut self, module: ModuleId, from: usize) -> Result<Outcome, Stop> {
        let body = &self.buffer[self.start + from..];
        if !self.skipper.advance(body, &mut |_| {})? {
            self.phase = Phase::ModuleAux { module, from };
            return Ok(Outcome::NeedsBytes);
        }
        self.phase = Phase::Record;
        self.start += from + self.skipper.at();
        // A body without parts is the closing opcode alone.
        let is_empty = self.skipper.at() == 1;
        Ok(Outcome::Found(Found::ModuleAux { module, is_empty }))
    }

    fn take_opcode(&mut self, first: u8) -> Result<Outcome, Stop> {
        if first == opcode::END {
            return self.take_end();
        }
        let bytes = &self.buffer[..];
        let limit = self.limits.value_bytes_max;
        let mut at = self.start + 1;
        let outcome = match (first, self.family) {
            (opcode::SELECT_DB, _) => {
                let db = arrived!(read_number(bytes, &mut at)?);
                if db > DB_MAX {
                    return Err(Fault::Corrupt("a database of an impossible number").into());
                }
                Outcome::Found(Found::SelectDb(db as u32))
            }
            (opcode::EXPIRE_SECONDS, _) => {
                let seconds = i32::from_le_bytes(arrived!(read_array(bytes, at)));
                at += 4;
                self.next_key.expire_at_ms = Some(i64::from(seconds) * 1000);
                Outcome::Taken
            }
            (opcode::EXPIRE_MS, _) => {
                let expire_at_ms = i64::from_le_bytes(arrived!(read_array(bytes, at)));
                at += 8;
                self.next_key.expire_at_ms = Some(expire_at_ms);
                Outcome::Taken
            }
            (opcode::RESIZE_DB, _) => {
                let keys = arrived!(read_number(bytes, &mut at)?);
                let expires = arrived!(read_number(bytes, &mut at)?);
                Outcome::Found(Found::ResizeDb { keys, expires })
            }
            (opcode::AUX, _) => {
                let key = arrived!(read_text(bytes, &mut at, limit)?);
                let value = arrived!(read_text(bytes, &mut at, limit)?);
                Outcome::Found(Found::Aux { key, value })
            }
            (opcode::FREQ, _) => {
                let [freq] = arrived!(read_array(bytes, at));
                at += 1;
                self.next_key.freq = Some(freq);
                Outcome::Taken
            }
            (opcode::IDLE, _) => {
                self.next_key.idle_seconds = Some(arrived!(read_number(bytes, &mut at)?));
                Outcome::Taken
            }
            (opcode::MODULE_AUX, _) => {
                let module = ModuleId(arrived!(read_number(bytes, &mut at)?));
                let when_opcode = arrived!(read_number(bytes, &mut at)?);
                let _when = arrived!(read_number(bytes, &mut at)?);
                if when_opcode != 2 {
                    return Err(Fault::Corrupt("module data without its time of loading").into());
                }
                let from = at - self.start;
                self.skipper.begin(MODULE_BODY, limit);
                return self.take_module_aux(module, from);
            }
            (opcode::FUNCTION, _) => Outcome::Found(Found::Function {
                code: arrived!(read_text(bytes, &mut at, limit)?),
            }),
            (opcode::SLOT_INFO, Family::Redis) if self.version >= 12 => {
                let slot = check_slot(arrived!(read_number(bytes, &mut at)?))?;
                let keys = arrived!(read_number(bytes, &mut at)?);
                let expires = arrived!(read_number(bytes, &mut at)?);
                Outcome::Found(Found::SlotInfo { slot, keys, expires })
            }
            (opcode::SLOT_IMPORT, Family::Valkey) => {
                let job = arrived!(read_text(bytes, &mut at, limit)?);
                let count = arrived!(read_number(bytes, &mut at)?);
                if count > SLOT_COUNT {
                    return Err(Fault::Corrupt("an import of more slots than there are").into());
                }
                self.ranges.clear();
                for _ in 0..count {
                    let first = check_slot(arrived!(read_number(bytes, &mut at)?))?;
                    let last = check_slot(arrived!(read_number(bytes, &mut at)?))?;
                    self.ranges.push((first, last));
                }
                Outcome::Found(Found::SlotImport { job })
            }
            _ => return Err(Stop::UnknownOpcode(first)),
        };
        self.start = at;
        Ok(outcome)
    }

    fn take_end(&mut self) -> Result<Outcome, Stop> {
        // Version 5 brought the checksum.
        let stored = if self.version >= 5 {
            u64::from_le_bytes(arrived!(read_array(&self.buffer, self.start + 1)))
        } else {
            0
        };
        if self.next_key != NextKey::default() {
            return Err(Fault::Corrupt("an expiry, idle time or frequency without a key").into());
        }
        let end = self.start + 1;
        self.add_to_checksum(end);
        let computed = self.checksum.value();
        let checksum = if stored == 0 {
            Checksum::Disabled
        } else if stored == computed {
            Checksum::Verified
        } else {
            return Err(Stop::Error(RdbError::ChecksumMismatch { stored, computed }));
        };
        self.start = if self.version >= 5 { end + size_of::<Crc64>() } else { end };
        self.phase = Phase::Ended;
        Ok(Outcome::Found(Found::End(checksum)))
    }
}

fn check_slot(number: u64) -> Result<u16, Fault> {
    if number >= SLOT_COUNT {
        return Err(Fault::Corrupt("a slot of an impossible number"));
    }
    Ok(number as u16)
}
