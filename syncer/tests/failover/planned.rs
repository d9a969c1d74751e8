//! `SENTINEL FAILOVER` while the master lives: the old master goes on for a while after the new one has begun.

use std::thread;

use anyhow::{Result, ensure};
use redissync_e2e::servers::ServerVersion;

use super::{
    History, LOAD_TIME, Recorded, recorded, set_options, two_sets::TwoSets, wait_for_new_master,
};
use crate::bed::{PATIENCE, assert_equal};

/// Asks for a failover of the source, and returns the new history and the last position of the old one in the target.
fn fail_source_over(bed: &mut TwoSets) -> Result<(History, Option<Recorded>)> {
    let mut target = bed.target.connect_master()?;
    let mut applied = recorded(&mut target)?;
    let old = bed.source.failover()?;
    let (_, history) = wait_for_new_master(&bed.source, old, || {
        if let (Ok(Some(now)), Some(before)) = (recorded(&mut target), &applied)
            && now.replid == before.replid
        {
            applied = Some(now);
        }
    })?;
    bed.wait_for_all()?;
    Ok((history, applied))
}

#[test]
fn an_asked_failover_of_the_target_costs_no_full_copy() -> Result<()> {
    let mut bed = TwoSets::start(ServerVersion::Redis70, &set_options(), &set_options())?;
    let load = bed.load(21_000)?;
    thread::sleep(LOAD_TIME);
    let old = bed.target.failover()?;
    wait_for_new_master(&bed.target, old, || {})?;
    bed.wait_for_all()?;
    bed.target.wait_until_healthy(PATIENCE)?;
    ensure!(bed.full_copies()? == 1, "{}", bed.syncer.log_tail(40));
    bed.finish(load)
}

/// A full copy where, and only where, the target has applied what the new master does not have.
fn assert_as_the_histories_say(
    bed: &TwoSets,
    history: &History,
    applied: Option<&Recorded>,
) -> Result<()> {
    let report = bed.syncer.report()?;
    let copied = bed.full_copies()? - 1;
    println!("applied {applied:?}, shared {}, full copies {copied}", history.shared);
    // The last look at the record may have come before the last batch.
    let is_held = applied.is_none_or(|applied| history.holds(applied));
    ensure!(is_held || copied == 1, "{copied} full copies: {}", bed.syncer.log_tail(40));
    ensure!(
        copied == 0 || (copied == 1 && report.last_full_copy_reason() == "SourceRollback"),
        "{}",
        report.0
    );
    Ok(())
}

#[test]
fn promise_4_an_asked_failover_of_an_idle_source_costs_no_full_copy() -> Result<()> {
    let mut bed = TwoSets::start(ServerVersion::Redis70, &set_options(), &set_options())?;
    let load = bed.load(21_000)?;
    thread::sleep(LOAD_TIME);
    let ledger = load.stop()?;
    bed.wait_for_all()?;
    // The Sentinels' own messages move the old master's stream on after the promotion; no data are lost with them.
    let (history, applied) = fail_source_over(&mut bed)?;
    println!("{history:?}, applied {applied:?}");
    bed.source.wait_until_healthy(PATIENCE)?;
    let mut source = bed.source.connect_master()?;
    redis::cmd("SET").arg("after").arg("the failover").exec(&mut source)?;
    bed.wait_for_all()?;
    let mut target = bed.target.connect_master()?;
    println!("{}", ledger.verify_exact(&mut target)?);
    let keys = assert_equal(&mut source, &mut target)?;
    println!("{keys} keys equal");
    let copies = bed.syncer.report()?.full_copy_count();
    ensure!(copies == Some(1), "{copies:?} full copies, one was the first");
    Ok(())
}

#[test]
fn an_asked_failover_of_a_busy_source_costs_one_full_copy_at_most_and_says_why() -> Result<()> {
    let mut bed = TwoSets::start(ServerVersion::Redis70, &set_options(), &set_options())?;
    let load = bed.load(21_000)?;
    thread::sleep(LOAD_TIME);
    let (history, applied) = fail_source_over(&mut bed)?;
    // The old master takes writes until it is turned into a replica; what it took is lost.
    bed.source.wait_until_healthy(PATIENCE)?;
    assert_as_the_histories_say(&bed, &history, applied.as_ref())?;
    bed.finish(load)
}
