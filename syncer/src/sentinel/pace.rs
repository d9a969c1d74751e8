//! How often Sentinels are asked, and every time that follows from it. A process that follows one pair asks each second;
//! one that follows hundreds asks rarely, and leans on the messages, which let all be asked at once.

use std::time::Duration;

/// Without any message a failover is seen this late at most.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A slip of the unit must not become a flood, nor a follower that never asks.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(100);
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(300);
/// A Sentinel that does not answer within this time is taken for gone, before its last answer loses its vote.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_secs(4);
/// Sentinels come and go by hand; each list holds all of them.
const LIST_INTERVAL: Duration = Duration::from_secs(10);
/// A subscription may be silent for weeks, so silence is tested with PING.
const LISTEN_INTERVAL: Duration = Duration::from_secs(5);
/// Answers lose their vote by age, which no message tells.
const TICK: Duration = Duration::from_millis(500);
const TICK_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Between two polls of one Sentinel.
    pub(super) poll: Duration,
}

impl Pace {
    pub(super) fn new(poll_interval: Duration) -> Self {
        Self { poll: poll_interval.clamp(POLL_INTERVAL_MIN, POLL_INTERVAL_MAX) }
    }

    /// An older answer is no vote. Polls fail after [`POLL_TIMEOUT`], so a living Sentinel stays below it.
    pub(super) fn answer_age_max(self) -> Duration {
        self.poll + POLL_TIMEOUT
    }

    /// Between two lists of the other Sentinels; they come with a poll.
    pub(super) fn list(self) -> Duration {
        LIST_INTERVAL.max(self.poll)
    }

    /// A Sentinel that no other one announces any more is forgotten after this time: three lists. One that was
    /// forgotten too early would be missing when all are asked to agree on an older epoch.
    pub(super) fn forget_after(self) -> Duration {
        self.list() * 3
    }

    /// How long a subscription may be silent.
    pub(super) fn listen(self) -> Duration {
        LISTEN_INTERVAL.max(self.poll)
    }

    /// How often the answers' age is looked at.
    pub(super) fn tick(self) -> Duration {
        (self.poll / 2).clamp(TICK, TICK_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_sentinel_keeps_its_vote_at_every_pace() {
        for seconds in [0, 1, 10, 60, 100_000] {
            let pace = Pace::new(Duration::from_secs(seconds));
            assert!(pace.answer_age_max() >= pace.poll + POLL_TIMEOUT, "{pace:?}");
            assert!(pace.forget_after() >= 2 * pace.list() && pace.list() >= pace.poll, "{pace:?}");
        }
    }
}
