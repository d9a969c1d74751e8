//! Promise 10: nobody elects the syncer, though it is attached like a replica and has caught up.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use redis::Connection;
use redissync_e2e::{
    connection::connect,
    info::info,
    ledger::{Load, LoadEndpoint, LoadOptions},
    node::{Node, NodeOptions},
    sentinel_set::{SentinelSet, SetOptions},
    servers::ServerVersion,
    syncer::{Syncer, SyncerOptions, SyncerSite},
    wait::wait_until,
};

use crate::bed::{PATIENCE, assert_nodes_equal, binary, seed, wait_for_all};

/// `FAILOVER` is of 6.2 and newer.
const VERSIONS: [ServerVersion; 3] =
    [ServerVersion::Redis62, ServerVersion::Redis70, ServerVersion::Redis82];

/// What `FAILOVER` is given to find a replica.
const FAILOVER_TIME: Duration = Duration::from_secs(3);

fn field(connection: &mut Connection, name: &str) -> Result<String> {
    info(connection, "replication")?.remove(name).with_context(|| format!("INFO tells no {name}"))
}

/// The master takes writes, and they reach the target by the connection that was there before.
fn assert_goes_on(master: &Node, target: &Node, syncer: &mut Syncer) -> Result<()> {
    let mut connection = master.connect()?;
    ensure!(field(&mut connection, "role")? == "master", "the master is none any more");
    redis::cmd("SET").arg("after").arg("the failover").exec(&mut connection)?;
    wait_for_all(syncer, &mut connection)?;
    let report = syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.full_copy_count() == Some(1), "{}", report.0);
    let after: Option<String> = redis::cmd("GET").arg("after").query(&mut target.connect()?)?;
    ensure!(after.as_deref() == Some("the failover"), "the write did not arrive: {after:?}");
    Ok(())
}

/// Asks every sentinel for a failover; each must know nobody to promote.
fn assert_no_sentinel_fails_over(source: &SentinelSet) -> Result<()> {
    for endpoint in source.endpoints() {
        let mut sentinel = connect(&endpoint, None)?;
        let asked: redis::RedisResult<()> =
            redis::cmd("SENTINEL").arg("FAILOVER").arg(source.master_name()).query(&mut sentinel);
        match asked {
            Ok(()) => bail!("{endpoint} began a failover"),
            Err(error) if error.to_string().contains("NOGOODSLAVE") => {}
            Err(error) => bail!("{endpoint} answered {error}"),
        }
    }
    Ok(())
}

/// Waits until every sentinel holds both replicas for down.
fn wait_until_down(source: &SentinelSet, ports: &[u16]) -> Result<()> {
    wait_until("the replicas to be held for down", PATIENCE, || {
        for endpoint in source.endpoints() {
            let replicas: Vec<std::collections::HashMap<String, String>> = redis::cmd("SENTINEL")
                .arg("REPLICAS")
                .arg(source.master_name())
                .query(&mut connect(&endpoint, None)?)?;
            for port in ports {
                let is_down = replicas.iter().any(|replica| {
                    replica.get("port") == Some(&port.to_string())
                        && replica.get("flags").is_some_and(|flags| flags.contains("s_down"))
                });
                if !is_down {
                    return Ok(None);
                }
            }
        }
        Ok(Some(()))
    })
}

#[test]
fn sentinels_do_not_elect_the_syncer_when_all_replicas_are_dead() -> Result<()> {
    for version in VERSIONS {
        let mut source = SentinelSet::start(version, &SetOptions::new())?;
        let target = Node::start(version, &NodeOptions::new())?;
        let options = SyncerOptions::new(
            "tools/cart",
            SyncerSite::sentinel_set("beijing", &source),
            SyncerSite::node("shanghai", &target),
        );
        let mut syncer = Syncer::start(&binary(), &options)?;
        syncer.wait_for_phase("Streaming", PATIENCE)?;
        let load = LoadOptions::new(source.load_endpoint()).rate_per_second(2_000).seed(seed());
        let load = Load::start(load)?;
        let master = source.current_master()?;
        let before = source.master_view()?;
        let mut ports = Vec::new();
        for index in (0..source.node_count()).filter(|index| *index != master) {
            ports.push(source.node(index)?.port());
            source.node_mut(index)?.kill9()?;
        }
        wait_until_down(&source, &ports)?;
        let ledger = load.stop()?;
        wait_for_all(&mut syncer, &mut source.node(master)?.connect()?)?;
        assert_no_sentinel_fails_over(&source)?;
        // With the master gone for a while they would, if they could.
        source.node_mut(master)?.stop()?;
        wait_until("the sentinels to miss the master", PATIENCE, || {
            Ok(source.master_view()?.flags.contains("o_down").then_some(()))
        })?;
        thread::sleep(Duration::from_secs(3));
        source.node_mut(master)?.cont()?;
        let view = wait_until("the sentinels to see the master again", PATIENCE, || {
            let view = source.master_view()?;
            Ok((view.flags == "master").then_some(view))
        })?;
        ensure!(view.address == before.address, "switched to {}", view.address);
        ensure!(view.config_epoch == before.config_epoch, "{view:?}");
        assert_goes_on(source.node(master)?, &target, &mut syncer)?;
        ledger.verify_exact(&mut target.connect()?)?;
        let keys = assert_nodes_equal(source.node(master)?, &target)?;
        println!("{version}: {} stays the master; {keys} keys equal", view.address);
    }
    Ok(())
}

/// Asks the master for a failover to whoever has caught up, and waits until it has given up.
fn fail_over_plainly(master: &Node) -> Result<()> {
    let mut connection = master.connect()?;
    let milliseconds = FAILOVER_TIME.as_millis() as u64;
    let begun = Instant::now();
    redis::cmd("FAILOVER").arg("TIMEOUT").arg(milliseconds).exec(&mut connection)?;
    let state = field(&mut connection, "master_failover_state")?;
    ensure!(state == "waiting-for-sync", "the failover is {state} at once");
    wait_until("the failover to be given up", PATIENCE, || {
        let state = field(&mut connection, "master_failover_state")?;
        match state.as_str() {
            "no-failover" => Ok(Some(())),
            state => bail!("{state}"),
        }
    })?;
    ensure!(begun.elapsed() >= FAILOVER_TIME, "it ended before its time, so it was no timeout");
    Ok(())
}

fn assert_plain_failover_finds_nobody(version: ServerVersion, rate: Option<u32>) -> Result<()> {
    let source = Node::start(version, &NodeOptions::new())?;
    let target = Node::start(version, &NodeOptions::new())?;
    let options = SyncerOptions::new(
        "tools/cart",
        SyncerSite::node("beijing", &source),
        SyncerSite::node("shanghai", &target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    let mut connection = source.connect()?;
    redis::cmd("SET").arg("before").arg("the failover").exec(&mut connection)?;
    let load = rate.map(|rate| {
        let options = LoadOptions::new(LoadEndpoint::fixed(&source.address()));
        Load::start(options.rate_per_second(rate).seed(seed()))
    });
    let load = load.transpose()?;
    wait_for_all(&mut syncer, &mut connection)?;
    fail_over_plainly(&source)?;
    assert_goes_on(&source, &target, &mut syncer)?;
    if let Some(load) = load {
        let ledger = load.stop()?;
        wait_for_all(&mut syncer, &mut connection)?;
        ledger.verify_exact(&mut target.connect()?)?;
    }
    let keys = assert_nodes_equal(&source, &target)?;
    println!("{version}, load {rate:?}: still the master; {keys} keys equal");
    Ok(())
}

#[test]
fn a_plain_failover_does_not_elect_an_idle_syncer() -> Result<()> {
    VERSIONS.into_iter().try_for_each(|version| assert_plain_failover_finds_nobody(version, None))
}

#[test]
fn a_plain_failover_does_not_elect_the_syncer_under_a_light_load() -> Result<()> {
    VERSIONS
        .into_iter()
        .try_for_each(|version| assert_plain_failover_finds_nobody(version, Some(500)))
}
