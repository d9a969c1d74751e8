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
