//! What a server speaks that does not answer in the expected way. A TLS port closes a plain connection without a word, and
//! a plain port waits for the end of a line that a TLS greeting never has: only the other question tells them from a
//! server that is gone. Asked only after a failure, on a connection of its own.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A server on its way to being told as unreachable is given little more: the whole must be told within 10 s.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The first byte of a handshake, and of an alert.
const TLS_ANSWERS: [u8; 2] = [0x16, 0x15];

/// Whether RESP is answered with RESP there.
pub(crate) async fn speaks_plain(dial: &str) -> bool {
    let answer = timeout(PROBE_TIMEOUT, first_byte(dial, b"*1\r\n$4\r\nPING\r\n")).await;
    matches!(answer, Ok(Ok(Some(b'+' | b'-'))))
}

/// Whether a TLS greeting is answered there.
pub(crate) async fn speaks_tls(dial: &str) -> bool {
    let Some(greeting) = greeting() else { return false };
    let answer = timeout(PROBE_TIMEOUT, first_byte(dial, &greeting)).await;
    matches!(answer, Ok(Ok(Some(byte))) if TLS_ANSWERS.contains(&byte))
}

/// Whether anything is answered there within the time, be it an error.
pub(crate) async fn answers(dial: &str, is_tls: bool, within: Duration) -> bool {
    let greeting = match is_tls {
        true => greeting().unwrap_or_default(),
        false => b"*1\r\n$4\r\nPING\r\n".to_vec(),
    };
    matches!(timeout(within, first_byte(dial, &greeting)).await, Ok(Ok(Some(_))))
}

async fn first_byte(dial: &str, greeting: &[u8]) -> io::Result<Option<u8>> {
    let mut stream = TcpStream::connect(dial).await?;
    stream.write_all(greeting).await?;
    let mut byte = [0];
    Ok((stream.read(&mut byte).await? == 1).then_some(byte[0]))
}

/// Trusts nobody: nothing is believed of what is answered.
fn greeting() -> Option<Vec<u8>> {
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
    let name = ServerName::try_from("redis").ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut greeting = Vec::new();
    connection.write_tls(&mut greeting).ok()?;
    Some(greeting)
}
