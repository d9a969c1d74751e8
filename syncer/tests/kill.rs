//! Faults of the syncer's own process, under load: killed, frozen, doubled, ended in order, and robbed of its spool
//! (Promises 1, 2, 3, 4, 7 and 8).

mod ack_tap;
mod cut;
mod ends;
mod failpoints;
mod owners;
mod random;
mod spool;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    ledger::{Ledger, Load, LoadEndpoint, LoadOptions},
    node::{Node, NodeOptions},
    servers::ServerVersion,
    syncer::{Syncer, SyncerOptions, SyncerSite},
};

use crate::bed::{assert_nodes_equal, seed, wait_for_all};

/// A copy of many keys on a busy machine, and what the load wrote meanwhile.
const COPY_PATIENCE: Duration = Duration::from_secs(180);

/// Every syncer of these tests has this pair, and so this record.
const PAIR_ID: &str = "tools/cart";

/// Two servers. The source's backlog holds what the load writes while no syncer runs.
struct Pair {
    source: Node,
    target: Node,
}

impl Pair {
    fn start() -> Result<Self> {
        Self::start_with_backlog("256mb")
    }

    fn start_with_backlog(bytes: &str) -> Result<Self> {
        let options = NodeOptions::new().option("repl-backlog-size", bytes);
        Ok(Self {
            source: Node::start(ServerVersion::Redis70, &options)?,
            target: Node::start(ServerVersion::Redis70, &NodeOptions::new())?,
        })
    }

    fn options(&self) -> SyncerOptions {
        SyncerOptions::new(
            PAIR_ID,
            SyncerSite::node("a", &self.source),
            SyncerSite::node("b", &self.target),
        )
    }

    /// 20 000 commands each second, as all of these tests have them.
    fn load(&self) -> Result<Load> {
        Load::start(LoadOptions::new(LoadEndpoint::fixed(&self.source.address())).seed(seed()))
    }

    /// Ends the load, lets the syncer apply all of it, and compares: the accounts exactly, then both sides key by key.
    fn settle(&self, syncer: &mut Syncer, load: Load) -> Result<Ledger> {
        wait_for_all(syncer, &mut self.source.connect()?)?;
        let ledger = load.stop()?;
        wait_for_all(syncer, &mut self.source.connect()?)?;
        self.assert_exact(&ledger)?;
        Ok(ledger)
    }

    fn assert_exact(&self, ledger: &Ledger) -> Result<()> {
        ensure!(ledger.errors.is_empty(), "the load met errors: {:?}", ledger.errors);
        let verified = ledger.verify_exact(&mut self.target.connect()?)?;
        ensure!(verified.applied > 0, "the ledger is empty: {verified}");
        let keys = assert_nodes_equal(&self.source, &self.target)?;
        println!("{keys} keys equal; {verified}; {ledger}");
        Ok(())
    }

    /// The record as the target holds it; empty without one.
    fn record(&self) -> Result<BTreeMap<String, String>> {
        let mut target = self.target.connect()?;
        redis::cmd("HGETALL")
            .arg(record_key())
            .query(&mut target)
            .context("failed to read the record")
    }
}

fn record_key() -> String {
    format!("redissync:{PAIR_ID}:0")
}

/// A syncer that is attached and applies the stream, level with the source or not yet.
fn wait_for_stream(syncer: &mut Syncer, patience: Duration) -> Result<()> {
    syncer.wait_for("the stream", patience, |report| {
        matches!(report.phase(), "CatchingUp" | "Streaming")
    })?;
    Ok(())
}

/// No full copy since this process was started.
fn assert_no_copy(syncer: &Syncer) -> Result<()> {
    let report = syncer.report()?;
    let reason = report.last_full_copy_reason();
    ensure!(report.full_copy_count() == Some(0), "a needless full copy: {reason}");
    Ok(())
}

/// Lets the load run against a syncer that is at work.
fn let_load_run(time: Duration) {
    std::thread::sleep(time);
}

/// Holds every write at a server, as an overloaded one would; reads are answered.
fn hold_writes(node: &Node, milliseconds: u64) -> Result<()> {
    redis::cmd("CLIENT")
        .arg("PAUSE")
        .arg(milliseconds)
        .arg("WRITE")
        .exec(&mut node.connect()?)
        .context("failed to hold the writes")
}

/// Ends a [`hold_writes`].
fn release_writes(node: &Node) -> Result<()> {
    redis::cmd("CLIENT")
        .arg("UNPAUSE")
        .exec(&mut node.connect()?)
        .context("failed to release the writes")
}
