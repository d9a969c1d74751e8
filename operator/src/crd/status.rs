//! What the operator answers. It mirrors and decides nothing: erased, it comes back, and nothing is lost.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Deserialize, JsonSchema, KubeSchema, Serialize};

/// What was last seen of the pair. Amounts are bytes, offsets are places in the source's stream of commands; what is not
/// known is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisSyncStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the syncer's numbers were read. All numbers here are as of then; if it is old, the operator or the syncer is
    /// away, and the condition `Ready` or the operator's pod says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
    /// What the syncer is doing: Pending, Resolving, Handshaking, FullCopy, Sweeping, CatchingUp, Replicating, Waiting,
    /// Halted, Draining, Stopped, Superseded, Invalid or Unknown. Replicating is the normal one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The site that takes the writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Which site is read and which is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowStatus>,
    /// The node that is read, for people: of a host name only the first label. In full: `links[].source.address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The node that is written, for people: of a host name only the first label. In full: `links[].target.address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<String>,
    /// `links[].lagMilliseconds`, the largest, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<String>,
    /// `links[].lagBytes`, the sum, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    /// The two sites, as their sentinels describe them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub sites: Vec<SiteStatus>,
    /// One entry for each source node that is read: one, `0`, for standalone and sentinel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub links: Vec<LinkStatus>,
    /// Full copies of all links together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_copies: Option<FullCopiesStatus>,
    /// `Ready`, `Reconciling` and `Stalled` as kstatus reads them, then what they follow from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Which way the data flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowStatus {
    /// The site that is read.
    pub source: String,
    /// The site that is written.
    pub target: String,
}

/// The part that a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SiteRole {
    /// Takes the writes of the clients.
    Primary,
    /// Is kept equal to the primary.
    Standby,
}

/// One site, as its sentinels describe it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// The site's name, as in `spec.sites`.
    pub name: String,
    /// Primary takes the writes, Standby is kept equal to it.
    pub role: SiteRole,
    /// `host:port` of its master: the one that the sentinels name to the operator and that says so itself; where the
    /// operator cannot see it, the one that the syncer follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Since when the operator has seen this master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_since: Option<Time>,
    /// The sentinels' config epoch of this master: it grows with each failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// Why the master is not known, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One flow, from one source node to the standby.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// The shard's number, `0` where there is only one.
    pub key: String,
    /// The end that is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<EndStatus>,
    /// The end that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<EndStatus>,
    /// What the standby's data are equal to: a place in the source's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionStatus>,
    /// How far each step has come, furthest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offsets: Option<OffsetsStatus>,
    /// How old the oldest write is that the standby does not have, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_milliseconds: Option<i64>,
    /// How many bytes of the source's stream the standby does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<i64>,
    /// Full copies since the syncer's process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_copies: Option<FullCopiesStatus>,
    /// What the spool takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<SpoolStatus>,
    /// How many dead letters there are: what the standby could not take (`spec.stream.onRejected`). Left out for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<i64>,
    /// What the syncer waits for, if it does. It goes on by itself once the cause is gone; `TargetNotEmpty`,
    /// `RoleConflict` and `SpoolTooSmall` need you.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitStatus>,
    /// What the syncer has halted at, if it has; you decide, with `spec.release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<HaltStatus>,
}

/// One end of a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndStatus {
    /// The name of the site that it belongs to.
    pub site: String,
    /// `host:port` of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A place in a source's history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PositionStatus {
    /// Which history (the source's `master_replid`): an offset means nothing without it.
    pub replid: String,
    /// How far in it, in bytes.
    pub offset: i64,
    /// The database that the next command applies to.
    pub db: i64,
}

/// The offset ladder. All in the history of the link's replid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OffsetsStatus {
    /// The source's own, asked each second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<i64>,
    /// Taken off the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<i64>,
    /// Written to the spool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spooled: Option<i64>,
    /// Sent to the standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<i64>,
    /// In the standby, with its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<i64>,
    /// Answered by the standby, and the answers were checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<i64>,
    /// Also on the standby's replicas (for now equal to confirmed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<i64>,
}

/// Full copies since the syncer's process started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FullCopiesStatus {
    /// How many were started.
    pub count: i64,
    /// Why the last one was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reason: Option<String>,
    /// When the last one was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_started_at: Option<Time>,
    /// When one last ended whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_finished_at: Option<Time>,
    /// The one that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<CopyStatus>,
}

/// How far a full copy is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopyStatus {
    /// Preparing, Restoring or Sweeping.
    pub phase: String,
    /// Names this copy, in the status and in the standby's record.
    #[serde(rename = "copyID")]
    pub copy_id: String,
    /// Bytes of the RDB that arrived.
    pub bytes_received: i64,
    /// Bytes of the RDB, where the source says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<i64>,
    /// Keys that were restored.
    pub keys_restored: i64,
    /// Keys that the source had when the copy began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_total: Option<i64>,
    /// Share of the restoring that is done, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i64>,
    /// Seconds until restoring ends, at the pace so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<i64>,
}

/// What the spool takes on its volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpoolStatus {
    /// Bytes that it takes on disk.
    pub bytes: i64,
    /// The most that it may take.
    pub max_bytes: i64,
}

/// A wait; it ends by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitStatus {
    /// Why it waits, in a word.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
    /// Since when it waits for this.
    pub since: Time,
}

/// A halt; it ends when `spec.release` answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HaltStatus {
    /// Why it has halted, in a word.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// What `spec.release.offset` has to say, if the halt is bound to a unit of the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// What `spec.release.copyID` has to say, if the halt is bound to a full copy.
    #[serde(default, rename = "copyID", skip_serializing_if = "Option::is_none")]
    pub copy_id: Option<String>,
    /// Since when it has halted.
    pub since: Time,
}
