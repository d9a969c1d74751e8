//! The part of step 1 that is about TLS, pure: from what Secrets hold to a [`Tls`], by the syncer's own rules, so that a
//! Secret that the syncer could not use is told before a pod starts. A private key is never shown.

use redissync_syncer::tls::{InvalidTls, Pem, Tls, TlsMaterial};

use super::dereference::SecretFault;
use crate::{
    build::syncer_config::{CERTIFICATE_KEY, PRIVATE_KEY, Servers},
    crd::{RedisSyncSpec, SiteSpec, TlsSpec},
};

/// Why there is no TLS to speak with some servers. It is the user's to put right, so it is a value and no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSecretFault {
    /// A Secret or its key is not there.
    Missing {
        /// The field of `tls` that names it.
        field: &'static str,
        /// The Secret.
        name: String,
        /// The key.
        key: String,
        /// What is wrong.
        fault: SecretFault,
    },
    /// What is there cannot be used.
    Invalid(InvalidTls),
}

/// Each `tls` of a spec, with its site and the servers that it is for.
pub fn of_spec(spec: &RedisSyncSpec) -> impl Iterator<Item = (&SiteSpec, Servers, &TlsSpec)> {
    spec.sites.iter().flat_map(|site| {
        Servers::ALL
            .into_iter()
            .filter_map(move |servers| Some((site, servers, of(site, servers)?)))
    })
}

/// The `tls` of some servers of a site.
pub fn of(site: &SiteSpec, servers: Servers) -> Option<&TlsSpec> {
    match servers {
        Servers::DataNodes => site.tls.as_ref(),
        Servers::Sentinels => site.sentinel.as_ref()?.tls.as_ref(),
    }
}

/// The Secrets that a `tls` names.
pub fn names(tls: &TlsSpec) -> impl Iterator<Item = &str> {
    let ca = tls.ca_secret_ref.as_ref().map(|reference| reference.name.as_str());
    let certificate = tls.certificate_secret_ref.as_ref().map(|reference| reference.name.as_str());
    ca.into_iter().chain(certificate)
}

/// From what `find` gives for a Secret's name and a key.
pub fn resolve(
    tls: &TlsSpec,
    find: impl Fn(&str, &str) -> Result<Vec<u8>, SecretFault>,
) -> Result<Tls, TlsSecretFault> {
    let pem = |field: &'static str, name: &str, key: &str| match find(name, key) {
        Ok(bytes) => Ok(Pem { from: format!("key '{key}' of the Secret '{name}'"), bytes }),
        Err(fault) => Err(TlsSecretFault::Missing {
            field,
            name: name.to_owned(),
            key: key.to_owned(),
            fault,
        }),
    };
    let ca = tls.ca_secret_ref.as_ref();
    let ca = ca.map(|ca| pem("caSecretRef", &ca.name, &ca.key)).transpose()?;
    let certificate = match &tls.certificate_secret_ref {
        Some(reference) => {
            let part = |key| pem("certificateSecretRef", &reference.name, key);
            Some((part(CERTIFICATE_KEY)?, part(PRIVATE_KEY)?))
        }
        None => None,
    };
    let material = TlsMaterial { ca, certificate, server_name: tls.server_name.clone() };
    Tls::new(&material).map_err(TlsSecretFault::Invalid)
}
