//! What can go wrong at the target, and what each is waited for as (Promise 8): none of these ends the process.

use std::path::PathBuf;

use crate::{
    connection::ConnectionError,
    contract::{Owner, WaitReason},
    login::LoginError,
    record::RecordError,
    sentinel::pick::ResolveFailure,
    spool::SpoolError,
};

/// Why applying stopped. It goes on by itself once the cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No Sentinel names a master now.
    #[error("{message}")]
    NoMaster {
        /// Why.
        reason: ResolveFailure,
        /// The same for people, with what each Sentinel said.
        message: String,
    },
    /// What to log in with cannot be read.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The connection failed, or a command outside of a batch was refused.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Nothing came for long, and the node does not answer on another connection either.
    #[error("no answer for {seconds} s")]
    Silent {
        /// For how long.
        seconds: u64,
    },
    /// The node says that it is no master.
    #[error("{address} is not a master")]
    NotMaster {
        /// The node.
        address: String,
    },
    /// The target's master is another node now, or to be dialled elsewhere.
    #[error("the target's master changed")]
    MasterChanged,
    /// A whole batch was refused; nothing of it was applied.
    #[error("the target refuses writes: {0}")]
    Refused(String),
    /// The record is not what we wrote: another syncer took it, or it is gone.
    #[error("the record was changed by someone else")]
    RecordChanged,
    /// Another syncer is the owner.
    #[error("the syncer with term {} and nonce {} owns the target", .0.term, .0.nonce)]
    Superseded(Owner),
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A value that was being built is not what was sent.
    #[error(
        "a value under construction is gone or short at the target ({0}): keys are evicted or deleted there while it is copied to; set maxmemory-policy to noeviction, the copy begins again"
    )]
    PartGone(String),
    /// The target holds keys that are not ours.
    #[error(
        "the target holds keys but no record of this pair ({counts}): set fullCopy.onExistingData to Sweep or Keep, or empty it"
    )]
    NotEmpty {
        /// Keys per database.
        counts: String,
    },
    /// The target evicts keys when it is full.
    #[error("{0}")]
    Evicts(String),
    /// The spool cannot be read or written.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// What the target cannot take cannot be kept on disk.
    #[error("failed to write the dead letters {}", .path.display())]
    DeadLetters {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The keys of the copy cannot be kept on disk.
    #[error("failed to keep the keys of the full copy on disk")]
    KeySet(#[source] std::io::Error),
    /// An orderly end was asked for in the middle of something that can be done again.
    #[error("ending")]
    Ending,
    /// The answer to a batch has not the form that EXEC gives.
    #[error("unexpected answer to a batch: {0}")]
    Unexpected(&'static str),
}

impl TargetError {
    /// What the link waits for.
    pub fn wait_reason(&self) -> WaitReason {
        match self {
            Self::NoMaster { reason: ResolveFailure::NotAuthorised, .. } => {
                WaitReason::TargetSentinelAuth
            }
            Self::NoMaster { reason: ResolveFailure::NotTrusted, .. } => {
                WaitReason::TargetSentinelTLS
            }
            Self::NoMaster { .. } | Self::MasterChanged => WaitReason::TargetNoMaster,
            Self::Login(LoginError::Password(_)) => WaitReason::TargetAuth,
            Self::Login(LoginError::Tls(_)) | Self::Connection(ConnectionError::Tls { .. }) => {
                WaitReason::TargetTLS
            }
            Self::Connection(error) => match error.code() {
                Some(_) => reason_of_words(&error.to_string()),
                None => WaitReason::TargetUnreachable,
            },
            Self::Silent { .. } => WaitReason::TargetUnreachable,
            Self::NotMaster { .. } => WaitReason::TargetNotMaster,
            Self::Refused(words) => reason_of_words(words),
            Self::RecordChanged | Self::Superseded(_) => WaitReason::Superseded,
            Self::NotEmpty { .. } => WaitReason::TargetNotEmpty,
            Self::Evicts(_) => WaitReason::TargetEvicts,
            Self::Spool(error) if error.is_over_budget() => WaitReason::SpoolFull,
            Self::Spool(_) | Self::KeySet(_) | Self::DeadLetters { .. } => WaitReason::DiskError,
            Self::Record(_) | Self::Unexpected(_) | Self::Ending | Self::PartGone(_) => {
                WaitReason::TargetError
            }
        }
    }
}

/// What a server's words mean for us. Words that we do not know wait too.
fn reason_of_words(words: &str) -> WaitReason {
    const TABLE: &[(&str, WaitReason)] = &[
        ("READONLY", WaitReason::TargetReadOnly),
        ("OOM", WaitReason::TargetOutOfMemory),
        ("MISCONF", WaitReason::TargetMisconf),
        ("BUSY", WaitReason::TargetBusy),
        ("LOADING", WaitReason::TargetLoading),
        ("CLUSTERDOWN", WaitReason::TargetClusterDown),
        ("TRYAGAIN", WaitReason::TargetClusterDown),
        ("NOREPLICAS", WaitReason::TargetNoReplicas),
        ("MASTERDOWN", WaitReason::TargetReadOnly),
        ("NOAUTH", WaitReason::TargetAuth),
        ("WRONGPASS", WaitReason::TargetAuth),
        ("invalid password", WaitReason::TargetAuth),
        ("NOPERM", WaitReason::TargetPermission),
    ];
    TABLE
        .iter()
        .find(|(word, _)| words.contains(word))
        .map_or(WaitReason::TargetError, |(_, reason)| *reason)
}

/// Whether an error tells of the server's state, not of the command: the same command will pass later.
pub fn is_passing(error: &str) -> bool {
    const CODES: &[&str] = &[
        "OOM",
        "READONLY",
        "LOADING",
        "MISCONF",
        "BUSY",
        "NOREPLICAS",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "NOAUTH",
    ];
    error.split_ascii_whitespace().next().is_some_and(|code| CODES.contains(&code))
}

/// Whether an error tells of the value that was sent: sent again it fails again, also where nothing else was sent.
pub fn is_about_the_value(error: &str) -> bool {
    ["Bad data format", "DUMP payload version", "string exceeds maximum allowed size"]
        .iter()
        .any(|words| error.contains(words))
}

/// Whether RENAME has found nothing to rename.
pub fn is_no_such_key(error: &str) -> bool {
    error.contains("no such key")
}

/// Whether a command that builds a value has found nothing of it: XGROUP, XCLAIM and XSETID make no key.
pub fn is_part_gone(error: &str) -> bool {
    is_no_such_key(error)
        || error.contains("requires the key to exist")
        || error.starts_with("NOGROUP")
}

/// A server's error as it may be shown: some carry arguments, which are keys and values of the user.
pub fn without_arguments(error: &str) -> String {
    let end = ["with args beginning", "with args:", ", with "]
        .iter()
        .filter_map(|mark| error.find(mark))
        .min()
        .unwrap_or(error.len());
    error[..end].trim_end_matches([',', ' ']).chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_the_server_passes_and_a_refused_command_does_not() {
        for error in
            ["OOM command not allowed", "READONLY You can't", "BUSY Redis is busy", "LOADING x"]
        {
            assert!(is_passing(error), "{error}");
        }
        for error in
            ["ERR unknown command", "WRONGTYPE x", "NOPERM no", "BUSYGROUP x", "BUSYKEY x", ""]
        {
            assert!(!is_passing(error), "{error}");
        }
    }

    #[test]
    fn arguments_are_cut_off_an_error_that_is_shown() {
        assert_eq!(
            without_arguments("ERR unknown command 'FOO', with args beginning with: 'secret' "),
            "ERR unknown command 'FOO'"
        );
        assert_eq!(without_arguments("WRONGTYPE Operation"), "WRONGTYPE Operation");
    }
}
