//! Where in a source's history something lies. An offset means nothing without its replid
//! (Invariant 13), so the two travel as a [`Position`].

use std::{fmt, str::FromStr};

/// A replication id: 40 hex digits, kept in lower case (servers compare it without case).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplId([u8; 40]);

/// Why a text is not a replication id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a replication id is 40 hex digits")]
pub struct InvalidReplId;

impl ReplId {
    /// Parses 40 hex digits in either case.
    pub fn from_bytes(text: &[u8]) -> Result<Self, InvalidReplId> {
        let mut id: [u8; 40] = text.try_into().map_err(|_| InvalidReplId)?;
        if !id.iter().all(u8::is_ascii_hexdigit) {
            return Err(InvalidReplId);
        }
        id.make_ascii_lowercase();
        Ok(Self(id))
    }

    /// The 40 digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII, from_bytes checked them")
    }
}

impl FromStr for ReplId {
    type Err = InvalidReplId;
    fn from_str(text: &str) -> Result<Self, InvalidReplId> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplId({})", self.as_str())
    }
}

/// A count of bytes of a source's command stream: `Offset(n)` is the place behind byte n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a database (`SELECT n`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbIndex(pub u32);

impl fmt::Display for DbIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which history.
    pub replid: ReplId,
    /// How far in it.
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.replid, self.offset)
    }
}
