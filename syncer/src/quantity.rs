//! Amounts as people write them in the configuration: [`Bytes`] (`8Gi`, `512Mi`, `1G`, `1048576`) and
//! [`Span`] (`24h`, `1h30m`, `90s`, `500ms`). Exact integers only: nothing is rounded behind the user's back.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Suffixes of amounts of bytes: binary as in Kubernetes, decimal as on a disk's label.
const BYTE_UNITS: [(&str, u64); 10] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

/// Units of spans in milliseconds, largest first: the order in which they must be written.
const SPAN_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not an amount of bytes.
    #[error(
        "'{0}' is no amount of bytes: write a whole number with Ki, Mi, Gi, Ti, k, M, G, T or no suffix, such as 8Gi"
    )]
    Bytes(String),
    /// Not a span of time.
    #[error(
        "'{0}' is no span of time: write whole numbers with h, m, s or ms, largest first, such as 24h, 1h30m or 500ms"
    )]
    Span(String),
    /// A span without a unit; there is no unit that everybody would expect.
    #[error("'{0}' lacks a unit: write h, m, s or ms behind it, such as {0}s")]
    SpanUnit(String),
    /// Does not fit in 64 bits.
    #[error("'{0}' is too large")]
    TooLarge(String),
}

/// An amount of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split_digits(text);
        let factor = match unit {
            "" => 1,
            _ => BYTE_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, factor)| *factor)
                .ok_or_else(|| QuantityError::Bytes(text.to_owned()))?,
        };
        if number.is_empty() {
            return Err(QuantityError::Bytes(text.to_owned()));
        }
        product(number, factor).map(Self).ok_or_else(|| QuantityError::TooLarge(text.to_owned()))
    }
}

impl fmt::Display for Bytes {
    /// The shortest exact form in binary units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut binary = BYTE_UNITS[..5].iter().rev();
        match binary.find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A span of time in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// A span of whole hours.
    pub const fn hours(hours: u64) -> Self {
        Self(hours * 3_600_000)
    }

    /// As the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Span {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || QuantityError::Span(text.to_owned());
        let too_large = || QuantityError::TooLarge(text.to_owned());
        let (mut rest, mut total, mut units) = (text, 0_u64, &SPAN_UNITS[..]);
        while !rest.is_empty() {
            let (number, behind) = split_digits(rest);
            if number.is_empty() {
                return Err(wrong());
            }
            let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
            let unit = &behind[..unit_end];
            if unit.is_empty() {
                return Err(QuantityError::SpanUnit(text.to_owned()));
            }
            let rank = units.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let millis = product(number, units[rank].1).ok_or_else(too_large)?;
            total = total.checked_add(millis).ok_or_else(too_large)?;
            units = &units[rank + 1..];
            rest = &behind[unit_end..];
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, factor) in SPAN_UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `None` if it does not fit.
fn product(digits: &str, factor: u64) -> Option<u64> {
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Both kinds are written as text and read from text; a YAML number is taken as the text that it looks like,
/// so that `maxBytes: 1048576` works and `age: 90` names the missing unit.
struct AsText<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = QuantityError>> de::Visitor<'_> for AsText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount such as 8Gi or 24h")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(AsText(std::marker::PhantomData))
            }
        }
    };
}

serde_as_text!(Bytes);
serde_as_text!(Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_written() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512Mi", 512 << 20),
            ("8Gi", 8 << 30),
            ("1G", 1_000_000_000),
            ("3k", 3_000),
            ("16383Pi", 16383 << 50),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in
            ["", "Gi", "8GB", "8gi", "1.5Gi", "-1", "8 Gi", "1e9", "+3", " 8Gi", "8Gi ", "٣Gi"]
        {
            assert!(matches!(text.parse::<Bytes>(), Err(QuantityError::Bytes(_))), "{text}");
        }
        for text in ["16384Pi", "99999999999999999999"] {
            assert!(matches!(text.parse::<Bytes>(), Err(QuantityError::TooLarge(_))), "{text}");
        }
    }

    #[test]
    fn spans_are_read_as_written() {
        for (text, millis) in [
            ("24h", 86_400_000),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1m1ms", 60_001),
            ("0s", 0),
        ] {
            assert_eq!(text.parse::<Span>().map(|span| span.0), Ok(millis), "{text}");
        }
        for text in ["", "h", "1d", "1.5h", "-1s", "30m1h", "1h1h", "1 h", "1h ", "1H"] {
            assert!(matches!(text.parse::<Span>(), Err(QuantityError::Span(_))), "{text}");
        }
        for text in ["90", "1h30"] {
            assert!(matches!(text.parse::<Span>(), Err(QuantityError::SpanUnit(_))), "{text}");
        }
        assert!(matches!("99999999999999999h".parse::<Span>(), Err(QuantityError::TooLarge(_))));
    }

    #[test]
    fn both_are_written_in_a_form_that_is_read_back() {
        for bytes in [0, 1, 1023, 1024, 1536, 8 << 30, u64::MAX] {
            assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
        }
        for millis in [0, 1, 999, 90_061_001, u64::MAX] {
            assert_eq!(Span(millis).to_string().parse(), Ok(Span(millis)));
        }
        assert_eq!(Bytes(8 << 30).to_string(), "8Gi");
        assert_eq!(Span(5_400_000).to_string(), "1h30m");
    }
}
