//! The configuration file, field by field. Unknown fields are refused: a misspelt field that is silently
//! ignored is a setting that the user believes in and does not have. Therefore a field that comes later is left out
//! while it has its default (`skip_serializing_if`): a syncer of the version before must be able to read the file.
//!
//! When the file changes, `paused`, `release`, `preflight`, `stream.onRejected`, addresses, credentials and TLS are taken over while the syncer runs
//! (password files and certificates are read again at each connection anyway); every other change needs a restart and says so in the
//! log.

use serde::{Deserialize, Serialize};

use crate::quantity::{Bytes, Span};

/// The file that `redissync-syncer run --config FILE` reads (YAML).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SyncerConfig {
    /// Names the pair; the record in the target is kept under `redissync:<pairID>:…`. Two syncers with one
    /// target and one pairID contend for it, so it must be unique per target. Letters, digits and `._/-`, at
    /// most 253. Default `default`. Never change it for a pair that runs: the record would not be found.
    #[serde(rename = "pairID", default = "default_pair_id")]
    pub pair_id: String,
    /// The site that is read. Nothing is ever written to it.
    pub source: EndpointConfig,
    /// The site that is written.
    pub target: EndpointConfig,
    /// What a full copy may do.
    #[serde(default)]
    pub full_copy: FullCopyConfig,
    /// When keys expire at the target.
    #[serde(default, skip_serializing_if = "ExpiryConfig::is_default")]
    pub expiry: ExpiryConfig,
    /// What of the conditions that the pair works under may be as it is.
    #[serde(default, skip_serializing_if = "PreflightConfig::is_default")]
    pub preflight: PreflightConfig,
    /// What becomes of commands of the stream.
    #[serde(default, skip_serializing_if = "StreamConfig::is_default")]
    pub stream: StreamConfig,
    /// Where what the source sent is kept until the target has it.
    pub spool: SpoolConfig,
    /// Whether applying rests: the source is read and spooled on, nothing is written to the target. Taken
    /// over while the syncer runs. Default false.
    #[serde(default)]
    pub paused: bool,
    /// A human's decision about the halt that the report shows: the same as `redissync-syncer release`, for whoever
    /// cannot run a command beside the syncer. Taken over while the syncer runs. It counts once, for the halt that it
    /// names, and only if it was put here after that halt; left standing it does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseConfig>,
    /// The HTTP server for reports, metrics and probes.
    #[serde(default)]
    pub server: ServerConfig,
    /// Seconds that the syncer may take to end in order after SIGTERM, 1 to 3600. Default 20: within the 30 s
    /// after which Kubernetes kills.
    #[serde(default = "default_drain_seconds")]
    pub drain_seconds: u64,
}

/// One site: exactly one of `standalone` and `sentinel`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointConfig {
    /// The site's name in logs, reports and metrics. Letters, digits and `._-`, at most 63.
    pub name: String,
    /// One node at a fixed address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standalone: Option<StandaloneConfig>,
    /// The master that sentinels name, followed through failovers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<SentinelConfig>,
    /// Credentials for the data nodes. Left out: none are sent. Taken over while the syncer runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// TLS with the data nodes. Left out: without. Taken over while the syncer runs, at the next connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Where addresses are dialled instead, at most 64: what sentinels announce (data nodes and other sentinels), and
    /// what is configured above, may not be reachable from here under that name. Taken over while the syncer runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address_map: Vec<AddressMapping>,
}

/// One address that is dialled elsewhere. Reports and logs go on showing the announced one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressMapping {
    /// `host:port`, or `host` for any port of it. An entry with the port counts before one without. Each once.
    pub announced: String,
    /// `host:port`, or `host` to keep the announced port.
    pub dial: String,
}

/// A node at a fixed address.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandaloneConfig {
    /// `host:port`; the host is a name, an IPv4 address or an IPv6 address in brackets. Taken over while the
    /// syncer runs: it must still be the same data (a node that moved).
    pub address: String,
}

/// A master that sentinels watch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SentinelConfig {
    /// The name under which the sentinels watch the master.
    pub master_name: String,
    /// `host:port` of the sentinels, 1 to 32; those that they know besides are found. Taken over while the
    /// syncer runs.
    pub endpoints: Vec<String>,
    /// Credentials for the sentinels themselves, which are not those of the data nodes. Left out: none are
    /// sent. Taken over while the syncer runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// TLS with the sentinels themselves, apart from that of the data nodes. Left out: without. Taken over while the
    /// syncer runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// Who we are to a server. The password itself never stands in the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthConfig {
    /// An ACL user (Redis 6.0 and newer). Left out: the default user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Absolute path of a file that holds the password; one newline at its end does not count. Read again at
    /// each connection, so a rotated password needs no restart.
    pub password_file: String,
}

/// TLS with servers: `{}` is enough where their certificates are issued by a public authority. The files are read again at
/// each connection, so a rotation needs no restart, and a connection that works is left alone. A server is always verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsConfig {
    /// Absolute path of a PEM file with the certificates of the authorities that are trusted, and no others. Left out:
    /// the public ones, as this version of the syncer knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Absolute path of a PEM file with the certificate that is shown to servers that ask for one (`tls-auth-clients`),
    /// its chain behind it. Needs `keyFile`. Left out: none is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<String>,
    /// Absolute path of a PEM file with the private key of `certificateFile`, not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// The name, or the address, that must stand in the certificate of each server; a name is sent to it too (SNI). Left
    /// out: the host of the server's address as it is configured or announced by the sentinels, before `addressMap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// What a full copy may do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FullCopyConfig {
    /// What to do about keys that the target holds before the pair's first copy. Default `Refuse`.
    #[serde(default)]
    pub on_existing_data: OnExistingData,
    /// What to do about keys that the target cannot take in any form. Default `Halt`.
    #[serde(default, skip_serializing_if = "OnUnsupported::is_default")]
    pub on_unsupported: OnUnsupported,
}

/// What to do about keys that the target cannot take: of a type that it does not know, larger than its limits, or with
/// something in them that no command carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnUnsupported {
    /// The copy halts at the first one (`UnsupportedValue`, or `ValueRejected` where the target itself refuses it).
    #[default]
    Halt,
    /// The copy goes on without them. They are counted (`keysLeftOut`), and the first thousand are listed in the target's
    /// database 0 under `redissync:<pairID>:0:leftOut`. What the target has under their names goes with the sweep.
    Skip,
}

/// What to do about keys that the target holds and the source does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExistingData {
    /// A target that holds keys but no record of this pair is refused and left as it is (`TargetNotEmpty`).
    #[default]
    Refuse,
    /// The first copy removes, when it has ended, the target's keys that the source does not have. This is the
    /// consent for that one copy; later sweeps have the brake instead, also where the record has been lost since: the
    /// spool remembers that there was a first copy.
    Sweep,
    /// No copy ever removes a key of the target. Keys that the source deletes between two copies stay too.
    Keep,
}

impl OnUnsupported {
    /// Left out where it is written: a version before this field still reads it.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When keys expire at the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpiryConfig {
    /// How much later than at the source a key, or a field of a hash, expires at the target, at most 720h. Deletions
    /// come from the source; the grace keeps the target from expiring by itself what the source has renewed meanwhile. No
    /// key is lost as long as lag, copy time and the difference of the clocks stay below it. Default 1h; 0s applies
    /// times as they come.
    #[serde(default = "default_grace")]
    pub grace: Span,
}

/// What of the conditions that the pair works under may be as it is. All other checks are advice and block nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreflightConfig {
    /// What to do about a target that evicts keys when it is full (`maxmemory` is set, and `maxmemory-policy` is not
    /// `noeviction`). Taken over while the syncer runs. Default `Refuse`.
    #[serde(default)]
    pub evicting_target: EvictingTarget,
}

/// What to do about a target that evicts keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvictingTarget {
    /// Nothing is written to it (`TargetEvicts`) until its policy is `noeviction`: keys that it evicts are missing
    /// without a word.
    #[default]
    Refuse,
    /// It is written to. What it evicts is counted (`keysEvicted`) and missing until the next full copy.
    Allow,
}

/// What becomes of commands of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamConfig {
    /// What to do about a command that the target cannot take. Taken over while the syncer runs; a unit that it halts at
    /// already needs a release all the same. Default `Halt`.
    #[serde(default, skip_serializing_if = "OnRejected::is_default")]
    pub on_rejected: OnRejected,
    /// Whether messages that clients publish at the source are published at the target too. Default `Forward`.
    #[serde(default, skip_serializing_if = "Publish::is_default")]
    pub publish: Publish,
}

/// What to do about a command of the stream that the target does not know in any form, refuses, or answers with an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnRejected {
    /// The link halts at its unit.
    #[default]
    Halt,
    /// The link goes on without it, and it is kept in the file `dead-letters` in the spool's directory, at most 64 MiB of
    /// them: beyond that it halts. What is unknown or refused takes its whole transaction with it; what fails within one
    /// is left out alone. `DataVerified` is `Unknown` until the next full copy.
    DeadLetter,
}

/// What to do about PUBLISH and SPUBLISH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Publish {
    /// They go to the target, but for what sentinels say to each other, and SPUBLISH before 7.0.
    #[default]
    Forward,
    /// They are dropped and counted.
    Drop,
}

impl StreamConfig {
    /// Not written into a file then: a syncer that does not know the field yet reads it too.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl OnRejected {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Publish {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The spool: a log on disk of what the source sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpoolConfig {
    /// Absolute path of a directory of its own, on a disk that outlives a restart. Created if it is missing.
    pub dir: String,
    /// The most that the spool may take, at least 1Mi. Default 8Gi. It bridges what the source writes while the target is
    /// away; when it is full the source is not read on.
    #[serde(default = "default_spool_max")]
    pub max_bytes: Bytes,
    /// What is kept although the target has it, so that a target that fails over to an older copy is caught up
    /// from disk.
    #[serde(default)]
    pub retention: RetentionConfig,
}

/// What the spool keeps behind the target's position: the larger of both, within `maxBytes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionConfig {
    /// At least so many bytes, at most `maxBytes`. Default 1Gi, or half of `maxBytes` where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    /// At least what arrived within this time, at most 8760h. Default 24h.
    #[serde(default = "default_retention_age")]
    pub age: Span,
}

/// A decision about one halt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseConfig {
    /// What to do.
    pub action: ReleaseAction,
    /// The halt's `offset`. `SkipUnit` and `RetryUnit` need it; `CopyAgain` needs it or `copyID`, whichever the halt has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The halt's `copyId`. `AllowSweep` needs it; `CopyAgain` needs it or `offset`, whichever the halt has.
    #[serde(rename = "copyID", default, skip_serializing_if = "Option::is_none")]
    pub copy_id: Option<String>,
}

/// What may be decided about a halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseAction {
    /// Go on behind the unit that it halts at: what that would have done is missing at the target.
    SkipUnit,
    /// Try the unit again: what refused it was put right, and nothing of it was applied.
    RetryUnit,
    /// Copy everything again: puts everything right.
    CopyAgain,
    /// Let the full copy remove the keys that the source does not have: it really is that much smaller.
    AllowSweep,
}

/// The HTTP server: `/report`, `/metrics`, `/healthz`, `/readyz`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerConfig {
    /// `address:port` to listen at. Default `127.0.0.1:9250`. It answers without credentials and shows no key
    /// names or values; port 0 takes any free port and logs it.
    #[serde(default = "default_listen")]
    pub listen: String,
}

impl ExpiryConfig {
    /// Not written into a file then: a syncer that does not know the field yet reads it too.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl PreflightConfig {
    /// Not written into a file then: a syncer that does not know the field yet reads it too.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for ExpiryConfig {
    fn default() -> Self {
        Self { grace: default_grace() }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { bytes: None, age: default_retention_age() }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { listen: default_listen() }
    }
}

fn default_pair_id() -> String {
    "default".to_owned()
}

fn default_drain_seconds() -> u64 {
    20
}

fn default_grace() -> Span {
    Span::hours(1)
}

fn default_spool_max() -> Bytes {
    Bytes(8 << 30)
}

fn default_retention_age() -> Span {
    Span::hours(24)
}

fn default_listen() -> String {
    "127.0.0.1:9250".to_owned()
}
