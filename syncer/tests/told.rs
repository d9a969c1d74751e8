//! What a status page needs of the report: every wait with its end, whether each end answers, what became of the
//! configuration's file; and that an orderly end keeps its time whatever the ends do.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redissync_e2e::syncer::Report;
use serde_json::{Value, json};

use crate::{
    bed::PATIENCE,
    pair::{Pair, waiting_reason, write_some},
};

const KEYS: u64 = 1500;

/// The default of `drainSeconds`.
const DRAIN: Duration = Duration::from_secs(20);

/// Whether an end answers, as the report says.
fn is_reachable(report: &Report, end: &str) -> Option<bool> {
    report.0.pointer(&format!("/links/0/{end}/reachable")).and_then(Value::as_bool)
}

fn waits_for(report: &Report, reason: &str, end: &str) -> bool {
    let waits = report.0["waits"].as_array();
    waits.is_some_and(|waits| waits.iter().any(|it| it["reason"] == reason && it["end"] == end))
}

#[test]
fn both_ends_that_are_away_are_told_at_once() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    let report = pair.syncer.report()?;
    for end in ["source", "target"] {
        ensure!(is_reachable(&report, end) == Some(true), "{end}: {:?}", report.0);
    }
    write_some(&pair.source, 20)?;
    pair.source.stop()?;
    pair.target.stop()?;
    pair.syncer.wait_for("both ends to be missed", PATIENCE, |report| {
        waits_for(report, "SourceUnreachable", "Source")
            && waits_for(report, "TargetUnreachable", "Target")
            && waiting_reason(report) == "TargetUnreachable"
            && is_reachable(report, "source") == Some(false)
            && is_reachable(report, "target") == Some(false)
    })?;
    pair.source.cont()?;
    pair.target.cont()?;
    pair.syncer.wait_for("both ends to be back", PATIENCE, |report| {
        report.0["waits"].as_array().is_some_and(Vec::is_empty)
            && is_reachable(report, "source") == Some(true)
            && is_reachable(report, "target") == Some(true)
    })?;
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn a_file_that_cannot_be_taken_over_is_told_and_changes_nothing() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    // As somebody of a newer version may write it.
    pair.syncer.rewrite_config(|options| {
        options.paused = true;
        options.extra = json!({ "novelty": 1 });
    })?;
    let report = pair.syncer.wait_for("the file to be refused", PATIENCE, |report| {
        report.0["configError"].as_str().is_some_and(|error| error.contains("novelty"))
    })?;
    ensure!(report.0["paused"] == false && report.phase() == "Streaming", "{:?}", report.0);
    pair.syncer.rewrite_config(|options| {
        options.paused = false;
        options.extra = json!({ "drainSeconds": 7 });
    })?;
    pair.syncer.wait_for("the file to be taken", PATIENCE, |report| {
        report.0["configError"].is_null() && report.0["pendingRestart"] == json!(["drainSeconds"])
    })?;
    pair.syncer.restart()?;
    pair.syncer
        .wait_for("the restart", PATIENCE, |report| report.0["pendingRestart"] == json!([]))?;
    pair.settle_equal()?;
    Ok(())
}

/// Asks for the end, and it comes in order and in time.
fn end_in_time(pair: &mut Pair) -> Result<()> {
    let since = Instant::now();
    pair.syncer.sigterm()?;
    let status = pair.syncer.wait_exit(PATIENCE)?;
    let took = since.elapsed();
    println!("ended after {} ms: {status}", took.as_millis());
    ensure!(status.success() && took < DRAIN, "{status} after {took:?}");
    Ok(())
}

#[test]
fn an_orderly_end_keeps_its_time_while_the_target_is_away() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    // Silent, in the middle of a batch and after it was missed.
    for is_missed in [false, true] {
        pair.target.stop()?;
        write_some(&pair.source, 20)?;
        if is_missed {
            pair.wait_for_reason(&["TargetUnreachable"], PATIENCE)?;
        }
        end_in_time(&mut pair)?;
        pair.target.cont()?;
        pair.syncer.restart()?;
        pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
        pair.settle_equal()?;
    }
    // Gone.
    pair.target.kill9()?;
    write_some(&pair.source, 20)?;
    pair.wait_for_reason(&["TargetUnreachable"], PATIENCE)?;
    end_in_time(&mut pair)?;
    pair.target.restart_empty()?;
    pair.syncer.restart()?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;
    Ok(())
}
