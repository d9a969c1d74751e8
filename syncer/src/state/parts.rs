//! The structured parts behind the lock, and the rule which phase they show together.

use std::collections::BTreeMap;

use super::{CopyState, End};
use crate::{
    contract::{
        BacklogReport, Check, DataVerified, ExpiryReport, Halt, Owner, Phase, Verification,
        WaitEnd, WaitReason, WaitingFor,
    },
    position::{DbIndex, Position},
};

/// What a wait is about; one wait per subject at a time. Their order decides which one the report shows: what
/// concerns the pair as a whole tells more than a connection, and that more than a pause asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitSubject {
    /// Who may write, and whether these two sites belong together.
    Pair,
    /// The target's node or its sentinels.
    Target,
    /// The source's node or its sentinels.
    Source,
    /// The spool's directory, room and disk.
    Spool,
    /// The user's wish.
    Pause,
}

impl WaitSubject {
    /// What a reason is about.
    pub const fn of(reason: WaitReason) -> Self {
        match reason {
            WaitReason::TargetNotEmpty
            | WaitReason::RoleConflict
            | WaitReason::Superseded
            | WaitReason::Unknown => Self::Pair,
            WaitReason::TargetUnreachable
            | WaitReason::TargetLoading
            | WaitReason::TargetAuth
            | WaitReason::TargetTLS
            | WaitReason::TargetPermission
            | WaitReason::TargetNoMaster
            | WaitReason::TargetSentinelAuth
            | WaitReason::TargetSentinelTLS
            | WaitReason::TargetReadOnly
            | WaitReason::TargetOutOfMemory
            | WaitReason::TargetEvicts
            | WaitReason::TargetMisconf
            | WaitReason::TargetBusy
            | WaitReason::TargetClusterDown
            | WaitReason::TargetNoReplicas
            | WaitReason::TargetError
            | WaitReason::TargetNotMaster => Self::Target,
            WaitReason::SourceUnreachable
            | WaitReason::SourceLoading
            | WaitReason::SourceAuth
            | WaitReason::SourceTLS
            | WaitReason::SourcePermission
            | WaitReason::SourceNoMaster
            | WaitReason::SourceSentinelAuth
            | WaitReason::SourceSentinelTLS
            | WaitReason::SourceError
            | WaitReason::SourceMasterLinkDown
            | WaitReason::SourceNotMaster => Self::Source,
            WaitReason::SpoolLock
            | WaitReason::SpoolFull
            | WaitReason::SpoolTooSmall
            | WaitReason::DiskError => Self::Spool,
            WaitReason::Paused => Self::Pause,
        }
    }
}

/// Which end a wait concerns.
pub(super) const fn end_of(reason: WaitReason) -> WaitEnd {
    match (reason, WaitSubject::of(reason)) {
        (WaitReason::RoleConflict, _) | (_, WaitSubject::Source) => WaitEnd::Source,
        (WaitReason::Unknown, _) => WaitEnd::Unknown,
        (_, WaitSubject::Pair | WaitSubject::Target) => WaitEnd::Target,
        (_, WaitSubject::Spool | WaitSubject::Pause) => WaitEnd::Neither,
    }
}

/// What is known of one end.
#[derive(Debug, Default)]
pub(super) struct EndParts {
    /// The node that is or was last connected.
    pub(super) address: Option<String>,
    /// As the sentinels name the master.
    pub(super) epoch: Option<u64>,
    /// What came of the last question to its node, where one is asked regularly: why there was no answer.
    pub(super) answer: Option<Result<(), String>>,
}

impl EndParts {
    /// Whether its node answers, and why not. A wait for it is the newest word; then what was asked regularly; then
    /// that there was a connection, since none that broke goes without a wait.
    pub(super) fn reachable(&self, wait: Option<&WaitingFor>) -> (Option<bool>, Option<String>) {
        let is_gone = |wait: &&WaitingFor| {
            matches!(
                wait.reason,
                WaitReason::SourceUnreachable
                    | WaitReason::SourceNoMaster
                    | WaitReason::SourceSentinelAuth
                    | WaitReason::SourceSentinelTLS
                    | WaitReason::TargetUnreachable
                    | WaitReason::TargetNoMaster
                    | WaitReason::TargetSentinelAuth
                    | WaitReason::TargetSentinelTLS
            )
        };
        match (wait.filter(is_gone), &self.answer) {
            (Some(wait), _) => (Some(false), Some(wait.message.clone())),
            (None, Some(Err(error))) => (Some(false), Some(error.clone())),
            (None, Some(Ok(()))) => (Some(true), None),
            (None, None) if self.address.is_some() || wait.is_some() => (Some(true), None),
            (None, None) => (None, None),
        }
    }
}

#[derive(Debug)]
pub(super) struct Parts {
    /// What the pipeline does, were there no wait and no halt.
    pub(super) phase: Phase,
    pub(super) waits: BTreeMap<WaitSubject, WaitingFor>,
    pub(super) halt: Option<Halt>,
    pub(super) data_verified: DataVerified,
    pub(super) paused: bool,
    pub(super) owner: Option<Owner>,
    pub(super) config_error: Option<String>,
    pub(super) pending_restart: Vec<String>,
    pub(super) source: EndParts,
    pub(super) target: EndParts,
    pub(super) position: Option<(Position, DbIndex)>,
    pub(super) copies: CopyState,
    pub(super) preflight: Vec<Check>,
    pub(super) backlog: Option<BacklogReport>,
    pub(super) expiry: Option<ExpiryReport>,
    /// [`super::Counts::keys_evicted`] when the last full copy ended.
    pub(super) evicted_before_copy: u64,
}

impl Parts {
    /// Nothing is verified before the record was read.
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Resolving,
            waits: BTreeMap::new(),
            halt: None,
            data_verified: DataVerified { status: Verification::Unknown, unchecked_batches: 0 },
            paused: false,
            owner: None,
            config_error: None,
            pending_restart: Vec::new(),
            source: EndParts::default(),
            target: EndParts::default(),
            position: None,
            copies: CopyState::default(),
            preflight: Vec::new(),
            backlog: None,
            expiry: None,
            evicted_before_copy: 0,
        }
    }

    pub(super) fn end(&mut self, end: End) -> &mut EndParts {
        match end {
            End::Source => &mut self.source,
            End::Target => &mut self.target,
        }
    }

    /// Whether the phase is another than before.
    pub(super) fn enter(&mut self, phase: Phase) -> bool {
        let is_taken = match self.phase {
            Phase::Stopped => false,
            Phase::Draining => phase == Phase::Stopped,
            _ => true,
        };
        is_taken && super::replace(&mut self.phase, phase)
    }

    /// A report never contradicts itself: with a halt or a wait in it, the phase says so. Only the end of
    /// the process is shown before them.
    pub(super) fn shown_phase(&self) -> Phase {
        let is_ending = matches!(self.phase, Phase::Draining | Phase::Stopped);
        if is_ending {
            self.phase
        } else if self.halt.is_some() {
            Phase::Halted
        } else {
            match self.waits.values().next() {
                Some(wait) if wait.reason == WaitReason::Superseded => Phase::Superseded,
                Some(_) => Phase::Waiting,
                None => self.phase,
            }
        }
    }
}
