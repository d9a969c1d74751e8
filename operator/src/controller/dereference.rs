//! Step 1, I/O: fetches what the spec names, the Secrets. Only the keys that are named leave this file, and only as
//! [`Secret`]s, which nothing prints.
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
use redissync_syncer::credentials::Secret;

use crate::crd::{PasswordSecretRef, RedisSyncSpec};

/// How long a Secret that was read is believed. A rotated password reaches the pod by the kubelet in any case; this only
/// says how soon the operator asks the kubelet to hurry.
const KEEP: Duration = Duration::from_secs(15);
/// Passwords of more than this are refused, as the syncer does.
const PASSWORD_BYTES_MAX: usize = 64 << 10;

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
#[derive(Clone, Debug)]
enum Fetched {
    Found { version: String, data: BTreeMap<String, Vec<u8>> },
    Fault(SecretFault),
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
    let names: BTreeSet<&str> = wanted.iter().map(|reference| reference.name.as_str()).collect();
    let mut fetched = BTreeMap::new();
    let mut dereferenced = Dereferenced::default();
    for name in names {
        let secret = cache.get(client, namespace, name, is_urgent).await?;
        if let Fetched::Found { version, .. } = &secret {
            dereferenced.versions.insert(name.to_owned(), version.clone());
        }
        fetched.insert(name.to_owned(), secret);
    }
    for reference in wanted {
        let password = match &fetched[&reference.name] {
            Fetched::Fault(fault) => Err(fault.clone()),
            Fetched::Found { data, .. } => {
                data.get(&reference.key).map_or(Err(SecretFault::NoKey), |bytes| password(bytes))
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

/// As the syncer reads the file: one newline at the end does not count.
fn password(bytes: &[u8]) -> Result<Secret, SecretFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| SecretFault::NoPassword)?;
    let text = match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    };
    if text.is_empty() || text.len() > PASSWORD_BYTES_MAX {
        return Err(SecretFault::NoPassword);
    }
    Ok(Secret::new(text.to_owned()))
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
    fn a_password_is_read_as_the_syncer_reads_it() {
        assert_eq!(password(b"p\n"), Ok(Secret::new("p".into())));
        assert_eq!(password(b"p\r\n"), Ok(Secret::new("p".into())));
        assert_eq!(password(b" p "), Ok(Secret::new(" p ".into())));
        for wrong in [&b""[..], b"\n", b"\xff\xfe", &[b'x'; PASSWORD_BYTES_MAX + 1]] {
            assert_eq!(password(wrong), Err(SecretFault::NoPassword));
        }
    }
}
