//! What the decoder finds. Everything borrows from the decoder's buffers until its next call.

use std::fmt;

use super::{
    error::{Fault, RdbError},
    field_expiry::shift_fields,
    length::{decode_text, read_number, read_string_head, read_text},
    value::{Family, ValueType},
};
use crate::grace::Grace;

/// One record of an RDB, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum RdbEvent<'a> {
    /// The magic; always first.
    Header {
        /// Who wrote it.
        family: Family,
        /// The version of the format.
        version: u32,
    },
    /// A note of the server, which may stand anywhere: `redis-ver`, `repl-stream-db`, `repl-id`,
    /// `repl-offset`, `used-mem`, `lua` (a script, up to Redis 6.2), `slot-info` (Valkey).
    Aux {
        /// Plain.
        key: &'a [u8],
        /// Plain; numbers as decimal text.
        value: &'a [u8],
    },
    /// The database of the entries that follow.
    SelectDb(u32),
    /// A hint of how many keys the database has, expired ones included.
    ResizeDb {
        /// All keys.
        keys: u64,
        /// Those with a time of expiry.
        expires: u64,
    },
    /// A library of functions, for FUNCTION LOAD.
    Function {
        /// Its source, with the `#!` line.
        code: &'a [u8],
    },
    /// What a module keeps beside the keys. No command carries it to another server.
    ModuleAux {
        /// Whose.
        module: ModuleId,
        /// True if the module had nothing to keep.
        is_empty: bool,
    },
    /// How many keys of a slot follow: Redis in cluster mode.
    SlotInfo {
        /// Below 16384.
        slot: u16,
        /// All keys.
        keys: u64,
        /// Those with a time of expiry.
        expires: u64,
    },
    /// Slots that are being imported by the source (Valkey 9): their entries in this RDB are not
    /// yet the source's own.
    SlotImport {
        /// The name of the import.
        job: &'a [u8],
        /// First and last slot of each range.
        ranges: &'a [(u16, u16)],
    },
    /// A key.
    Entry(RdbEntry<'a>),
    /// A key whose value comes in parts, until [`RdbEvent::LargeEnd`].
    LargeBegin {
        /// Plain.
        key: &'a [u8],
        /// How the value is written.
        value_type: ValueType,
        /// Absolute, in milliseconds.
        expire_at_ms: Option<i64>,
    },
    /// The next bytes of that value.
    LargePart(&'a [u8]),
    /// That value is whole.
    LargeEnd,
    /// A key of a type whose layout is not certain: what follows is an error, since nobody knows where its value ends.
    Unreadable {
        /// Plain.
        key: &'a [u8],
        /// What it is.
        value_type: ValueType,
    },
    /// The end; nothing follows.
    End {
        /// Whether the bytes are known to be those of the source.
        checksum: Checksum,
    },
}

/// What the end of an RDB says of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It was there and is right.
    Verified,
    /// The source does not write one (`rdbchecksum no`, or a version below 5).
    Disabled,
}

/// A key with its value as it stands in the RDB.
#[derive(Clone, Debug, PartialEq)]
pub struct RdbEntry<'a> {
    /// Plain, also where the RDB has it as an integer or compressed. May be empty.
    pub key: &'a [u8],
    /// How the value is written.
    pub value_type: ValueType,
    /// Exactly the bytes between the key and the next record: what RESTORE takes.
    pub value: &'a [u8],
    /// Absolute, in milliseconds. May lie in the past, be 0 or be negative: those are times too.
    pub expire_at_ms: Option<i64>,
    /// How long the key was idle; written only under an LRU policy.
    pub idle_seconds: Option<u64>,
    /// The counter of its use; written only under an LFU policy.
    pub freq: Option<u8>,
    /// True if some listpack of the value is large enough to hold an entry whose back length
    /// differs between servers: look with [`super::backlen::find_backlens`] before sending it.
    pub has_large_listpack: bool,
    /// The bound of the decoder that found it; decompression keeps to it.
    pub value_bytes_max: u64,
}

impl RdbEntry<'_> {
    /// The plain bytes of a string value: a part of `value`, or written into `scratch`. `None`
    /// for a value of another type. The place in an error is that within the value.
    #[inline]
    pub fn string_value<'s>(
        &'s self,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<&'s [u8]>, RdbError> {
        if !self.value_type.is_string() {
            return Ok(None);
        }
        let limit = self.value_bytes_max;
        let plain = read_text(self.value, &mut 0, limit)
            .and_then(|text| text.ok_or(Fault::Corrupt("a string that is cut short")))
            .and_then(|text| decode_text(self.value, text, scratch));
        match plain {
            Ok(plain) => Ok(Some(plain)),
            Err(Fault::Corrupt(what)) => Err(RdbError::Corrupt { what, at: 0 }),
            Err(Fault::TooLarge) => Err(RdbError::TooLarge { limit, at: 0 }),
        }
    }

    /// The key as the target gets it, expiring later by the grace (Promise 6). A value that holds times of its own is
    /// written into `scratch`. The place in an error is not known.
    pub fn with_grace<'s>(
        &'s self,
        grace: Grace,
        scratch: &'s mut Vec<u8>,
    ) -> Result<RdbEntry<'s>, RdbError> {
        let limit = self.value_bytes_max;
        let is_shifted =
            shift_fields(self.value_type, self.value, grace, limit, scratch).map_err(|fault| {
                match fault {
                    Fault::Corrupt(what) => RdbError::Corrupt { what, at: 0 },
                    Fault::TooLarge => RdbError::TooLarge { limit, at: 0 },
                }
            })?;
        let later = |at| grace.shift_millis(at).unwrap_or(at);
        Ok(RdbEntry {
            value: if is_shifted { scratch } else { self.value },
            expire_at_ms: self.expire_at_ms.map(later),
            ..self.clone()
        })
    }

    /// How long a string value is at most once it is plain: a compressed one may be 88 times as long as it is here. `None` for a
    /// value of another type.
    pub fn string_len(&self) -> Option<u64> {
        if !self.value_type.is_string() {
            return None;
        }
        read_string_head(self.value, 0).ok().flatten().map(|head| head.decoded_len())
    }

    /// The module of a value of type 7. The target must have it loaded, else RESTORE says
    /// `Bad data format`, as it does for a corrupt value.
    pub fn module(&self) -> Option<ModuleId> {
        if self.value_type.byte != 7 {
            return None;
        }
        read_number(self.value, &mut 0).ok().flatten().map(ModuleId)
    }
}

/// Name and encoding version of a module's type, as one number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModuleId(pub u64);

impl ModuleId {
    /// Nine characters of six bits each, the first in the topmost bits.
    pub fn name(self) -> [u8; 9] {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        std::array::from_fn(|i| ALPHABET[(self.0 >> (58 - 6 * i)) as usize & 63])
    }

    /// The version of the module's own encoding; a module refuses newer ones than its own.
    pub fn encoding_version(self) -> u16 {
        (self.0 & 1023) as u16
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.name().escape_ascii(), self.encoding_version())
    }
}

impl fmt::Debug for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleId({self})")
    }
}
