//! The node's kubelet stands still: the syncer goes on, and is not replaced for it.

use std::{thread, time::Duration};

use anyhow::ensure;

use crate::suite::{PATIENCE, SOME, is_long, with_pair};

/// From 40 s on the control plane holds the node for lost; the operator waits 30 s more.
const FROZEN_LONG: Duration = Duration::from_secs(60);
const FROZEN_SHORT: Duration = Duration::from_secs(15);

#[test]
fn a_kubelet_that_stands_still_stops_no_syncer() {
    with_pair("kubelet", |suite, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        let uid = pair.sync.pod()?["metadata"]["uid"].clone();
        let frozen = suite.cluster.freeze_kubelet()?;
        // The time is the fault: the load runs meanwhile.
        thread::sleep(if is_long() { FROZEN_LONG } else { FROZEN_SHORT });
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.wait_until_level(PATIENCE)?;
        drop(frozen);
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.sync.wait_until_ready(PATIENCE)?;
        ensure!(pair.sync.pod()?["metadata"]["uid"] == uid, "the syncer's pod was replaced");
        ensure!(pair.sync.events("SyncerReplaced")?.is_empty(), "the operator gave the node up");
        pair.compare(traffic, false)?;
        ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
        Ok(())
    });
}
