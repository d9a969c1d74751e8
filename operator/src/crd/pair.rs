//! What holds for the pair as a whole: full copies, spool, the answer to a halt.

use super::{Deserialize, JsonSchema, KubeSchema, Serialize};

/// What a full copy may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FullCopySpec {
    /// What to do about keys that the standby holds before the first copy of this pair. `Refuse`, the default, leaves a
    /// standby with keys alone until you decide (`TargetNotEmpty`). `Sweep` deletes, after the first copy, the keys that
    /// the primary does not have; later copies delete at most 20 % of the standby's keys without asking (`SweepBrake`).
    /// Where the standby has lost what it knew of the pair, that holds only as long as the syncer's volume is there: set
    /// it back to `Refuse` after the first copy. `Keep` never deletes any, in any copy: what the primary deleted before a
    /// copy or between two stays. A change restarts the syncer.
    #[serde(default)]
    pub on_existing_data: ExistingData,
    /// What to do about what the standby cannot take in any form: keys of a type that it does not know, or larger than its
    /// limits, libraries of functions, what modules keep beside the keys. `Halt`, the default, stops the copy at the first
    /// one. `Skip` goes on without them: they are counted by the syncer's metric `redissync_keys_left_out_total`, and the
    /// first thousand keys are listed in the standby. What the standby has under their names is old and is deleted
    /// (unless `onExistingData` is `Keep`). A change restarts the syncer.
    #[serde(default, skip_serializing_if = "Unsupported::is_default")]
    pub on_unsupported: Unsupported,
}

/// What to do about keys that the standby cannot take.
#[expect(
    missing_docs,
    reason = "documented as a list at the field; a text at each variant would turn the enum into oneOf"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unsupported {
    #[default]
    Halt,
    Skip,
}

/// What to do about keys that the standby holds and the primary does not.
#[expect(
    missing_docs,
    reason = "documented as a list at the field; a text at each variant would turn the enum into oneOf"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExistingData {
    #[default]
    Refuse,
    Sweep,
    Keep,
}

impl Unsupported {
    /// A spec that says nothing of it keeps its hash.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of the commands that follow a full copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamSpec {
    /// What to do about a command that the standby does not know in any form, refuses, or answers with an error. `Halt`, the
    /// default, stops the pair at it (`UnsupportedCommand`, `CommandRejected`) until you decide. `DeadLetter` goes on without
    /// it and keeps it in a file on the syncer's volume, which `redissync-syncer dead-letters` prints; what is unknown or
    /// refused takes its whole transaction with it, what fails within one is left out alone. They are counted in
    /// `status.links[].deadLetters`, and `DataVerified` is Unknown until the next full copy. The file takes up to 64 MiB:
    /// give `syncer.storage.size` that much more; when it is full the pair halts. A missing right and a state of the
    /// standby (memory, read-only) are not set aside. No restart; a pair that has halted already needs a release.
    #[serde(default, skip_serializing_if = "Rejected::is_default")]
    pub on_rejected: Rejected,
    /// Whether messages that clients publish at the primary (`PUBLISH`, `SPUBLISH`) are published at the standby too, for
    /// those who subscribe there: `Forward`, the default, or `Drop`. What sentinels say to each other is never forwarded. A
    /// change restarts the syncer.
    #[serde(default, skip_serializing_if = "Messages::is_default")]
    pub publish: Messages,
}

/// What to do about a command that the standby cannot take.
#[expect(
    missing_docs,
    reason = "documented as a list at the field; a text at each variant would turn the enum into oneOf"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Rejected {
    #[default]
    Halt,
    DeadLetter,
}

/// What to do about messages.
#[expect(
    missing_docs,
    reason = "documented as a list at the field; a text at each variant would turn the enum into oneOf"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Messages {
    #[default]
    Forward,
    Drop,
}

impl StreamSpec {
    /// Left out of what an object's hash is made of: it is newer than the first version.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Rejected {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Messages {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When keys expire at the standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpirySpec {
    /// How much later than at the primary a key, or a field of a hash, expires at the standby, at most 720h. Deletions come
    /// from the primary; the grace keeps the standby from expiring by itself what the primary has renewed meanwhile. No key
    /// is lost as long as lag, copy time and the difference of the clocks stay below it. The time to live that the standby
    /// shows is longer by it, and keys live on for it should you make the standby the primary by hand. `0s` applies times as
    /// they come. A change restarts the syncer, and counts for what is written from then on. Default 1h.
    #[serde(default = "default_grace")]
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = Rule::new("self.matches('^([0-9]{1,4}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self.size() > 0 && duration(self) <= duration('720h')").message("expiry.grace must be a span of time of at most 720h, largest unit first, such as 1h or 90m; 0s turns it off")
    )]
    pub grace: String,
}

impl ExpirySpec {
    /// Left out of what an object's hash is made of: it is newer than the first version.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for ExpirySpec {
    fn default() -> Self {
        Self { grace: default_grace() }
    }
}

fn default_grace() -> String {
    "1h".to_owned()
}

/// What of the conditions that the pair works under may be as it is. All else that is checked is advice and holds nothing up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreflightSpec {
    /// What to do about a standby that evicts keys when it is full: its `maxmemory` is set, and its `maxmemory-policy` is not
    /// `noeviction`. `Refuse`, the default, writes nothing to it (`TargetEvicts`) until its policy is changed, since what it
    /// evicts is missing without a word. `Allow` writes to it; what it evicts is counted, makes the conditions
    /// `PreflightPassed` and `DataVerified` False, and is missing until the next full copy. No restart.
    #[serde(default)]
    pub evicting_standby: EvictingStandby,
}

impl PreflightSpec {
    /// Left out of what an object's hash is made of: it is newer than the first version.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What to do about a standby that evicts keys.
#[expect(
    missing_docs,
    reason = "documented as a list at the field; a text at each variant would turn the enum into oneOf"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EvictingStandby {
    #[default]
    Refuse,
    Allow,
}

/// The spool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpoolSpec {
    /// The most that the spool may take on the syncer's volume. Size it to what the primary writes during the longest
    /// time for which the standby may be away, at least the size of its RDB file. When it is full the source is not
    /// read until there is room. At least 1Mi; a change restarts the syncer. Default 8Gi.
    #[serde(default = "default_max_bytes")]
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && self.matches('^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$') && quantity(self).compareTo(quantity('1Mi')) >= 0").message("spool.maxBytes must be a whole amount of bytes of at least 1Mi, such as 8Gi")
    )]
    pub max_bytes: String,
    /// What is kept although the standby has it, so that a standby that fails over to an older copy is caught up from
    /// disk, without a full copy: the larger of both, within `maxBytes`.
    #[serde(default)]
    pub retention: RetentionSpec,
}

impl Default for SpoolSpec {
    fn default() -> Self {
        Self { max_bytes: default_max_bytes(), retention: RetentionSpec::default() }
    }
}

fn default_max_bytes() -> String {
    "8Gi".to_owned()
}

/// What the spool keeps behind the standby's position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionSpec {
    /// At least so many bytes. Left out: 1Gi, or half of `maxBytes` where that is less. A change restarts the syncer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && self.matches('^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$')").message("spool.retention.bytes must be a whole amount of bytes, such as 1Gi")
    )]
    pub bytes: Option<String>,
    /// At least what arrived within this time, at most 8760h. Default 24h. A change restarts the syncer.
    #[serde(default = "default_age")]
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = Rule::new("self.matches('^([0-9]{1,4}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self.size() > 0 && duration(self) <= duration('8760h')").message("spool.retention.age must be a span of time of at most 8760h, largest unit first, such as 24h or 1h30m")
    )]
    pub age: String,
}

impl Default for RetentionSpec {
    fn default() -> Self {
        Self { bytes: None, age: default_age() }
    }
}

fn default_age() -> String {
    "24h".to_owned()
}

/// An answer to one halt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(self.action in ['SkipUnit', 'RetryUnit']) || (has(self.offset) && !has(self.copyID))")
        .message("release: SkipUnit and RetryUnit need offset (see status.links[].halt.offset) and no copyID"),
    validation = Rule::new("self.action != 'AllowSweep' || (has(self.copyID) && !has(self.offset))")
        .message("release: AllowSweep needs copyID (see status.links[].halt.copyID) and no offset"),
    validation = Rule::new("self.action != 'CopyAgain' || has(self.copyID) != has(self.offset)")
        .message("release: CopyAgain needs exactly one of offset and copyID: the one that status.links[].halt shows")
)]
pub struct ReleaseSpec {
    /// What to do. `SkipUnit` goes on behind the unit that the standby rejected; that unit is not applied. `RetryUnit`
    /// tries it again, after you have put its cause right. `CopyAgain` makes a full copy. `AllowSweep` lets the sweep
    /// that waits delete the keys.
    pub action: ReleaseAction,
    /// The halt's offset, as `status.links[].halt.offset` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub offset: Option<i64>,
    /// The halt's copyID, as `status.links[].halt.copyID` shows it.
    #[serde(default, rename = "copyID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub copy_id: Option<String>,
}

/// What to do about a halt.
#[expect(
    missing_docs,
    reason = "documented as a list at the field; a text at each variant would turn the enum into oneOf"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReleaseAction {
    SkipUnit,
    RetryUnit,
    CopyAgain,
    AllowSweep,
}
