//! The node's kubelet stands still: the syncer goes on, and is replaced only when the node is lost.

use std::{thread, time::Duration};

use anyhow::ensure;
use redissync_e2e::{
    cluster::pair::{has_reached, history},
    wait_until,
};

use crate::suite::{PATIENCE, SOME, is_long, is_namespaced, with_pair};

/// From 40 s on the control plane holds the node for lost; the operator waits 30 s more.
const FROZEN_LONG: Duration = Duration::from_secs(60);
const FROZEN_SHORT: Duration = Duration::from_secs(15);

#[test]
fn a_kubelet_that_stands_still_stops_no_syncer() {
    with_pair("kubelet", |suite, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        let uid = pair.sync.pod()?["metadata"]["uid"].clone();
        // Connected before: with the node the cluster's names go, and sentinels stand still that look for one.
        let (mut source, mut target) =
            (pair.source.connect_master()?, pair.target.connect_master()?);
        let frozen = suite.cluster.freeze_kubelet()?;
        // The time is the fault: the load runs meanwhile.
        thread::sleep(if is_long() { FROZEN_LONG } else { FROZEN_SHORT });
        traffic.wait_for_more(SOME, PATIENCE)?;
        let end = history(&mut source)?;
        wait_until("the target to be level while the kubelet stands still", PATIENCE, || {
            has_reached(&pair.sync.record_at(&mut target)?, &end).map(Some)
        })?;
        drop(frozen);
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.source.wait_until_whole(PATIENCE)?;
        pair.target.wait_until_whole(PATIENCE)?;
        pair.sync.wait_until_ready(PATIENCE)?;
        ensure!(pair.sync.pod()?["metadata"]["uid"] == uid, "the syncer's pod was replaced");
        ensure!(pair.sync.events("SyncerReplaced")?.is_empty(), "the operator gave the node up");
        // Sentinels that stood still for as long may fail over.
        pair.compare(traffic, is_long())?;
        ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
        Ok(())
    });
}

/// 40 s until the control plane gives the node up, 30 s until the operator does.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(150);

#[test]
fn a_syncer_on_a_lost_node_is_replaced_and_nothing_is_copied_again() {
    if !is_long() || is_namespaced() {
        println!("left out: it takes REDISSYNC_TEST_LONG=1, and an operator that may see nodes");
        return;
    }
    with_pair("lost-node", |suite, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        let uid = pair.sync.pod()?["metadata"]["uid"].clone();
        let frozen = suite.cluster.freeze_kubelet()?;
        wait_until("the operator to replace the syncer's pod", GIVEN_UP_WITHIN, || {
            Ok((!pair.sync.events("SyncerReplaced")?.is_empty()).then_some(()))
        })?;
        drop(frozen);
        wait_until("another pod", PATIENCE, || {
            Ok((pair.sync.pod()?["metadata"]["uid"] != uid).then_some(()))
        })?;
        pair.source.wait_until_whole(PATIENCE)?;
        pair.target.wait_until_whole(PATIENCE)?;
        pair.sync.wait_until_ready(PATIENCE)?;
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.compare(traffic, true)?;
        ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
        Ok(())
    });
}
