//! A site whose sentinels announce addresses that lead nowhere from here: the map makes it work, through a failover.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    compare::CompareOptions,
    sentinel_set::SentinelSet,
    servers::ServerVersion,
    syncer::{Syncer, SyncerSite, Topology},
};
use serde_json::{Value, json};

use super::{fill_set, heal, set_options, syncer_options, two_sets::TwoSets, wait_for_new_master};
use crate::{
    bed::{PATIENCE, binary},
    pair::waiting_reason,
};

/// What the nodes call themselves.
const WITHIN: &[u8] = b"127.0.0.1";
/// What is heard of them from outside: of the same length, so that RESP stays right, and nobody's (RFC 5737).
const OUTSIDE: &str = "192.0.2.1";

/// Stands before a sentinel, and lets it name its nodes and the other sentinels by addresses that lead nowhere. Its
/// threads end with their connections, the listening one with the test's process.
fn disguise(sentinel: String) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen")?;
    let address = listener.local_addr().context("no address")?.to_string();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(upstream) = TcpStream::connect(&sentinel) else { continue };
            let (Ok(questions), Ok(asked)) = (client.try_clone(), upstream.try_clone()) else {
                continue;
            };
            thread::spawn(move || pass(questions, asked, |_| 0));
            thread::spawn(move || pass(upstream, client, rename));
        }
    });
    Ok(address)
}

/// Passes bytes on, changed; what `change` holds back (a count of bytes) goes with the next ones.
fn pass(mut from: TcpStream, mut to: TcpStream, change: fn(&mut [u8]) -> usize) {
    let (mut held, mut buf) = (Vec::new(), [0; 4096]);
    while let Ok(count) = from.read(&mut buf) {
        held.extend_from_slice(&buf[..count]);
        let ready = held.len() - if count == 0 { 0 } else { change(&mut held) };
        if to.write_all(&held[..ready]).is_err() || count == 0 {
            break;
        }
        held.drain(..ready);
    }
    let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
}

/// Renames what is whole; an address that is cut at the end is held back.
fn rename(bytes: &mut [u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &mut bytes[at..];
        if rest.starts_with(WITHIN) {
            rest[..WITHIN.len()].copy_from_slice(OUTSIDE.as_bytes());
        } else if rest.len() < WITHIN.len() && WITHIN.starts_with(rest) {
            return rest.len();
        }
        at += 1;
    }
    0
}

/// The site from outside: the name that is configured, and what the map has to say.
fn from_outside(name: &str, set: &SentinelSet) -> Result<(SyncerSite, Value)> {
    let mut map = vec![json!({ "announced": OUTSIDE, "dial": "127.0.0.1" })];
    let mut endpoints = Vec::new();
    for endpoint in set.endpoints() {
        let (_, port) = endpoint.rsplit_once(':').context("no port")?;
        let announced = format!("{OUTSIDE}:{port}");
        map.push(json!({ "announced": announced, "dial": disguise(endpoint.clone())? }));
        endpoints.push(announced);
    }
    // The other two are found through the first one.
    endpoints.truncate(1);
    let topology = Topology::Sentinel {
        master_name: set.master_name().to_owned(),
        endpoints,
        username: None,
        password: None,
        tls: None,
    };
    Ok((SyncerSite { topology, ..SyncerSite::sentinel_set(name, set) }, Value::Array(map)))
}

#[test]
fn addresses_that_lead_nowhere_are_dialled_as_the_map_says() -> Result<()> {
    let version = ServerVersion::Redis70;
    let mut source = SentinelSet::start(version, &set_options())?;
    let target = SentinelSet::start(version, &set_options())?;
    fill_set(&mut source, 20_000)?;
    let (source_site, source_map) = from_outside("beijing", &source)?;
    let (target_site, target_map) = from_outside("shanghai", &target)?;
    let mut syncer = Syncer::start(&binary(), &syncer_options(source_site, target_site))?;
    syncer.wait_for("masters that cannot be found", PATIENCE, |report| {
        waiting_reason(report) == "TargetNoMaster"
    })?;
    // Taken over while it runs.
    syncer.rewrite_config(|options| {
        options.extra = json!({
            "source": { "addressMap": source_map }, "target": { "addressMap": target_map },
        });
    })?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    let mut bed = TwoSets { source, target, syncer };
    let load = bed.load(3_000)?;
    thread::sleep(super::LOAD_TIME);
    let killed = bed.target.kill_master9()?;
    wait_for_new_master(&bed.target, killed, || {})?;
    bed.wait_for_all()?;
    heal(&mut bed.target, killed)?;
    let killed = bed.source.kill_master9()?;
    wait_for_new_master(&bed.source, killed, || {})?;
    bed.wait_for_all()?;
    heal(&mut bed.source, killed)?;
    let report = bed.syncer.report()?;
    for address in [report.source_address(), report.target_address()] {
        ensure!(address.starts_with(OUTSIDE), "{address} is not what is announced");
    }
    for end in ["source", "target"] {
        ensure!(report.number(&format!("/links/0/counters/failovers/{end}")) == Some(1), "{end}");
    }
    bed.finish_with(load, &CompareOptions::synced())
}
