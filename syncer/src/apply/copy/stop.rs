//! How restoring ends, if not with all keys.

use crate::{spool::SpoolError, state::HaltDetails, target::error::TargetError};

/// How restoring ended, if not with all keys.
pub(super) enum Stop {
    /// Something that a human must look at.
    Halt(HaltDetails),
    /// The source began another copy, or the RDB was dropped.
    Gone,
    /// The target.
    Target(TargetError),
}

impl From<TargetError> for Stop {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<SpoolError> for Stop {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Stale | SpoolError::Unknown => Self::Gone,
            other => Self::Target(other.into()),
        }
    }
}
