//! A master's process is killed and comes back on its port before its Sentinels hold it for down: nobody is promoted, and
//! what the node has kept decides.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use redissync_e2e::{
    info::databases,
    ledger::{Load, LoadEndpoint, LoadOptions, fill},
    node::{Node, NodeOptions},
    sentinel_set::{SentinelSet, SetOptions},
    servers::ServerVersion,
    syncer::{Syncer, SyncerSite},
};

use super::{LOAD_TIME, fill_set, set_options, syncer_options};
use crate::bed::{PATIENCE, assert_equal, binary, seed, wait_for_all};

/// Much longer than a restart takes.
const DOWN_AFTER: Duration = Duration::from_secs(60);
const KEYS: u64 = 5000;

/// Nodes that keep what they acknowledged.
fn keeping() -> SetOptions {
    set_options().option("appendonly", "yes").option("appendfsync", "always").down_after(DOWN_AFTER)
}

/// Kills the master and starts it again at once. The Sentinels did not notice.
fn restart_in_place(set: &mut SentinelSet) -> Result<()> {
    let before = set.master_view()?;
    let master = set.current_master()?;
    let node = set.node_mut(master)?;
    node.kill9()?;
    node.restart()?;
    let after = set.master_view()?;
    ensure!(
        (&before.address, before.config_epoch) == (&after.address, after.config_epoch),
        "the bed is wrong: {before:?} became {after:?}"
    );
    Ok(())
}

fn load_at(endpoint: LoadEndpoint) -> Result<Load> {
    Load::start(LoadOptions::new(endpoint).rate_per_second(500).seed(seed()))
}

#[test]
fn a_source_master_that_is_back_in_place_costs_one_copy_and_no_write() -> Result<()> {
    let mut source = SentinelSet::start(ServerVersion::Redis70, &keeping())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    fill_set(&mut source, KEYS)?;
    let options = syncer_options(
        SyncerSite::sentinel_set("beijing", &source),
        SyncerSite::node("shanghai", &target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    let load = load_at(source.load_endpoint())?;
    thread::sleep(LOAD_TIME);
    restart_in_place(&mut source)?;
    // Its file has the data and not their history.
    let report = syncer.wait_for("the stream behind another copy", PATIENCE, |report| {
        report.full_copy_count() == Some(2) && report.phase() == "Streaming"
    })?;
    ensure!(report.last_full_copy_reason() == "HistoryReset", "{:?}", report.0);
    thread::sleep(LOAD_TIME);
    let ledger = load.stop()?;
    let (mut master, mut target) = (source.connect_master()?, target.connect()?);
    wait_for_all(&mut syncer, &mut master)?;
    assert_equal(&mut master, &mut target)?;
    for connection in [&mut master, &mut target] {
        let verified = ledger.verify_exact(connection)?;
        ensure!(verified.applied > 0, "nothing was written");
        println!("{ledger}: {verified}");
    }
    ensure!(syncer.report()?.full_copy_count() == Some(2), "{:?}", syncer.report()?.0);
    Ok(())
}

#[test]
fn a_source_master_that_is_back_in_place_with_nothing_meets_the_brake() -> Result<()> {
    let mut source =
        SentinelSet::start(ServerVersion::Redis70, &set_options().down_after(DOWN_AFTER))?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    fill_set(&mut source, KEYS)?;
    let options = syncer_options(
        SyncerSite::sentinel_set("beijing", &source),
        SyncerSite::node("shanghai", &target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    wait_for_all(&mut syncer, &mut source.connect_master()?)?;
    let before = databases(&mut target.connect()?)?;
    restart_in_place(&mut source)?;
    let held = databases(&mut source.connect_master()?)?;
    ensure!(held.is_empty(), "the bed is wrong: the master came back with {held:?}");
    let report = syncer.wait_for("the brake", PATIENCE, |report| {
        report.halt().is_some_and(|halt| halt["reason"] == "SweepBrake")
    })?;
    ensure!(report.last_full_copy_reason() == "HistoryReset", "{:?}", report.0);
    thread::sleep(Duration::from_secs(2));
    let after = databases(&mut target.connect()?)?;
    ensure!(after == before, "keys of {before:?} were deleted: {after:?}");
    ensure!(syncer.report()?.phase() == "Halted", "{:?}", syncer.report()?.0);
    Ok(())
}

#[test]
fn a_target_master_that_is_back_in_place_costs_no_copy_and_no_write() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let mut target = SentinelSet::start(ServerVersion::Redis70, &keeping())?;
    fill(&mut source.connect()?, KEYS, seed())?;
    let options = syncer_options(
        SyncerSite::node("beijing", &source),
        SyncerSite::sentinel_set("shanghai", &target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    let load = load_at(LoadEndpoint::fixed(&source.address()))?;
    thread::sleep(LOAD_TIME);
    restart_in_place(&mut target)?;
    thread::sleep(LOAD_TIME);
    let ledger = load.stop()?;
    let (mut source, mut master) = (source.connect()?, target.connect_master()?);
    wait_for_all(&mut syncer, &mut source)?;
    assert_equal(&mut source, &mut master)?;
    let verified = ledger.verify_exact(&mut master)?;
    ensure!(verified.applied > 0, "nothing was written");
    println!("{ledger}: {verified}");
    let report = syncer.report()?;
    ensure!(report.full_copy_count() == Some(1), "{:?}", report.0);
    let reconnects = report.number("/links/0/counters/reconnects/target");
    ensure!(reconnects > Some(0), "the bed is wrong: the target was never away: {:?}", report.0);
    Ok(())
}
