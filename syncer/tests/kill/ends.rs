//! How a process ends, and what the next one knows of it: an orderly end leaves nothing unchecked, a kill may, and that
//! is never forgotten (Promise 8).

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use redissync_e2e::{
    ledger::fill,
    syncer::{Report, Syncer, SyncerOptions, SyncerSite},
    wait::wait_until,
};
use redissync_syncer::failpoint::Failpoint;
use serde_json::Value;

use super::{
    COPY_PATIENCE, Pair, ack_tap::AckTap, assert_no_copy, failpoints::start_and_die, hold_writes,
    let_load_run, wait_for_stream,
};
use crate::bed::{PATIENCE, binary, scale, seed};

/// `drainSeconds`' default is 25 s; a process that takes longer ends with an error.
const GRACE: Duration = Duration::from_secs(30);

/// The process has ended: what it sent is in the relay's socket by then.
const ACK_PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn an_orderly_end_under_load_leaves_a_clean_record() -> Result<()> {
    let pair = Pair::start()?;
    fill(&mut pair.source.connect()?, scale(20_000, 200_000) as u64, seed())?;
    let load = pair.load()?;
    let tap = AckTap::start(&pair.source.address())?;
    let options = SyncerOptions::new(
        super::PAIR_ID,
        SyncerSite::standalone("a", &tap.address()),
        SyncerSite::node("b", &pair.target),
    );
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    for round in 0..scale(4, 20) {
        let_load_run(Duration::from_secs(1));
        if round % 2 == 1 {
            // A batch is under way and more is spooled when the end is asked for.
            hold_writes(&pair.target, 1000)?;
            let_load_run(Duration::from_millis(300));
        }
        syncer.sigterm()?;
        let exit = syncer.wait_exit(GRACE)?;
        ensure!(exit.success(), "ended by {exit}:\n{}", syncer.log_tail(20));
        let record = pair.record()?;
        let unchecked = record.get("unchecked").context("no record")?;
        ensure!(unchecked.is_empty(), "round {round}: {unchecked:?} is left unchecked: {record:?}");
        let checkpoint: u64 = record.get("offset").context("no offset")?.parse()?;
        // One byte of what was received stays unacknowledged (Promise 10): of the record's own position, unless the
        // stream was left within a unit. The relay may be a moment behind the process.
        wait_until("the last acknowledgement", ACK_PATIENCE, || {
            let ack = tap.last_ack().context("nothing was acknowledged")?;
            let is_last = ack == checkpoint || ack + 1 == checkpoint;
            ensure!(is_last, "acknowledged {ack}, the record has {checkpoint}");
            Ok(Some(()))
        })?;
        syncer.restart()?;
        wait_for_stream(&mut syncer, COPY_PATIENCE)?;
        assert_no_copy(&syncer)?;
        let report = syncer.report()?;
        ensure!(verified(&report)? == ("True", 0), "{:?}", report.data_verified());
    }
    pair.settle(&mut syncer, load)?;
    Ok(())
}

#[test]
fn a_batch_whose_replies_were_lost_stays_counted_through_restarts() -> Result<()> {
    let pair = Pair::start()?;
    fill(&mut pair.source.connect()?, scale(20_000, 200_000) as u64, seed())?;
    let load = pair.load()?;
    let mut syncer = start_and_die(&pair.options(), Failpoint::AfterExec, 20)?;
    // The batch may not have reached the target; then there is nothing to tell. Most do.
    for visit in 5.. {
        let record = pair.record()?;
        let unchecked = record.get("unchecked").context("no record")?;
        if unchecked.is_empty() {
            ensure!(visit < 15, "no batch reached the target in 10 attempts");
        } else {
            println!("unchecked: {unchecked}");
            break;
        }
        syncer.restart_with_failpoint(Some(&format!("AfterExec:{visit}")))?;
        syncer.wait_exit(PATIENCE)?;
    }
    syncer.restart()?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    assert_no_copy(&syncer)?;
    let report = syncer.report()?;
    let (status, count) = verified(&report)?;
    ensure!(status == "Unknown" && count >= 1, "{:?}", report.data_verified());
    ensure!(report.counter("uncheckedBatches") == Some(1), "{:?}", report.0);
    // An orderly end in between adds none and forgets none.
    syncer.sigterm()?;
    ensure!(syncer.wait_exit(GRACE)?.success(), "{}", syncer.log_tail(20));
    syncer.restart()?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    let report = syncer.report()?;
    ensure!(verified(&report)? == ("Unknown", count), "{:?}", report.data_verified());
    ensure!(report.counter("uncheckedBatches") == Some(0), "{:?}", report.0);
    assert_no_copy(&syncer)?;
    pair.settle(&mut syncer, load)?;
    Ok(())
}

fn verified(report: &Report) -> Result<(&str, u64)> {
    let Some(verified) = report.data_verified() else { bail!("no dataVerified") };
    let status = verified.get("status").and_then(Value::as_str).context("status")?;
    let count = verified.get("uncheckedBatches").and_then(Value::as_u64);
    Ok((status, count.context("uncheckedBatches")?))
}
