//! Loopback ports for servers that are started, killed and started again on the same one.

use std::{
    collections::HashSet,
    fs,
    net::TcpListener,
    process,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};

use crate::random::Random;

/// Ports are never handed out twice in one process: a client of an earlier test that still reconnects must not reach
/// the server of a later one.
static HANDED_OUT: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// Below are the ports of well-known services.
const LOWEST: u16 = 10_000;

/// A free port of 127.0.0.1.
///
/// It lies below the range from which the kernel takes the local ports of clients: there, a dead server's port can be
/// taken by somebody's connection, and a client that retries a dead port can even connect to itself. Two processes can
/// still be given the same port, so whoever binds it must be ready to ask for another.
pub fn free_port() -> Result<u16> {
    let highest = ephemeral_lowest().unwrap_or(32_768);
    if highest <= LOWEST {
        bail!("the kernel uses all ports from {highest} on for clients");
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = Random::new(u64::from(process::id()) << 32 ^ clock.as_nanos() as u64);
    let mut guard = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let handed_out = guard.get_or_insert_default();
    for _ in 0..10_000 {
        let port = LOWEST + random.below(u64::from(highest - LOWEST)) as u16;
        if !handed_out.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            handed_out.insert(port);
            return Ok(port);
        }
    }
    bail!("found no free port from {LOWEST} to {highest}, {} are handed out", handed_out.len())
}

fn ephemeral_lowest() -> Option<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}
