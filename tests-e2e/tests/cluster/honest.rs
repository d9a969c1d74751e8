//! A broken link shows in `Ready` within ten seconds, with its reason.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redissync_e2e::cluster::{Pair, RedisSet};
use rustix::process::Signal;

use crate::suite::{PATIENCE, SOME, with_pair};

/// Promised.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_link_that_breaks_is_told_within_ten_seconds_with_its_reason() {
    with_pair("broken-link", |_, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        // All nodes of a site stand still: no failover can help, and nothing closes a connection.
        for (set, end) in [(&pair.target, "Target"), (&pair.source, "Source")] {
            let begun = Instant::now();
            let frozen = Frozen::new(pair, set)?;
            let ready = pair.sync.wait_until_not_ready(TOLD_WITHIN)?;
            println!(
                "{end}: told after {:.1?}: {} {}",
                begun.elapsed(),
                ready.reason,
                ready.message
            );
            ensure!(ready.status == "False", "{ready:?}");
            ensure!(ready.reason.starts_with(end), "the reason is {ready:?}");
            ensure!(!ready.message.is_empty(), "no message");
            pair.sync.wait_for_event("NotReady", PATIENCE)?;
            drop(frozen);
            pair.sync.wait_until_ready(PATIENCE)?;
            traffic.wait_for_more(SOME, PATIENCE)?;
        }
        pair.sync.wait_until_ready(PATIENCE)?;
        // A source that stood still may have been failed over.
        pair.compare(traffic, true)?;
        ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
        Ok(())
    });
}

/// Data nodes that stand still; they go on when this is dropped.
struct Frozen<'a> {
    pair: &'a Pair,
    set: &'a RedisSet,
}

impl<'a> Frozen<'a> {
    fn new(pair: &'a Pair, set: &'a RedisSet) -> Result<Self> {
        let frozen = Self { pair, set };
        frozen.signal(Signal::STOP)?;
        Ok(frozen)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Self { pair, set } = self;
        for pod in set.pods()? {
            pair.cluster.signal(&pair.namespace, &pod.name, "redis", "redis-server", signal)?;
        }
        Ok(())
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Err(err) = self.signal(Signal::CONT) {
            eprintln!("nodes of {:?} stay frozen: {err:#}", self.set);
        }
    }
}
