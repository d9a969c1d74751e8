//! An authority that lives for one test, the certificates that it issues, and which ports of this process speak TLS.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use redis::{ClientTlsConfig, TlsCertificates};

/// Certificates of the tests live this long, from yesterday on.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The files of one end: whom it trusts, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The end's own certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The lines of a server's configuration.
    pub(crate) fn lines(&self) -> String {
        format!(
            "tls-ca-cert-file {}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients yes",
            self.ca.display(),
            self.certificate.display(),
            self.key.display()
        )
    }

    /// Puts the content of others in the place of these, each file in one step.
    pub fn replace_with(&self, others: &Self) -> Result<()> {
        for (from, to) in [
            (&others.ca, &self.ca),
            (&others.certificate, &self.certificate),
            (&others.key, &self.key),
        ] {
            let next = to.with_extension("next");
            fs::copy(from, &next)
                .and_then(|_| fs::rename(&next, to))
                .with_context(|| format!("failed to replace {}", to.display()))?;
        }
        Ok(())
    }
}

/// An authority. It issues certificates for servers and clients alike.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one: nobody trusts it yet.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().context("failed to make a key")?;
        let issuer =
            CertifiedIssuer::self_signed(params, key).context("failed to sign an authority")?;
        Ok(Self { issuer })
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Files in a directory of their own, for these names and addresses.
    pub fn issue(&self, directory: &Path, names: &[&str]) -> Result<TlsFiles> {
        self.issue_until(directory, names, SystemTime::now() + DAY)
    }

    /// The same, with the end of its time.
    pub fn issue_until(
        &self,
        directory: &Path,
        names: &[&str],
        not_after: SystemTime,
    ) -> Result<TlsFiles> {
        fs::create_dir_all(directory).context("failed to make a directory")?;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).context("no names of a certificate")?;
        params.distinguished_name.push(DnType::CommonName, "redissync test");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = (SystemTime::now() - 2 * DAY).into();
        params.not_after = not_after.into();
        let key = KeyPair::generate().context("failed to make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("failed to sign")?;
        let files = TlsFiles {
            ca: directory.join("ca.crt"),
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
        };
        for (path, text) in [
            (&files.ca, self.pem()),
            (&files.certificate, certificate.pem()),
            (&files.key, key.serialize_pem()),
        ] {
            fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))?;
        }
        Ok(files)
    }
}

/// The ports of this process's servers that speak TLS. Ports are the one thing that every client of the kit knows of a server.
static PORTS: LazyLock<Mutex<HashMap<u16, TlsFiles>>> = LazyLock::new(Mutex::default);

/// A server is about to listen there, with TLS or without.
pub(crate) fn register(port: u16, files: Option<&TlsFiles>) {
    let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    match files {
        Some(files) => drop(ports.insert(port, files.clone())),
        None => drop(ports.remove(&port)),
    }
}

/// What a client needs there; `None`: no TLS. Read anew each time, since a test may rotate the files.
pub(crate) fn of(port: u16) -> Option<TlsCertificates> {
    let files = PORTS.lock().unwrap_or_else(PoisonError::into_inner).get(&port).cloned()?;
    // One provider for the process; the second call finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |path: &Path| fs::read(path).unwrap_or_default();
    Some(TlsCertificates {
        client_tls: Some(ClientTlsConfig {
            client_cert: read(&files.certificate),
            client_key: read(&files.key),
        }),
        root_cert: Some(read(&files.ca)),
    })
}
