//! Intsets: `u32 width, u32 count`, numbers of that width in order.

use super::{Item, number};
use crate::rdb::{error::Fault, length::read_array};

const CORRUPT: Fault = Fault::Corrupt("a set of numbers that cannot be walked");

const HEAD_BYTES: usize = 8;

pub(super) fn first(packed: &[u8]) -> Result<usize, Fault> {
    let count = u32::from_le_bytes(read_array(packed, 4).ok_or(CORRUPT)?) as usize;
    let expected = count.checked_mul(width(packed)?).and_then(|all| all.checked_add(HEAD_BYTES));
    if expected == Some(packed.len()) { Ok(HEAD_BYTES) } else { Err(CORRUPT) }
}

pub(super) fn next(packed: &[u8], at: &mut usize) -> Result<Option<Item>, Fault> {
    if *at >= packed.len() {
        return Ok(None);
    }
    let width = width(packed)?;
    let found = number(packed, *at, width).ok_or(CORRUPT)?;
    *at += width;
    Ok(Some(Item::Number(found)))
}

fn width(packed: &[u8]) -> Result<usize, Fault> {
    match read_array(packed, 0).map(u32::from_le_bytes) {
        Some(width @ (2 | 4 | 8)) => Ok(width as usize),
        _ => Err(CORRUPT),
    }
}
