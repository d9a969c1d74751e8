//! Failovers by real Sentinels, at either end and at both, under a load that follows the master. What the new master
//! and the record say decides what is right: a full copy where the source lost what the target has, and none else.

mod both;
mod encrypted;
mod housekeeping;
mod in_place;
mod mapped;
mod names;
mod planned;
mod source;
mod target;
mod two_sets;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use redis::Connection;
use redissync_e2e::{
    info::info,
    ledger::{TornPairWatcher, TornPairs, fill},
    sentinel_set::{SentinelSet, SetOptions},
    syncer::{Report, SpoolOptions, Syncer, SyncerOptions, SyncerSite},
    wait::wait_until,
};

use crate::bed::{PATIENCE, seed, source_offset};

/// The pair of all these tests.
const PAIR: &str = "tools/cart";

/// The databases that the load writes.
const DATABASES: [u32; 3] = [0, 1, 5];

/// How long the load runs before each fault.
const LOAD_TIME: Duration = Duration::from_secs(2);

/// More than the kernel takes off a frozen replica's master: what is beyond it dies with the master.
const TAIL_VALUES: usize = 32;
const TAIL_VALUE_BYTES: usize = 1 << 20;

/// A set whose backlog outlasts a failover under load.
fn set_options() -> SetOptions {
    SetOptions::new().option("repl-backlog-size", "128mb")
}

fn syncer_options(source: SyncerSite, target: SyncerSite) -> SyncerOptions {
    let spool = SpoolOptions { max_bytes: Some(2 << 30), ..SpoolOptions::default() };
    SyncerOptions::new(PAIR, source, target).spool(spool)
}

/// Fills a set whose replicas then take a full copy: by commands alone a replica does not learn how many entries a
/// stream's group has read, so that a promoted one would differ from what was copied of its master.
fn fill_set(set: &mut SentinelSet, keys: u64) -> Result<()> {
    fill(&mut set.connect_master()?, keys, seed())?;
    let master = set.current_master()?;
    for index in (0..set.node_count()).filter(|index| *index != master) {
        set.node_mut(index)?.restart_empty()?;
    }
    set.wait_until_healthy(PATIENCE)?;
    Ok(())
}

/// A position as the target's record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    replid: String,
    offset: u64,
}

/// The record, read from a node of the target. Nothing while a full copy is under way.
fn recorded(connection: &mut Connection) -> Result<Option<Recorded>> {
    let (replid, offset): (Option<String>, Option<String>) = redis::cmd("HMGET")
        .arg(format!("redissync:{PAIR}:0"))
        .arg(&["replid", "offset"])
        .query(connection)
        .context("failed to read the record")?;
    Ok(match (replid, offset.and_then(|offset| offset.parse().ok())) {
        (Some(replid), Some(offset)) => Some(Recorded { replid, offset }),
        _ => None,
    })
}

/// A node's own words about its history.
#[derive(Debug, Clone)]
struct History {
    replid: String,
    replid2: String,
    /// The last offset that it shares with the history before its promotion.
    shared: u64,
}

impl History {
    fn read(connection: &mut Connection) -> Result<Self> {
        let fields: BTreeMap<String, String> = info(connection, "replication")?;
        let field = |name: &str| fields.get(name).cloned().with_context(|| format!("no {name}"));
        let second: i64 = field("second_repl_offset")?.parse().context("second_repl_offset")?;
        Ok(Self {
            replid: field("master_replid")?,
            replid2: field("master_replid2")?,
            shared: u64::try_from(second - 1).unwrap_or(0),
        })
    }

    /// Whether it holds all that the record says.
    fn holds(&self, recorded: &Recorded) -> bool {
        match recorded.replid {
            ref replid if *replid == self.replid => true,
            ref replid if *replid == self.replid2 => self.shared >= recorded.offset,
            _ => false,
        }
    }
}

/// Freezes every living node but the master.
fn freeze_replicas(set: &mut SentinelSet, master: usize) -> Result<()> {
    for index in (0..set.node_count()).filter(|index| *index != master) {
        set.node_mut(index)?.stop()?;
    }
    Ok(())
}

/// The end of [`freeze_replicas`].
fn thaw_replicas(set: &mut SentinelSet, master: usize) -> Result<()> {
    for index in (0..set.node_count()).filter(|index| *index != master) {
        set.node_mut(index)?.cont()?;
    }
    Ok(())
}

/// Writes more than fits between a master and its frozen replicas, and returns the source's offset behind it.
fn write_tail(source: &mut Connection, round: usize) -> Result<u64> {
    let value = vec![b'a' + (round % 26) as u8; TAIL_VALUE_BYTES];
    for number in 0..TAIL_VALUES {
        redis::cmd("SET").arg(format!("tail:{number}")).arg(&value).exec(source)?;
    }
    source_offset(source)
}

/// Waits until the other node is the master, looking at `look` all the while.
fn wait_for_new_master(
    set: &SentinelSet,
    old: usize,
    mut look: impl FnMut(),
) -> Result<(usize, History)> {
    let new = wait_until(&format!("a master other than node {old}"), PATIENCE, || {
        look();
        set.wait_for_new_master(old, Duration::ZERO).map(Some)
    })?;
    let history = History::read(&mut set.node(new)?.connect()?)?;
    Ok((new, history))
}

/// Waits until the syncer streams from the history called `replid` into the target, and the record says so.
fn wait_until_streaming(syncer: &mut Syncer, replid: &str) -> Result<Report> {
    syncer.wait_for(&format!("streaming of {replid}"), PATIENCE, |report| {
        report.phase() == "Streaming" && report.replid() == replid
    })
}

/// Watches the pairs at the target while `during` runs; the pairs must have been read.
fn watch_pairs<T>(
    address: &str,
    password: Option<&str>,
    during: impl FnOnce(&TornPairWatcher) -> Result<T>,
) -> Result<(T, TornPairs)> {
    let watcher = TornPairWatcher::start(address, password, &DATABASES)?;
    let result = during(&watcher)?;
    let pairs = watcher.stop()?;
    ensure!(pairs.read > 0, "no pair was read");
    Ok((result, pairs))
}

/// Starts the killed node again and waits until the set is whole.
fn heal(set: &mut SentinelSet, killed: usize) -> Result<usize> {
    set.revive(killed)?;
    set.wait_until_healthy(PATIENCE)
}
