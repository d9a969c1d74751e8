//! What becomes of a spool that was lost, or whose last bytes never reached the disk (Promises 1 and 4).

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use redissync_e2e::{ledger::fill, syncer::Syncer, wait::wait_until};

use super::{COPY_PATIENCE, Pair, assert_no_copy, let_load_run, wait_for_stream};
use crate::bed::{binary, scale, seed, source_offset};

/// What a crash of the machine takes of the log: less than the target has, and more.
const LOST_BYTES: [u64; 3] = [1 << 10, 100 << 10, 2 << 20];

/// A segment's file begins with so many bytes of its own.
const SEGMENT_HEADER: u64 = 256;

#[test]
fn a_lost_spool_costs_nothing_that_the_backlog_has() -> Result<()> {
    let pair = Pair::start()?;
    fill(&mut pair.source.connect()?, scale(20_000, 200_000) as u64, seed())?;
    let load = pair.load()?;
    let mut syncer = Syncer::start(&binary(), &pair.options())?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    for _ in 0..scale(2, 5) {
        let_load_run(Duration::from_secs(1));
        syncer.kill9()?;
        syncer.remove_spool()?;
        syncer.restart()?;
        wait_for_stream(&mut syncer, COPY_PATIENCE)?;
        assert_no_copy(&syncer)?;
    }
    pair.settle(&mut syncer, load)?;
    assert_no_copy(&syncer)
}

#[test]
fn a_lost_spool_and_a_backlog_that_has_gone_by_cost_one_copy() -> Result<()> {
    let pair = Pair::start_with_backlog("1mb")?;
    fill(&mut pair.source.connect()?, scale(20_000, 200_000) as u64, seed())?;
    let load = pair.load()?;
    let mut syncer = Syncer::start(&binary(), &pair.options())?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    let_load_run(Duration::from_secs(1));
    syncer.kill9()?;
    syncer.remove_spool()?;
    let mut source = pair.source.connect()?;
    let passed = source_offset(&mut source)? + (2 << 20);
    wait_until("2 MiB more at the source", COPY_PATIENCE, || {
        Ok((source_offset(&mut source)? > passed).then_some(()))
    })?;
    syncer.restart()?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    pair.settle(&mut syncer, load)?;
    let report = syncer.report()?;
    ensure!(report.full_copy_count() == Some(1), "{:?}", report.0);
    let reason = report.last_full_copy_reason();
    ensure!(reason == "BacklogOverrun", "the reason is {reason}");
    Ok(())
}

#[test]
fn a_spool_whose_tail_never_reached_the_disk_goes_on_from_the_backlog() -> Result<()> {
    let pair = Pair::start()?;
    fill(&mut pair.source.connect()?, scale(20_000, 200_000) as u64, seed())?;
    let load = pair.load()?;
    let mut syncer = Syncer::start(&binary(), &pair.options())?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    for lose in [shorten, zero] {
        for bytes in LOST_BYTES {
            let_load_run(Duration::from_millis(1500));
            syncer.kill9()?;
            let segment = last_segment(&syncer.spool_directory())?;
            lose(&segment, bytes).with_context(|| format!("{}", segment.display()))?;
            syncer.restart()?;
            wait_for_stream(&mut syncer, COPY_PATIENCE)?;
            assert_no_copy(&syncer)?;
        }
    }
    pair.settle(&mut syncer, load)?;
    assert_no_copy(&syncer)
}

/// The newest segment of the stream that holds anything: names sort by range and start.
fn last_segment(spool: &Path) -> Result<PathBuf> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(spool).context("failed to list the spool")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("stream-") {
            segments.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    segments.sort();
    let last = segments.pop().context("the spool has no segment of the stream")?;
    Ok(last.1)
}

/// The file ends earlier: its length was not on disk.
fn shorten(segment: &Path, bytes: u64) -> Result<()> {
    let file = OpenOptions::new().write(true).open(segment)?;
    let length = file.metadata()?.len();
    file.set_len(length.saturating_sub(bytes).max(SEGMENT_HEADER))?;
    println!("shortened from {length} by {bytes}");
    Ok(())
}

/// The file is as long as it was and ends in zeros: its length was on disk, its bytes were not.
fn zero(segment: &Path, bytes: u64) -> Result<()> {
    let file = OpenOptions::new().write(true).open(segment)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(bytes).max(SEGMENT_HEADER);
    file.write_all_at(&vec![0; usize::try_from(length - from)?], from)?;
    println!("zeroed from {from} to {length}");
    Ok(())
}
