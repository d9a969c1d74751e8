//! Whether keys may run out at the target before their renewal arrives (Promise 6). Pure.
//!
//! A renewal is lost where it is applied later after it was written than the grace lasts: what it renews is gone. How late
//! writes are applied is the lag; while a full copy runs, the time since the copy was begun. A delay that ends in a full
//! copy grows by the time of that copy, so the last one's time is added to what is foreseen. A target whose clock is ahead
//! expires earlier by as much; one that is behind is no help that anybody should count on.

use std::time::{Duration, Instant};

use super::{amount, backlog::SENTENCE_AGE_MIN};
use crate::{
    contract::{ExpiryReport, ExpiryRisk},
    grace::Grace,
    state::CopyTimes,
};

/// What is known now.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// How much later than at the source keys expire.
    pub grace: Grace,
    /// How late writes are applied, where that is known.
    pub lag_milliseconds: Option<u64>,
    /// How long copies take.
    pub copies: CopyTimes,
    /// The target's clock less the source's.
    pub skew_milliseconds: Option<i64>,
}

/// Watches one pair.
#[derive(Debug, Default)]
pub struct ExpiryWatch {
    is_exceeded: bool,
    copies_finished: u64,
    told: Option<(Option<ExpiryRisk>, String, Instant)>,
}

impl ExpiryWatch {
    /// Looks at the delays of this moment.
    pub fn look(&mut self, now: Instant, delays: Delays) -> ExpiryReport {
        let risk = self.risk(now, delays);
        let message = match self.told.take() {
            Some((told, message, at))
                if told == risk && now.saturating_duration_since(at) < SENTENCE_AGE_MIN =>
            {
                self.told = Some((told, message.clone(), at));
                message
            }
            _ => {
                let message = sentence(risk, now, delays);
                self.told = Some((risk, message.clone(), now));
                message
            }
        };
        ExpiryReport { risk, message, clock_skew_milliseconds: delays.skew_milliseconds }
    }

    fn risk(&mut self, now: Instant, delays: Delays) -> Option<ExpiryRisk> {
        let Some(grace) = delays.grace.span() else { return Some(ExpiryRisk::GraceOff) };
        let ahead = ahead(delays.skew_milliseconds);
        let Delays { copies, .. } = delays;
        let last_copy = copies.last_duration.unwrap_or_default();
        if copies.finished > self.copies_finished {
            self.copies_finished = copies.finished;
            // Whatever was missing is there again, unless this copy was too late itself.
            self.is_exceeded = last_copy + ahead >= grace;
        }
        let delay = delay(now, delays);
        self.is_exceeded |= delay.is_some_and(|delay| delay + ahead >= grace);
        if self.is_exceeded {
            return Some(ExpiryRisk::Exceeded);
        }
        let next_copy = if copies.running_since.is_some() { Duration::ZERO } else { last_copy };
        match (delay, delays.skew_milliseconds) {
            (Some(delay), _) if delay + next_copy + ahead >= grace => Some(ExpiryRisk::AtRisk),
            (Some(_), Some(_)) => Some(ExpiryRisk::WithinGrace),
            _ => None,
        }
    }
}

fn ahead(skew_milliseconds: Option<i64>) -> Duration {
    Duration::from_millis(skew_milliseconds.and_then(|skew| u64::try_from(skew).ok()).unwrap_or(0))
}

/// How late writes are applied.
fn delay(now: Instant, delays: Delays) -> Option<Duration> {
    match delays.copies.running_since {
        Some(since) => Some(now.saturating_duration_since(since)),
        None => delays.lag_milliseconds.map(Duration::from_millis),
    }
}

fn sentence(risk: Option<ExpiryRisk>, now: Instant, delays: Delays) -> String {
    let rough = |span: Duration| amount::rough_seconds(span.as_secs());
    let grace = delays.grace.span().unwrap_or_default();
    let grace = amount::span(grace);
    let delay = delay(now, delays);
    let parts = || {
        let what = match delays.copies.running_since {
            Some(_) => "the full copy under way has taken",
            None => "writes are applied late by",
        };
        let delay = delay.map(|delay| format!("{what} {}", rough(delay)));
        let copy = delays.copies.last_duration.filter(|_| delays.copies.running_since.is_none());
        let copy = copy.map(|copy| format!("a full copy takes {}", rough(copy)));
        let ahead = ahead(delays.skew_milliseconds);
        let clock = (ahead >= Duration::from_secs(1))
            .then(|| format!("the target's clock is ahead by {}", rough(ahead)));
        [delay, copy, clock].into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    match risk {
        Some(ExpiryRisk::AtRisk) => format!(
            "{}: together that reaches expiry.grace ({grace}). Should this go on, or end in a full copy, keys that are renewed meanwhile can be missing at the target. Raise expiry.grace, or end what holds the target up",
            parts()
        ),
        Some(ExpiryRisk::Exceeded) => format!(
            "writes were applied later than expiry.grace ({grace}) allows ({}): keys that were renewed meanwhile may be missing at the target, until a full copy has ended within the grace. Raise expiry.grace, then copy again",
            parts()
        ),
        Some(ExpiryRisk::GraceOff) => {
            "expiry.grace is 0s: times of expiry are applied as they come".to_owned()
        }
        Some(_) => format!("delay, full copy and clocks stay below expiry.grace ({grace})"),
        None if delay.is_none() => "it is not known how late writes are applied".to_owned(),
        None => "the clocks cannot be compared: a node does not answer TIME; grant +time to the syncer's user at both sites".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn delays(lag: u64, last_copy_seconds: u64, skew: i64) -> Delays {
        Delays {
            grace: Grace::new(Duration::from_millis(HOUR)),
            lag_milliseconds: Some(lag),
            copies: CopyTimes {
                running_since: None,
                last_duration: Some(Duration::from_secs(last_copy_seconds)),
                finished: 1,
            },
            skew_milliseconds: Some(skew),
        }
    }

    #[test]
    fn promise_6_the_grace_is_at_risk_where_lag_copy_and_clocks_together_reach_it() {
        let now = Instant::now();
        for (lag, copy, skew, expected) in [
            (0, 60, 0, ExpiryRisk::WithinGrace),
            (HOUR - 61_000, 60, 0, ExpiryRisk::WithinGrace),
            (HOUR - 60_000, 60, 0, ExpiryRisk::AtRisk),
            (HOUR - 70_000, 60, 10_000, ExpiryRisk::AtRisk),
            // A target that is behind expires later, which nobody should count on.
            (HOUR - 60_000, 60, -10_000, ExpiryRisk::AtRisk),
            (HOUR, 60, 0, ExpiryRisk::Exceeded),
            (HOUR - 10_000, 0, 10_000, ExpiryRisk::Exceeded),
            (0, 3600, 0, ExpiryRisk::Exceeded),
        ] {
            let report = ExpiryWatch::default().look(now, delays(lag, copy, skew));
            assert_eq!(report.risk, Some(expected), "{lag} {copy} {skew}: {}", report.message);
        }
    }

    #[test]
    fn what_was_exceeded_stays_until_a_full_copy_has_ended_in_time() {
        let now = Instant::now();
        let mut watch = ExpiryWatch::default();
        assert_eq!(watch.look(now, delays(2 * HOUR, 60, 0)).risk, Some(ExpiryRisk::Exceeded));
        assert_eq!(watch.look(now, delays(0, 60, 0)).risk, Some(ExpiryRisk::Exceeded));
        let mut again = delays(0, 60, 0);
        again.copies.finished = 2;
        assert_eq!(watch.look(now, again).risk, Some(ExpiryRisk::WithinGrace));
    }

    #[test]
    fn a_copy_under_way_counts_since_it_was_begun() {
        let start = Instant::now();
        let mut running = delays(0, 0, 0);
        running.lag_milliseconds = None;
        running.copies = CopyTimes { running_since: Some(start), last_duration: None, finished: 0 };
        let mut watch = ExpiryWatch::default();
        let after = |watch: &mut ExpiryWatch, seconds| {
            watch.look(start + Duration::from_secs(seconds), running).risk
        };
        assert_eq!(after(&mut watch, 3599), Some(ExpiryRisk::WithinGrace));
        assert_eq!(after(&mut watch, 3600), Some(ExpiryRisk::Exceeded));
    }

    #[test]
    fn what_is_not_known_is_not_called_well() {
        let now = Instant::now();
        let unknown_lag = Delays { lag_milliseconds: None, ..delays(0, 60, 0) };
        assert_eq!(ExpiryWatch::default().look(now, unknown_lag).risk, None);
        let unknown_clock = Delays { skew_milliseconds: None, ..delays(0, 60, 0) };
        let report = ExpiryWatch::default().look(now, unknown_clock);
        assert_eq!(report.risk, None);
        assert!(report.message.contains("+time"), "{}", report.message);
        let late = Delays { skew_milliseconds: None, ..delays(HOUR, 60, 0) };
        assert_eq!(ExpiryWatch::default().look(now, late).risk, Some(ExpiryRisk::Exceeded));
        let off = Delays { grace: Grace::NONE, ..delays(HOUR, 60, 0) };
        assert_eq!(ExpiryWatch::default().look(now, off).risk, Some(ExpiryRisk::GraceOff));
    }
}
