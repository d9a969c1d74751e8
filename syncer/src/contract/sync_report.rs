//! What `GET /report` answers, field by field. Offsets and amounts are bytes, counts start with the process,
//! `null` means "not known (yet)".

use serde::{Deserialize, Serialize};

use super::{
    checks::{BacklogReport, Check, ExpiryReport},
    timestamp::Timestamp,
    words::{
        CopyPhase, FullCopyReason, HaltReason, Phase, Topology, Verification, WaitEnd, WaitReason,
    },
};

/// The version of the contract that this crate writes. It grows only when a field changes its meaning, which
/// a reader must know about; new fields leave it as it is.
pub const REPORT_VERSION: u32 = 1;

/// Everything that a syncer says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncReport {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Names this state of the report: `<process nonce>-<n>`. Changes at once when a state changes, and at
    /// most every 2 s when only numbers do. Compare for equality only.
    pub revision: String,
    /// When the numbers were read.
    pub observed_at: Timestamp,
    /// The configured pair.
    #[serde(rename = "pairID")]
    pub pair_id: String,
    /// What the syncer is doing.
    pub phase: Phase,
    /// What it waits for, if it does: the first of `waits`.
    pub waiting_for: Option<WaitingFor>,
    /// Everything that it waits for now, what tells most first: the pair as a whole, the target, the source, the spool,
    /// a pause. At most one of each.
    #[serde(default)]
    pub waits: Vec<WaitingFor>,
    /// What it halted at, if it did.
    pub halt: Option<Halt>,
    /// Whether the target's data are known to be right.
    pub data_verified: DataVerified,
    /// Whether the configuration says `paused`.
    pub paused: bool,
    /// Why the configuration's file, as it is now, cannot be taken over, if it cannot (a field that this version does
    /// not know, for one): what was read before stays.
    #[serde(default)]
    pub config_error: Option<String>,
    /// The fields of the file whose change waits for a restart.
    #[serde(default)]
    pub pending_restart: Vec<String>,
    /// Who may write to the target, as this syncer last read or wrote it; `null` before it did.
    pub owner: Option<Owner>,
    /// The preflight's checks, as last made; empty before the first. Renewed every five minutes, and when a master has changed.
    #[serde(default)]
    pub preflight: Vec<Check>,
    /// One entry per source node that is read (one for standalone and sentinel).
    pub links: Vec<LinkReport>,
}

/// A wait; it ends by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingFor {
    /// Why.
    pub reason: WaitReason,
    /// The same in a sentence, with the evidence.
    pub message: String,
    /// Since when it waits for this reason.
    pub since: Timestamp,
    /// Which end it concerns.
    #[serde(default)]
    pub end: WaitEnd,
}

/// A halt; it ends when a human releases it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Halt {
    /// Why.
    pub reason: HaltReason,
    /// The same in a sentence, with the evidence.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The end of the unit that it halted at, which a release names. Every halt has this or `copyId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The full copy that it halted in, which a release names where there is no offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_id: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Why the `release` in the configuration does not count for this halt, if there is one that does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored_release: Option<String>,
}

/// Whether every batch that was sent is known to have been applied as intended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataVerified {
    /// `Unknown` while a batch's replies were lost (a kill) and its keys were not compared.
    pub status: Verification,
    /// How many batches that is about.
    pub unchecked_batches: u64,
}

/// The syncer that may write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Grows with each take-over.
    pub term: u64,
    /// Makes it unique, since a target's failover may take a term back.
    pub nonce: String,
}

/// One flow, from one source node to the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkReport {
    /// The shard's number, `0` where there is only one.
    pub link: String,
    /// The source's end.
    pub source: EndReport,
    /// The target's end.
    pub target: EndReport,
    /// The record's position, as last read or confirmed; `null` before there is one.
    pub position: Option<RecordPosition>,
    /// The offset ladder.
    pub offsets: Offsets,
    /// How far the target is behind.
    pub lag: Lag,
    /// Full copies since the process started.
    pub full_copies: FullCopies,
    /// What the spool takes.
    pub spool: SpoolUse,
    /// What the target could not take and the dead-letter file holds now (`stream.onRejected: DeadLetter`).
    #[serde(default)]
    pub dead_letters: u64,
    /// Counts since the process started.
    pub counters: Counters,
    /// The source's backlog; `null` before it was measured twice.
    #[serde(default)]
    pub backlog: Option<BacklogReport>,
    /// Whether keys may run out at the target before their renewal arrives; `null` before it was looked at.
    #[serde(default)]
    pub expiry: Option<ExpiryReport>,
    /// Keys that the target has evicted since the last full copy ended, or since the process started.
    #[serde(default)]
    pub evicted_since_copy: u64,
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndReport {
    /// The configured name of the site.
    pub name: String,
    /// `host:port` of the node that is or was last connected; `null` before one was found.
    pub address: Option<String>,
    /// How the site's nodes are found.
    pub topology: Topology,
    /// Whether a data node of this end answers now, be it with a refusal (`waits` tells that); `null` before any was
    /// asked.
    #[serde(default)]
    pub reachable: Option<bool>,
    /// Why not, while it is not reachable.
    #[serde(default)]
    pub last_error: Option<String>,
    /// The config epoch under which the sentinels name the master: it grows with each failover of the site. `null`
    /// without sentinels, and before they were asked.
    #[serde(default)]
    pub epoch: Option<u64>,
}

/// A place in a source's history, with the database selected there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordPosition {
    /// Which history: 40 hex digits.
    pub replid: String,
    /// How far in it.
    pub offset: u64,
    /// The database that the next command applies to.
    pub db: u32,
}

/// The offset ladder, highest first. All in the history of the link's current replid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Offsets {
    /// The source's own offset, asked each second.
    pub source: Option<u64>,
    /// The end of what was taken off the socket.
    pub received: Option<u64>,
    /// The end of what the spool holds.
    pub spooled: Option<u64>,
    /// The end of the last unit whose EXEC was sent.
    pub written: Option<u64>,
    /// The end of the last unit that the record in the target stands for.
    pub checkpoint: Option<u64>,
    /// The end of the last unit whose replies were seen and checked.
    pub confirmed: Option<u64>,
    /// The same on the asked number of the target's replicas (equals `confirmed` in this version).
    pub durable: Option<u64>,
}

/// How far the target is behind the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lag {
    /// The source's offset less the record's; `null` before the first full copy has ended.
    pub bytes: Option<u64>,
    /// Now less the time at which the source's offset first passed the record's.
    pub milliseconds: Option<u64>,
    /// True if only the source's housekeeping (PING) is behind; then `milliseconds` is 0.
    pub idle: bool,
}

/// Full copies since the process started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FullCopies {
    /// How many were started.
    pub count: u64,
    /// Why the last was needed.
    pub last_reason: Option<FullCopyReason>,
    /// When the last was started.
    pub last_started: Option<Timestamp>,
    /// When one last ended whole, its sweep included.
    pub last_finished: Option<Timestamp>,
    /// The one that is under way.
    pub progress: Option<CopyProgress>,
}

/// How far a full copy is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyProgress {
    /// Its part.
    pub phase: CopyPhase,
    /// Identifies this copy.
    pub copy_id: String,
    /// Bytes of the RDB that arrived.
    pub bytes_received: u64,
    /// Bytes of the RDB; `null` where the source sends without a length (diskless).
    pub bytes_total: Option<u64>,
    /// Keys that were restored.
    pub keys_restored: u64,
    /// Keys that the source had when the copy began; `null` if it did not say.
    pub keys_total: Option<u64>,
    /// Share of the restoring that is done, 0 to 100; by keys, else by bytes; `null` if neither total is known.
    pub percent: Option<f64>,
    /// Seconds until restoring ends, at the pace so far; `null` until that can be told.
    pub seconds_left: Option<u64>,
}

/// What the spool takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpoolUse {
    /// Bytes on disk.
    pub bytes: u64,
    /// The configured most.
    pub max_bytes: u64,
    /// Files.
    pub segments: u64,
}

/// A count for each end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ends {
    /// At the source's end.
    pub source: u64,
    /// At the target's end.
    pub target: u64,
}

/// Counts since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// Units of the stream that were confirmed.
    pub units_applied: u64,
    /// Commands in them.
    pub commands_applied: u64,
    /// Bytes taken off the source's sockets, RDB and stream.
    pub bytes_received: u64,
    /// Batches that were confirmed.
    pub batches: u64,
    /// Keys restored by full copies.
    pub keys_restored: u64,
    /// Keys removed by sweeps.
    pub keys_swept: u64,
    /// Keys, libraries and modules' own data that full copies left out, as `fullCopy.onUnsupported` allows.
    pub keys_left_out: u64,
    /// Commands dropped on purpose (keys of the syncer's own, messages, what the target has no place for).
    pub commands_filtered: u64,
    /// Connections made again after the first.
    pub reconnects: Ends,
    /// Switches of the master that were followed.
    pub failovers: Ends,
    /// Batches whose replies were lost, so that they had to be called unchecked.
    pub unchecked_batches: u64,
    /// Source transactions that could not be applied as one.
    pub torn_transactions: u64,
    /// Commands of the stream that carry a time of expiry.
    pub expiring_commands: u64,
    /// Keys that the target has evicted while it was watched.
    pub keys_evicted: u64,
}
