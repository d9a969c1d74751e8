//! Cuts of a length: what can be bridged is bridged, and what cannot is copied exactly once (Promise 4).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    ledger::{Load, LoadEndpoint, LoadOptions},
    node::{Node, NodeOptions},
    proxy::{Mode, Proxy},
    servers::ServerVersion,
    syncer::SyncerSite,
};

use crate::{
    bed::{PATIENCE, is_long, scale, seed, source_offset},
    pair::{Pair, options, write_some},
};

/// The backlog of the sources here.
const BACKLOG: u64 = 1 << 20;

/// A pair with a proxy before each end.
struct Line {
    pair: Pair,
    near: Proxy,
    far: Proxy,
}

impl Line {
    fn streaming(source: &NodeOptions) -> Result<Self> {
        let source = Node::start(ServerVersion::Redis70, source)?;
        let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
        let (near, far) = (Proxy::start(&source.address())?, Proxy::start(&target.address())?);
        redissync_e2e::fill(&mut source.connect()?, 5000, seed())?;
        let mut options = options(&source, &target);
        options.source = SyncerSite::standalone("a", &near.address());
        options.target = SyncerSite::standalone("b", &far.address());
        let mut pair = Pair::start(source, target, &options)?;
        pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
        Ok(Self { pair, near, far })
    }

    fn load(&self, rate: u32) -> Result<Load> {
        let mut options = LoadOptions::new(LoadEndpoint::fixed(&self.pair.source.address()));
        options.rate_per_second = rate;
        Load::start(options.seed(seed()))
    }

    /// The load ends; everything arrives exactly once.
    fn finish(&mut self, load: Load) -> Result<()> {
        let ledger = load.stop()?;
        self.pair.settle()?;
        ledger.verify_exact(&mut self.pair.target.connect()?)?;
        let keys = self.pair.settle_equal()?;
        println!("{keys} keys, {ledger}");
        Ok(())
    }

    fn copies(&self) -> Result<(u64, String)> {
        let report = self.pair.syncer.report()?;
        let count = report.full_copy_count().context("no count of copies")?;
        Ok((count, report.last_full_copy_reason().to_owned()))
    }
}

fn small_backlog() -> NodeOptions {
    NodeOptions::new().option("repl-backlog-size", BACKLOG)
}

#[test]
fn a_target_that_was_cut_off_needs_no_copy() -> Result<()> {
    let mut line = Line::streaming(&small_backlog())?;
    let load = line.load(20_000)?;
    std::thread::sleep(Duration::from_secs(2));
    let begun = source_offset(&mut line.pair.source.connect()?)?;
    line.far.set_mode(Mode::Refuse);
    std::thread::sleep(Duration::from_secs(scale(15, 60) as u64));
    line.far.set_mode(Mode::Pass);
    let missed = source_offset(&mut line.pair.source.connect()?)? - begun;
    ensure!(missed > 2 * BACKLOG, "only {missed} bytes were written: the backlog has them too");
    line.finish(load)?;
    let (count, reason) = line.copies()?;
    println!("cut off from {missed} bytes, {count} copies");
    ensure!(count == 1, "{count} copies, the last for {reason}");
    Ok(())
}

#[test]
fn a_source_that_was_cut_off_beyond_its_backlog_is_copied_once() -> Result<()> {
    let mut line = Line::streaming(&small_backlog())?;
    let load = line.load(20_000)?;
    std::thread::sleep(Duration::from_secs(2));
    let mut source = line.pair.source.connect()?;
    let begun = source_offset(&mut source)?;
    line.near.set_mode(Mode::Refuse);
    if is_long() {
        std::thread::sleep(Duration::from_secs(60));
    }
    redissync_e2e::wait_until("more than the backlog holds", PATIENCE, || {
        Ok((source_offset(&mut source)? > begun + 3 * BACKLOG).then_some(()))
    })?;
    line.near.set_mode(Mode::Pass);
    line.pair.syncer.wait_for("the second copy", PATIENCE, |report| {
        report.full_copy_count() == Some(2) && report.phase() == "Streaming"
    })?;
    line.finish(load)?;
    let (count, reason) = line.copies()?;
    ensure!(count == 2 && reason == "BacklogOverrun", "{count} copies, the last for {reason}");
    Ok(())
}

#[test]
fn a_short_cut_of_the_source_needs_no_copy() -> Result<()> {
    let mut line = Line::streaming(&small_backlog())?;
    let load = line.load(scale(5_000, 10_000) as u32)?;
    std::thread::sleep(Duration::from_secs(2));
    for _ in 0..scale(2, 10) {
        let before = line.pair.syncer.report()?.number("/links/0/counters/reconnects/source");
        let begun = Instant::now();
        line.near.set_mode(Mode::Refuse);
        std::thread::sleep(Duration::from_millis(200));
        line.near.set_mode(Mode::Pass);
        let report = line.pair.syncer.wait_for("a new connection", PATIENCE, |report| {
            let reconnects = report.number("/links/0/counters/reconnects/source");
            reconnects > before && report.waiting_for().is_none()
        })?;
        println!("attached again after {:?}: {:?}", begun.elapsed(), report.checkpoint());
        std::thread::sleep(Duration::from_secs(1));
    }
    line.finish(load)?;
    let (count, reason) = line.copies()?;
    ensure!(count == 1, "{count} copies, the last for {reason}");
    Ok(())
}

#[test]
fn a_link_that_is_idle_for_longer_than_the_timeout_stays() -> Result<()> {
    // What keeps the link are our own acknowledgements: a PING comes every 10 s only.
    let mut line = Line::streaming(&NodeOptions::new().option("repl-timeout", 5))?;
    write_some(&line.pair.source, 20)?;
    line.pair.settle()?;
    let before = line.pair.syncer.report()?;
    std::thread::sleep(Duration::from_secs(scale(15, 90) as u64));
    let after = line.pair.syncer.report()?;
    for end in ["source", "target"] {
        let pointer = format!("/links/0/counters/reconnects/{end}");
        ensure!(before.number(&pointer) == after.number(&pointer), "the {end} was left");
    }
    ensure!(after.waiting_for().is_none(), "{:?}", after.waiting_for());
    write_some(&line.pair.source, 20)?;
    line.pair.settle_equal()?;
    ensure!(line.copies()?.0 == 1);
    Ok(())
}
