//! Step 2, pure: from the object and what it names to [`ValidatedSync`], the only input that later steps accept.
//!
//! Most rules stand in the schema; here is what the schema cannot say (port numbers, two sites that are one) and what
//! it may not have been asked (an object that was stored under older rules). The configuration is checked by the
//! syncer's own rules, so the two cannot drift apart.

use redissync_syncer::{
    config::{self, ValidatedConfig},
    contract::SyncerConfig,
    credentials::Credentials,
    login::Login,
};

use super::{
    dereference::{Dereferenced, SecretFault},
    tls_secrets::TlsSecretFault,
};
use crate::{
    build::syncer_config::{self, Servers},
    crd::{PasswordSecretRef, RedisSync, RedisSyncSpec, SiteSpec},
};

/// An object that can be acted on.
#[derive(Clone, Debug)]
pub struct ValidatedSync {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity: an object of the same name that was created later has another one.
    pub uid: String,
    /// Which version of the spec this is.
    pub generation: i64,
    /// What the user wrote, with the schema's defaults.
    pub spec: RedisSyncSpec,
    /// The site that is read.
    pub source: SiteSpec,
    /// The site that is written.
    pub target: SiteSpec,
    /// The syncer's configuration.
    pub config: SyncerConfig,
    /// The same, as the syncer will understand it.
    pub checked_config: ValidatedConfig,
    /// The same as the file's text.
    pub config_text: String,
    /// The resource versions of the Secrets that are mounted: `name:version,…`. Tells that one has changed.
    pub secret_versions: String,
}

/// What the operator's own connections need.
#[derive(Clone, Debug)]
pub struct SiteLogins {
    /// For the data nodes.
    pub data: Login,
    /// For the sentinels.
    pub sentinel: Login,
}

/// Why an object cannot be acted on; a human has to change something. What runs already goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// For the condition.
    pub reason: InvalidReason,
    /// The field, the value and the remedy.
    pub message: String,
}

/// Kinds of [`Invalid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidReason {
    /// The spec contradicts itself.
    InvalidSpec,
    /// A Secret that it names does not exist.
    SecretNotFound,
    /// A Secret lacks the key, or what the key holds is no password, no certificate or a key of another one.
    SecretInvalid,
}

impl InvalidReason {
    /// As it stands in the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretInvalid => "SecretInvalid",
        }
    }
}

/// Checks the spec, then that every Secret is there.
pub fn validate(object: &RedisSync, dereferenced: &Dereferenced) -> Result<ValidatedSync, Invalid> {
    let metadata = &object.metadata;
    let (namespace, name) =
        (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
    if name.contains('.') {
        return Err(invalid(format!(
            "metadata.name '{name}' has a dot, which the name of a pod's host must not have: create the RedisSync anew under a name of letters, digits and - only"
        )));
    }
    let spec = object.spec.clone();
    let (source, target) = flow(&spec)?;
    let config = syncer_config::build(&spec, &pair_id(object), source, target)
        .map_err(|err| invalid(format!("spec.spool: {err}")))?;
    let config_text = serde_yaml::to_string(&config)
        .map_err(|err| invalid(format!("spec: cannot be written as YAML: {err}")))?;
    let checked_config = config::parse(config_text.as_bytes())
        .map_err(|err| invalid(in_terms_of_spec(&err.to_string(), source, target)))?;
    for (reference, password) in &dereferenced.passwords {
        if let Err(fault) = password {
            return Err(secret_fault(&spec, &namespace, reference, fault));
        }
    }
    for ((site, servers), tls) in &dereferenced.tls {
        if let Err(fault) = tls {
            return Err(tls_fault(&namespace, site, *servers, fault));
        }
    }
    let versions = dereferenced.versions.iter().map(|(name, version)| format!("{name}:{version}"));
    Ok(ValidatedSync {
        uid: metadata.uid.clone().unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        source: source.clone(),
        target: target.clone(),
        config,
        checked_config,
        config_text,
        secret_versions: versions.collect::<Vec<_>>().join(","),
        namespace,
        name,
        spec,
    })
}

/// The name of the pair in the two sites.
pub fn pair_id(object: &RedisSync) -> String {
    let metadata = &object.metadata;
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let default = || format!("{}/{}", part(&metadata.namespace), part(&metadata.name));
    object.spec.pair_id.clone().unwrap_or_else(default)
}

/// What a site's nodes are logged in at with; an object for which a part of it cannot be had is invalid before.
pub fn logins(site: &SiteSpec, dereferenced: &Dereferenced) -> SiteLogins {
    let find = |username: &Option<String>, reference: &PasswordSecretRef| {
        let password = dereferenced.passwords.get(reference)?.as_ref().ok()?.clone();
        Some(Credentials { username: username.clone(), password })
    };
    let tls = |servers| {
        let found = dereferenced.tls.get(&(site.name.clone(), servers))?;
        found.as_ref().ok().cloned()
    };
    let data = site.auth.as_ref();
    let sentinel = site.sentinel.as_ref().and_then(|sentinel| sentinel.auth.as_ref());
    SiteLogins {
        data: Login {
            credentials: data.and_then(|auth| find(&auth.username, &auth.password_secret_ref)),
            tls: tls(Servers::DataNodes),
        },
        sentinel: Login {
            credentials: sentinel.and_then(|auth| find(&auth.username, &auth.password_secret_ref)),
            tls: tls(Servers::Sentinels),
        },
    }
}

/// Source and target, as `primary` has them.
pub fn flow(spec: &RedisSyncSpec) -> Result<(&SiteSpec, &SiteSpec), Invalid> {
    let [one, other] = spec.sites.as_slice() else {
        return Err(invalid(format!(
            "spec.sites has {} entries: write exactly two",
            spec.sites.len()
        )));
    };
    if one.name == other.name {
        return Err(invalid(format!(
            "spec.sites: both are named '{}': give them different names",
            one.name
        )));
    }
    match spec.primary.as_str() {
        primary if primary == one.name => Ok((one, other)),
        primary if primary == other.name => Ok((other, one)),
        primary => Err(invalid(format!(
            "spec.primary is '{primary}', which is no site: write '{}' or '{}'",
            one.name, other.name
        ))),
    }
}

fn invalid(message: String) -> Invalid {
    Invalid { reason: InvalidReason::InvalidSpec, message }
}

/// The syncer's rules speak of `source` and `target`; the user wrote sites.
fn in_terms_of_spec(message: &str, source: &SiteSpec, target: &SiteSpec) -> String {
    let field = |end: &str, site: &SiteSpec| {
        message.strip_prefix(end).map(|rest| format!("spec.sites[{}]{rest}", site.name))
    };
    field("source", source)
        .or_else(|| field("target", target))
        .unwrap_or_else(|| format!("spec.{message}"))
}

/// Names the field that holds the reference, the Secret, and what to do.
fn secret_fault(
    spec: &RedisSyncSpec,
    namespace: &str,
    reference: &PasswordSecretRef,
    fault: &SecretFault,
) -> Invalid {
    let PasswordSecretRef { name, key } = reference;
    let field = field_of(spec, reference);
    let (reason, problem) = problem(namespace, name, key, fault);
    Invalid { reason, message: format!("{field}: {problem}") }
}

/// The same for what TLS is made from.
fn tls_fault(namespace: &str, site: &str, servers: Servers, fault: &TlsSecretFault) -> Invalid {
    let field = match servers {
        Servers::DataNodes => format!("spec.sites[{site}].tls"),
        Servers::Sentinels => format!("spec.sites[{site}].sentinel.tls"),
    };
    match fault {
        TlsSecretFault::Missing { field: part, name, key, fault } => {
            let (reason, problem) = problem(namespace, name, key, fault);
            Invalid { reason, message: format!("{field}.{part}: {problem}") }
        }
        TlsSecretFault::Invalid(why) => {
            Invalid { reason: InvalidReason::SecretInvalid, message: format!("{field}: {why}") }
        }
    }
}

fn problem(namespace: &str, name: &str, key: &str, fault: &SecretFault) -> (InvalidReason, String) {
    match fault {
        SecretFault::NoSecret => (
            InvalidReason::SecretNotFound,
            format!(
                "there is no Secret '{name}' in namespace '{namespace}': create it, or correct the name"
            ),
        ),
        SecretFault::NoKey => (
            InvalidReason::SecretInvalid,
            format!("the Secret '{name}' has no key '{key}': add it, or correct the key"),
        ),
        SecretFault::NoPassword => (
            InvalidReason::SecretInvalid,
            format!(
                "key '{key}' of the Secret '{name}' holds no password: it must be text of 1 byte to 64 KiB"
            ),
        ),
        SecretFault::Forbidden => (
            InvalidReason::SecretInvalid,
            format!(
                "the operator may not read the Secret '{name}': grant it 'get' on secrets in namespace '{namespace}'"
            ),
        ),
    }
}

fn field_of(spec: &RedisSyncSpec, reference: &PasswordSecretRef) -> String {
    let site = spec.sites.iter().find_map(|site| {
        if site.auth.as_ref().is_some_and(|auth| auth.password_secret_ref == *reference) {
            return Some(format!("spec.sites[{}].auth", site.name));
        }
        let sentinel = site.sentinel.as_ref()?.auth.as_ref()?;
        (sentinel.password_secret_ref == *reference)
            .then(|| format!("spec.sites[{}].sentinel.auth", site.name))
    });
    format!("{}.passwordSecretRef", site.unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
