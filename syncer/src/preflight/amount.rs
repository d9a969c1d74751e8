//! Amounts in the sentences of the checks. Rounded, since a sentence that changes with each look would be a write of a
//! status each time.

use std::time::Duration;

use crate::quantity::Bytes;

/// What an hour of writes needs of a backlog: the longest that a rollout, a lost node or a cut usually takes.
pub(super) const BRIDGE_SECONDS_ADVISED: u64 = 3600;
/// Less than this is not worth advising, whatever is written.
const BACKLOG_ADVISED_MIN: u64 = 64 << 20;

/// An amount that somebody has configured: as it is, in the largest unit that fits.
pub(super) fn bytes(value: u64) -> String {
    Bytes(value).to_string()
}

/// A measured amount, to the power of two below.
pub(super) fn rough_bytes(value: u64) -> String {
    match value.checked_ilog2() {
        None => "0".to_owned(),
        Some(power) => match power {
            0..10 => format!("{} bytes", 1_u64 << power),
            10..20 => format!("{} KiB", 1_u64 << (power - 10)),
            20..30 => format!("{} MiB", 1_u64 << (power - 20)),
            _ => format!("{} GiB", 1_u64 << (power - 30)),
        },
    }
}

/// A measured time: one digit, and the unit that is spoken.
pub(super) fn rough_seconds(value: u64) -> String {
    let digit = |value: u64, unit: &str| {
        let size = 10_u64.pow(value.max(1).ilog10());
        format!("about {} {unit}", value / size * size)
    };
    match value {
        0 => "less than a second".to_owned(),
        1..120 => digit(value, "s"),
        120..7200 => digit(value / 60, "minutes"),
        7200..172_800 => digit(value / 3600, "hours"),
        _ => digit(value / 86_400, "days"),
    }
}

/// A configured time.
pub(super) fn span(span: Duration) -> String {
    match span.as_millis() {
        millis if millis % 60_000 == 0 && millis >= 120_000 => format!("{} min", millis / 60_000),
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}

/// The backlog that bridges an hour at this rate, as CONFIG SET takes it: a power of two.
pub(super) fn backlog_for(bytes_per_second: u64) -> String {
    config_bytes(bytes_per_second.saturating_mul(BRIDGE_SECONDS_ADVISED).max(BACKLOG_ADVISED_MIN))
}

/// At least so much, as CONFIG SET takes it: whole MiB, a power of two.
pub(super) fn config_bytes(value: u64) -> String {
    let mebibytes = value.div_ceil(1 << 20).max(1).checked_next_power_of_two().unwrap_or(1 << 44);
    match mebibytes {
        0..1024 => format!("{mebibytes}mb"),
        _ => format!("{}gb", mebibytes / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_so_that_they_stay() {
        for (value, text) in
            [(0, "0"), (1, "1 bytes"), (1500, "1 KiB"), (3 << 20, "2 MiB"), (5 << 30, "4 GiB")]
        {
            assert_eq!(rough_bytes(value), text);
        }
        for (value, text) in [
            (0, "less than a second"),
            (7, "about 7 s"),
            (58, "about 50 s"),
            (3599, "about 50 minutes"),
            (7300, "about 2 hours"),
            (1_000_000, "about 10 days"),
        ] {
            assert_eq!(rough_seconds(value), text);
        }
    }

    #[test]
    fn the_advised_backlog_bridges_an_hour() {
        assert_eq!(backlog_for(0), "64mb");
        assert_eq!(backlog_for(2_000_000), "8gb");
        assert_eq!(backlog_for(u64::MAX), "17179869184gb");
        assert_eq!(config_bytes(1), "1mb");
    }
}
