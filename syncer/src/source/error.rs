//! What can go wrong at the source, and what each is waited for as (Promise 8): none of these ends the process.

use crate::{
    connection::ConnectionError, contract::WaitReason, login::LoginError, resp::RespError,
    sentinel::pick::ResolveFailure, spool::SpoolError,
};

/// Why the source's connection ended. It is made again once the cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
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
    /// The connection failed, or a command was refused.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The node is a replica where a master is needed.
    #[error("{address} is not a master")]
    NotMaster {
        /// The node.
        address: String,
    },
    /// The node is a replica that has lost its own master.
    #[error("{address} is a replica whose master link is down")]
    MasterLinkDown {
        /// The node.
        address: String,
    },
    /// The node holds this pair's record.
    #[error(
        "{address} holds the record {record} of this pair: it is the pair's target; swap source and target, or delete that key if it is a left-over"
    )]
    RoleConflict {
        /// The node.
        address: String,
        /// The record's key.
        record: String,
    },
    /// PSYNC was answered with something unknown.
    #[error("unexpected answer to PSYNC: {0}")]
    Psync(String),
    /// The bytes of the stream are no commands.
    #[error("the stream is no RESP")]
    Stream(#[from] RespError),
    /// Nothing arrives although there is something to send, or the node does not answer.
    #[error("nothing came from {address} for {seconds} s")]
    Silent {
        /// The node.
        address: String,
        /// For how long.
        seconds: u64,
    },
    /// The source's master is another node now, or to be dialled elsewhere.
    #[error("the source's master changed")]
    MasterChanged,
    /// The target's side wants something else.
    #[error("the target's position asks for another stream")]
    GoalChanged,
    /// The spool cannot take more, or fails.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The RDB does not fit into the spool.
    #[error(
        "the source's RDB does not fit: {needed} bytes are needed, spool.maxBytes is {max}; raise spool.maxBytes"
    )]
    SpoolTooSmall {
        /// Bytes that were needed when it failed.
        needed: u64,
        /// The configured most.
        max: u64,
    },
    /// No random number could be had for a copyId.
    #[error("failed to draw a copyId")]
    CopyId(#[source] std::io::Error),
}

impl SourceError {
    /// What the link waits for.
    pub fn wait_reason(&self) -> WaitReason {
        match self {
            Self::NoMaster { reason: ResolveFailure::NotAuthorised, .. } => {
                WaitReason::SourceSentinelAuth
            }
            Self::NoMaster { reason: ResolveFailure::NotTrusted, .. } => {
                WaitReason::SourceSentinelTLS
            }
            Self::NoMaster { .. } | Self::MasterChanged => WaitReason::SourceNoMaster,
            Self::Login(LoginError::Password(_)) => WaitReason::SourceAuth,
            Self::Login(LoginError::Tls(_)) | Self::Connection(ConnectionError::Tls { .. }) => {
                WaitReason::SourceTLS
            }
            Self::Connection(error) => match error.code() {
                None => WaitReason::SourceUnreachable,
                Some("LOADING") => WaitReason::SourceLoading,
                Some("NOAUTH" | "WRONGPASS") => WaitReason::SourceAuth,
                Some("NOPERM") => WaitReason::SourcePermission,
                Some("NOMASTERLINK" | "MASTERDOWN") => WaitReason::SourceMasterLinkDown,
                Some(_) if error.to_string().contains("invalid password") => WaitReason::SourceAuth,
                // 2.8's form of NOMASTERLINK.
                Some(_) if error.to_string().contains("not connected with my master") => {
                    WaitReason::SourceMasterLinkDown
                }
                Some(_) => WaitReason::SourceError,
            },
            Self::NotMaster { .. } => WaitReason::SourceNotMaster,
            Self::MasterLinkDown { .. } => WaitReason::SourceMasterLinkDown,
            Self::RoleConflict { .. } => WaitReason::RoleConflict,
            Self::Psync(_) | Self::Stream(_) | Self::GoalChanged => WaitReason::SourceError,
            Self::Silent { .. } => WaitReason::SourceUnreachable,
            Self::Spool(error) if error.is_over_budget() => WaitReason::SpoolFull,
            Self::Spool(_) | Self::CopyId(_) => WaitReason::DiskError,
            Self::SpoolTooSmall { .. } => WaitReason::SpoolTooSmall,
        }
    }
}
