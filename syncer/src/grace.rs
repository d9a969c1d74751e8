//! The grace: how much later than at the source a key expires at the target (Promise 6). Pure.
//!
//! A replica never expires a key by itself, it waits for the source's DEL. Our target is a master and does. Applied as they
//! come, times of expiry lose keys that the source still has: a renewal that arrives after the time is without effect on a
//! key that is gone. So every time is moved by the same span; deletions come from the source. A uniform shift leaves the
//! conditions of EXPIRE (NX, XX, GT, LT) as they were.

use std::time::Duration;

/// The last time that a field of a hash may expire at, in milliseconds (`EB_EXPIRE_TIME_MAX` of Redis 7.4's ebuckets.h). Far
/// beyond any clock; what lies so far away needs no grace.
const TIME_MAX_MS: i64 = (1 << 48) - 2;

/// In what a time of expiry is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// EXPIRE, EX, …
    Seconds,
    /// PEXPIRE, PX, …
    Millis,
}

/// How much later than at the source a key expires at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grace {
    millis: i64,
}

impl Grace {
    /// Times of expiry are applied as they come.
    pub const NONE: Self = Self { millis: 0 };

    /// Of whole milliseconds; more than a time of expiry can hold is as much as it can.
    pub fn new(span: Duration) -> Self {
        Self { millis: i64::try_from(span.as_millis()).unwrap_or(TIME_MAX_MS).min(TIME_MAX_MS) }
    }

    /// Whether times are applied as they come.
    pub fn is_none(self) -> bool {
        self.millis == 0
    }

    /// How much; `None` where times are applied as they come.
    pub fn span(self) -> Option<Duration> {
        u64::try_from(self.millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis)
    }

    /// A time or a span in milliseconds with the grace added. `None`: it stays as it is.
    pub fn shift_millis(self, at: i64) -> Option<i64> {
        if self.is_none() || at > TIME_MAX_MS - self.millis {
            return None;
        }
        Some(at.saturating_add(self.millis))
    }

    /// The same for a number as it stands in a command. What is no number the target refuses as the source would have.
    pub fn shift_text(self, text: &[u8], unit: TimeUnit) -> Option<i64> {
        let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        match unit {
            TimeUnit::Millis => self.shift_millis(number),
            TimeUnit::Seconds => {
                self.shift_millis(number.checked_mul(1000)?)?;
                // Rounded up: never less than the grace.
                Some(number.saturating_add(self.millis.saturating_add(999) / 1000))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_6_a_time_moves_by_the_grace_and_one_beyond_all_clocks_stays() {
        let hour = Grace::new(Duration::from_secs(3600));
        for (text, unit, expected) in [
            ("1000", TimeUnit::Millis, Some(3_601_000)),
            ("-5", TimeUnit::Millis, Some(3_599_995)),
            ("0", TimeUnit::Seconds, Some(3600)),
            ("1764000000", TimeUnit::Seconds, Some(1_764_003_600)),
            ("281474976710654", TimeUnit::Millis, None),
            ("281474973110654", TimeUnit::Millis, Some(281_474_976_710_654)),
            ("9223372036854775807", TimeUnit::Seconds, None),
            ("-9223372036854775808", TimeUnit::Seconds, None),
            ("-9223372036854775808", TimeUnit::Millis, Some(i64::MIN + 3_600_000)),
            ("9223372036854775808", TimeUnit::Millis, None),
            ("soon", TimeUnit::Millis, None),
        ] {
            assert_eq!(hour.shift_text(text.as_bytes(), unit), expected, "{text} {unit:?}");
        }
        let odd = Grace::new(Duration::from_millis(1500));
        assert_eq!(odd.shift_text(b"10", TimeUnit::Seconds), Some(12));
        assert_eq!(Grace::NONE.shift_millis(7), None);
        assert_eq!(Grace::new(Duration::MAX).shift_millis(0), Some(TIME_MAX_MS));
    }
}
