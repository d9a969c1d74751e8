//! One writer (Promise 7): a frozen process, and two that are let loose on one pair or on one spool.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    ledger::{TornPairWatcher, fill},
    proxy::{Mode, Proxy},
    syncer::{Report, Syncer, SyncerOptions, SyncerSite},
    wait::wait_until,
};
use serde_json::json;

use super::{COPY_PATIENCE, Pair, assert_no_copy, hold_writes, let_load_run, wait_for_stream};
use crate::bed::{PATIENCE, binary, is_long, scale, seed};

/// An owner that gives no sign of life is displaced after 30 s; with what a busy machine adds.
const TAKE_OVER_PATIENCE: Duration = Duration::from_secs(60);

fn filled_pair() -> Result<Pair> {
    let pair = Pair::start()?;
    fill(&mut pair.source.connect()?, scale(20_000, 200_000) as u64, seed())?;
    Ok(pair)
}

#[test]
fn a_frozen_syncer_goes_on_where_it_was() -> Result<()> {
    let pair = filled_pair()?;
    let load = pair.load()?;
    let mut syncer = Syncer::start(&binary(), &pair.options())?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    let pairs = TornPairWatcher::start(&pair.target.address(), None, &[0, 1, 5])?;
    for _ in 0..scale(2, 5) {
        let_load_run(Duration::from_millis(700));
        syncer.stop()?;
        let_load_run(Duration::from_secs(3));
        syncer.cont()?;
        wait_for_stream(&mut syncer, PATIENCE)?;
    }
    pair.settle(&mut syncer, load)?;
    let report = syncer.report()?;
    ensure!(report.full_copy_count() == Some(1), "{:?}", report.0);
    ensure!(report.counter("uncheckedBatches") == Some(0), "{:?}", report.0);
    let pairs = pairs.stop()?;
    ensure!(pairs.torn == 0 && pairs.read > 0, "{pairs:?}");
    Ok(())
}

#[test]
fn a_frozen_syncer_that_was_displaced_writes_nothing_when_it_wakes() -> Result<()> {
    let pair = filled_pair()?;
    let load = pair.load()?;
    let mut frozen = Syncer::start(&binary(), &pair.options())?;
    frozen.wait_for_phase("Streaming", COPY_PATIENCE)?;
    let_load_run(Duration::from_millis(500));
    // Its EXEC is under way and held at the target when it freezes: the outcome is not in its hands any more.
    hold_writes(&pair.target, 1500)?;
    let_load_run(Duration::from_millis(200));
    frozen.stop()?;
    let mut owner = Syncer::start(&binary(), &pair.options())?;
    wait_for_stream(&mut owner, COPY_PATIENCE)?;
    assert_no_copy(&owner)?;
    let_load_run(Duration::from_secs(1));
    frozen.cont()?;
    assert_superseded(&mut frozen)?;
    let_load_run(Duration::from_secs(1));
    assert_superseded(&mut frozen)?;
    assert_owns(&pair, &owner)?;
    pair.settle(&mut owner, load)?;
    assert_no_copy(&owner)
}

#[test]
fn a_batch_that_was_under_way_arrives_after_the_take_over_and_is_not_applied() -> Result<()> {
    let pair = filled_pair()?;
    let load = pair.load()?;
    let way = Proxy::start(&pair.target.address())?;
    let detour = SyncerSite::standalone("b", &way.address());
    let options = SyncerOptions { target: detour, ..pair.options() };
    let mut slow = Syncer::start(&binary(), &options)?;
    slow.wait_for_phase("Streaming", COPY_PATIENCE)?;
    for _ in 0..scale(3, 20) {
        let_load_run(Duration::from_millis(300));
        // Its next batch is sent, and is held on its way: nobody knows of it but the network.
        way.set_mode(Mode::Silent);
        let_load_run(Duration::from_millis(300));
        let mut owner = Syncer::start(&binary(), &pair.options())?;
        wait_for_stream(&mut owner, COPY_PATIENCE)?;
        assert_no_copy(&owner)?;
        way.set_mode(Mode::Pass);
        assert_superseded(&mut slow)?;
        assert_owns(&pair, &owner)?;
        owner.kill9()?;
        // A new process of the slow one takes the target back, for the next round.
        slow.restart()?;
        wait_for_stream(&mut slow, COPY_PATIENCE)?;
    }
    pair.settle(&mut slow, load)?;
    assert_no_copy(&slow)
}

#[test]
fn of_two_syncers_the_later_owns_the_target_and_the_earlier_stays_up() -> Result<()> {
    let pair = filled_pair()?;
    let load = pair.load()?;
    let mut earlier = Syncer::start(&binary(), &pair.options())?;
    earlier.wait_for_phase("Streaming", COPY_PATIENCE)?;
    let pairs = TornPairWatcher::start(&pair.target.address(), None, &[0, 1, 5])?;
    let mut later = Syncer::start(&binary(), &pair.options())?;
    wait_for_stream(&mut later, COPY_PATIENCE)?;
    assert_superseded(&mut earlier)?;
    // Neither gives the other no rest: the owner stays the same.
    let_load_run(Duration::from_secs(5));
    assert_superseded(&mut earlier)?;
    assert_owns(&pair, &later)?;
    assert_no_copy(&later)?;
    wait_for_stream(&mut later, PATIENCE)?;
    let mut owner = later;
    if is_long() {
        owner = take_over_after_silence(&pair, earlier, owner)?;
    }
    pair.settle(&mut owner, load)?;
    let pairs = pairs.stop()?;
    ensure!(pairs.torn == 0 && pairs.read > 0, "{pairs:?}");
    Ok(())
}

/// The owner freezes, the other one takes over after 30 s and is killed in its turn; the first one is woken, waits as
/// superseded, and takes over again.
fn take_over_after_silence(pair: &Pair, mut waiting: Syncer, mut owner: Syncer) -> Result<Syncer> {
    owner.stop()?;
    waiting.wait_for("the take-over", TAKE_OVER_PATIENCE, is_streaming)?;
    owner.cont()?;
    assert_superseded(&mut owner)?;
    let_load_run(Duration::from_secs(2));
    assert_superseded(&mut owner)?;
    assert_owns(pair, &waiting)?;
    waiting.kill9()?;
    owner.wait_for("the take-over", TAKE_OVER_PATIENCE, is_streaming)?;
    assert_owns(pair, &owner)?;
    Ok(owner)
}

#[test]
fn two_syncers_that_start_at_one_instant_leave_one_owner() -> Result<()> {
    for _ in 0..scale(2, 10) {
        let pair = filled_pair()?;
        let load = pair.load()?;
        let one = Syncer::start(&binary(), &pair.options())?;
        let other = Syncer::start(&binary(), &pair.options())?;
        let (is_one, _) = wait_until("one owner that streams", COPY_PATIENCE, || {
            let (first, second) = (one.report()?, other.report()?);
            let owner = (is_streaming(&first), is_streaming(&second));
            let idle = (first.phase() == "Superseded", second.phase() == "Superseded");
            Ok(((owner, idle) == ((true, false), (false, true))
                || (owner, idle) == ((false, true), (true, false)))
                .then_some(owner))
        })?;
        let (mut owner, mut idle) = if is_one { (one, other) } else { (other, one) };
        assert_owns(&pair, &owner)?;
        pair.settle(&mut owner, load)?;
        assert_superseded(&mut idle)?;
    }
    Ok(())
}

#[test]
fn a_second_syncer_on_one_spool_waits_for_the_end_of_the_first() -> Result<()> {
    let pair = filled_pair()?;
    let load = pair.load()?;
    let mut first = Syncer::start(&binary(), &pair.options())?;
    first.wait_for_phase("Streaming", COPY_PATIENCE)?;
    let shared = json!({ "spool": { "dir": first.spool_directory() } });
    let mut second = Syncer::start(&binary(), &pair.options().extra(shared))?;
    second.wait_for("SpoolLock", PATIENCE, |report| wait_reason(report) == Some("SpoolLock"))?;
    let_load_run(Duration::from_secs(2));
    let report = second.report()?;
    ensure!(wait_reason(&report) == Some("SpoolLock"), "{:?}", report.0);
    ensure!(first.report()?.phase() == "Streaming", "the first was disturbed");
    assert_owns(&pair, &first)?;
    first.kill9()?;
    second.wait_for_phase("Streaming", PATIENCE)?;
    assert_no_copy(&second)?;
    pair.settle(&mut second, load)?;
    Ok(())
}

fn is_streaming(report: &Report) -> bool {
    matches!(report.phase(), "CatchingUp" | "Streaming")
}

fn wait_reason(report: &Report) -> Option<&str> {
    report.waiting_for()?.get("reason")?.as_str()
}

/// It is up, says so, and does nothing else.
fn assert_superseded(syncer: &mut Syncer) -> Result<()> {
    syncer.wait_for_phase("Superseded", PATIENCE)?;
    Ok(())
}

/// The record names this process.
fn assert_owns(pair: &Pair, syncer: &Syncer) -> Result<()> {
    let report = syncer.report()?;
    let nonce = report.0.pointer("/owner/nonce").and_then(|nonce| nonce.as_str());
    let nonce = nonce.context("the report names no owner")?;
    let record = pair.record()?;
    let owner = record.get("owner").context("no record")?;
    ensure!(owner.ends_with(&format!(":{nonce}")), "{owner} owns the target, not {nonce}");
    Ok(())
}
