//! Step 1, I/O: fetches what the spec names, the Secrets. Only the keys that are named leave this file, and only as
//! [`Secret`]s and [`Tls`], which nothing prints.
//!
//! Secrets are read, not watched: the operator's right is `get`, so it can never list what it was not told of. What was
//! read is kept for a short while, since a reconcile may come each second.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::{Api, Client, api::ObjectMeta};
use redissync_syncer::{credentials::Secret, tls::Tls};

use super::tls_secrets::{self, TlsSecretFault};
use crate::{
    build::syncer_config::Servers,
    crd::{PasswordSecretRef, RedisSyncSpec},
};

/// How long a Secret that was read is believed. A rotated password reaches the pod by the kubelet in any case; this only
/// says how soon the operator asks the kubelet to hurry.
const KEEP: Duration = Duration::from_secs(15);

/// Why a password cannot be had. It is the user's to put right, so it is a value and no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFault {
    /// There is no Secret of this name.
    NoSecret,
    /// It has no such key.
    NoKey,
    /// What the key holds is empty, no text or too long.
    NoPassword,
    /// The operator may not read it.
    Forbidden,
}

/// Whatever the spec names, fetched.
#[derive(Clone, Debug, Default)]
pub struct Dereferenced {
    /// Each password that is named, or why there is none.
    pub passwords: BTreeMap<PasswordSecretRef, Result<Secret, SecretFault>>,
    /// The same for TLS, by the site's name and the servers that it is for.
    pub tls: BTreeMap<(String, Servers), Result<Tls, TlsSecretFault>>,
    /// The resource version of each Secret that exists, by name.
    pub versions: BTreeMap<String, String>,
}

/// A Secret could not be read, for a reason that may pass.
#[derive(Debug, thiserror::Error)]
#[error("failed to get the Secret {name}")]
pub struct DereferenceError {
    name: String,
    source: kube::Error,
}

/// The Secrets that were read last.
#[derive(Debug, Default)]
pub struct SecretCache(Mutex<HashMap<(String, String), (Instant, Fetched)>>);

/// One Secret: its version and the bytes of its keys; an absence is a value.
#[derive(Clone)]
enum Fetched {
    Found { version: String, data: BTreeMap<String, Vec<u8>> },
    Fault(SecretFault),
}

/// Never the bytes.
impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Found { version, data } => {
                write!(f, "Found({version}, {} keys)", data.len())
            }
            Self::Fault(fault) => write!(f, "{fault:?}"),
        }
    }
}

/// Fetches what the spec names. `is_urgent`: what was read before does not count (a server refused a password).
pub async fn dereference(
    client: &Client,
    cache: &SecretCache,
    namespace: &str,
    spec: &RedisSyncSpec,
    is_urgent: bool,
) -> Result<Dereferenced, DereferenceError> {
    let wanted = references(spec);
    let of_tls = tls_secrets::of_spec(spec).flat_map(|(_, _, tls)| tls_secrets::names(tls));
    let names: BTreeSet<&str> =
        wanted.iter().map(|reference| reference.name.as_str()).chain(of_tls).collect();
    let mut fetched = BTreeMap::new();
    let mut dereferenced = Dereferenced::default();
    for name in names {
        let secret = cache.get(client, namespace, name, is_urgent).await?;
        if let Fetched::Found { version, .. } = &secret {
            dereferenced.versions.insert(name.to_owned(), version.clone());
        }
        fetched.insert(name.to_owned(), secret);
    }
    for (site, servers, tls) in tls_secrets::of_spec(spec) {
        let resolved = tls_secrets::resolve(tls, |name, key| match &fetched[name] {
            Fetched::Fault(fault) => Err(fault.clone()),
            Fetched::Found { data, .. } => data.get(key).cloned().ok_or(SecretFault::NoKey),
        });
        dereferenced.tls.insert((site.name.clone(), servers), resolved);
    }
    for reference in wanted {
        let password = match &fetched[&reference.name] {
            Fetched::Fault(fault) => Err(fault.clone()),
            Fetched::Found { data, .. } => {
                // As the syncer will read it from the file.
                data.get(&reference.key).ok_or(SecretFault::NoKey).and_then(|bytes| {
                    Secret::from_bytes(bytes.clone()).map_err(|_| SecretFault::NoPassword)
                })
            }
        };
        dereferenced.passwords.insert(reference, password);
    }
    Ok(dereferenced)
}

/// Every password that a spec names, once.
pub fn references(spec: &RedisSyncSpec) -> BTreeSet<PasswordSecretRef> {
    let data = spec.sites.iter().filter_map(|site| Some(&site.auth.as_ref()?.password_secret_ref));
    let sentinels = spec
        .sites
        .iter()
        .filter_map(|site| Some(&site.sentinel.as_ref()?.auth.as_ref()?.password_secret_ref));
    data.chain(sentinels).cloned().collect()
}

impl SecretCache {
    async fn get(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
        is_urgent: bool,
    ) -> Result<Fetched, DereferenceError> {
        let key = (namespace.to_owned(), name.to_owned());
        if !is_urgent && let Some(known) = self.recent(&key) {
            return Ok(known);
        }
        let api: Api<SecretObject> = Api::namespaced(client.clone(), namespace);
        let fetched = match api.get(name).await {
            Ok(SecretObject { metadata: ObjectMeta { resource_version, .. }, data, .. }) => {
                Fetched::Found {
                    version: resource_version.unwrap_or_default(),
                    data: data
                        .unwrap_or_default()
                        .into_iter()
                        .map(|(key, value)| (key, value.0))
                        .collect(),
                }
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Fetched::Fault(SecretFault::NoSecret)
            }
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Fetched::Fault(SecretFault::Forbidden)
            }
            Err(source) => return Err(DereferenceError { name: name.to_owned(), source }),
        };
        let mut kept = self.0.lock().expect("no holder of this lock panics");
        kept.retain(|_, (at, _)| at.elapsed() < KEEP);
        kept.insert(key, (Instant::now(), fetched.clone()));
        Ok(fetched)
    }

    fn recent(&self, key: &(String, String)) -> Option<Fetched> {
        let kept = self.0.lock().expect("no holder of this lock panics");
        let (at, fetched) = kept.get(key)?;
        (at.elapsed() < KEEP).then(|| fetched.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_never_shown() {
        let data = BTreeMap::from([("password".to_owned(), b"A".repeat(3))]);
        let fetched = Fetched::Found { version: "7".into(), data };
        let cache = SecretCache::default();
        let kept = (("shop".to_owned(), "redis".to_owned()), (Instant::now(), fetched));
        cache.0.lock().unwrap().extend([kept]);
        let shown = format!("{cache:?}");
        assert!(shown.contains("Found(7, 1 keys)") && !shown.contains("65, 65"), "{shown}");
    }
}
