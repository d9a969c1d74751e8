//! The lag that is shown is the one that is there (Promise 9): measured against the two nodes themselves.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use redis::Connection;
use redissync_e2e::{
    ledger::{Load, LoadEndpoint, LoadOptions},
    wait::wait_until,
};

use crate::{
    bed::{PATIENCE, scale, seed, source_offset},
    pair::{Pair, RECORD, run},
};

/// The figure: a second of polling and a tenth for the rest.
const MILLISECONDS_OFF_MAX: u64 = 1100;

/// The position that the target holds, as the target says it.
fn record_offset(target: &mut Connection) -> Result<u64> {
    let offset: String = redis::cmd("HGET").arg(RECORD).arg("offset").query(target)?;
    offset.parse().context("the record has no offset")
}

/// When the source was seen at which offset.
struct Clock {
    seen: Arc<Mutex<VecDeque<(Instant, u64)>>>,
    is_ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Result<()>>>,
}

impl Clock {
    fn start(mut source: Connection) -> Self {
        let seen = Arc::new(Mutex::new(VecDeque::new()));
        let is_ended = Arc::new(AtomicBool::new(false));
        let (seen_of, is_ended_of) = (Arc::clone(&seen), Arc::clone(&is_ended));
        let thread = std::thread::spawn(move || {
            while !is_ended_of.load(Ordering::Relaxed) {
                let offset = source_offset(&mut source)?;
                let mut seen = seen_of.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.back().is_none_or(|(_, last)| *last != offset) {
                    seen.push_back((Instant::now(), offset));
                }
                drop(seen);
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        });
        Self { seen, is_ended, thread: Some(thread) }
    }

    /// How long ago the source passed this offset.
    fn age_of(&self, offset: u64) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().find(|(_, at)| *at > offset).map(|(since, _)| since.elapsed())
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Holds the target's writes under load and compares what is shown with what is.
fn held(seconds: u64) -> Result<()> {
    let mut pair = Pair::streaming(2000)?;
    let load =
        Load::start(LoadOptions::new(LoadEndpoint::fixed(&pair.source.address())).seed(seed()))?;
    let clock = Clock::start(pair.source.connect()?);
    let (mut source, mut target) = (pair.source.connect()?, pair.target.connect()?);
    std::thread::sleep(Duration::from_secs(2));
    run(&pair.target, &format!("CLIENT PAUSE {} WRITE", seconds * 1000))?;
    let begun = Instant::now();
    let (mut samples, mut bytes_off_max, mut milliseconds_off_max) = (0, 0.0_f64, 0);
    while begun.elapsed() < Duration::from_secs(seconds) - Duration::from_millis(300) {
        std::thread::sleep(Duration::from_millis(200));
        if begun.elapsed() < Duration::from_secs(2) {
            continue;
        }
        let (record, offset_before) = (record_offset(&mut target)?, source_offset(&mut source)?);
        let age_before = clock.age_of(record).context("the source has not passed the record")?;
        let report = pair.syncer.report()?;
        let (offset_after, age_after) =
            (source_offset(&mut source)?, clock.age_of(record).context("no age")?);
        ensure!(record == record_offset(&mut target)?, "the target is not held");
        samples += 1;

        let bytes = report.lag_bytes().context("no lag in bytes")? as f64;
        let (least, most) = ((offset_before - record) as f64, (offset_after - record) as f64);
        let off = ((least - bytes) / least).max((bytes - most) / most).max(0.0);
        bytes_off_max = bytes_off_max.max(off);
        ensure!(off <= 0.1, "{bytes} bytes are shown, {least} to {most} are behind");

        let shown = report.lag_milliseconds().context("no lag in milliseconds")?;
        let (least, most) = (age_before.as_millis() as u64, age_after.as_millis() as u64);
        let off = least.saturating_sub(shown).max(shown.saturating_sub(most));
        milliseconds_off_max = milliseconds_off_max.max(off);
        ensure!(
            off <= MILLISECONDS_OFF_MAX,
            "{shown} ms are shown, {least} to {most} ms is the truth"
        );
        ensure!(report.0.pointer("/links/0/lag/idle") == Some(&false.into()), "{:?}", report.0);
    }
    println!(
        "held for {seconds} s: {samples} samples, off by at most {:.1} % and {milliseconds_off_max} ms",
        bytes_off_max * 100.0
    );
    ensure!(samples >= 5, "only {samples} samples");
    let ledger = load.stop()?;
    pair.settle()?;
    ledger.verify_exact(&mut target)?;
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn what_is_shown_is_what_is_while_the_target_is_held() -> Result<()> {
    held(5)?;
    if scale(0, 1) == 1 {
        held(30)?;
    }
    Ok(())
}

#[test]
fn housekeeping_of_an_idle_source_is_no_lag() -> Result<()> {
    let source = redissync_e2e::NodeOptions::new().option("repl-ping-replica-period", 1);
    let mut pair = Pair::streaming_with(500, &source, &redissync_e2e::NodeOptions::new())?;
    pair.settle()?;
    let is_idle = |report: &redissync_e2e::syncer::Report| {
        report.lag_milliseconds() == Some(0)
            && report.0.pointer("/links/0/lag/idle") == Some(&true.into())
    };
    pair.syncer.wait_for("an idle link", PATIENCE, is_idle)?;
    // PINGs are behind now and then, and never a lag in time.
    let begun = source_offset(&mut pair.source.connect()?)?;
    let mut source = pair.source.connect()?;
    wait_until("five PINGs", PATIENCE, || {
        let report = pair.syncer.report()?;
        if !is_idle(&report) {
            return Ok(Some(Err(report)));
        }
        Ok((source_offset(&mut source)? >= begun + 5 * 14).then_some(Ok(())))
    })?
    .map_err(|report| anyhow::anyhow!("a lag of PINGs: {:?}", report.0.pointer("/links/0/lag")))?;
    // Held with PINGs alone behind.
    run(&pair.target, "CLIENT PAUSE 4000 WRITE")?;
    std::thread::sleep(Duration::from_secs(3));
    let report = pair.syncer.report()?;
    ensure!(is_idle(&report), "{:?}", report.0.pointer("/links/0/lag"));
    pair.settle()
}

#[test]
fn every_rung_is_known_before_the_stream_has_moved() -> Result<()> {
    let mut pair = Pair::streaming(100)?;
    for end in ["a full copy", "a restart"] {
        // An idle source says something every ten seconds: until then the numbers are those of where the stream begins.
        let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
        let rungs = ["received", "spooled", "checkpoint"].map(|rung| report.offset(rung));
        let known = rungs.iter().flatten().count();
        ensure!(
            known == rungs.len() && rungs[0] >= rungs[1] && rungs[1] >= rungs[2],
            "{end}: {rungs:?}"
        );
        pair.syncer.kill9()?;
        pair.syncer.restart()?;
    }
    Ok(())
}
