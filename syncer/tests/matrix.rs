//! Every version at either end: all types in all encodings are copied, every write command that both ends know is
//! followed, in transactions and scripts and over cuts and a kill, and both sides are equal key by key.
//!
//! `commands.txt` is the table of commands; a command that a server flags as a write and that stands neither there nor
//! among the exemptions fails the test. The long form (`make test-long T=matrix`) goes on with commands drawn
//! from the table at random (`REDISSYNC_TEST_SEED`).

mod commands;
mod data;
mod play;

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use redissync_e2e::{
    compare::{CompareOptions, compare},
    info::info,
    node::{Node, NodeOptions},
    proxy::Proxy,
    servers::ServerVersion::{
        self, Redis28, Redis62, Redis70, Redis74, Redis82, Valkey81, Valkey91,
    },
    syncer::SyncerSite,
};

use self::{commands::Table, data::Carried};
use crate::{
    bed::{PATIENCE, scale, seed, source_offset},
    pair::{Pair, halt_offset, halt_text, options},
};

/// Units that are skipped to tell of all that halt at once.
const HALTS_TOLD_MAX: usize = 100;

/// Two servers, a syncer between them, and a proxy before each.
struct Bed {
    pair: Pair,
    near: Proxy,
    far: Proxy,
    /// What the link halted at.
    halts: Vec<String>,
}

impl Bed {
    fn start(source: ServerVersion, target: ServerVersion) -> Result<Self> {
        let source = Node::start(source, &NodeOptions::new())?;
        let target = Node::start(target, &NodeOptions::new())?;
        data::fill(&source, Carried::by(source.version(), target.version()))?;
        let (near, far) = (Proxy::start(&source.address())?, Proxy::start(&target.address())?);
        let mut options = options(&source, &target);
        options.source = SyncerSite::standalone("a", &near.address());
        options.target = SyncerSite::standalone("b", &far.address());
        let mut pair = Pair::start(source, target, &options)?;
        let report = pair.syncer.wait_for("the copy's end", PATIENCE, |report| {
            ["Streaming", "Halted"].contains(&report.phase())
        })?;
        ensure!(report.phase() == "Streaming", "the copy: {:?}", report.halt());
        Ok(Self { pair, near, far, halts: Vec::new() })
    }

    /// Waits until everything has arrived. A unit that halts is noted and skipped, so that one run tells them all.
    fn settle(&mut self) -> Result<()> {
        let end = source_offset(&mut self.pair.source.connect()?)?;
        loop {
            let report = self.pair.syncer.wait_for("all of the source", PATIENCE, |report| {
                report.phase() == "Halted"
                    || report.checkpoint().is_some_and(|checkpoint| checkpoint >= end)
            })?;
            if report.phase() != "Halted" {
                return Ok(());
            }
            self.halts.push(halt_text(&report, "message").to_owned());
            if self.halts.len() > HALTS_TOLD_MAX {
                bail!("too many halts: {:#?}", self.halts);
            }
            let offset = halt_offset(&report)?;
            self.pair.release_well(&["--skip-unit", &offset.to_string()])?;
            self.pair.syncer.wait_for("the release", PATIENCE, |report| {
                halt_offset(report).ok() != Some(offset)
            })?;
        }
    }

    /// Nothing halted, nothing was copied again, and both sides are equal.
    fn check(&mut self) -> Result<u64> {
        self.settle()?;
        ensure!(self.halts.is_empty(), "the link halted at: {:#?}", self.halts);
        let (source, target) = (&self.pair.source, &self.pair.target);
        let mut options = CompareOptions::synced();
        if matches!(source.version(), Redis28 | Redis62) {
            // It sends spans, which count from their arrival.
            options.expiry_late_ms = 60_000;
        }
        let found = compare(&mut source.connect()?, &mut target.connect()?, &options)?;
        ensure!(found.is_equal(), "source and target differ: {found}");
        ensure!(data::functions(source)? == data::functions(target)?, "other functions");
        let stats = info(&mut source.connect()?, "stats")?;
        let copies = stats.get("sync_full");
        ensure!(
            copies.is_some_and(|copies| copies == "1"),
            "the source was copied {copies:?} times"
        );
        Ok(found.keys)
    }
}

fn pass(source: ServerVersion, target: ServerVersion) -> Result<()> {
    let begun = Instant::now();
    let mut bed = Bed::start(source, target)?;
    let table = Table::of(&bed.pair.source, &bed.pair.target)?;
    let copied = begun.elapsed();
    bed.play(&table)?;
    for round in 0..scale(0, 5) as u64 {
        bed.play_at_random(&table, seed() + round)?;
    }
    let keys = bed.check()?;
    bed.empty(&table)?;
    bed.check()?;
    println!(
        "{source} to {target}: {keys} keys equal, {} commands, {:.1} s ({:.1} s for the copy)",
        table.len(),
        begun.elapsed().as_secs_f64(),
        copied.as_secs_f64()
    );
    Ok(())
}

/// From one version to every one.
fn from(source: ServerVersion) -> Result<()> {
    let mut failed = Vec::new();
    for target in ServerVersion::ALL {
        if let Err(err) = pass(source, target) {
            // Told at once: the long form takes a minute for each pair.
            println!("{source} to {target}: {err:#}");
            failed.push(format!("{source} to {target}: {err:#}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

#[test]
fn what_redis_2_8_writes_arrives_at_every_version() -> Result<()> {
    from(Redis28)
}

#[test]
fn what_redis_6_2_writes_arrives_at_every_version() -> Result<()> {
    from(Redis62)
}

#[test]
fn what_redis_7_0_writes_arrives_at_every_version() -> Result<()> {
    from(Redis70)
}

#[test]
fn what_redis_7_4_writes_arrives_at_every_version() -> Result<()> {
    from(Redis74)
}

#[test]
fn what_redis_8_2_writes_arrives_at_every_version() -> Result<()> {
    from(Redis82)
}

#[test]
fn what_valkey_8_1_writes_arrives_at_every_version() -> Result<()> {
    from(Valkey81)
}

#[test]
fn what_valkey_9_1_writes_arrives_at_every_version() -> Result<()> {
    from(Valkey91)
}
