//! The files that TLS is made from. Read at each connection, as password files are: a rotation needs no restart, and files
//! that are broken for a moment cost that attempt only.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{InvalidTls, Pem, Tls, TlsMaterial};

/// All public authorities together have 220 KiB; what is larger is a wrong file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the configuration says about TLS with some servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that are trusted; `None`: the public ones.
    pub ca: Option<PathBuf>,
    /// Our own certificate, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The name to verify instead of the host.
    pub server_name: Option<String>,
}

/// Why there is no TLS to speak. The connection waits (`SourceTLS`, `TargetTLS`) and tries again.
#[derive(Debug, thiserror::Error)]
pub enum TlsReadError {
    /// A file is missing or may not be read.
    #[error("failed to read the file {} for TLS", path.display())]
    Read {
        /// The configured path.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file is too long to be what it should be.
    #[error("the file {} is larger than 1 MiB: it holds no certificates for TLS", path.display())]
    TooLarge {
        /// The configured path.
        path: PathBuf,
    },
    /// What they hold cannot be used.
    #[error(transparent)]
    Invalid(#[from] InvalidTls),
}

impl TlsFiles {
    /// Reads all of them.
    pub fn read(&self) -> Result<Tls, TlsReadError> {
        let Self { ca, certificate, server_name } = self;
        let ca = ca.as_deref().map(pem).transpose()?;
        let certificate = match certificate {
            Some((certificate, key)) => Some((pem(certificate)?, pem(key)?)),
            None => None,
        };
        let material = TlsMaterial { ca, certificate, server_name: server_name.clone() };
        Ok(Tls::new(&material)?)
    }
}

fn pem(path: &Path) -> Result<Pem, TlsReadError> {
    let failed = |source| TlsReadError::Read { path: path.to_owned(), source };
    let mut pem = Pem { from: path.display().to_string(), bytes: Vec::new() };
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut pem.bytes).map_err(failed)?;
    if pem.bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsReadError::TooLarge { path: path.to_owned() });
    }
    Ok(pem)
}
