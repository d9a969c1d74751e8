//! Killed at each failpoint: the process ends as in a crash at just that point, and the next one makes it good.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use anyhow::{Result, ensure};
use redissync_e2e::{
    ledger::fill,
    syncer::{Syncer, SyncerOptions},
};
use redissync_syncer::failpoint::Failpoint;

use super::{COPY_PATIENCE, Pair, assert_no_copy, let_load_run};
use crate::bed::{binary, scale, seed};

/// `SIGABRT`: how a failpoint ends the process.
const ABORTED: i32 = 6;

/// Keys at the target that the source does not have, for the sweep: more than one page of SCAN holds.
const STALE_KEYS: u64 = 3000;

/// What the process after the kill may do about the full copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The copy was cut short: it may fork anew, once.
    MayCopy,
    /// What is spooled or recorded is enough (Promise 4).
    GoesOn,
}

/// Each point, at a visit that lies in the middle of its stage.
const POINTS: &[(Failpoint, u64, Next)] = &[
    (Failpoint::BeforeBeginCopy, 1, Next::MayCopy),
    (Failpoint::AfterBeginCopy, 1, Next::MayCopy),
    (Failpoint::InRdbReceive, 5, Next::MayCopy),
    (Failpoint::BeforeRdbComplete, 1, Next::MayCopy),
    (Failpoint::AfterCopyRecord, 1, Next::MayCopy),
    (Failpoint::InRestore, 5, Next::MayCopy),
    (Failpoint::InSweep, 2, Next::GoesOn),
    (Failpoint::BeforeCopyEnd, 1, Next::GoesOn),
    (Failpoint::AfterCopyEnd, 1, Next::GoesOn),
    (Failpoint::BeforeExec, 20, Next::GoesOn),
    (Failpoint::AfterExec, 20, Next::GoesOn),
    (Failpoint::AfterReplies, 20, Next::GoesOn),
    (Failpoint::AfterSpooled, 500, Next::GoesOn),
];

/// They need a source that fails over: see `cut.rs`.
const CUT_POINTS: &[Failpoint] = &[Failpoint::BeforeCut, Failpoint::AfterCut];

#[test]
fn a_kill_at_any_failpoint_loses_and_repeats_nothing() -> Result<()> {
    for point in Failpoint::ALL {
        let is_visited = POINTS.iter().any(|(known, ..)| known == point);
        ensure!(is_visited || CUT_POINTS.contains(point), "{point:?} is not visited");
    }
    for &(point, visit, next) in POINTS {
        println!("{point:?}:{visit}");
        killed_at(point, visit, next).map_err(|err| err.context(format!("{point:?}:{visit}")))?;
    }
    Ok(())
}

fn killed_at(point: Failpoint, visit: u64, next: Next) -> Result<()> {
    let pair = Pair::start()?;
    fill(&mut pair.source.connect()?, scale(25_000, 200_000) as u64, seed())?;
    plant_stale_keys(&pair)?;
    let load = pair.load()?;
    let mut syncer = start_and_die(&pair.options().on_existing_data("Sweep"), point, visit)?;
    syncer.restart()?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    match next {
        Next::GoesOn => assert_no_copy(&syncer)?,
        Next::MayCopy => {
            let report = syncer.report()?;
            let is_few = report.full_copy_count().is_some_and(|count| count <= 1);
            ensure!(is_few, "{:?}", report.0);
            println!("copied anew: {:?}", report.last_full_copy_reason());
        }
    }
    let_load_run(Duration::from_millis(500));
    pair.settle(&mut syncer, load)?;
    Ok(())
}

/// Starts a syncer that dies at the point, and makes sure that it was there.
pub(super) fn start_and_die(
    options: &SyncerOptions,
    point: Failpoint,
    visit: u64,
) -> Result<Syncer> {
    let armed = format!("{point:?}:{visit}");
    let mut syncer = Syncer::start_with_failpoint(&binary(), options, Some(&armed))?;
    assert_dies_at(&mut syncer, point, visit)?;
    Ok(syncer)
}

/// Waits for the end of a syncer that is armed, and makes sure that it was at the point.
pub(super) fn assert_dies_at(syncer: &mut Syncer, point: Failpoint, visit: u64) -> Result<()> {
    let exit = syncer.wait_exit(COPY_PATIENCE)?;
    ensure!(exit.signal() == Some(ABORTED), "ended by {exit}");
    let told = format!("failpoint {point:?}, visit {visit}");
    ensure!(syncer.logs().contains(&told), "no {told:?} in:\n{}", syncer.log_tail(20));
    Ok(())
}

fn plant_stale_keys(pair: &Pair) -> Result<()> {
    let mut pipeline = redis::pipe();
    for number in 0..STALE_KEYS {
        pipeline.cmd("SET").arg(format!("stale:{number}")).arg("old").ignore();
    }
    Ok(pipeline.exec(&mut pair.target.connect()?)?)
}
