use std::fs;

use proptest::prelude::*;

use super::*;
use crate::rdb::{
    decode::{RdbDecoder, RdbLimits},
    event::RdbEvent,
    value::Family,
};

const LIMIT: u64 = 64 << 20;

fn show(element: &Element<'_>, out: &mut Vec<String>) {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    // Pieces are cut where the bytes were.
    if let Element::Piece { bytes, .. } = *element
        && let Some(last) = out.last_mut()
    {
        last.push_str(&text(bytes));
        return;
    }
    out.push(match *element {
        Element::Piece { total, bytes } => format!("piece {total} {}", text(bytes)),
        Element::Item(item) => format!("item {}", text(item)),
        Element::Member(member) => format!("member {}", text(member)),
        Element::Scored { member, score } => format!("{} {}", text(member), text(score)),
        Element::Field { field, value, expire_at_ms } => {
            format!("{} = {} {expire_at_ms:?}", text(field), text(value))
        }
        Element::Entry { id, words } => {
            let words: Vec<_> = words.iter().map(text).collect();
            format!("{id} {}", words.join(" "))
        }
        Element::Stream(totals) => format!("{totals:?}"),
        Element::Group { name, last, entries_read } => {
            format!("group {} {last} {entries_read:?}", text(name))
        }
        Element::Consumer { group, name } => format!("consumer {} {}", text(group), text(name)),
        Element::Pending { group, consumer, id, delivered_at_ms, deliveries } => format!(
            "pending {} {} {id} {} {deliveries}",
            text(group),
            text(consumer),
            delivered_at_ms > 1_600_000_000_000
        ),
        Element::Beyond(what) => format!("beyond {what}"),
    });
}

fn elements<'a>(
    value_type: ValueType,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<String>, ValueError> {
    let mut decoder = ValueDecoder::new(value_type, LIMIT).expect("a known type");
    let mut all = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(element) = decoder.next()? {
            show(&element, &mut all);
        }
    }
    decoder.finish()?;
    Ok(all)
}

/// A value of a real server's file: its key, type and bytes.
type Golden = (String, ValueType, Vec<u8>);

/// Every value of a real server's file whose type is known here.
fn golden(server: &str) -> Vec<Golden> {
    let path = format!("{}/tests/golden/{server}.rdb", env!("CARGO_MANIFEST_DIR"));
    let mut decoder =
        RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 20, split_above: u64::MAX });
    decoder.push(&fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
    let mut values = Vec::new();
    while let Some(event) = decoder.next().unwrap() {
        if let RdbEvent::Entry(entry) = event
            && ValueDecoder::knows(entry.value_type)
        {
            let key = entry.key.escape_ascii().to_string();
            values.push((key, entry.value_type, entry.value.to_vec()));
        }
    }
    values
}

const SERVERS: [&str; 7] = [
    "redis-2.8.19",
    "redis-6.2.5",
    "redis-7.0.15",
    "redis-7.4.1",
    "redis-8.2.3",
    "valkey-8.1.8",
    "valkey-9.1.2",
];

#[test]
fn the_values_of_real_servers_are_the_same_wherever_they_are_split() {
    for server in SERVERS {
        let mut types = Vec::new();
        for (key, value_type, value) in golden(server) {
            let whole = elements(value_type, [&value[..]])
                .unwrap_or_else(|error| panic!("{server} {key} {value_type}: {error}"));
            assert!(!whole.is_empty(), "{server} {key}");
            types.push(value_type.byte);
            for split in 0..value.len() {
                let (head, tail) = value.split_at(split);
                assert_eq!(elements(value_type, [head, tail]).unwrap(), whole, "{server} {key}");
            }
            assert_eq!(elements(value_type, value.chunks(1)).unwrap(), whole, "{key}");
            for cut in 0..value.len() {
                assert!(elements(value_type, [&value[..cut]]).is_err(), "{server} {key} at {cut}");
            }
        }
        assert!(types.len() > 5, "{server}");
    }
}

/// The candidates of 7.4 wrote no least time before the fields.
#[test]
fn a_hash_of_the_candidates_is_that_of_the_release_without_its_head() {
    let of = |byte| ValueType { family: Family::Redis, byte };
    let mut seen = 0;
    for (_, value_type, value) in golden("redis-7.4.1") {
        if value_type == of(25) {
            let whole = elements(value_type, [&value[..]]).unwrap();
            assert_eq!(elements(of(23), [&value[8..]]).unwrap(), whole);
            seen += 1;
        }
    }
    assert_eq!(seen, 1);
}

#[test]
fn a_string_of_any_form_comes_in_pieces() {
    let string = ValueType { family: Family::Redis, byte: 0 };
    assert_eq!(elements(string, [&b"\x00"[..]]).unwrap(), ["piece 0 "]);
    assert_eq!(elements(string, [&b"\xc0\xff"[..]]).unwrap(), ["piece 2 -1"]);
    assert_eq!(elements(string, b"\x03abc".chunks(1)).unwrap(), ["piece 3 abc"]);
}

#[test]
fn a_compressed_string_may_look_back_as_far_as_lzf_reaches() {
    let mut seed = 1_u64;
    let unit: Vec<u8> = (0..lzf_reach())
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .collect();
    let plain = unit.repeat(3);
    let compressed = lzf::compress(&plain).unwrap();
    assert!(compressed.len() < plain.len() / 2, "nothing looks back so far");
    let mut value = vec![0xc3, 0x80];
    value.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
    value.push(0x80);
    value.extend_from_slice(&(plain.len() as u32).to_be_bytes());
    value.extend_from_slice(&compressed);
    let string = ValueType { family: Family::Redis, byte: 0 };
    let found = elements(string, value.chunks(7)).unwrap();
    assert_eq!(found, [format!("piece {} {}", plain.len(), plain.escape_ascii())]);
}

/// `MAX_OFF` of lzfP.h.
fn lzf_reach() -> usize {
    1 << 13
}

proptest! {
    #[test]
    fn a_compressed_string_needs_only_its_window(
        unit in prop::collection::vec(any::<u8>(), 1..9000),
        times in 1usize..80,
        piece in 1usize..5000,
    ) {
        let plain = unit.repeat(times);
        if let Ok(compressed) = lzf::compress(&plain) {
            let mut value = vec![0xc3, 0x80];
            value.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
            value.push(0x80);
            value.extend_from_slice(&(plain.len() as u32).to_be_bytes());
            value.extend_from_slice(&compressed);
            let string = ValueType { family: Family::Redis, byte: 0 };
            let mut decoder = ValueDecoder::new(string, LIMIT).unwrap();
            let mut found = Vec::new();
            for piece in value.chunks(piece) {
                decoder.push(piece);
                while let Some(element) = decoder.next().unwrap() {
                    let Element::Piece { total, bytes } = element else { panic!("{element:?}") };
                    prop_assert_eq!(total, plain.len() as u64);
                    prop_assert!(bytes.len() < (256 << 10) + 300);
                    found.extend_from_slice(bytes);
                }
            }
            decoder.finish().unwrap();
            prop_assert_eq!(found, plain);
        }
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4], 0..150),
        byte in 0u8..30,
        valkey in any::<bool>(),
    ) {
        let family = if valkey { Family::Valkey } else { Family::Redis };
        let value_type = ValueType { family, byte };
        if ValueDecoder::knows(value_type) {
            let _ = elements(value_type, [&bytes[..]]);
        }
    }

    /// Values of real servers with one byte changed.
    #[test]
    fn damaged_values_never_panic(server in 0usize..7, pick in any::<u32>(), at in any::<u32>(), byte: u8) {
        let values = golden(SERVERS[server]);
        let (_, value_type, mut value) = values[pick as usize % values.len()].clone();
        let at = at as usize % value.len();
        value[at] = byte;
        let _ = elements(value_type, [&value[..]]);
    }
}
