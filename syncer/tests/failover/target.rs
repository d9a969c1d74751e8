//! The target's master is killed, and its Sentinels promote a replica that lacks what the syncer had written.

use std::{collections::BTreeMap, thread};

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    ledger::{Load, LoadEndpoint, LoadOptions, TornPairWatcher, fill},
    node::{Node, NodeOptions},
    sentinel_set::SentinelSet,
    servers::ServerVersion,
    syncer::{Syncer, SyncerSite},
};

use super::{
    DATABASES, LOAD_TIME, Recorded, freeze_replicas, heal, recorded, set_options, syncer_options,
    thaw_replicas, wait_for_new_master, write_tail,
};
use crate::bed::{PATIENCE, assert_equal, binary, scale, seed, source_offset, wait_for_all};

/// What the killed master had, and what of it the promoted replica has.
pub(super) struct Rollback {
    pub(super) killed: usize,
    pub(super) new: usize,
    pub(super) before: Recorded,
    pub(super) after: Recorded,
}

/// Kills the target's master when it has a tail that its replicas never got, and waits for the new one.
pub(super) fn roll_back(
    target: &mut SentinelSet,
    syncer: &mut Syncer,
    source: &mut redis::Connection,
    round: usize,
    and_then: impl FnOnce() -> Result<()>,
) -> Result<Rollback> {
    let master = target.current_master()?;
    freeze_replicas(target, master)?;
    let tail = write_tail(source, round)?;
    syncer.wait_for("the tail in the target", PATIENCE, |report| {
        report.checkpoint().is_some_and(|checkpoint| checkpoint >= tail)
    })?;
    let mut connection = target.node(master)?.connect()?;
    let before = recorded(&mut connection)?.context("the target has no record")?;
    target.node_mut(master)?.kill9()?;
    and_then()?;
    thaw_replicas(target, master)?;
    // Until one is promoted nobody writes to the replicas.
    let mut replicas = BTreeMap::new();
    for index in (0..target.node_count()).filter(|index| *index != master) {
        replicas.insert(index, target.node(index)?.connect()?);
    }
    let mut seen = BTreeMap::new();
    let (new, _) = wait_for_new_master(target, master, || {
        for (index, replica) in &mut replicas {
            let role = redis::cmd("ROLE").query::<Vec<redis::Value>>(replica);
            let is_replica = role.is_ok_and(|role| role.len() == 5);
            if let (true, Ok(Some(record))) = (is_replica, recorded(replica)) {
                seen.insert(*index, record);
            }
        }
    })?;
    let after = seen.remove(&new).context("the promoted replica was never read")?;
    ensure!(after != before, "the bed is wrong: the record did not roll back: {before:?}");
    Ok(Rollback { killed: master, new, before, after })
}

#[test]
fn a_killed_target_master_costs_no_full_copy_though_the_promoted_replica_lacks_writes() -> Result<()>
{
    let rounds = scale(3, 10);
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let mut target = SentinelSet::start(ServerVersion::Redis70, &set_options())?;
    fill(&mut source.connect()?, 10_000, seed())?;
    let options = syncer_options(
        SyncerSite::node("beijing", &source),
        SyncerSite::sentinel_set("shanghai", &target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    let load = LoadOptions::new(LoadEndpoint::fixed(&source.address()))
        .rate_per_second(21_000)
        .seed(seed());
    let load = Load::start(load)?;
    let pairs = TornPairWatcher::start(&target.master_address()?, None, &DATABASES)?;
    let mut connection = source.connect()?;
    for round in 0..rounds {
        thread::sleep(LOAD_TIME);
        let rollback = roll_back(&mut target, &mut syncer, &mut connection, round, || Ok(()))?;
        let address = target.node(rollback.new)?.address();
        pairs.set_address(&address);
        let end = source_offset(&mut connection)?;
        syncer.wait_for("streaming into the new master", PATIENCE, |report| {
            report.phase() == "Streaming"
                && report.target_address() == address
                && report.checkpoint().is_some_and(|checkpoint| checkpoint >= end)
        })?;
        let copies = syncer.report()?.full_copy_count();
        ensure!(
            copies == Some(1),
            "round {round}: {copies:?} full copies: {}",
            syncer.log_tail(40)
        );
        println!(
            "round {round}: the record went back by {} bytes, pairs read {}",
            rollback.before.offset - rollback.after.offset,
            pairs.seen().read
        );
        heal(&mut target, rollback.killed)?;
    }
    let ledger = load.stop()?;
    wait_for_all(&mut syncer, &mut connection)?;
    let mut master = target.connect_master()?;
    let verified = ledger.verify_exact(&mut master)?;
    let pairs = pairs.stop()?;
    ensure!(pairs.torn == 0 && pairs.read > 0, "{pairs:?}");
    let keys = assert_equal(&mut connection, &mut master)?;
    println!(
        "{ledger}\n{verified}\n{keys} keys equal after {rounds} failovers, {} pairs read",
        pairs.read
    );
    Ok(())
}
