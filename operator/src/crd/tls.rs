//! TLS with the servers of a site: whom we trust, what we show, under which name a server is verified.

use super::{Deserialize, JsonSchema, KubeSchema, Serialize};

/// TLS. Present, it is spoken with all of these servers and each one is verified; there is no way to leave the verification
/// out. The Secrets are mounted into the syncer's pod and read again at each connection: a renewed certificate needs no
/// restart, and ends no connection that works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// The authorities (CAs) that are trusted, and no others. Left out: the public ones, as this version knows them, which
    /// is right only where a public authority has issued the servers' certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,
    /// The certificate that is shown to servers that ask for one (`tls-auth-clients yes`, their default). Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_secret_ref: Option<CertificateSecretRef>,
    /// The name, or the IP address, that must stand in the certificate of each of these servers (subjectAltName); a name is
    /// sent to them too (SNI). Left out: the host of each one's address as it is written here or named by the sentinels,
    /// before `addressMap`. Sentinels name IP addresses, unless they announce host names: where certificates have names
    /// only, give one that all of them have. No restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^([A-Za-z0-9._-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$')").message("serverName must be the name of a host or an IP address, without a port, such as redis.shop.svc")
    )]
    pub server_name: Option<String>,
}

/// A key of a Secret in the object's namespace that holds certificates of authorities as PEM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaSecretRef {
    /// The Secret's name, in the namespace of this object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in the Secret, one or more certificates one after the other: while an authority is replaced, the old and the
    /// new one. Default `ca.crt`, which is where cert-manager puts it.
    #[serde(default = "ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret of type `kubernetes.io/tls` in the object's namespace: `tls.crt`, a certificate with its chain, and `tls.key`, its
/// private key, not encrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSecretRef {
    /// The Secret's name, in the namespace of this object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn ca_key() -> String {
    "ca.crt".to_owned()
}
