//! Ziplists: `u32 bytes, u32 tail, u16 count`, entries, `0xff`. An entry begins with the length of the one before.

use super::{Item, number, text};
use crate::rdb::{error::Fault, length::read_array};

const CORRUPT: Fault = Fault::Corrupt("a ziplist that cannot be walked");

const END: u8 = 0xff;
const HEAD_BYTES: usize = 10;

pub(super) fn first(packed: &[u8]) -> Result<usize, Fault> {
    let total = u32::from_le_bytes(read_array(packed, 0).ok_or(CORRUPT)?);
    if total as usize != packed.len() || packed.len() <= HEAD_BYTES {
        return Err(CORRUPT);
    }
    Ok(HEAD_BYTES)
}

pub(super) fn next(packed: &[u8], at: &mut usize) -> Result<Option<Item>, Fault> {
    if packed.get(*at) == Some(&END) {
        return if *at + 1 == packed.len() { Ok(None) } else { Err(CORRUPT) };
    }
    entry(packed, at).map(Some).ok_or(CORRUPT)
}

fn entry(packed: &[u8], at: &mut usize) -> Option<Item> {
    // The length of the entry before takes one byte, or 0xfe and four.
    let start = *at + if *packed.get(*at)? == 0xfe { 5 } else { 1 };
    let first = *packed.get(start)?;
    let (width, immediate) = match first {
        0x00..=0x3f => return text(packed, start + 1, usize::from(first), at),
        0x40..=0x7f => {
            let low = usize::from(*packed.get(start + 1)?);
            return text(packed, start + 2, (usize::from(first & 0x3f) << 8) | low, at);
        }
        // The one length that is big-endian.
        0x80 => {
            let len = u32::from_be_bytes(read_array(packed, start + 1)?);
            return text(packed, start + 5, len as usize, at);
        }
        0xc0 => (2, None),
        0xd0 => (4, None),
        0xe0 => (8, None),
        0xf0 => (3, None),
        0xfe => (1, None),
        0xf1..=0xfd => (0, Some(i64::from(first & 0x0f) - 1)),
        _ => return None,
    };
    let found = match immediate {
        Some(number) => number,
        None => number(packed, start + 1, width)?,
    };
    *at = start + 1 + width;
    Some(Item::Number(found))
}
