//! Listpacks: `u32 bytes, u16 count`, entries, `0xff`. An entry ends with its own length, for walking backwards;
//! the two forms of that length are the matter of `backlen.rs`.

use super::{Item, number, text};
use crate::rdb::{error::Fault, length::read_array};

/// Of a listpack that cannot be walked.
pub(in crate::rdb) const CORRUPT: Fault = Fault::Corrupt("a listpack that cannot be walked");

/// The last byte.
const END: u8 = 0xff;
/// The bytes before the first entry.
const HEAD_BYTES: usize = 6;

/// Where the first entry stands.
pub(in crate::rdb) fn first(packed: &[u8]) -> Result<usize, Fault> {
    let total = u32::from_le_bytes(read_array(packed, 0).ok_or(CORRUPT)?);
    if total as usize != packed.len() || packed.len() <= HEAD_BYTES {
        return Err(CORRUPT);
    }
    Ok(HEAD_BYTES)
}

/// The entry at `at`.
pub(super) fn next(packed: &[u8], at: &mut usize) -> Result<Option<Item>, Fault> {
    let Some(size) = entry_bytes(packed, *at)? else { return Ok(None) };
    let mut from = *at;
    let item = item(packed, &mut from).ok_or(CORRUPT)?;
    let backlen = (*at).checked_add(size).ok_or(CORRUPT)?;
    *at = backlen.checked_add(backlen_bytes(packed, backlen, size)?).ok_or(CORRUPT)?;
    Ok(Some(item))
}

/// The bytes of an entry without its back length; `None` at the end.
pub(in crate::rdb) fn entry_bytes(packed: &[u8], at: usize) -> Result<Option<usize>, Fault> {
    let first = *packed.get(at).ok_or(CORRUPT)?;
    Ok(Some(match first {
        0x00..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => {
            let [_, low] = read_array(packed, at).ok_or(CORRUPT)?;
            2 + ((usize::from(first & 0x0f) << 8) | usize::from(low))
        }
        0xf0 => {
            let len = u32::from_le_bytes(read_array(packed, at + 1).ok_or(CORRUPT)?);
            5 + len as usize
        }
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        0xf5..=0xfe => return Err(CORRUPT),
        END => return if at + 1 == packed.len() { Ok(None) } else { Err(CORRUPT) },
    }))
}

/// The bytes that the back length of an entry of `size` bytes takes.
pub(in crate::rdb) fn backlen_bytes(packed: &[u8], at: usize, size: usize) -> Result<usize, Fault> {
    Ok(match size {
        0..=127 => 1,
        128..16_383 => 2,
        16_384..2_097_151 => 3,
        2_097_152..268_435_455 => 4,
        268_435_456.. => 5,
        // Of these there are two forms, told apart by the first byte.
        16_383 | 2_097_151 | 268_435_455 => {
            let short = short_backlen_bytes(size).unwrap_or(4);
            match packed.get(at) {
                Some(0x00) => short + 1,
                Some(0x7f) => short,
                _ => return Err(CORRUPT),
            }
        }
    })
}

/// The shorter form's bytes, for the three sizes that have two.
pub(in crate::rdb) fn short_backlen_bytes(size: usize) -> Option<usize> {
    match size {
        16_383 => Some(2),
        2_097_151 => Some(3),
        268_435_455 => Some(4),
        _ => None,
    }
}

fn item(packed: &[u8], at: &mut usize) -> Option<Item> {
    let first = *packed.get(*at)?;
    let from = *at;
    Some(match first {
        0x00..=0x7f => Item::Number(i64::from(first)),
        0x80..=0xbf => text(packed, from + 1, usize::from(first & 0x3f), at)?,
        0xc0..=0xdf => {
            let raw = (i64::from(first & 0x1f) << 8) | i64::from(*packed.get(from + 1)?);
            Item::Number(if raw >= 1 << 12 { raw - (1 << 13) } else { raw })
        }
        0xe0..=0xef => {
            let low = usize::from(*packed.get(from + 1)?);
            text(packed, from + 2, (usize::from(first & 0x0f) << 8) | low, at)?
        }
        0xf0 => {
            let len = u32::from_le_bytes(read_array(packed, from + 1)?);
            text(packed, from + 5, len as usize, at)?
        }
        0xf1 => Item::Number(number(packed, from + 1, 2)?),
        0xf2 => Item::Number(number(packed, from + 1, 3)?),
        0xf3 => Item::Number(number(packed, from + 1, 4)?),
        0xf4 => Item::Number(number(packed, from + 1, 8)?),
        0xf5..=0xff => return None,
    })
}
