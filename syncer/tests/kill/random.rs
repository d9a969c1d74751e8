//! Killed −9 at random instants, one pair of servers throughout, the load never stopping. The seed decides each instant;
//! the histogram says what was hit.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    ledger::{TornPairWatcher, fill},
    random::Random,
    syncer::{Report, Syncer},
};

use super::{COPY_PATIENCE, Pair, let_load_run, record_key, wait_for_stream};
use crate::bed::{binary, is_long, scale, seed};

/// Keys that only the target has, planted before each copy: 10 000 of 200 000 is half a second of sweeping.
const STALE_KEYS: u64 = 10_000;

/// Looks at the report before a kill are as far apart at most: what was hit is known as exactly.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// No instant is drawn that lies further in the stream than this.
const STREAM_INSTANT_MAX_MS: u64 = 1500;

/// Where a kill is aimed.
#[derive(Clone, Copy)]
enum Aim {
    /// Anywhere from the start of the process on.
    Start,
    /// Anywhere from the beginning of this phase on.
    Phase(&'static str),
}

#[derive(Default)]
struct Histogram(BTreeMap<String, usize>);

impl Histogram {
    fn add(&mut self, hit: &str) {
        *self.0.entry(hit.to_string()).or_default() += 1;
    }

    fn count(&self, is_wanted: impl Fn(&str) -> bool) -> usize {
        self.0.iter().filter(|(hit, _)| is_wanted(hit)).map(|(_, count)| count).sum()
    }

    fn print(&self) {
        let parts: Vec<_> = self.0.iter().map(|(hit, count)| format!("{hit} {count}")).collect();
        println!("killed in: {} (seed {})", parts.join(", "), seed());
    }
}

#[test]
fn kills_at_random_instants_of_the_full_copy_lose_and_repeat_nothing() -> Result<()> {
    let wanted = scale(10, 50);
    let pair = Pair::start()?;
    fill(&mut pair.source.connect()?, 200_000, seed())?;
    let load = pair.load()?;
    let mut random = Random::new(seed());
    let mut syncer = Syncer::start(&binary(), &pair.options().on_existing_data("Sweep"))?;
    let copy_time = time_of_copy(&mut syncer)?;
    let mut histogram = Histogram::default();
    for round in 0.. {
        let hits = histogram.count(is_in_copy);
        if hits >= wanted {
            break;
        }
        ensure!(round < 6 * wanted, "only {hits} of {round} kills hit the full copy");
        syncer.kill9()?;
        let phase = pair.record()?.remove("copyPhase");
        // What was cut short is gone on with, or begun anew: both are to be hit.
        if phase.as_deref() != Some("Copying") || random.below(2) == 0 {
            forget_copy(&pair)?;
        }
        syncer.restart()?;
        let (aim, within) = match round % 3 {
            2 => (Aim::Phase("Sweeping"), copy_time / 4),
            1 => (Aim::Phase("FullCopy"), copy_time),
            _ => (Aim::Start, copy_time),
        };
        let delay = within.mul_f64(random.below(1000) as f64 / 1000.0);
        histogram.add(&kill_at(&mut syncer, aim, delay)?);
    }
    histogram.print();
    if is_long() {
        ensure!(histogram.count(|hit| hit == "Sweeping") >= 5, "too few kills in the sweep");
    }
    syncer.restart()?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    pair.settle(&mut syncer, load)?;
    Ok(())
}

#[test]
fn kills_at_random_instants_of_the_stream_lose_and_repeat_nothing_and_copy_nothing() -> Result<()> {
    let wanted = scale(10, 50);
    let pair = Pair::start()?;
    fill(&mut pair.source.connect()?, 200_000, seed())?;
    let load = pair.load()?;
    let mut random = Random::new(seed());
    let mut syncer = Syncer::start(&binary(), &pair.options())?;
    syncer.wait_for_phase("Streaming", COPY_PATIENCE)?;
    let pairs = TornPairWatcher::start(&pair.target.address(), None, &[0, 1, 5])?;
    let mut histogram = Histogram::default();
    for kill in 0..wanted {
        // A fifth of the kills may hit the process before it has attached.
        let (aim, within) = match kill % 5 {
            4 => (Aim::Start, 200),
            _ => (Aim::Phase("CatchingUp"), STREAM_INSTANT_MAX_MS),
        };
        let delay = Duration::from_millis(random.below(within));
        histogram.add(&kill_at(&mut syncer, aim, delay)?);
        syncer.restart()?;
    }
    histogram.print();
    wait_for_stream(&mut syncer, COPY_PATIENCE)?;
    pair.settle(&mut syncer, load)?;
    let report = syncer.report()?;
    ensure!(report.full_copy_count() == Some(0), "{:?}", report.0);
    println!("data verified: {:?}", report.data_verified());
    let started = syncer.logs().matches("the RDB has arrived").count();
    ensure!(started == 1, "{started} full copies over all kills, not only the first");
    let pairs = pairs.stop()?;
    ensure!(pairs.torn == 0 && pairs.read > 0, "{pairs:?}");
    Ok(())
}

fn is_in_copy(hit: &str) -> bool {
    hit.starts_with("FullCopy") || hit == "Sweeping"
}

/// Lets the first copy through, to know how long one takes.
fn time_of_copy(syncer: &mut Syncer) -> Result<Duration> {
    let begun = Instant::now();
    wait_for_stream(syncer, COPY_PATIENCE)?;
    let time = begun.elapsed();
    println!("a full copy takes {:.1} s", time.as_secs_f64());
    Ok(time)
}

/// Takes the record away, as a flush of it would, so that the next process copies again, and gives it keys to sweep.
fn forget_copy(pair: &Pair) -> Result<()> {
    let mut target = pair.target.connect()?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("DEL").arg(record_key()).ignore();
    for number in 0..STALE_KEYS {
        pipeline.cmd("SET").arg(format!("stale:{number}")).arg("old").ignore();
    }
    pipeline.exec(&mut target).context("failed to plant keys")
}

/// Kills it `delay` behind the beginning of what was aimed at, and says in which phase it was.
fn kill_at(syncer: &mut Syncer, aim: Aim, delay: Duration) -> Result<String> {
    if let Aim::Phase(phase) = aim {
        // The next phases end the wait too: a short one may be missed.
        syncer.wait_for(phase, COPY_PATIENCE, |report| is_at_least(report.phase(), phase))?;
    }
    let due = Instant::now() + delay;
    let mut last = None;
    while Instant::now() < due {
        if let Ok(report) = syncer.report() {
            last = Some(report);
        }
        let_load_run(LOOK_INTERVAL.min(due.saturating_duration_since(Instant::now())));
    }
    syncer.kill9()?;
    Ok(last.as_ref().map_or("before its first report".to_string(), place))
}

fn is_at_least(phase: &str, wanted: &str) -> bool {
    let order = ["FullCopy", "Sweeping", "CatchingUp", "Streaming"];
    let rank = |phase| order.iter().position(|known| *known == phase);
    rank(phase).is_some_and(|rank_of_phase| Some(rank_of_phase) >= rank(wanted))
}

fn place(report: &Report) -> String {
    let part =
        report.0.pointer("/links/0/fullCopies/progress/phase").and_then(|part| part.as_str());
    match (report.phase(), part) {
        ("FullCopy", Some(part)) => format!("FullCopy/{part}"),
        // A process that goes on with the copy of another tells no progress.
        ("FullCopy", None) => "FullCopy/resumed".to_string(),
        (phase, _) => phase.to_string(),
    }
}
