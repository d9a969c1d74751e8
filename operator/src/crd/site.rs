//! A site: where its nodes are and how to log in.

use super::{Deserialize, JsonSchema, KubeSchema, Serialize, TlsSpec};

/// One Redis or Valkey deployment: exactly one of `standalone` and `sentinel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.standalone) != has(self.sentinel)")
        .message("a site must have exactly one of standalone and sentinel")
)]
pub struct SiteSpec {
    /// The site's name, such as a city: in `primary`, in the status and in metrics. Lower case letters, digits and `-`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')").message("a site's name may have lower case letters, digits and - only, and must start and end with a letter or digit")
    )]
    pub name: String,
    /// One node at a fixed address, without sentinels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standalone: Option<StandaloneSpec>,
    /// The master that sentinels name. Failovers are followed without a new full copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<SentinelSpec>,
    /// How to log in at the data nodes. Left out: no credentials are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// TLS with the data nodes; `{}` is enough where a public CA has issued their certificates. Each one is verified, there is no
    /// way to leave the verification out. A renewed certificate in the same Secret needs no restart, and ends no connection
    /// that works; another Secret restarts the syncer. Left out: without TLS, and the port must be one without. That of the
    /// sentinels is `sentinel.tls`, apart from this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Other addresses for nodes that cannot be reached under those which the sentinels name: host names of another
    /// cluster, addresses behind NAT. Looked up for data nodes and sentinels; an entry with a port goes before one
    /// without. No restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["announced".into()]))]
    pub address_map: Vec<AddressMapping>,
}

/// A node at a fixed address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandaloneSpec {
    /// `host:port` of the node. May be changed to follow a node that moved, without a restart; it must lead to the same
    /// data. If it leads to a different server, what is there is not overwritten: the condition `Ready` will
    /// say `TargetNotEmpty`, `RoleConflict` or `SweepBrake`.
    #[schemars(length(max = 300))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$')").message("address must be host:port, such as redis.shop.svc:6379 or [fd00::1]:6379")
    )]
    pub address: String,
}

/// A master that sentinels watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentinelSpec {
    /// The name under which the sentinels watch the master (`sentinel monitor <name> …`; Bitnami's chart: `mymaster`).
    /// Cannot be changed later.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z0-9._-]+$')").message("masterName may have letters, digits and . _ - only, as Sentinel itself demands")
    )]
    pub master_name: String,
    /// `host:port` of the sentinels, at least one. A service in front of all of them is fine, the others are found
    /// through the first that answers. No restart.
    #[schemars(length(min = 1, max = 32), inner(length(max = 300)))]
    #[x_kube(
        validation = Rule::new(r"self.all(e, e.matches('^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$'))").message("each endpoint must be host:port, such as redis-sentinel.shop.svc:26379")
    )]
    pub endpoints: Vec<String>,
    /// How to log in at the sentinels themselves, if they ask for a password. It is not that of the data nodes, even
    /// where the two are equal. Left out: no credentials are sent to sentinels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<SentinelAuthSpec>,
    /// TLS with the sentinels themselves, in the same way. Left out: without. It is not that of the data nodes, even where the
    /// two are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
}

/// Credentials for data nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// An ACL user (Redis 6.0 and newer). Left out: the default user, with `requirepass`. What the users of either site
    /// need: docs/operations.md#rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub username: Option<String>,
    /// Where the password is.
    pub password_secret_ref: PasswordSecretRef,
}

/// Credentials for sentinels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentinelAuthSpec {
    /// An ACL user of the sentinels (Redis 6.2 and newer). Left out: the default user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub username: Option<String>,
    /// Where the password is.
    pub password_secret_ref: PasswordSecretRef,
}

/// A key of a Secret in the object's namespace. The Secret is mounted into the syncer's pod and read again at each
/// connection, so a password may be rotated at any time: before the server's own or after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordSecretRef {
    /// The Secret's name, in the namespace of this object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in the Secret that holds the password; one newline at its end does not count.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// One address and how it is reached from here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressMapping {
    /// What the sentinels say: `host` (any port) or `host:port`.
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$')").message("announced must be host or host:port")
    )]
    pub announced: String,
    /// Where to connect instead: `host` (the port stays) or `host:port`.
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$')").message("dial must be host or host:port")
    )]
    pub dial: String,
}
