//! A relay before the source that notes what is acknowledged: a source forgets it with the connection, and MONITOR does
//! not show it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};

/// What stands before the offset in `REPLCONF ACK <offset>`, up to the offset's length.
const ACK: &[u8] = b"REPLCONF\r\n$3\r\nACK\r\n$";

/// A running relay. It ends with the test's process: its threads wait for connections that others own.
pub(super) struct AckTap {
    address: String,
    /// Of the last acknowledgement; `u64::MAX` before the first.
    last: Arc<AtomicU64>,
}

impl AckTap {
    pub(super) fn start(upstream: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen")?;
        let address = listener.local_addr().context("no address")?.to_string();
        let last = Arc::new(AtomicU64::new(u64::MAX));
        let (upstream, noted) = (upstream.to_string(), Arc::clone(&last));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A refused connection is dropped, as the source itself would.
                if let Ok(server) = TcpStream::connect(&upstream) {
                    let _ = relay(client, server, Arc::clone(&noted));
                }
            }
        });
        Ok(Self { address, last })
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    pub(super) fn last_ack(&self) -> Option<u64> {
        Some(self.last.load(Ordering::Relaxed)).filter(|offset| *offset != u64::MAX)
    }
}

fn relay(client: TcpStream, server: TcpStream, noted: Arc<AtomicU64>) -> std::io::Result<()> {
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let mut seen = Vec::new();
    thread::spawn(move || {
        pass(from_client, to_server, move |bytes| {
            seen.extend_from_slice(bytes);
            while let Some((offset, end)) = find_ack(&seen) {
                noted.store(offset, Ordering::Relaxed);
                seen.drain(..end);
            }
            // An acknowledgement may be cut in two; it is shorter than this.
            seen.drain(..seen.len().saturating_sub(100));
        });
    });
    thread::spawn(move || pass(server, client, |_| {}));
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut buf = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buf) {
        note(&buf[..length]);
        if to.write_all(&buf[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// The first acknowledgement, and where it ends.
fn find_ack(bytes: &[u8]) -> Option<(u64, usize)> {
    let at = bytes.windows(ACK.len()).position(|window| window == ACK)? + ACK.len();
    let mut lines = bytes.get(at..)?.split(|&byte| byte == b'\n');
    let (length, digits) = (lines.next()?, lines.next()?);
    // The last line counts only when its end was seen.
    lines.next()?;
    let offset = std::str::from_utf8(digits).ok()?.trim_end().parse().ok()?;
    Some((offset, at + length.len() + digits.len() + 2))
}

#[test]
fn an_acknowledgement_is_found_when_it_is_whole() {
    let text = b"x*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$2\r\n42\r\n*3";
    assert_eq!(find_ack(text), Some((42, text.len() - 2)));
    assert_eq!(find_ack(&text[..text.len() - 4]), None);
}
