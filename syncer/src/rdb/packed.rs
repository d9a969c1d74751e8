//! The packed encodings: a whole small collection in one string. Walked in place, an item at a time; nothing here
//! copies, and nothing trusts a length that the bytes announce.
//!
//! Below `elements.rs`, which knows what the items of a value mean; here they are texts and numbers in a row.

mod intset;
pub(super) mod listpack;
mod zipmap;
mod ziplist;

use super::error::Fault;

/// How a string packs its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// Redis 7.0 and newer.
    Listpack,
    /// Up to Redis 6.2.
    Ziplist,
    /// Sets of numbers.
    Intset,
    /// Hashes up to Redis 2.4.
    Zipmap,
}

/// One item: a part of the string, or a number that stands for its decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Text { from: usize, to: usize },
    Number(i64),
}

/// A walk over one string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    format: Packed,
    at: usize,
    /// Whether an odd number of items lies behind: only zipmaps tell fields and values apart.
    is_odd: bool,
}

impl Walk {
    /// Before the first item, behind a head that agrees with the string's length.
    pub(super) fn new(format: Packed, packed: &[u8]) -> Result<Self, Fault> {
        let at = match format {
            Packed::Listpack => listpack::first(packed),
            Packed::Ziplist => ziplist::first(packed),
            Packed::Intset => intset::first(packed),
            Packed::Zipmap => zipmap::first(packed),
        }?;
        Ok(Self { format, at, is_odd: false })
    }

    /// The next item of the same string; `None` at the end, which must be that of the string.
    pub(super) fn next(&mut self, packed: &[u8]) -> Result<Option<Item>, Fault> {
        let at = &mut self.at;
        let item = match self.format {
            Packed::Listpack => listpack::next(packed, at),
            Packed::Ziplist => ziplist::next(packed, at),
            Packed::Intset => intset::next(packed, at),
            Packed::Zipmap => zipmap::next(packed, at, self.is_odd),
        }?;
        self.is_odd = !self.is_odd;
        Ok(item)
    }
}

/// A text of `len` bytes at `from`, if they are there; `at` moves behind it.
fn text(packed: &[u8], from: usize, len: usize, at: &mut usize) -> Option<Item> {
    let to = from.checked_add(len)?;
    if to > packed.len() {
        return None;
    }
    *at = to;
    Some(Item::Text { from, to })
}

/// A little-endian signed number of one to eight bytes at `from`.
fn number(packed: &[u8], from: usize, width: usize) -> Option<i64> {
    let bytes = packed.get(from..from.checked_add(width)?)?;
    let negative = bytes.last().is_some_and(|last| *last >= 0x80);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    wide.get_mut(..width)?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Packed; 4] = [Packed::Listpack, Packed::Ziplist, Packed::Intset, Packed::Zipmap];

    fn items(format: Packed, packed: &[u8]) -> Result<Vec<String>, Fault> {
        let mut walk = Walk::new(format, packed)?;
        let mut items = Vec::new();
        while let Some(item) = walk.next(packed)? {
            items.push(match item {
                Item::Text { from, to } => String::from_utf8_lossy(&packed[from..to]).into_owned(),
                Item::Number(number) => format!("#{number}"),
            });
        }
        Ok(items)
    }

    #[test]
    fn every_encoding_of_a_listpack_is_read() {
        let mut packed = vec![0, 0, 0, 0, 0, 0];
        for entry in [
            &[0x7f_u8][..],
            &[0x82, b'a', b'b'],
            &[0xdf, 0xff],
            &[0xd0, 0x00],
            &[0xe0, 1, b'c'],
            &[0xf0, 1, 0, 0, 0, b'd'],
            &[0xf1, 0xfe, 0xff],
            &[0xf2, 0, 0, 0x80],
            &[0xf3, 1, 0, 0, 0],
            &[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80],
        ] {
            packed.extend_from_slice(entry);
            packed.push(entry.len() as u8);
        }
        packed.push(0xff);
        let total = packed.len() as u32;
        packed[..4].copy_from_slice(&total.to_le_bytes());
        let expected = [
            "#127",
            "ab",
            "#-1",
            "#-4096",
            "c",
            "d",
            "#-2",
            "#-8388608",
            "#1",
            "#-9223372036854775808",
        ];
        assert_eq!(items(Packed::Listpack, &packed).unwrap(), expected);
        for end in 0..packed.len() {
            assert!(items(Packed::Listpack, &packed[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn every_encoding_of_a_ziplist_is_read() {
        let mut packed = vec![0; 10];
        for entry in [
            &[0_u8, 0x02, b'a', b'b'][..],
            &[4, 0x40, 1, b'c'],
            &[0xfe, 4, 0, 0, 0, 0x80, 0, 0, 0, 1, b'd'],
            &[11, 0xc0, 0xfe, 0xff],
            &[4, 0xd0, 1, 0, 0, 0],
            &[6, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[10, 0xf0, 0, 0, 0x80],
            &[5, 0xfe, 0x80],
            &[3, 0xf1],
            &[2, 0xfd],
        ] {
            packed.extend_from_slice(entry);
        }
        packed.push(0xff);
        let total = packed.len() as u32;
        packed[..4].copy_from_slice(&total.to_le_bytes());
        let expected = [
            "ab",
            "c",
            "d",
            "#-2",
            "#1",
            "#-9223372036854775808",
            "#-8388608",
            "#-128",
            "#0",
            "#12",
        ];
        assert_eq!(items(Packed::Ziplist, &packed).unwrap(), expected);
        for end in 0..packed.len() {
            assert!(items(Packed::Ziplist, &packed[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn sets_of_numbers_of_each_width_and_zipmaps_are_read() {
        let intset = [2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 7, 0];
        assert_eq!(items(Packed::Intset, &intset).unwrap(), ["#-1", "#7"]);
        let wide = [8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
        assert_eq!(items(Packed::Intset, &wide).unwrap(), ["#-9223372036854775808"]);
        assert!(items(Packed::Intset, &wide[..15]).is_err());
        // A value may be followed by bytes that an update has freed.
        let zipmap = b"\x02\x01f\x02\x01vw\x00\x03key\x00\x00\xff";
        assert_eq!(items(Packed::Zipmap, zipmap).unwrap(), ["f", "vw", "key", ""]);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0xc0u8..], 0..80),
        ) {
            for format in ALL {
                let _ = items(format, &bytes);
                // Behind a head that would be refused.
                for at in 0..bytes.len() {
                    let mut walk = Walk { format, at, is_odd: at % 2 == 1 };
                    while let Ok(Some(_)) = walk.next(&bytes) {}
                }
            }
        }
    }
}
