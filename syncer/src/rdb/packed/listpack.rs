//! Listpacks: `u32 bytes, u16 count`, entries, `0xff`. An entry ends with its own length, for walking backwards;
//! the two forms of that length are the matter of `backlen.rs`.

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
