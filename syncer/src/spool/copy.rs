//! The current full copy, and its name.

use std::{fmt, io, str::FromStr};

use super::{index::IndexRdb, log::Log};
use crate::position::Position;

/// Identifies one full copy. Segments and the record in the target carry it, so that bytes of two
/// copies are never mixed. Shown as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(pub u64);

/// Why a text is not a copyId.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a copyId is 16 hex digits")]
pub struct InvalidCopyId;

impl CopyId {
    /// A new one, from the system's source of random numbers.
    pub fn random() -> io::Result<Self> {
        getrandom::u64().map(Self).map_err(|err| io::Error::other(err.to_string()))
    }
}

impl FromStr for CopyId {
    type Err = InvalidCopyId;
    fn from_str(text: &str) -> Result<Self, InvalidCopyId> {
        let is_hex = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_hex {
            return Err(InvalidCopyId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidCopyId)
    }
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyId({self})")
    }
}

/// A full copy as its users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyView {
    /// Which copy.
    pub copy_id: CopyId,
    /// What the RDB is a picture of: every key as of this position.
    pub position: Position,
    /// The first byte of the RDB that is still held. Above 0 the copy cannot be begun again from
    /// here.
    pub rdb_start: u64,
    /// How many bytes of the RDB have come.
    pub rdb_bytes: u64,
    /// Whether that is all of it, and synced. Also true once the RDB was dropped.
    pub is_complete: bool,
    /// Whether the RDB was dropped.
    pub is_dropped: bool,
}

#[derive(Debug)]
pub(super) struct Copy {
    pub(super) copy_id: CopyId,
    pub(super) position: Position,
    pub(super) rdb: IndexRdb,
    pub(super) log: Log,
}

impl Copy {
    pub(super) fn view(&self) -> CopyView {
        CopyView {
            copy_id: self.copy_id,
            position: self.position,
            rdb_start: self.log.start(),
            rdb_bytes: self.log.end(),
            is_complete: self.rdb != IndexRdb::Receiving,
            is_dropped: self.rdb == IndexRdb::Dropped,
        }
    }
}
