//! How far the clocks of two nodes are apart. Both are compared with one monotonic clock of ours, so that neither our own
//! clock nor a jump of it matters; the round trip is halved.

use std::time::Instant;

use crate::resp::frame::Frame;

/// The answer to `TIME` as microseconds since 1970.
pub(super) fn parse_time(reply: &Frame) -> Option<i64> {
    let [seconds, micros] = reply.array()? else { return None };
    let number = |frame: &Frame| frame.text()?.parse::<i64>().ok();
    number(seconds)?.checked_mul(1_000_000)?.checked_add(number(micros)?)
}

/// How far a node's clock is ahead of `base`, in microseconds: it said `time` to a question that took from `asked` to
/// `answered`.
pub(super) fn ahead(base: Instant, time: i64, asked: Instant, answered: Instant) -> i64 {
    let halfway = asked + answered.saturating_duration_since(asked) / 2;
    let passed = i64::try_from(halfway.saturating_duration_since(base).as_micros());
    time.saturating_sub(passed.unwrap_or(i64::MAX))
}

/// The target's clock less the source's, in milliseconds.
pub(super) fn skew_milliseconds(source_ahead: i64, target_ahead: i64) -> i64 {
    target_ahead.saturating_sub(source_ahead) / 1000
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_clocks_are_compared_by_the_middle_of_the_round_trip() {
        let base = Instant::now();
        let at = |ms| base + Duration::from_millis(ms);
        // The source answers 20 ms into a round trip of 40 ms, the target at once; the target is 3 s ahead.
        let source = ahead(base, 1_000_020_000, at(0), at(40));
        let target = ahead(base, 1_003_100_000, at(100), at(100));
        assert_eq!(skew_milliseconds(source, target), 3000);
        assert_eq!(skew_milliseconds(target, source), -3000);
    }

    #[test]
    fn what_is_no_time_is_none() {
        let bulk = |text: &str| Frame::Bulk(text.as_bytes().to_vec());
        let time = Frame::Array(vec![bulk("1764000000"), bulk("250000")]);
        assert_eq!(parse_time(&time), Some(1_764_000_000_250_000));
        for odd in
            [Frame::Null, Frame::Array(vec![bulk("1")]), Frame::Array(vec![bulk("x"), bulk("1")])]
        {
            assert_eq!(parse_time(&odd), None);
        }
    }
}
