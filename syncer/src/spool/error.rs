//! What can go wrong in the spool. Being caught up, or having no copy yet, is not among it.

use std::{io, path::Path, path::PathBuf};

use crate::position::Offset;

/// An act of the spool that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process (or another handle in this one) holds the directory.
    #[error("the spool directory {dir} is locked by another process")]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no room, even after everything that retention may drop is gone.
    #[error("the spool is full: it would need {needed} bytes and may take {max}")]
    Full {
        /// What the spool would hold in all with these bytes.
        needed: u64,
        /// What it may hold.
        max: u64,
    },
    /// The operating system refused.
    #[error("failed to {act} {path}")]
    Io {
        /// What was being done, as a verb.
        act: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file does not hold what was written to it.
    #[error("{path} is damaged: {what}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The bytes at a reader's position were cut off or dropped. What it has read above the cut
    /// belongs to a history that the source gave up.
    #[error("the bytes at the reader's position were cut off or dropped")]
    Stale,
    /// The call needs a live range, and there is none yet.
    #[error("the spool has no range to append to")]
    NoRange,
    /// The call names a copy, range or RDB log that the spool does not hold (any more).
    #[error("the spool does not hold that copy or range")]
    Unknown,
    /// A cut outside of what the live range covers.
    #[error("offset {offset} lies outside of the live range {start}..{end}")]
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// Where the live range starts.
        start: Offset,
        /// Where it ends.
        end: Offset,
    },
}

impl SpoolError {
    /// True where only room is missing, be it in the spool's own budget or on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    /// True where the spool's own budget is used up, not the disk.
    pub fn is_over_budget(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    pub(super) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), what: what.into() }
    }
}

/// Names the act and the file of an [`io::Error`], where it is passed up.
pub(super) trait Act<T> {
    /// `act` is a verb: "write to", "open".
    fn act(self, act: &'static str, path: &Path) -> Result<T, SpoolError>;
}

impl<T, E: Into<io::Error>> Act<T> for Result<T, E> {
    fn act(self, act: &'static str, path: &Path) -> Result<T, SpoolError> {
        self.map_err(|source| SpoolError::Io { act, path: path.to_owned(), source: source.into() })
    }
}
