//! A connection that asks and waits for the answer: AUTH, ROLE, INFO, SENTINEL, the record, the handshake.
//!
//! The hot paths (the source's stream, batches to the target) take the socket over with
//! [`Connection::into_parts`] and read it themselves. This is the only place that opens sockets.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    address::Peer,
    credentials::{Credentials, Secret},
    login::Login,
    resp::{self, RespError, encode, frame, frame::Frame},
    tls::{Tls, fault::TlsFault, probe, stream::Stream},
};

/// A peer that does not accept within this time is taken for gone. A silent cut must be told within 10 s,
/// and the attempt may come after a call that ran into its own limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that does not answer a small command within this time is taken for gone (same reason).
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// An alert that explains why the peer closed the connection is there already, or is lost.
const ALERT_TIMEOUT: Duration = Duration::from_millis(200);
/// The kernel's own probes end a connection whose peer is gone without a word: after 10 s of silence three
/// probes, 3 s apart.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// Replies of control commands are small; `CLIENT LIST` of 10,000 clients has about 4 MiB.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The name could not be resolved, or nothing accepts at the address.
    #[error("failed to connect to {address}")]
    Connect {
        /// The address as configured or announced, and the one that was dialled instead, if one was.
        address: String,
        /// The system's word.
        source: io::Error,
    },
    /// One end speaks TLS and the other does not, or the two do not accept each other's certificates.
    #[error("{address}: {fault}")]
    Tls {
        /// The address as configured or announced, and the one that was dialled instead, if one was.
        address: String,
        /// What is wrong, with the remedy.
        fault: TlsFault,
    },
    /// The peer did not answer in time.
    #[error("no answer to {command} within {} s", CALL_TIMEOUT.as_secs())]
    TimedOut {
        /// The command's name.
        command: String,
    },
    /// Nothing came, not even what keeps a connection alive.
    #[error("nothing came for {seconds} s")]
    Silent {
        /// For how long.
        seconds: u64,
    },
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The peer does not speak RESP2.
    #[error("the peer's answer is not RESP2")]
    Protocol(#[source] RespError),
    /// The peer refused a command.
    #[error("{command} was refused: {error}")]
    Refused {
        /// The command's name.
        command: String,
        /// The server's words, its error code first.
        error: String,
    },
    /// The answer is none that the command can have.
    #[error("unexpected answer to {command}")]
    Unexpected {
        /// The command's name.
        command: String,
    },
}

impl ConnectionError {
    /// The error code of a refusal (`NOAUTH`, `LOADING`, `ERR` …).
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => error.split_ascii_whitespace().next(),
            _ => None,
        }
    }

    /// Whether TLS failed: other certificates, or another configuration, may be right.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }

    /// Whether the peer refuses who we are, or what we may: another user or password may be right.
    pub fn is_refused_login(&self) -> bool {
        match self {
            Self::Refused { command, .. } => {
                command == "AUTH"
                    || matches!(self.code(), Some("NOAUTH" | "NOPERM" | "WRONGPASS" | "DENIED"))
            }
            _ => false,
        }
    }
}

/// An open connection, authenticated and named.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    buf: Vec<u8>,
}

impl Connection {
    /// Connects, with TLS if the login has it, authenticates and sets the connection's name.
    pub async fn open(peer: &Peer, login: &Login, name: &str) -> Result<Self, ConnectionError> {
        let connect = |source| ConnectionError::Connect { address: peer.to_string(), source };
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(&peer.dial))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(3);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(connect)?;
        let Login { credentials, tls } = login;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => encrypt(stream, tls, peer).await?,
        };
        let mut connection = Self { stream, buf: Vec::new() };
        match connection.introduce(credentials.as_ref(), name).await {
            Ok(()) => Ok(connection),
            Err(error) => Err(connection.explain(error, tls.as_ref(), peer).await),
        }
    }

    /// What the first exchange failed for, as far as TLS has to do with it. A server of TLS 1.3 refuses our certificate only
    /// after the handshake, and a server that expects TLS closes a connection without it and says nothing.
    async fn explain(
        &mut self,
        error: ConnectionError,
        tls: Option<&Tls>,
        peer: &Peer,
    ) -> ConnectionError {
        let fault = match (tls, &error) {
            (Some(tls), ConnectionError::Io(cause)) => match tls.fault(cause) {
                Some(fault) => Some(fault),
                // The write may have failed before the alert was read.
                None => match timeout(ALERT_TIMEOUT, self.stream.read_buf(&mut self.buf)).await {
                    Ok(Err(cause)) => tls.fault(&cause),
                    _ => None,
                },
            },
            (
                None,
                ConnectionError::Io(_) | ConnectionError::Closed | ConnectionError::Protocol(_),
            ) => probe::speaks_tls(&peer.dial).await.then_some(TlsFault::SpeaksTls),
            _ => None,
        };
        match fault {
            Some(fault) => ConnectionError::Tls { address: peer.to_string(), fault },
            None => error,
        }
    }

    async fn introduce(
        &mut self,
        credentials: Option<&Credentials>,
        name: &str,
    ) -> Result<(), ConnectionError> {
        if let Some(Credentials { username, password }) = credentials {
            let outcome = match username {
                Some(username) => self.call(&["AUTH", username, password.expose()]).await,
                None => self.call(&["AUTH", password.expose()]).await,
            };
            outcome.map_err(|err| without_password(err, password))?;
        }
        // Before the first write, so that a take-over finds every connection that could write (Promise 7).
        // A Sentinel before 6.2 and a narrow ACL refuse it; who depends on the name checks it in CLIENT LIST.
        match self.call(&["CLIENT", "SETNAME", name]).await {
            Ok(_) | Err(ConnectionError::Refused { .. }) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Sends a command and waits for its answer; an error of the server is `Err(Refused)`.
    pub async fn call<A: AsRef<[u8]>>(
        &mut self,
        arguments: &[A],
    ) -> Result<Frame, ConnectionError> {
        let command = || {
            arguments.first().map_or_else(String::new, |name| {
                String::from_utf8_lossy(name.as_ref()).into_owned()
            })
        };
        let exchange = async {
            self.send(arguments).await?;
            self.read_frame().await
        };
        match timeout(CALL_TIMEOUT, exchange).await {
            Err(_) => Err(ConnectionError::TimedOut { command: command() }),
            Ok(Ok(Frame::Error(error))) => {
                Err(ConnectionError::Refused { command: command(), error })
            }
            Ok(other) => other,
        }
    }

    /// Sends several commands at once and waits for all their answers, errors of the server among them: one round trip.
    pub async fn call_each<A: AsRef<[u8]>>(
        &mut self,
        commands: &[Vec<A>],
    ) -> Result<Vec<Frame>, ConnectionError> {
        let command = || {
            let name = commands.first().and_then(|words| words.first());
            name.map_or_else(String::new, |name| {
                String::from_utf8_lossy(name.as_ref()).into_owned()
            })
        };
        let exchange = async {
            let mut out = Vec::new();
            for words in commands {
                encode::command(&mut out, words);
            }
            self.stream.write_all(&out).await.map_err(ConnectionError::Io)?;
            self.stream.flush().await.map_err(ConnectionError::Io)?;
            let mut answers = Vec::with_capacity(commands.len());
            for _ in commands {
                answers.push(self.read_frame().await?);
            }
            Ok(answers)
        };
        match timeout(CALL_TIMEOUT, exchange).await {
            Err(_) => Err(ConnectionError::TimedOut { command: command() }),
            Ok(answers) => answers,
        }
    }

    /// Sends a command without waiting.
    pub async fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<(), ConnectionError> {
        let mut out = Vec::new();
        encode::command(&mut out, arguments);
        let sent = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        };
        sent.await.map_err(ConnectionError::Io)
    }

    /// The next whole value, errors included, however long it takes.
    pub async fn read_frame(&mut self) -> Result<Frame, ConnectionError> {
        loop {
            if let Some((frame, length)) =
                frame::decode(&self.buf).map_err(ConnectionError::Protocol)?
            {
                self.buf.drain(..length);
                return Ok(frame);
            }
            if self.buf.len() > REPLY_BYTES_MAX {
                let (length, limit) = (self.buf.len() as u64, REPLY_BYTES_MAX as u64);
                return Err(ConnectionError::Protocol(RespError::TooLong { length, limit }));
            }
            if self.stream.read_buf(&mut self.buf).await.map_err(ConnectionError::Io)? == 0 {
                return Err(ConnectionError::Closed);
            }
        }
    }

    /// The next line, without CR LF; line feeds before it keep the connection alive and are passed over. Fails when
    /// nothing at all comes for `silence_max`.
    pub async fn read_line(&mut self, silence_max: Duration) -> Result<String, ConnectionError> {
        loop {
            let keep_alives = self.buf.iter().take_while(|byte| **byte == b'\n').count();
            self.buf.drain(..keep_alives);
            if let Some((line, next)) =
                resp::line(&self.buf, 0).map_err(ConnectionError::Protocol)?
            {
                let line = String::from_utf8_lossy(line).into_owned();
                self.buf.drain(..next);
                return Ok(line);
            }
            match timeout(silence_max, self.stream.read_buf(&mut self.buf)).await {
                Err(_) => return Err(ConnectionError::Silent { seconds: silence_max.as_secs() }),
                Ok(Err(error)) => return Err(ConnectionError::Io(error)),
                Ok(Ok(0)) => return Err(ConnectionError::Closed),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// The socket, and the bytes that were read from it and not yet used.
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        (self.stream, self.buf)
    }
}

/// The handshake. A server that speaks without TLS waits for the end of a line: silence is looked into.
async fn encrypt(stream: TcpStream, tls: &Tls, peer: &Peer) -> Result<Stream, ConnectionError> {
    let fault = |fault| ConnectionError::Tls { address: peer.to_string(), fault };
    let error = match timeout(CALL_TIMEOUT, tls.connect(stream, peer)).await {
        Ok(Ok(stream)) => return Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => match tls.fault(&error) {
            Some(found) => return Err(fault(found)),
            None if error.kind() == io::ErrorKind::UnexpectedEof => ConnectionError::Closed,
            None => ConnectionError::Io(error),
        },
        Err(_) => ConnectionError::TimedOut { command: "the TLS handshake".to_owned() },
    };
    match probe::speaks_plain(&peer.dial).await {
        true => Err(fault(TlsFault::SpeaksPlain)),
        false => Err(error),
    }
}

/// A server that does not know AUTH, since it was renamed, repeats what it was sent: `unknown command 'AUTH', with args
/// beginning with: 'the password'` (2.8 to 9.1). Such a text ends in logs and in the status.
fn without_password(refusal: ConnectionError, password: &Secret) -> ConnectionError {
    match refusal {
        ConnectionError::Refused { command, error } => {
            let kept = error.split(", with args").next().unwrap_or_default();
            // The code decides what is done about it, whatever the password is.
            let (code, text) = kept.split_at(kept.find(' ').unwrap_or(kept.len()));
            let text = text.replace(password.expose(), "***");
            ConnectionError::Refused { command, error: format!("{code}{text}") }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_the_server_repeats_is_not_in_the_error() {
        let password = Secret::new("open sesame".to_owned());
        for (said, kept) in [
            (
                "ERR unknown command 'AUTH', with args beginning with: 'open sesame' ",
                "ERR unknown command 'AUTH'",
            ),
            (
                "ERR unknown command `AUTH`, with args beginning with: `u`, `open ses",
                "ERR unknown command `AUTH`",
            ),
            ("ERR no such user: u open sesame", "ERR no such user: u ***"),
            (
                "WRONGPASS invalid username-password pair",
                "WRONGPASS invalid username-password pair",
            ),
        ] {
            let refusal =
                ConnectionError::Refused { command: "AUTH".to_owned(), error: said.to_owned() };
            let told = without_password(refusal, &password).to_string();
            assert_eq!(told, format!("AUTH was refused: {kept}"));
        }
        let refusal = ConnectionError::Refused {
            command: "AUTH".to_owned(),
            error: "WRONGPASS no".to_owned(),
        };
        let told = without_password(refusal, &Secret::new("PASS".to_owned()));
        assert_eq!(told.code(), Some("WRONGPASS"));
    }
}
