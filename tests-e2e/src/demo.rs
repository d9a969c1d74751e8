//! The demonstration: what it is going to do, the run with both failovers before the user's eyes, and what was seen.
//!
//! | module | what it gives |
//! |---|---|
//! | `screen` | lines for a person: plain in a file, with colours on a terminal |
//! | `watch` | the table, a line each second, and how each failover went |
//! | `verdict` | the closing comparison, in words |
//! | `cluster` | the same in a Kubernetes cluster, with the feature `cluster` |

#[cfg(feature = "cluster")]
pub mod cluster;
mod screen;
mod verdict;
mod watch;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use self::{
    screen::{Screen, grouped},
    verdict::Evidence,
    watch::{Failover, Watch},
};
use crate::{
    Load, LoadOptions, SentinelSet, ServerVersion, SetOptions, Syncer, SyncerOptions,
    TornPairWatcher, fill, info::info, syncer::SyncerSite, wait_until,
};

/// On a busy machine a full copy of the preload takes seconds; this is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The databases that the load writes.
const DATABASES: [u32; 3] = [0, 1, 5];

/// What the demonstration is started with.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The syncer's program.
    pub syncer: PathBuf,
    /// How long the load runs once the first copy has ended.
    pub seconds: u64,
    /// The servers of both sites.
    pub version: ServerVersion,
    /// Keys that the source has before the syncer starts.
    pub keys: u64,
    /// Writes each second.
    pub rate: u32,
}

/// Runs it and says whether everything was as promised.
pub fn run(options: &DemoOptions) -> Result<bool> {
    // The syncer works in a directory of its own.
    let program = options
        .syncer
        .canonicalize()
        .with_context(|| format!("there is no syncer at {}", options.syncer.display()))?;
    let screen = Screen::new();
    introduce(&screen, options);
    let mut source = start_set(&screen, options, "source")?;
    let mut target = start_set(&screen, options, "target")?;
    fill(&mut source.connect_master()?, options.keys, 1)?;
    let endpoint = source.load_endpoint();
    let load = Load::start(LoadOptions::new(endpoint).rate_per_second(options.rate))?;

    screen.step("the syncer starts; one line a second from here on");
    let sites = SyncerOptions::new(
        "demo",
        SyncerSite::sentinel_set("source", &source),
        SyncerSite::sentinel_set("target", &target),
    );
    let mut syncer = Syncer::start(&program, &sites)?;
    let mut watch = Watch::new(&screen);
    let copied_at = watch.until_streaming(&mut syncer, PATIENCE)?;
    screen.event(copied_at, "the first full copy is done; from now on the stream is followed");
    let pairs = TornPairWatcher::start(&target.master_address()?, target.password(), &DATABASES)?;

    let part = Duration::from_secs(options.seconds) / 6;
    watch.for_a_while(&mut syncer, part)?;
    let source_failover = watch.fail_over("source", &mut source, &mut syncer, |_| {})?;
    let needed_copies = 1 + copies_that_a_rollback_needed(&screen, &source, &source_failover)?;
    watch.for_a_while(&mut syncer, part)?;
    let target_failover = watch
        .fail_over("target", &mut target, &mut syncer, |address| pairs.set_address(address))?;
    watch.for_a_while(&mut syncer, part * 2)?;

    let ledger = load.stop()?;
    screen.event(watch.now(), "the load ends; the target gets the rest");
    let end = source_offset(&source)?;
    watch.until(&mut syncer, "the target to have everything", PATIENCE, |report| {
        report.checkpoint().is_some_and(|checkpoint| checkpoint >= end)
    })?;
    let pairs = pairs.stop()?;
    let report = syncer.report()?;
    screen.step("both sides are compared key by key: type, value and time to live");
    let evidence = Evidence {
        ledger,
        pairs,
        report,
        needed_copies,
        failovers: [source_failover, target_failover],
    };
    let verdict =
        evidence.judge(&screen, &mut source.connect_master()?, &mut target.connect_master()?)?;
    if !verdict {
        screen.plain(&format!("the syncer's last words:\n{}", syncer.log_tail(20)));
    }
    Ok(verdict)
}

fn introduce(screen: &Screen, options: &DemoOptions) {
    screen.title(
        "RedisSync: one Redis copied into another and followed, through failovers at both ends",
    );
    screen.plain(&format!(
        "\
Two sites are started on this machine, both {version}, each a master with two replicas and three sentinels.
One is the source: it holds {keys} keys and takes {rate} writes a second, and never stops taking them.
The other is the target: it is empty. Between them runs one syncer process. Then, while you watch:
  1. the syncer copies everything and follows what is written;
  2. the source's master is killed (kill -9); its sentinels promote a replica;
  3. the target's master is killed (kill -9); its sentinels promote a replica;
  4. the load ends, and both sides are compared key by key.
It takes about {seconds} seconds more than the start of the servers. Ctrl-C ends it and leaves nothing behind.
",
        version = options.version,
        keys = grouped(options.keys),
        rate = grouped(u64::from(options.rate)),
        seconds = options.seconds + 10,
    ));
}

fn start_set(screen: &Screen, options: &DemoOptions, name: &str) -> Result<SentinelSet> {
    screen.step(&format!("the {name}'s three servers and three sentinels start"));
    let set = SentinelSet::start(options.version, &SetOptions::new())
        .with_context(|| format!("failed to start the {name}"))?;
    screen.plain(&format!(
        "  master {}, sentinels {}",
        set.master_address()?,
        set.endpoints().join(", ")
    ));
    Ok(set)
}

/// A promoted replica that had less than the target already holds makes a full copy necessary: the source itself has
/// taken writes back. The new master and the offset before the kill tell.
fn copies_that_a_rollback_needed(
    screen: &Screen,
    source: &SentinelSet,
    failover: &Failover,
) -> Result<u64> {
    let seen = info(&mut source.connect_master()?, "replication")?;
    let second =
        seen.get("second_repl_offset").and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
    let written = failover.checkpoint_at_kill;
    if second < 0 || u64::try_from(second - 1).is_ok_and(|kept| kept >= written) {
        return Ok(0);
    }
    screen.event(
        failover.killed_at,
        &format!(
            "the promoted replica has the old master's writes up to offset {}, the target has {written}: the \
             source has lost writes that the target holds, so one more full copy is right",
            second - 1
        ),
    );
    Ok(1)
}

fn source_offset(source: &SentinelSet) -> Result<u64> {
    wait_until("the source's offset", PATIENCE, || {
        let seen = info(&mut source.connect_master()?, "replication")?;
        Ok(seen.get("master_repl_offset").and_then(|text| text.parse().ok()))
    })
}
