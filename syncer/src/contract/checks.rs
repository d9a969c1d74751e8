//! What the report says of the conditions that a pair works under: the preflight's checks, the source's backlog, and
//! whether keys may run out at the target before they are renewed. Advice, all of it: nothing is decided by a report.

use serde::{Deserialize, Serialize};

use super::words::{WaitEnd, words};

words! {
    /// What the preflight looks at. It runs before the first full copy, every five minutes, and when a master has changed.
    CheckName {
        /// Whether the node answers and lets us in. The other checks of that end are missing while it does not.
        Reachable,
        /// Whether the sentinels name a master. Only for a site with sentinels.
        Sentinels,
        /// Whether the node is what its part asks for: a master. A source that is a replica works, but depends on its own
        /// link; a target that is one refuses writes.
        Role,
        /// Whether the version is one that was tested, and whether the target is as new as the source: values of types
        /// that are too new for it go as commands, or halt the copy.
        Version,
        /// Whether our user may do what the syncer does. At the target each kind of command is queued in a MULTI that
        /// is discarded; at the source PSYNC is asked for with `ACL DRYRUN` (7.0 and newer), or known once it has worked.
        Rights,
        /// How long the source's `repl-backlog-size` bridges at the rate at which it is written now. Less than an hour is a
        /// warning, less than a minute a failure: each cut that lasts longer costs a full copy.
        Backlog,
        /// Whether the source's `client-output-buffer-limit replica` holds what is written while a full copy is sent, by an
        /// estimate. If it does not, the source ends the copy, and again the next one.
        OutputBuffer,
        /// Whether the source's `repl-timeout` leaves a copy the time to wait for a full spool.
        ReplicationTimeout,
        /// Whether the source sends a copy without writing it to its disk first (`repl-diskless-sync`).
        Diskless,
        /// Whether the target has the modules that the source has. Values of a type that it lacks halt the copy.
        Modules,
        /// Whether the target has every database that the source uses (`databases`).
        Databases,
        /// Whether the target's `maxmemory` has room for what the source holds. An estimate: families and versions differ.
        Memory,
        /// Whether the target evicts keys when it is full (`maxmemory-policy`), and whether it has.
        Eviction,
        /// Whether the target's data outlive its restart: an append-only file, snapshots, or replicas.
        Persistence,
        /// Whether the target's `min-replicas-to-write` can be met. While it is not, writes wait.
        Replicas,
        /// How far the clocks of both nodes are apart. A target that is ahead expires keys early, which the grace has to
        /// make up for.
        Clocks,
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CheckResult {
    /// Nothing to do.
    Passed,
    /// It works, but not in every case.
    Warning,
    /// It does not work, or costs data or a full copy sooner or later.
    Failed,
    /// It could not be read; the message says which right is missing.
    #[serde(other)]
    Unknown,
}

impl CheckResult {
    /// Every result, in the order of the documentation.
    pub const ALL: &[Self] = &[Self::Passed, Self::Warning, Self::Failed, Self::Unknown];

    /// The word as it stands in reports and in the labels of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Warning => "Warning",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }
}

impl std::fmt::Display for CheckResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One check of the preflight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub check: CheckName,
    /// Which end it concerns.
    pub end: WaitEnd,
    /// What came of it.
    pub result: CheckResult,
    /// What was measured.
    pub message: String,
    /// What to do, with the line to paste; empty if there is nothing to do.
    #[serde(default)]
    pub advice: String,
}

words! {
    /// Whether a cut between source and syncer can be bridged by the source's backlog.
    BacklogHealth {
        /// A minute or more, at the present rate.
        Bridges,
        /// The whole backlog is written over in less than a minute: a restart of the syncer may cost a full copy. Raise
        /// `repl-backlog-size` at the source.
        TooSmall,
        /// The syncer is not connected to the source, and in less than a minute the backlog no longer has what it lacks.
        RunsOut,
        /// The syncer is not connected to the source, and the backlog no longer has what it lacks: a full copy follows.
        Overrun,
    }
}

/// The source's backlog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BacklogReport {
    /// Whether it bridges a cut.
    pub health: BacklogHealth,
    /// The same in a sentence; its numbers are rounded, and renewed once a minute at most.
    pub message: String,
    /// Its size.
    pub bytes: u64,
    /// How fast the source's stream grows, averaged over a minute.
    pub write_bytes_per_second: u64,
    /// Seconds until what the syncer lacks is written over (connected: all of it), at that rate. `null` while nothing is written.
    pub seconds: Option<u64>,
}

words! {
    /// Whether keys may run out at the target before their renewal arrives (Promise 6).
    ExpiryRisk {
        /// Delay, copy and clocks together stay below `expiry.grace`.
        WithinGrace,
        /// They do not: if the delay ends in a full copy, or goes on, keys that were renewed meanwhile can be missing at the target.
        AtRisk,
        /// Writes were applied later than the grace allows: keys that were renewed meanwhile may be missing at the target,
        /// until a full copy has ended within the grace. Known for as long as the process lives.
        Exceeded,
        /// `expiry.grace` is 0s: times of expiry are applied as they come.
        GraceOff,
    }
}

/// Whether keys may run out at the target before their renewal arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpiryReport {
    /// The same in a word; `null` where the delay, or the clocks, are not known.
    pub risk: Option<ExpiryRisk>,
    /// The same in a sentence; its numbers are rounded, and renewed once a minute at most.
    pub message: String,
    /// The target's clock less the source's; `null` where a node does not tell its time.
    pub clock_skew_milliseconds: Option<i64>,
}
