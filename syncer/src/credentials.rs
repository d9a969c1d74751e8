//! Who we are to a server. A password is never shown: not in `Debug`, not in an error, not in a log.

use std::{
    fmt, fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

/// A password of more than this, with its newline, is a wrong file. Reading on would pull it into memory.
const PASSWORD_BYTES_MAX: usize = 64 << 10;

/// Why bytes are no password. It does not hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPassword {
    /// Nothing is in them.
    Empty,
    /// They are no UTF-8 text, or too long.
    NotText,
}

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// From the bytes of a file, or of a Secret's key. One newline at their end (with or without a carriage return)
    /// does not count: editors put it there.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, NoPassword> {
        if bytes.len() > PASSWORD_BYTES_MAX {
            return Err(NoPassword::NotText);
        }
        let mut text = String::from_utf8(bytes).map_err(|_| NoPassword::NotText)?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.is_empty() { Err(NoPassword::Empty) } else { Ok(Self(text)) }
    }

    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Drop for Secret {
    /// Best effort: copies that the allocator or the kernel made are out of reach.
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

/// What AUTH is sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// An ACL user (6.0 and newer); `None` is the default user.
    pub username: Option<String>,
    /// Its password.
    pub password: Secret,
}

impl Credentials {
    /// From what is in memory already; without a username it is the default user's password.
    pub fn new(username: Option<String>, password: String) -> Self {
        Self { username, password: Secret::new(password) }
    }
}

/// Where credentials come from. The password's file is read at each use, so a rotated password needs no
/// restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// An ACL user; `None` is the default user.
    pub username: Option<String>,
    /// The file that holds the password.
    pub password_file: PathBuf,
}

/// Why there are no credentials. The connection waits (`SourceAuth`, `TargetAuth`) and tries again.
#[derive(Debug, thiserror::Error)]
pub enum AuthReadError {
    /// The file is missing or may not be read.
    #[error("failed to read the password file {}", path.display())]
    Read {
        /// The configured path.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Nothing is in it (a secret that is being written, or a wrong key).
    #[error("the password file {} is empty", path.display())]
    Empty {
        /// The configured path.
        path: PathBuf,
    },
    /// It is not text, or too long for a password.
    #[error("the password file {} holds no password: it must be UTF-8 text of at most 64 KiB", path.display())]
    NotText {
        /// The configured path.
        path: PathBuf,
    },
}

impl Auth {
    /// Reads the file.
    pub fn read(&self) -> Result<Credentials, AuthReadError> {
        let path = || self.password_file.clone();
        let bytes = read_bounded(&self.password_file)
            .map_err(|source| AuthReadError::Read { path: path(), source })?;
        let password = Secret::from_bytes(bytes).map_err(|fault| match fault {
            NoPassword::Empty => AuthReadError::Empty { path: path() },
            NoPassword::NotText => AuthReadError::NotText { path: path() },
        })?;
        Ok(Credentials { username: self.username.clone(), password })
    }
}

/// At most so much that too much is seen.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(PASSWORD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(directory: &tempfile::TempDir) -> Auth {
        Auth { username: Some("sync".to_owned()), password_file: directory.path().join("p") }
    }

    #[test]
    fn bytes_are_a_password_without_their_last_newline() {
        let longest = vec![b'x'; PASSWORD_BYTES_MAX];
        let too_long = [&longest[..], b"\n"].concat();
        for (bytes, password) in [
            (&b"p"[..], Ok("p")),
            (b"p\n", Ok("p")),
            (b"p\r\n", Ok("p")),
            (b" p \n\n", Ok(" p \n")),
            (&longest, Ok(std::str::from_utf8(&longest).unwrap())),
            (b"", Err(NoPassword::Empty)),
            (b"\n", Err(NoPassword::Empty)),
            (b"\r\n", Err(NoPassword::Empty)),
            (b"\xff\xfe", Err(NoPassword::NotText)),
            (&too_long, Err(NoPassword::NotText)),
        ] {
            let told = Secret::from_bytes(bytes.to_vec());
            assert_eq!(told.as_ref().map(Secret::expose), password.as_ref().map(|text| *text));
        }
    }

    #[test]
    fn the_file_is_read_each_time_and_one_newline_is_trimmed() {
        let directory = tempfile::tempdir().unwrap();
        let auth = auth(&directory);
        assert!(matches!(auth.read(), Err(AuthReadError::Read { .. })));
        for (content, password) in
            [("one", "one"), ("two\n", "two"), ("three\r\n", "three"), (" x \n\n", " x \n")]
        {
            fs::write(&auth.password_file, content).unwrap();
            assert_eq!(auth.read().unwrap().password.expose(), password);
        }
    }

    #[test]
    fn a_file_without_a_password_is_said_to_have_none() {
        let directory = tempfile::tempdir().unwrap();
        let auth = auth(&directory);
        fs::write(&auth.password_file, "\n").unwrap();
        assert!(matches!(auth.read(), Err(AuthReadError::Empty { .. })));
        fs::write(&auth.password_file, [0xff, 0xfe]).unwrap();
        assert!(matches!(auth.read(), Err(AuthReadError::NotText { .. })));
        fs::write(&auth.password_file, "x".repeat((64 << 10) + 1)).unwrap();
        assert!(matches!(auth.read(), Err(AuthReadError::NotText { .. })));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let credentials = Credentials::new(None, "hunter2".to_owned());
        let shown = format!("{credentials:?} {credentials:#?}");
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    }
}
