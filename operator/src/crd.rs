//! The kind `RedisSync`: what a user writes (`spec`) and what the operator answers (`status`).
//!
//! The documentation of the fields is the manual: `kubectl explain redissync.spec` prints it. What can be known from
//! the object alone is validated by the API server, with rules that stand beside the fields; so a wrong manifest is
//! refused when it is applied, and no webhook is needed. Only fields that work are here.

#![allow(unreachable_pub, reason = "KubeSchema derives a twin of each struct inside a function")]

pub mod site;
pub mod tls;
pub mod pair;
pub mod syncer;
pub mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use pair::{
    EvictingStandby, ExistingData, ExpirySpec, FullCopySpec, Messages, PreflightSpec, Rejected,
    ReleaseAction, ReleaseSpec, RetentionSpec, SpoolSpec, StreamSpec, Unsupported,
};
pub use site::{
    AddressMapping, AuthSpec, PasswordSecretRef, SentinelAuthSpec, SentinelSpec, SiteSpec,
    StandaloneSpec,
};
pub use status::{
    CopyStatus, EndStatus, FlowStatus, FullCopiesStatus, HaltStatus, LinkStatus, OffsetsStatus,
    PositionStatus, RedisSyncStatus, SiteRole, SiteStatus, SpoolStatus, WaitStatus,
};
pub use syncer::{AccessMode, StorageSpec, SyncerSpec, TemplateSpec};
pub use tls::{CaSecretRef, CertificateSecretRef, TlsSpec};

/// Keeps a Redis or Valkey deployment in a second site equal to the one in the first: copies everything once, then
/// follows every write, through failovers at both ends. See the status for how far behind the second site is.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "redissync.dev",
    version = "v1alpha1",
    kind = "RedisSync",
    plural = "redissyncs",
    singular = "redissync",
    namespaced,
    status = "RedisSyncStatus",
    derive = "PartialEq",
    doc = "RedisSync keeps a Redis or Valkey deployment in a second site equal to the one in the first: it copies everything once, then follows every write, through failovers at both ends. One object is one pair of sites; the operator runs one syncer for it.",
    validation = Rule::new("!self.metadata.name.contains('.')").message("metadata.name must have no dot, since it becomes the name of a pod's host: write letters, digits and - only"),
    validation = Rule::new("self.metadata.name.size() <= 40").message("metadata.name must be at most 40 characters: the names of the syncer's objects are made from it"),
    printcolumn(name = "Primary", type_ = "string", json_path = ".status.primary", description = "The site that takes the writes"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "What the syncer is doing"),
    printcolumn(name = "Master", type_ = "string", json_path = ".status.master", description = "The node that is read"),
    printcolumn(name = "Standby", type_ = "string", json_path = ".status.standby", description = "The node that is written"),
    printcolumn(name = "Lag", type_ = "string", json_path = ".status.lag", description = "How old the oldest write is that the standby does not have"),
    printcolumn(name = "Behind", type_ = "string", json_path = ".status.behind", description = "How many bytes of the source's stream the standby does not have"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status", description = "Whether all is well"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason", description = "Why", priority = 1),
    printcolumn(name = "Observed", type_ = "date", json_path = ".status.observedAt", description = "How old these numbers are"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Since when the object exists")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.sites.exists(s, s.name == self.primary)")
        .message("primary must be the name of one of the two sites")
        .field_path(".primary"),
    validation = Rule::new("has(self.pairID) == has(oldSelf.pairID) && (!has(self.pairID) || self.pairID == oldSelf.pairID)")
        .message("pairID cannot be changed: the record in the sites would not be found. Create another RedisSync instead")
        .field_path(".pairID"),
    validation = Rule::new("self.sites.all(s, oldSelf.sites.exists(o, o.name == s.name))")
        .message("the sites' names cannot be changed: they identify the two sides. Create another RedisSync instead")
        .field_path(".sites"),
    validation = Rule::new("self.sites.all(s, !oldSelf.sites.exists(o, o.name == s.name && has(o.sentinel) != has(s.sentinel)))")
        .message("a site cannot change between standalone and sentinel: it would be another deployment. Create another RedisSync instead")
        .field_path(".sites"),
    validation = Rule::new("self.sites.all(s, !has(s.sentinel) || !oldSelf.sites.exists(o, o.name == s.name && has(o.sentinel) && o.sentinel.masterName != s.sentinel.masterName))")
        .message("a site's sentinel.masterName cannot be changed: it would be another deployment. Create another RedisSync instead")
        .field_path(".sites"),
    validation = Rule::new("!isQuantity(self.spool.maxBytes) || !isQuantity(self.syncer.storage.size) || quantity(self.syncer.storage.size).compareTo(quantity(self.spool.maxBytes)) > 0")
        .message("syncer.storage.size must be larger than spool.maxBytes: a full copy keeps some bytes for each key beside the spool")
        .field_path(".syncer")
)]
pub struct RedisSyncSpec {
    /// The two sites, by name. Which one is read and which one is written follows from `primary`. Neither the names nor
    /// the kind of a site can be changed later; endpoints and credentials can, and need no restart.
    #[schemars(length(max = 4))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.size() == 2").message("sites must have exactly two entries: the site that takes the writes and its standby")
    )]
    pub sites: Vec<SiteSpec>,
    /// The name of the site that takes the writes of your clients. The other one is the standby: everything is copied to
    /// it, and nobody else may write there. In this version it cannot be changed.
    #[schemars(length(max = 63))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("primary cannot be changed: the cutover is not in this version. Put the old value back")
    )]
    pub primary: String,
    /// Names the pair in the two sites: the record of what has been applied is the key `redissync:<pairID>:0` in the
    /// standby. Default: `<namespace>/<name>` of this object. Set it to move a pair to an object of another name
    /// or to another cluster without a new full copy. Two objects that write to one standby need different ones.
    /// Letters, digits and `. _ / -`. Cannot be changed later.
    #[serde(default, rename = "pairID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z0-9._/-]+$')").message("pairID may have letters, digits and . _ / - only")
    )]
    pub pair_id: Option<String>,
    /// Whether applying rests. The source is read and kept in the spool, nothing is written to the standby; a sweep that
    /// waits goes on waiting. `Ready` is False with reason `Paused` meanwhile. While it rests the spool fills, up to
    /// `spool.maxBytes`; beyond it the source's backlog has to bridge the rest. No restart. Default false.
    #[serde(default)]
    pub paused: bool,
    /// Your answer to a halt, see the condition `Ready`. It counts only for the halt whose offset or copyID it names,
    /// so it may stay here: it can never answer another one. No restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseSpec>,
    /// What a full copy may do in the standby.
    #[serde(default)]
    pub full_copy: FullCopySpec,
    /// When keys expire at the standby.
    #[serde(default, skip_serializing_if = "ExpirySpec::is_default")]
    pub expiry: ExpirySpec,
    /// What of the conditions that the pair works under may be as it is. They are checked before the first copy and every
    /// five minutes; see the conditions `PreflightPassed` and `BacklogHealthy`.
    #[serde(default, skip_serializing_if = "PreflightSpec::is_default")]
    pub preflight: PreflightSpec,
    /// What becomes of the commands that follow a full copy.
    #[serde(default, skip_serializing_if = "StreamSpec::is_default")]
    pub stream: StreamSpec,
    /// The log on disk of what the source sent. It bridges the times at which the standby cannot be reached.
    #[serde(default)]
    pub spool: SpoolSpec,
    /// The syncer's pod and volume.
    #[serde(default)]
    pub syncer: SyncerSpec,
}
