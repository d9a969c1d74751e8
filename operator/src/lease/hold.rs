//! Until when this process may act as the leader, pure: looks at the lease in, an instant out.
//!
//! Another operator takes the lease when its renewal is older than its duration. So what counts is when the lease was
//! *renewed*, not when it was read: reading may work where renewing does not. It never says a later instant than that
//! at which somebody else could begin, less a margin.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;

/// So long before others may take the lease, this process has stopped. It covers what is under way when it stops, the
/// second in which the process ends, and clocks of two nodes that differ: the renewal is stamped by one and judged by
/// the other.
pub(super) const MARGIN: Duration = Duration::from_secs(4);

/// When a look at the lease was begun, by both clocks: the one that never jumps, and the one of the stamps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Before the request was sent: what was true then may be over when the answer comes.
    pub(super) at: Instant,
    /// The same by the clock that stamps renewals.
    pub(super) clock: Timestamp,
}

/// Whether this process may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No renewal of our own was seen yet.
    Unconfirmed,
    /// It may, until then, unless the lease is seen renewed.
    Until(Instant),
    /// Another one has the lease, or nobody. Final.
    Lost,
}

/// What was seen of the lease.
#[derive(Debug)]
pub(super) struct Hold {
    us: String,
    duration: Duration,
    renewed: Option<Timestamp>,
    standing: Standing,
}

impl Hold {
    /// Of a lease that is taken by `us` for `duration` each time.
    pub(super) fn new(us: &str, duration: Duration) -> Self {
        Self { us: us.to_owned(), duration, renewed: None, standing: Standing::Unconfirmed }
    }

    /// Takes in one look; `None`: the lease is gone. A look without an answer is none: time goes on by itself.
    pub(super) fn saw(&mut self, asked: Asked, lease: Option<&LeaseSpec>) -> Standing {
        let holder = lease.and_then(|lease| lease.holder_identity.as_deref());
        if self.standing == Standing::Lost || holder != Some(self.us.as_str()) {
            self.standing = Standing::Lost;
            return self.standing;
        }
        let renewed = lease.and_then(|lease| lease.renew_time.as_ref()).map(|time| time.0);
        // Once for each renewal: seen again after our clock was set back it would seem younger than it is.
        if let Some(renewed) = renewed.filter(|renewed| self.renewed != Some(*renewed)) {
            self.renewed = Some(renewed);
            // A stamp of the future is as good as one of this instant, and no better.
            let age = Duration::try_from(asked.clock.duration_since(renewed)).unwrap_or_default();
            let rest = self.duration.saturating_sub(MARGIN).saturating_sub(age);
            self.standing = Standing::Until(asked.at + rest);
        }
        self.standing
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    const DURATION: Duration = Duration::from_secs(15);
    /// What remains of a renewal of this instant, in seconds.
    const FULL: u64 = 11;

    /// At which second it was looked, by both clocks; who held the lease and when it was renewed.
    type Look = (u64, i64, Option<(&'static str, Option<i64>)>);

    fn after(looks: &[Look]) -> (Instant, Standing) {
        let start = Instant::now();
        let mut hold = Hold::new("us", DURATION);
        let mut standing = Standing::Unconfirmed;
        for (at, clock, lease) in looks {
            let stamp = |second: i64| Timestamp::from_second(second).unwrap();
            let spec = lease.map(|(holder, renewed)| LeaseSpec {
                holder_identity: (!holder.is_empty()).then(|| holder.to_owned()),
                renew_time: renewed.map(|second| MicroTime(stamp(second))),
                ..LeaseSpec::default()
            });
            let asked = Asked { at: start + Duration::from_secs(*at), clock: stamp(*clock) };
            standing = hold.saw(asked, spec.as_ref());
        }
        (start, standing)
    }

    #[test]
    fn it_ends_before_others_may_take_the_lease() {
        let rows: &[(&str, &[Look], u64)] = &[
            ("renewed just now", &[(0, 100, Some(("us", Some(100))))], FULL),
            ("renewed before it was looked at", &[(3, 103, Some(("us", Some(100))))], FULL),
            (
                "renewed again",
                &[(0, 100, Some(("us", Some(100)))), (6, 106, Some(("us", Some(105))))],
                FULL + 5,
            ),
            (
                "it is read, and renewing fails",
                &[(0, 100, Some(("us", Some(100)))), (9, 109, Some(("us", Some(100))))],
                FULL,
            ),
            (
                "the same after our clock was set back",
                &[(0, 100, Some(("us", Some(100)))), (9, 40, Some(("us", Some(100))))],
                FULL,
            ),
            ("a stamp of the future", &[(0, 100, Some(("us", Some(160))))], FULL),
            ("renewed long ago", &[(2, 150, Some(("us", Some(100))))], 2),
            (
                "our clock was set forward: for others the renewal is old",
                &[(0, 100, Some(("us", Some(100)))), (6, 116, Some(("us", Some(110))))],
                FULL,
            ),
            (
                "a renewal without a time",
                &[(0, 100, Some(("us", Some(100)))), (3, 103, Some(("us", None)))],
                FULL,
            ),
        ];
        for (what, looks, ends) in rows {
            let (start, standing) = after(looks);
            assert_eq!(standing, Standing::Until(start + Duration::from_secs(*ends)), "{what}");
        }
    }

    #[test]
    fn it_is_lost_when_another_has_it_or_nobody_and_does_not_come_back() {
        let ours: Look = (0, 100, Some(("us", Some(100))));
        for (what, seen) in [
            ("another has it", Some(("them", Some(101)))),
            ("it was taken off", Some(("", None))),
            ("it is gone", None),
        ] {
            assert_eq!(after(&[ours, (3, 103, seen)]).1, Standing::Lost, "{what}");
            let again: Look = (6, 106, Some(("us", Some(106))));
            assert_eq!(after(&[ours, (3, 103, seen), again]).1, Standing::Lost, "{what}, again");
        }
    }

    #[test]
    fn without_a_renewal_of_our_own_nothing_is_confirmed() {
        assert_eq!(after(&[(0, 100, Some(("us", None)))]).1, Standing::Unconfirmed);
    }
}
