//! Killed where the spool is cut after a failover of the source. The failover is made by hand, with no sentinels in the
//! way, so that it is known what the promoted replica lacks.

use std::time::Duration;

use anyhow::{Result, ensure};
use redissync_e2e::{
    connection::connect,
    ledger::{Load, LoadEndpoint, LoadOptions, fill},
    node::{Node, NodeOptions},
    proxy::{Mode, Proxy},
    servers::ServerVersion,
    syncer::{Syncer, SyncerSite},
    wait::wait_until,
};
use redissync_syncer::failpoint::Failpoint;

use super::{
    COPY_PATIENCE, PAIR_ID, Pair, assert_no_copy, failpoints::assert_dies_at, hold_writes,
    let_load_run, release_writes,
};
use crate::bed::{PATIENCE, assert_nodes_equal, binary, scale, seed, source_offset, wait_for_all};

#[test]
fn a_kill_before_the_cut_of_the_spool_leaves_what_the_new_source_has() -> Result<()> {
    let syncer = killed_at_cut(Failpoint::BeforeCut)?;
    // The next process applies what is spooled before it can know of the failover; then the source has rolled back.
    let report = syncer.report()?;
    let reason = report.last_full_copy_reason();
    let is_explained = match report.full_copy_count() {
        Some(0) => true,
        Some(1) => reason == "SourceRollback",
        _ => false,
    };
    ensure!(is_explained, "{:?}", report.0);
    println!("after a kill before the cut: {:?} full copies {reason}", report.full_copy_count());
    Ok(())
}

#[test]
fn a_kill_after_the_cut_of_the_spool_costs_nothing() -> Result<()> {
    let syncer = killed_at_cut(Failpoint::AfterCut)?;
    assert_no_copy(&syncer)
}

/// A source is lost whose replica lacks its last writes, while the target is held below those; the syncer dies at the
/// point, the next one ends up with just what the promoted replica has.
fn killed_at_cut(point: Failpoint) -> Result<Syncer> {
    let mut pair = Pair::start()?;
    fill(&mut pair.source.connect()?, scale(20_000, 200_000) as u64, seed())?;
    let link = Proxy::start(&pair.source.address())?;
    let options =
        NodeOptions::new().option("repl-backlog-size", "256mb").replica_of(&link.address());
    let replica = Node::start(ServerVersion::Redis70, &options)?;
    let endpoint = LoadEndpoint::fixed(&pair.source.address());
    let load = Load::start(LoadOptions::new(endpoint).seed(seed()))?;
    let armed = format!("{point:?}:1");
    let mut syncer = Syncer::start_with_failpoint(&binary(), &pair.options(), Some(&armed))?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    let mut at_replica = replica.connect()?;
    wait_until("the replica to be level", PATIENCE, || {
        let behind = source_offset(&mut pair.source.connect()?)?
            .saturating_sub(source_offset(&mut at_replica)?);
        Ok((behind < 100_000).then_some(()))
    })?;

    // The target is held first, then the replica's link: what the target has, the replica has.
    hold_writes(&pair.target, 30_000)?;
    let_load_run(Duration::from_millis(500));
    link.set_mode(Mode::Silent);
    let_load_run(Duration::from_millis(500));
    let ledger = load.stop()?;
    let end = source_offset(&mut pair.source.connect()?)?;
    syncer.wait_for("the spool to hold all", PATIENCE, |report| {
        report.offset("spooled").is_some_and(|spooled| spooled >= end)
    })?;
    pair.source.kill9()?;
    drop(link);
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut at_replica)?;
    let shared = source_offset(&mut at_replica)?;
    ensure!(shared < end, "the replica lacks nothing");
    let site = SyncerSite::node("a", &replica);
    syncer.rewrite_config(|options| options.source = site)?;
    wait_until_at_gate(&replica)?;
    release_writes(&pair.target)?;
    assert_dies_at(&mut syncer, point, 1)?;
    println!("{} bytes of {end} were only at the lost source", end - shared);

    syncer.restart()?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    // Life goes on at the new source.
    let mut pipeline = redis::pipe();
    for number in 0..1000 {
        pipeline.cmd("SET").arg(format!("after:{number}")).arg(number).ignore();
    }
    pipeline.exec(&mut at_replica)?;
    wait_for_all(&mut syncer, &mut at_replica)?;
    ledger.verify_not_repeated(&mut pair.target.connect()?)?;
    let keys = assert_nodes_equal(&replica, &pair.target)?;
    println!("{keys} keys equal");
    Ok(syncer)
}

/// The syncer has asked the new source for its history and waits for the outstanding batch: besides the connection that
/// polls there is one that was last asked for INFO and has not gone on to PSYNC.
fn wait_until_at_gate(source: &Node) -> Result<()> {
    let name = format!("name=redissync:{PAIR_ID}:0:reader ");
    let mut connection = connect(&source.address(), None)?;
    wait_until("the syncer at the new source", PATIENCE, || {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut connection)?;
        let asked = list.lines().filter(|line| line.contains(&name) && line.contains(" cmd=info "));
        Ok((asked.count() >= 2).then_some(()))
    })
}
