//! The grace for fields of a hash that expire by themselves (Promise 6): their times stand within the value and RESTORE takes
//! them as they are, so the value is written anew with later ones. Pure.

use super::{
    error::Fault,
    length::{Text, decode_text, read_array, read_number, read_string_head},
    packed::listpack,
    value::{Family, ValueType},
};
use crate::grace::Grace;

/// A hash as a table with times (Redis 7.4 and newer).
const HASH_METADATA: u8 = 24;
/// A small hash with times (Redis 7.4 and newer).
const HASH_LISTPACK_EX: u8 = 25;
/// Any hash with times (Valkey 9.0 and newer).
const HASH_2: u8 = 22;
/// A number of a listpack in eight bytes: every time since 1970 that is counted in milliseconds needs more than four.
const LISTPACK_INT64: u8 = 0xf4;

/// Writes the value with the grace added into `out`; false if it holds no times, or one that no grace can be added to. The
/// place in an error is not known.
pub(super) fn shift_fields(
    value_type: ValueType,
    value: &[u8],
    grace: Grace,
    value_bytes_max: u64,
    out: &mut Vec<u8>,
) -> Result<bool, Fault> {
    if grace.is_none() {
        return Ok(false);
    }
    out.clear();
    let is_shifted = match (value_type.family, value_type.byte) {
        (Family::Redis, HASH_METADATA) => shift_table(value, grace, out)?,
        (Family::Redis, HASH_LISTPACK_EX) => shift_listpack(value, grace, value_bytes_max, out)?,
        (Family::Valkey, HASH_2) => shift_each(value, grace, out)?,
        _ => return Ok(false),
    };
    Ok(is_shifted.is_some())
}

const SHORT: Fault = Fault::Corrupt("a hash that is cut short");

fn need<T>(read: Result<Option<T>, Fault>) -> Result<T, Fault> {
    read?.ok_or(SHORT)
}

fn skip_string(value: &[u8], at: usize) -> Result<usize, Fault> {
    let head = need(read_string_head(value, at))?;
    let end = (head.from as u64).checked_add(head.body_len).ok_or(SHORT)?;
    usize::try_from(end).ok().filter(|end| *end <= value.len()).ok_or(SHORT)
}

/// The least time comes first, the others count from it: one number moves all of them.
fn shift_table(value: &[u8], grace: Grace, out: &mut Vec<u8>) -> Result<Option<()>, Fault> {
    let least = i64::from_le_bytes(read_array(value, 0).ok_or(SHORT)?);
    let mut at = 8;
    for _ in 0..need(read_number(value, &mut at))? {
        let behind = need(read_number(value, &mut at))?;
        let time = i64::try_from(behind).ok().and_then(|behind| least.checked_add(behind));
        if time.and_then(|time| grace.shift_millis(time)).is_none() {
            return Ok(None);
        }
        at = skip_string(value, at)?;
        at = skip_string(value, at)?;
    }
    let Some(least) = grace.shift_millis(least) else { return Ok(None) };
    out.extend_from_slice(&least.to_le_bytes());
    out.extend_from_slice(&value[8..]);
    Ok(Some(()))
}

/// Behind a least time that may be out of date: field, value and time, in turn. A time of 0 is none.
fn shift_listpack(
    value: &[u8],
    grace: Grace,
    value_bytes_max: u64,
    out: &mut Vec<u8>,
) -> Result<Option<()>, Fault> {
    let least = i64::from_le_bytes(read_array(value, 0).ok_or(SHORT)?);
    let Some(least) = grace.shift_millis(least) else { return Ok(None) };
    let head = need(read_string_head(value, 8))?;
    if head.decoded_len() > value_bytes_max {
        return Err(Fault::TooLarge);
    }
    let text = Text { form: head.form, from: head.from, to: skip_string(value, 8)? };
    let mut scratch = Vec::new();
    let plain = decode_text(value, text, &mut scratch)?;
    out.extend_from_slice(&least.to_le_bytes());
    // A string of so many plain bytes, in the form that fits any length.
    let len = u32::try_from(plain.len()).map_err(|_| Fault::TooLarge)?;
    out.push(0x80);
    out.extend_from_slice(&len.to_be_bytes());
    let start = out.len();
    out.extend_from_slice(plain);
    let mut at = listpack::first(plain)?;
    let mut index = 0;
    while let Some(size) = listpack::entry_bytes(plain, at)? {
        if index % 3 == 2 && plain.get(at) == Some(&LISTPACK_INT64) {
            let time = i64::from_le_bytes(read_array(plain, at + 1).ok_or(SHORT)?);
            let Some(time) = grace.shift_millis(time) else { return Ok(None) };
            out[start + at + 1..start + at + 9].copy_from_slice(&time.to_le_bytes());
        }
        let backlen = at.checked_add(size).ok_or(SHORT)?;
        let width = listpack::backlen_bytes(plain, backlen, size)?;
        at = backlen.checked_add(width).ok_or(SHORT)?;
        index += 1;
    }
    Ok(Some(()))
}

/// Each field with its value and its time, -1 for none.
fn shift_each(value: &[u8], grace: Grace, out: &mut Vec<u8>) -> Result<Option<()>, Fault> {
    out.extend_from_slice(value);
    let mut at = 0;
    for _ in 0..need(read_number(value, &mut at))? {
        at = skip_string(value, at)?;
        at = skip_string(value, at)?;
        let time = i64::from_le_bytes(read_array(value, at).ok_or(SHORT)?);
        if time >= 0 {
            let Some(time) = grace.shift_millis(time) else { return Ok(None) };
            out[at..at + 8].copy_from_slice(&time.to_le_bytes());
        }
        at += 8;
    }
    Ok(Some(()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 1 << 20;
    const AT: i64 = 1_764_000_000_000;
    const LATER: i64 = AT + 60_000;

    fn minute() -> Grace {
        Grace::new(Duration::from_secs(60))
    }

    fn shifted(family: Family, byte: u8, value: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"left from before".to_vec();
        let value_type = ValueType { family, byte };
        let is_shifted = shift_fields(value_type, value, minute(), LIMIT, &mut out).unwrap();
        is_shifted.then_some(out)
    }

    /// Field `f` without an end, `g` with one.
    fn table(least: i64) -> Vec<u8> {
        [&least.to_le_bytes()[..], b"\x02\x00\x01f\x01v\x05\x01g\x01w"].concat()
    }

    fn each(time: i64) -> Vec<u8> {
        let none = (-1_i64).to_le_bytes();
        [b"\x02\x01f\x01v", &none[..], b"\x01g\x01w", &time.to_le_bytes()[..]].concat()
    }

    fn listpack(time: i64) -> Vec<u8> {
        let mut entries = vec![];
        // A value that is itself a number of eight bytes is no time.
        for entry in
            [&b"\x81f"[..], &[&[0xf4], &AT.to_le_bytes()[..]].concat(), b"\x00", b"\x81g", b"\x81w"]
        {
            entries.extend_from_slice(entry);
            entries.push(entry.len() as u8);
        }
        entries.push(LISTPACK_INT64);
        entries.extend_from_slice(&time.to_le_bytes());
        entries.extend_from_slice(&[9, 0xff]);
        let bytes = entries.len() as u32 + 6;
        [&bytes.to_le_bytes()[..], &[6, 0], &entries].concat()
    }

    #[test]
    fn promise_6_each_field_that_ends_ends_later() {
        assert_eq!(shifted(Family::Redis, HASH_METADATA, &table(AT)), Some(table(LATER)));
        assert_eq!(shifted(Family::Valkey, HASH_2, &each(AT)), Some(each(LATER)));
        let small =
            |time: i64, head: &[u8]| [&time.to_le_bytes()[..], head, &listpack(time)].concat();
        let len = listpack(AT).len() as u8;
        assert_eq!(
            shifted(Family::Redis, HASH_LISTPACK_EX, &small(AT, &[len])),
            Some(small(LATER, &[0x80, 0, 0, 0, len]))
        );
    }

    #[test]
    fn a_time_beyond_all_clocks_and_other_values_stay_as_they_are() {
        let far = (1 << 48) - 2;
        assert_eq!(shifted(Family::Redis, HASH_METADATA, &table(far - 4)), None);
        assert_eq!(shifted(Family::Redis, HASH_METADATA, &table(i64::MAX)), None);
        assert_eq!(shifted(Family::Valkey, HASH_2, &each(far)), None);
        // Byte 22 is another type there.
        assert_eq!(shifted(Family::Redis, HASH_2, &each(AT)), None);
        assert_eq!(shifted(Family::Redis, 4, b"\x01\x01f\x01v"), None);
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        for (family, byte, value) in
            [(Family::Redis, HASH_METADATA, table(AT)), (Family::Valkey, HASH_2, each(AT))]
        {
            let value_type = ValueType { family, byte };
            for end in 0..value.len() {
                let cut = shift_fields(value_type, &value[..end], minute(), LIMIT, &mut Vec::new());
                assert!(cut.is_err(), "{value_type} cut at {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn random_values_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for (family, byte) in [
                (Family::Redis, HASH_METADATA), (Family::Redis, HASH_LISTPACK_EX), (Family::Valkey, HASH_2),
            ] {
                let _ = shift_fields(ValueType { family, byte }, &bytes, minute(), LIMIT, &mut Vec::new());
            }
        }
    }
}
