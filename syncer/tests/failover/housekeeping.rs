//! What a source sends for itself (PING, the Sentinels' hello) moves offsets and is no data: losing it is no loss.

use anyhow::{Result, ensure};
use redissync_e2e::{
    ledger::fill,
    node::{Node, NodeOptions},
    servers::ServerVersion,
    syncer::{Syncer, SyncerOptions, SyncerSite},
    wait::wait_until,
};

use crate::bed::{PATIENCE, assert_nodes_equal, binary, source_offset, wait_for_all};

#[test]
fn promise_4_a_promoted_node_that_lacks_housekeeping_only_costs_no_full_copy() -> Result<()> {
    let old = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    fill(&mut old.connect()?, 2_000, 1)?;
    let new = Node::start(ServerVersion::Redis70, &NodeOptions::new().replica_of(&old.address()))?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let options = SyncerOptions::new(
        "tools/cart",
        SyncerSite::node("a", &old),
        SyncerSite::node("b", &target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    let mut old_connection = old.connect()?;
    redis::cmd("SET").arg("last").arg("data").exec(&mut old_connection)?;
    let end = source_offset(&mut old_connection)?;
    wait_until("the replica to have all data", PATIENCE, || {
        Ok((source_offset(&mut new.connect()?)? >= end).then_some(()))
    })?;
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut new.connect()?)?;
    // A database that is selected on the way must not stick.
    redis::cmd("SELECT").arg(5).exec(&mut old_connection)?;
    for _ in 0..20 {
        redis::cmd("PUBLISH")
            .arg("__sentinel__:hello")
            .arg("127.0.0.1,26379,x")
            .exec(&mut old_connection)?;
    }
    wait_for_all(&mut syncer, &mut old_connection)?;
    let mut promoted = new.connect()?;
    let passed = syncer.report()?.checkpoint();
    ensure!(
        passed > Some(source_offset(&mut promoted)?),
        "the record has not passed the promotion"
    );

    syncer.rewrite_config(|options| options.source = SyncerSite::node("a", &new))?;
    redis::cmd("SET").arg("after").arg("the switch").exec(&mut promoted)?;
    syncer.wait_for("the new source's first write", PATIENCE, |report| {
        report.source_address() == new.address() && report.phase() == "Streaming"
    })?;
    wait_for_all(&mut syncer, &mut promoted)?;
    assert_nodes_equal(&new, &target)?;
    let report = syncer.report()?;
    ensure!(report.full_copy_count() == Some(1), "{report:?}");
    Ok(())
}
