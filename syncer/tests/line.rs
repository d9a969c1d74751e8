//! The line itself: a full copy, then the stream, with nothing going wrong.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use redissync_e2e::{
    ledger::{Load, LoadEndpoint, LoadOptions, TornPairWatcher, fill},
    node::{Node, NodeOptions},
    servers::ServerVersion,
    syncer::{Syncer, SyncerOptions, SyncerSite},
    usage::cpu_seconds,
};

use crate::bed::{PATIENCE, assert_nodes_equal, binary, wait_for_all};

#[test]
fn everything_is_copied_and_followed() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    fill(&mut source.connect()?, 20_000, 1)?;
    let load = Load::start(LoadOptions::new(LoadEndpoint::fixed(&source.address())))?;
    let options = SyncerOptions::new(
        "tools/cart",
        SyncerSite::node("a", &source),
        SyncerSite::node("b", &target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    let pairs = TornPairWatcher::start(&target.address(), None, &[0, 1, 5])?;
    thread::sleep(Duration::from_secs(3));
    let ledger = load.stop()?;
    wait_for_all(&mut syncer, &mut source.connect()?)?;
    ledger.verify_exact(&mut target.connect()?)?;
    let pairs = pairs.stop()?;
    ensure!(pairs.torn == 0 && pairs.read > 0, "{pairs:?}");
    let keys = assert_nodes_equal(&source, &target)?;
    println!("{keys} keys, {ledger}");
    let report = syncer.report()?;
    ensure!(report.full_copy_count() == Some(1), "{:?}", report.0);
    Ok(())
}

#[test]
fn idleness_costs_no_cpu_while_paused_and_after_it() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let options = SyncerOptions::new(
        "tools/cart",
        SyncerSite::node("a", &source),
        SyncerSite::node("b", &target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    for is_paused in [true, false] {
        syncer.rewrite_config(|options| options.paused = is_paused)?;
        syncer.wait_for("the change to be seen", PATIENCE, |report| {
            report.waiting_for().is_some() == is_paused
        })?;
        let before = cpu_seconds(syncer.pid())?;
        thread::sleep(Duration::from_secs(2));
        let used = cpu_seconds(syncer.pid())? - before;
        // Polls and signs of life take a hundredth of it; a loop that does not wait takes all that it can get.
        ensure!(used < 0.2, "paused {is_paused}: {used} CPU seconds in 2 s of idleness");
    }
    Ok(())
}
