//! Other versions at the two ends: a full copy and a stream between them, compared key by key.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    ledger::{Load, LoadEndpoint, LoadOptions},
    node::{Node, NodeOptions},
    servers::ServerVersion::{
        self, Redis28, Redis62, Redis70, Redis74, Redis82, Valkey81, Valkey91,
    },
};

use crate::{
    bed::{PATIENCE, scale, seed},
    pair::{Pair, options},
};

/// Fill, copy, load, compare.
fn pass(source: ServerVersion, target: ServerVersion, source_options: &NodeOptions) -> Result<()> {
    let what = format!("{source} to {target}");
    pass_named(source, target, source_options).with_context(|| what.clone())?;
    println!("{what}: equal");
    Ok(())
}

fn pass_named(
    source: ServerVersion,
    target: ServerVersion,
    source_options: &NodeOptions,
) -> Result<()> {
    let source = Node::start(source, source_options)?;
    let target = Node::start(target, &NodeOptions::new())?;
    redissync_e2e::fill(&mut source.connect()?, scale(3000, 30_000) as u64, seed())?;
    let mut load = LoadOptions::new(LoadEndpoint::fixed(&source.address()));
    load.rate_per_second = 5000;
    let load = Load::start(load.seed(seed()))?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    std::thread::sleep(Duration::from_secs(scale(2, 10) as u64));
    let ledger = load.stop()?;
    pair.settle()?;
    ledger.verify_exact(&mut pair.target.connect()?)?;
    let keys = pair.settle_equal()?;
    ensure!(keys > 3000, "only {keys} keys");
    ensure!(pair.syncer.report()?.full_copy_count() == Some(1), "more than one copy");
    Ok(())
}

#[test]
fn redis_6_2_to_7_0() -> Result<()> {
    pass(Redis62, Redis70, &NodeOptions::new())
}

#[test]
fn redis_7_0_to_8_2() -> Result<()> {
    pass(Redis70, Redis82, &NodeOptions::new())
}

#[test]
fn redis_7_4_to_7_4() -> Result<()> {
    pass(Redis74, Redis74, &NodeOptions::new())
}

#[test]
fn redis_8_2_to_8_2() -> Result<()> {
    pass(Redis82, Redis82, &NodeOptions::new())
}

#[test]
fn redis_7_0_to_valkey_8_1() -> Result<()> {
    pass(Redis70, Valkey81, &NodeOptions::new())
}

#[test]
fn valkey_8_1_to_9_1() -> Result<()> {
    pass(Valkey81, Valkey91, &NodeOptions::new())
}

#[test]
fn redis_2_8_to_7_0() -> Result<()> {
    pass(Redis28, Redis70, &NodeOptions::new())
}

#[test]
fn a_copy_by_way_of_the_sources_disk_and_one_without() -> Result<()> {
    for diskless in ["no", "yes"] {
        println!("repl-diskless-sync {diskless}");
        let options = NodeOptions::new().option("repl-diskless-sync", diskless);
        pass(Redis70, Redis70, &options)?;
    }
    Ok(())
}
