//! TLS to a server: whom we trust, what we show of ourselves, and under which name the server is verified.
//!
//! The material is PEM text, from files (the syncer) or from memory (the operator), and is turned into a [`Tls`] anew for
//! each connection: what a rotation has put there counts at the next one, and a connection that works is left alone. There
//! is no way to leave the verification out, and no session is resumed, so each connection proves itself. A private key is
//! never shown: not in `Debug`, not in an error.

pub mod fault;
pub mod files;
pub mod probe;
pub mod stream;

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{io::BufReader, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::fault::TlsFault;
use crate::address::{HostPort, Peer};

/// Read from the socket at once. The TLS library asks for 4 KiB at a time, which would be a system call each.
const READ_BYTES: usize = 64 << 10;

/// PEM text and where it comes from, for people: a file's path, or a Secret's key.
#[derive(Clone)]
pub struct Pem {
    /// Where it comes from.
    pub from: String,
    /// The text. It may hold a private key.
    pub bytes: Vec<u8>,
}

/// What TLS is made from.
#[derive(Clone, Debug, Default)]
pub struct TlsMaterial {
    /// The certificates of the authorities that we trust; `None`: the public ones.
    pub ca: Option<Pem>,
    /// Our own certificate with its chain, and its private key; `None`: we show none.
    pub certificate: Option<(Pem, Pem)>,
    /// The name that the server is verified under and that it is sent (SNI), instead of the host.
    pub server_name: Option<String>,
}

/// Why material cannot be used. It is a human's to put right, and read again at each attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTls {
    /// No certificate is in it.
    #[error("{from} holds no certificate: it must be PEM text, with -----BEGIN CERTIFICATE-----")]
    NoCertificate {
        /// Where it comes from.
        from: String,
    },
    /// What stands there as a certificate is none.
    #[error("{from} holds a certificate that cannot be read ({why}): write it anew")]
    BadCertificate {
        /// Where it comes from.
        from: String,
        /// The library's words.
        why: String,
    },
    /// No private key is in it.
    #[error(
        "{from} holds no private key: it must be PEM text, with -----BEGIN PRIVATE KEY----- (or RSA, or EC), and not be encrypted"
    )]
    NoKey {
        /// Where it comes from.
        from: String,
    },
    /// The two do not belong together, or the key is of a kind that is not known.
    #[error(
        "the private key of {key} does not fit the certificate of {certificate} ({why}): give both of one pair"
    )]
    Mismatch {
        /// Where the certificate comes from.
        certificate: String,
        /// Where the key comes from.
        key: String,
        /// The library's words.
        why: String,
    },
    /// No certificate can have this name.
    #[error("serverName '{0}' is no name of a host and no address: correct it")]
    ServerName(String),
}

/// Ready for connections. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    /// Whom it trusts, for people.
    trusted: Arc<str>,
    has_certificate: bool,
}

/// Whether a text can be the name that a server is verified under.
pub fn is_server_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

impl Tls {
    /// From material; everything that can be told without a server is told here.
    pub fn new(material: &TlsMaterial) -> Result<Self, InvalidTls> {
        let TlsMaterial { ca, certificate, server_name } = material;
        let (roots, trusted) = match ca {
            Some(ca) => (roots(ca)?, format!("an authority of {}", ca.from)),
            None => {
                let public = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
                (public, "a public authority (no CA of its own is configured)".to_owned())
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of both versions")
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|why| InvalidTls::Mismatch {
                    certificate: certificate.from.clone(),
                    key: key.from.clone(),
                    why: why.to_string(),
                })?,
        };
        config.resumption = rustls::client::Resumption::disabled();
        let server_name = server_name.as_ref().map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| InvalidTls::ServerName(name.clone()))
        });
        Ok(Self {
            config: Arc::new(config),
            server_name: server_name.transpose()?,
            trusted: trusted.into(),
            has_certificate: certificate.is_some(),
        })
    }

    /// The handshake. Without a name of its own the server is verified under the host by which it is called, not under
    /// the one that is dialled instead: the map says where a node is reached, not who it is.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        peer: &Peer,
    ) -> Result<TlsStream<BufReader<TcpStream>>, std::io::Error> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => host(peer).ok_or_else(|| std::io::Error::other(TlsFault::NoName))?,
        };
        let stream = BufReader::with_capacity(READ_BYTES, stream);
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }

    /// What an error of the handshake, or of what follows it, means; `None`: nothing about TLS.
    pub(crate) fn fault(&self, error: &std::io::Error) -> Option<TlsFault> {
        fault::of(error, &self.trusted, self.has_certificate)
    }
}

fn host(peer: &Peer) -> Option<ServerName<'static>> {
    let address: HostPort = peer.address.parse().ok()?;
    ServerName::try_from(address.host().to_owned()).ok()
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    // The library's words may hold lines of the file, and so a key that was put there by mistake.
    let bad = |_| {
        InvalidTls::BadCertificate {
        from: pem.from.clone(),
        why: "it is no PEM: lines `-----BEGIN CERTIFICATE-----` and `-----END CERTIFICATE-----` with base64 between them"
            .to_owned(),
    }
    };
    let found =
        CertificateDer::pem_slice_iter(&pem.bytes).collect::<Result<Vec<_>, _>>().map_err(bad)?;
    match found.is_empty() {
        true => Err(InvalidTls::NoCertificate { from: pem.from.clone() }),
        false => Ok(found),
    }
}

fn roots(pem: &Pem) -> Result<RootCertStore, InvalidTls> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|why| InvalidTls::BadCertificate {
            from: pem.from.clone(),
            why: why.to_string(),
        })?;
    }
    Ok(roots)
}

/// The library's words are left out: nobody has checked that they hold nothing of the key.
fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, InvalidTls> {
    PrivateKeyDer::from_pem_slice(&pem.bytes)
        .map_err(|_| InvalidTls::NoKey { from: pem.from.clone() })
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({}, {} bytes)", self.from, self.bytes.len())
    }
}

impl Drop for Pem {
    /// Best effort, as for a password.
    fn drop(&mut self) {
        self.bytes.fill(0);
        std::hint::black_box(&self.bytes);
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls(trusts {}, as {:?})", self.trusted, self.server_name)
    }
}

#[cfg(test)]
mod tests;
