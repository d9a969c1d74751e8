//! What the tests stand on: servers, the syncer's binary, and the closing comparison.

#![allow(dead_code, reason = "each module uses its part")]

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    compare::{CompareOptions, compare},
    node::Node,
    syncer::Syncer,
};

/// How long anything may take that is not held up on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_redissync-syncer"))
}

/// Waits until the target has everything that the source has now.
pub(crate) fn wait_for_all(syncer: &mut Syncer, source: &mut redis::Connection) -> Result<()> {
    let end = source_offset(source)?;
    syncer.wait_for("the target to have all that the source has", PATIENCE, |report| {
        report.checkpoint().is_some_and(|checkpoint| checkpoint >= end)
    })?;
    Ok(())
}

/// The source's own offset.
pub(crate) fn source_offset(source: &mut redis::Connection) -> Result<u64> {
    let info: String = redis::cmd("INFO").arg("replication").query(source)?;
    let line = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
    line.context("no master_repl_offset")?.trim().parse().context("master_repl_offset")
}

/// Both sides are equal, key by key.
pub(crate) fn assert_equal(
    source: &mut redis::Connection,
    target: &mut redis::Connection,
) -> Result<u64> {
    let comparison = compare(source, target, &CompareOptions::synced())?;
    ensure!(comparison.is_equal(), "source and target differ: {comparison}");
    Ok(comparison.keys as u64)
}

/// The same for two nodes.
pub(crate) fn assert_nodes_equal(source: &Node, target: &Node) -> Result<u64> {
    assert_equal(&mut source.connect()?, &mut target.connect()?)
}

/// The long proofs (`make test-long`) run the same code as the short form, more often and with more data.
pub(crate) fn is_long() -> bool {
    std::env::var_os("REDISSYNC_TEST_LONG").is_some_and(|value| value == "1")
}

/// A count for the short form, or the one of the long proofs.
pub(crate) fn scale(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// The seed of everything random in a test: `REDISSYNC_TEST_SEED`, else fixed, so that a failure can be run again.
pub(crate) fn seed() -> u64 {
    let text = std::env::var("REDISSYNC_TEST_SEED").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}
