//! Why a unit cannot be batched.

use crate::{position::DbIndex, rdb::support::Unsupported, resp::RespError, terms::Question};

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

impl UnitRefusal {
    /// A command that the target cannot take in any form.
    pub(super) fn unsupported(name: &[u8], why: Unsupported) -> Self {
        // A name is as long as the source took it, and no secret; what is odd in it is not for a log.
        let command = name.iter().take(40).map(|byte| match byte {
            b'!'..=b'~' => char::from(*byte).to_ascii_uppercase(),
            _ => '?',
        });
        Self::Unsupported { command: command.collect(), why }
    }
}
