//! How long the source's backlog bridges a cut: its size over the rate at which the stream grows. Pure: offsets and times
//! in, a report out.

use std::time::{Duration, Instant};

use super::amount;
use crate::{
    contract::{BacklogHealth, BacklogReport},
    position::{Offset, ReplId},
};

/// A syncer that was killed is attached again within this, in a pod that is already on its node.
pub const BRIDGE_SECONDS_MIN: u64 = 60;
/// Health comes back only well above the bound, so that a rate near it does not turn it each minute.
const BRIDGE_SECONDS_WELL: u64 = 2 * BRIDGE_SECONDS_MIN;
/// The rate is averaged over about so long: a burst of seconds is not what a backlog is sized by.
const MEMORY: Duration = Duration::from_secs(60);
/// Before so long was measured nothing is told: seconds of a burst, or of the writes after a start, are no rate.
const MEASURED_MIN: Duration = Duration::from_secs(10);
/// No use in more: a source that writes a byte a second.
const SECONDS_MAX: u64 = 365 * 86_400;
/// A sentence is renewed this often at most, for it ends up in a status.
pub const SENTENCE_AGE_MIN: Duration = Duration::from_secs(60);

/// What the source said.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its history.
    pub replid: ReplId,
    /// Its offset in it.
    pub offset: Offset,
    /// What its backlog can hold.
    pub backlog_bytes: u64,
    /// How far the syncer has received, while it is *not* connected and follows this history.
    pub received: Option<Offset>,
}

/// Measures one source.
#[derive(Debug, Default)]
pub struct BacklogMeter {
    last: Option<(Instant, Sample)>,
    /// Bytes a second, and over how long it was measured.
    rate: Option<(f64, Duration)>,
    told: Option<(BacklogHealth, String, Instant)>,
}

impl BacklogMeter {
    /// Bytes a second, once that was measured.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.rate.map(|(rate, _)| rate)
    }

    /// Another node, or none: what was measured means nothing.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The source has said where it is. `None` before the rate is known well enough.
    pub fn note(&mut self, now: Instant, sample: Sample) -> Option<BacklogReport> {
        let last = self.last.replace((now, sample));
        let (at, last) = last?;
        if last.replid != sample.replid || sample.offset < last.offset {
            self.rate = None;
            return None;
        }
        let passed = now.saturating_duration_since(at);
        if passed.is_zero() {
            return None;
        }
        let momentary = (sample.offset.0 - last.offset.0) as f64 / passed.as_secs_f64();
        let (rate, measured) = match self.rate {
            // While little was seen, all of it counts alike.
            Some((rate, measured)) => {
                let weight = passed.as_secs_f64() / (measured + passed).min(MEMORY).as_secs_f64();
                (rate + (momentary - rate) * weight.min(1.0), (measured + passed).min(MEMORY))
            }
            None => (momentary, passed),
        };
        self.rate = Some((rate, measured));
        (measured >= MEASURED_MIN).then(|| self.report(now, sample, rate))
    }

    fn report(&mut self, now: Instant, sample: Sample, rate: f64) -> BacklogReport {
        let missing = sample.received.map(|received| sample.offset.0.saturating_sub(received.0));
        let left = sample.backlog_bytes.saturating_sub(missing.unwrap_or(0));
        let seconds = (rate >= 1.0).then(|| ((left as f64 / rate) as u64).min(SECONDS_MAX));
        let was_well =
            self.told.as_ref().is_none_or(|(health, ..)| *health == BacklogHealth::Bridges);
        let bound = if was_well { BRIDGE_SECONDS_MIN } else { BRIDGE_SECONDS_WELL };
        let health = match (missing, seconds) {
            (Some(_), _) if left == 0 => BacklogHealth::Overrun,
            (Some(1..), Some(seconds)) if seconds < bound => BacklogHealth::RunsOut,
            (_, Some(seconds)) if seconds < bound => BacklogHealth::TooSmall,
            _ => BacklogHealth::Bridges,
        };
        let message = match self.told.take() {
            Some((told, message, at))
                if told == health && now.saturating_duration_since(at) < SENTENCE_AGE_MIN =>
            {
                self.told = Some((told, message.clone(), at));
                message
            }
            _ => {
                let message = sentence(health, sample.backlog_bytes, rate, seconds);
                self.told = Some((health, message.clone(), now));
                message
            }
        };
        BacklogReport {
            health,
            message,
            bytes: sample.backlog_bytes,
            write_bytes_per_second: rate as u64,
            seconds,
        }
    }
}

fn sentence(health: BacklogHealth, bytes: u64, rate: f64, seconds: Option<u64>) -> String {
    let size = amount::bytes(bytes);
    let bytes_per_second = rate as u64;
    let rate = amount::rough_bytes(bytes_per_second);
    let left = seconds.map_or_else(|| "any time".to_owned(), amount::rough_seconds);
    let advice = || {
        let size = amount::backlog_for(bytes_per_second);
        format!(
            "`CONFIG SET repl-backlog-size {size}` at every node of the primary's site bridges an hour"
        )
    };
    match health {
        BacklogHealth::Overrun => format!(
            "the syncer is not connected to the source, whose backlog of {size} no longer has what the syncer lacks: a full copy will follow"
        ),
        BacklogHealth::RunsOut => format!(
            "the syncer is not connected to the source, whose backlog of {size} has what it lacks for {left} more, at about {rate} a second"
        ),
        BacklogHealth::TooSmall => format!(
            "the source's backlog of {size} bridges {left} at about {rate} a second: a longer cut costs a full copy. {}",
            advice()
        ),
        _ => format!("the source's backlog of {size} bridges {left}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(offset: u64, received: Option<u64>) -> Sample {
        Sample {
            replid: "a".repeat(40).parse().unwrap(),
            offset: Offset(offset),
            backlog_bytes: 1 << 20,
            received: received.map(Offset),
        }
    }

    /// A source that writes so much each second; the report at the end.
    fn run(
        meter: &mut BacklogMeter,
        start: Instant,
        from: u64,
        seconds: u64,
        rate: u64,
    ) -> BacklogReport {
        let mut report = None;
        for second in 0..=seconds {
            let now = start + Duration::from_secs(second);
            report = meter.note(now, sample(from + second * rate, None));
        }
        report.unwrap()
    }

    #[test]
    fn the_backlog_bridges_its_size_over_the_rate() {
        let mut meter = BacklogMeter::default();
        let report = run(&mut meter, Instant::now(), 0, 100, 1 << 10);
        assert_eq!((report.health, report.seconds), (BacklogHealth::Bridges, Some(1024)));
        assert_eq!(report.write_bytes_per_second, 1 << 10);

        let mut idle = BacklogMeter::default();
        let report = run(&mut idle, Instant::now(), 7, 15, 0);
        assert_eq!((report.health, report.seconds), (BacklogHealth::Bridges, None));
    }

    #[test]
    fn a_backlog_below_a_minute_is_told_and_comes_back_only_well_above() {
        let start = Instant::now();
        let mut meter = BacklogMeter::default();
        let report = run(&mut meter, start, 0, 60, 100_000);
        assert_eq!(report.health, BacklogHealth::TooSmall);
        assert!(
            report.message.contains("CONFIG SET repl-backlog-size 512mb"),
            "{}",
            report.message
        );
        // 1 MiB at 14,000 bytes a second is 75 s: above the bound, below what it needs to come back.
        let later = start + Duration::from_secs(61);
        let report = run(&mut meter, later, 6_100_000, 600, 14_000);
        assert_eq!(report.health, BacklogHealth::TooSmall);
        let later = later + Duration::from_secs(601);
        let report = run(&mut meter, later, 20_000_000, 600, 5_000);
        assert_eq!(report.health, BacklogHealth::Bridges);
    }

    #[test]
    fn while_the_syncer_is_away_what_it_lacks_runs_out_of_the_backlog() {
        let start = Instant::now();
        let mut meter = BacklogMeter::default();
        run(&mut meter, start, 0, 60, 1 << 12);
        let at = |second, offset, received| {
            (start + Duration::from_secs(60 + second), sample(offset, Some(received)))
        };
        let base = 60 << 12;
        for (missing, expected) in [
            (0, BacklogHealth::Bridges),
            ((1 << 20) - (30 << 12), BacklogHealth::RunsOut),
            (1 << 20, BacklogHealth::Overrun),
        ] {
            let (now, sample) = at(missing >> 12, base + missing, base);
            // The first of them comes at once: no time has passed.
            if let Some(report) = meter.note(now + Duration::from_millis(1), sample) {
                assert_eq!(report.health, expected, "{missing}: {report:?}");
            }
        }
    }

    #[test]
    fn another_history_begins_the_measurement_anew() {
        let start = Instant::now();
        let mut meter = BacklogMeter::default();
        run(&mut meter, start, 1000, 15, 10);
        let other = Sample { replid: "b".repeat(40).parse().unwrap(), ..sample(1 << 40, None) };
        assert!(meter.note(start + Duration::from_secs(16), other).is_none());
        assert_eq!(meter.bytes_per_second(), None);
    }

    #[test]
    fn a_sentence_stays_for_a_minute_whatever_its_numbers_do() {
        let start = Instant::now();
        let mut meter = BacklogMeter::default();
        let first = run(&mut meter, start, 0, 12, 1 << 18).message;
        let second = meter.note(start + Duration::from_secs(13), sample(90 << 20, None)).unwrap();
        assert_eq!(first, second.message);
    }
}
