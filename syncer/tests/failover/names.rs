//! Sentinels with a password of their own, with hostnames, and with nobody there.

use std::thread;

use anyhow::{Result, ensure};
use redissync_e2e::{
    compare::CompareOptions,
    sentinel_set::{SentinelSet, SetOptions},
    servers::ServerVersion,
};

use super::{LOAD_TIME, heal, set_options, two_sets::TwoSets, wait_for_new_master};
use crate::bed::{PATIENCE, source_offset};

/// Kills the source's and then the target's master; each is followed.
fn fail_both_over(bed: &mut TwoSets) -> Result<()> {
    let copies = bed.full_copies()?;
    thread::sleep(LOAD_TIME);
    let killed = bed.source.kill_master9()?;
    let (_, history) = wait_for_new_master(&bed.source, killed, || {})?;
    bed.wait_for_all()?;
    heal(&mut bed.source, killed)?;
    thread::sleep(LOAD_TIME);
    let killed = bed.target.kill_master9()?;
    wait_for_new_master(&bed.target, killed, || {})?;
    bed.wait_for_all()?;
    heal(&mut bed.target, killed)?;
    let report = bed.syncer.report()?;
    let copied = report.full_copy_count().unwrap_or(0) - copies;
    println!("shared {}, full copies {copied}", history.shared);
    // The replicas were not held: a tail that only we got can be some bytes of the last moment.
    ensure!(
        copied == 0 || (copied == 1 && report.last_full_copy_reason() == "SourceRollback"),
        "{}",
        report.0
    );
    Ok(())
}

#[test]
fn sentinels_and_data_nodes_have_passwords_of_their_own() -> Result<()> {
    let options = |site: &str| {
        let password = format!("{site}-data");
        set_options().password(&password).sentinel_password(&format!("{site}-sentinel"))
    };
    let mut bed = TwoSets::start(ServerVersion::Redis82, &options("a"), &options("b"))?;
    let load = bed.load(5_000)?;
    fail_both_over(&mut bed)?;
    let logs = bed.syncer.logs();
    for secret in ["a-data", "a-sentinel", "b-data", "b-sentinel"] {
        ensure!(!logs.contains(secret), "the log tells a password");
    }
    bed.finish(load)
}

#[test]
fn hostnames_are_followed_as_sentinels_announce_them() -> Result<()> {
    let options: SetOptions = set_options().announcing_hostnames();
    let mut bed = TwoSets::start(ServerVersion::Redis62, &options, &options)?;
    let load = bed.load(5_000)?;
    fail_both_over(&mut bed)?;
    let report = bed.syncer.report()?;
    for address in [report.source_address(), report.target_address()] {
        ensure!(address.starts_with("localhost:"), "{address} is no hostname");
    }
    // Before 7.0 EXPIRE travels as the seconds that are left: what waited for a failover lives longer by that wait, at
    // the source's own replicas too.
    let options = CompareOptions { expiry_late_ms: 60_000, ..CompareOptions::synced() };
    bed.finish_with(load, &options)
}

fn kill_sentinels(set: &mut SentinelSet) -> Result<()> {
    (0..3).try_for_each(|index| set.sentinel_mut(index)?.kill9())
}

fn restart_sentinels(set: &mut SentinelSet) -> Result<()> {
    (0..3).try_for_each(|index| set.sentinel_mut(index)?.restart())
}

#[test]
fn without_any_sentinel_the_stream_goes_on_until_a_master_is_lost() -> Result<()> {
    let mut bed = TwoSets::start(ServerVersion::Valkey91, &set_options(), &set_options())?;
    let (source, target) = (bed.source.current_master()?, bed.target.current_master()?);
    let load = bed.load(5_000)?;
    thread::sleep(LOAD_TIME);
    kill_sentinels(&mut bed.source)?;
    kill_sentinels(&mut bed.target)?;
    let connections = |bed: &TwoSets| -> Result<_> {
        let report = bed.syncer.report()?;
        Ok((report.counter("reconnects/source"), report.counter("reconnects/target")))
    };
    let before = connections(&bed)?;
    ensure!(before.0.is_some() && before.1.is_some(), "no such counters");
    // Longer than a sentinel's word counts.
    for _ in 0..8 {
        thread::sleep(LOAD_TIME);
        let mut master = bed.source.node(source)?.connect()?;
        let end = source_offset(&mut master)?;
        let report = bed.syncer.wait_for("the stream to go on", PATIENCE, |report| {
            report.checkpoint().is_some_and(|checkpoint| checkpoint >= end)
        })?;
        ensure!(report.phase() == "Streaming", "{}", report.0);
        ensure!(report.waiting_for().is_none(), "{}", report.0);
    }
    ensure!(connections(&bed)? == before, "a connection was given up: {}", bed.syncer.log_tail(40));
    // Now it needs them.
    bed.source.node_mut(source)?.kill9()?;
    bed.syncer.wait_for("the lost source to be told", PATIENCE, |report| {
        report.waiting_for().is_some_and(|waiting| waiting.to_string().contains("Source"))
    })?;
    restart_sentinels(&mut bed.source)?;
    restart_sentinels(&mut bed.target)?;
    wait_for_new_master(&bed.source, source, || {})?;
    bed.wait_for_all()?;
    ensure!(bed.target.current_master()? == target, "the target failed over");
    heal(&mut bed.source, source)?;
    bed.finish(load)
}
