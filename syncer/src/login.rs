//! How a server is entered: over TLS or without, and as whom. Read from the files that the configuration names at each
//! connection, so that what was rotated counts at the next one.

use std::sync::Arc;

use crate::{
    credentials::{Auth, AuthReadError, Credentials},
    tls::{
        Tls,
        files::{TlsFiles, TlsReadError},
    },
};

/// What one connection is opened with.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// What AUTH is sent with; `None`: it is not sent.
    pub credentials: Option<Credentials>,
    /// How the server is verified; `None`: without TLS.
    pub tls: Option<Tls>,
}

/// Where a login comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginFiles {
    /// The user and its password.
    pub auth: Option<Auth>,
    /// The certificates.
    pub tls: Option<TlsFiles>,
}

/// Why there is nothing to log in with.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The password file cannot be read.
    #[error(transparent)]
    Password(#[from] AuthReadError),
    /// The files for TLS cannot be read, or do not fit.
    #[error(transparent)]
    Tls(#[from] TlsReadError),
}

/// Gives what to log in with. Called at each connect, so that a file that was changed counts at once.
pub type LoginSource = Arc<dyn Fn() -> Result<Login, LoginError> + Send + Sync>;

/// A login that is in memory already.
pub fn fixed_login(login: Login) -> LoginSource {
    Arc::new(move || Ok(login.clone()))
}

impl LoginFiles {
    /// Reads all of them.
    pub fn read(&self) -> Result<Login, LoginError> {
        let Self { auth, tls } = self;
        Ok(Login {
            credentials: auth.as_ref().map(Auth::read).transpose()?,
            tls: tls.as_ref().map(TlsFiles::read).transpose()?,
        })
    }
}
