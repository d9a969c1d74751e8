//! Zipmaps: `u8 count`, then field and value in turn, `0xff`. A value may be followed by bytes that an update has freed.

use super::{Item, text};
use crate::rdb::{error::Fault, length::read_array};

const CORRUPT: Fault = Fault::Corrupt("a zipmap that cannot be walked");

const END: u8 = 0xff;

pub(super) fn first(packed: &[u8]) -> Result<usize, Fault> {
    if packed.len() < 2 { Err(CORRUPT) } else { Ok(1) }
}

/// The field or the value at `at`.
pub(super) fn next(packed: &[u8], at: &mut usize, is_value: bool) -> Result<Option<Item>, Fault> {
    if !is_value && packed.get(*at) == Some(&END) {
        return if *at + 1 == packed.len() { Ok(None) } else { Err(CORRUPT) };
    }
    item(packed, at, is_value).map(Some).ok_or(CORRUPT)
}

fn item(packed: &[u8], at: &mut usize, is_value: bool) -> Option<Item> {
    let (len, mut from) = length(packed, *at)?;
    let mut free = 0;
    if is_value {
        free = usize::from(*packed.get(from)?);
        from += 1;
    }
    let item = text(packed, from, len, at)?;
    *at = at.checked_add(free)?;
    Some(item)
}

/// A length at `at`, and where what it measures begins.
fn length(packed: &[u8], at: usize) -> Option<(usize, usize)> {
    match *packed.get(at)? {
        len @ 0..=253 => Some((usize::from(len), at + 1)),
        254 => Some((u32::from_le_bytes(read_array(packed, at + 1)?) as usize, at + 5)),
        END => None,
    }
}
