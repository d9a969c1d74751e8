//! The table, a line each second, and how each failover went, as the syncer's report and the sentinels tell it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::screen::{Colour, Screen, bytes, grouped};
use crate::{SentinelSet, Syncer, syncer::Report};

/// Often enough to time a failover, rare enough to disturb nobody.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The table's rhythm.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The header comes again after so many lines.
const LINES_PER_HEADER: u32 = 20;

/// A failover that Sentinel must repeat takes twice its timeout of eight seconds.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(60);

/// How a failover went.
#[derive(Debug, Clone)]
pub(super) struct Failover {
    pub(super) side: &'static str,
    pub(super) old: String,
    pub(super) new: String,
    /// Since the syncer's start.
    pub(super) killed_at: Duration,
    /// From the kill until the sentinels named the new master.
    pub(super) promoted_after: Duration,
    /// From the kill until the syncer, at the new master, had the target's position move on.
    pub(super) going_on_after: Duration,
    /// The most that it lagged meanwhile.
    pub(super) lag_milliseconds_max: u64,
    /// What the target had at the kill.
    pub(super) checkpoint_at_kill: u64,
}

/// Prints the table while the demonstration waits for something.
pub(super) struct Watch<'a> {
    screen: &'a Screen,
    begun: Instant,
    line_due: Instant,
    lines: u32,
    applied: Option<(Instant, u64)>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(screen: &'a Screen) -> Self {
        let begun = Instant::now();
        Self { screen, begun, line_due: begun, lines: 0, applied: None }
    }

    /// Since the syncer's start.
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits for the end of the first copy.
    pub(super) fn until_streaming(
        &mut self,
        syncer: &mut Syncer,
        limit: Duration,
    ) -> Result<Duration> {
        self.until(syncer, "the end of the first copy", limit, |report| {
            report.phase() == "Streaming"
        })
    }

    /// Lets time pass.
    pub(super) fn for_a_while(&mut self, syncer: &mut Syncer, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.until(syncer, "time to pass", time * 2, |_| Instant::now() >= end).map(drop)
    }

    /// Looks until `is_reached`, and returns when it was.
    pub(super) fn until(
        &mut self,
        syncer: &mut Syncer,
        what: &str,
        limit: Duration,
        mut is_reached: impl FnMut(&Report) -> bool,
    ) -> Result<Duration> {
        let end = Instant::now() + limit;
        loop {
            if !syncer.is_running() {
                bail!("the syncer ended before {what}:\n{}", syncer.log_tail(30));
            }
            // Right after its start it does not answer yet.
            let report = syncer.report().ok();
            self.show(report.as_ref());
            if report.as_ref().is_some_and(&mut is_reached) {
                return Ok(self.now());
            }
            if Instant::now() > end {
                let last = report.map_or("none".to_string(), |report| report.0.to_string());
                let log = syncer.log_tail(30);
                bail!(
                    "waited {limit:?} in vain for {what}; the last report: {last}\nits log:\n{log}"
                );
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Kills the master of a set and watches until the syncer goes on at the one that the sentinels promote.
    pub(super) fn fail_over(
        &mut self,
        side: &'static str,
        set: &mut SentinelSet,
        syncer: &mut Syncer,
        mut on_promoted: impl FnMut(&str),
    ) -> Result<Failover> {
        let old = set.master_address()?;
        set.kill_master9()?;
        let killed = Instant::now();
        let killed_at = self.now();
        self.screen.event(killed_at, &format!("kill -9 of the {side}'s master {old}"));
        let checkpoint_at_kill = syncer.report()?.checkpoint().unwrap_or_default();
        let mut promoted: Option<(String, Duration)> = None;
        let mut arrived: Option<u64> = None;
        let mut lag_milliseconds_max = 0;
        let begun = self.begun;
        let screen = self.screen;
        self.until(
            syncer,
            &format!("the {side}'s failover to be followed"),
            FAILOVER_TIMEOUT,
            |report| {
                lag_milliseconds_max =
                    lag_milliseconds_max.max(report.lag_milliseconds().unwrap_or_default());
                if promoted.is_none()
                    && let Ok(address) = set.master_address()
                    && address != old
                {
                    let text = format!("the sentinels have promoted {address}");
                    screen.event(begun.elapsed(), &text);
                    on_promoted(&address);
                    promoted = Some((address, killed.elapsed()));
                }
                let Some((new, _)) = &promoted else { return false };
                let at = if side == "source" {
                    report.source_address()
                } else {
                    report.target_address()
                };
                if at != new {
                    return false;
                }
                let checkpoint = report.checkpoint().unwrap_or_default();
                match arrived {
                    None => {
                        arrived = Some(checkpoint);
                        false
                    }
                    // What was spooled before the kill is applied meanwhile, so only what is beyond it counts.
                    Some(then) => {
                        checkpoint > then.max(checkpoint_at_kill) && report.phase() == "Streaming"
                    }
                }
            },
        )?;
        let going_on_after = killed.elapsed();
        self.screen.event(self.now(), &format!("the syncer goes on at the {side}'s new master"));
        let Some((new, promoted_after)) = promoted else { bail!("no master was promoted") };
        Ok(Failover {
            side,
            old,
            new,
            killed_at,
            promoted_after,
            going_on_after,
            lag_milliseconds_max,
            checkpoint_at_kill,
        })
    }

    fn show(&mut self, report: Option<&Report>) {
        let now = Instant::now();
        if now < self.line_due {
            return;
        }
        self.line_due = (self.line_due + LINE_INTERVAL).max(now);
        let Some(report) = report else { return };
        if self.lines.is_multiple_of(LINES_PER_HEADER) {
            let header = format!(
                "{:>8}  {:<12} {:<16} {:<16} {:>9} {:>10} {:>7} {:>10}",
                "time",
                "phase",
                "source master",
                "target master",
                "lag",
                "behind",
                "copies",
                "applied/s"
            );
            self.screen.plain(&self.screen.paint(Colour::Bold, &header));
        }
        self.lines += 1;
        let applied = report.counter("commandsApplied").unwrap_or_default();
        let rate = self.applied.map(|(then, before)| {
            applied.saturating_sub(before) as f64 / now.duration_since(then).as_secs_f64()
        });
        self.applied = Some((now, applied));
        let (phase, lag) = (report.phase(), report.lag_milliseconds());
        let colour = match (phase, lag) {
            ("Streaming", Some(..1000)) => Colour::Green,
            ("Halted", _) => Colour::Red,
            _ => Colour::Yellow,
        };
        let waiting = report.waiting_for().and_then(|waiting| waiting["reason"].as_str());
        let line = format!(
            "{:>6.1} s  {} {:<16} {:<16} {:>9} {:>10} {:>7} {:>10}  {}",
            self.now().as_secs_f64(),
            self.screen.paint(colour, &format!("{phase:<12}")),
            or_dash(report.source_address()),
            or_dash(report.target_address()),
            lag.map_or("-".to_string(), |lag| format!("{} ms", grouped(lag))),
            report.lag_bytes().map_or("-".to_string(), bytes),
            report.full_copy_count().map_or("-".to_string(), |count| count.to_string()),
            rate.map_or("-".to_string(), |rate| grouped(rate as u64)),
            self.screen.paint(Colour::Dim, waiting.unwrap_or_default()),
        );
        self.screen.plain(line.trim_end());
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
