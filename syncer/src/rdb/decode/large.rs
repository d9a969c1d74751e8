//! Values in parts: the same bytes as in one piece, and nothing else of the RDB is disturbed.

use std::fs;

use super::*;

/// Key, time of expiry, value.
type Copied = (Vec<u8>, Option<i64>, Vec<u8>);

/// Each value by its key, whichever way it came, and how many came in parts.
fn values(rdb: &[u8], piece: usize, split_above: u64) -> (Vec<Copied>, usize) {
    let mut decoder = RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 20, split_above });
    let mut values = Vec::new();
    let mut large = 0;
    for bytes in rdb.chunks(piece) {
        decoder.push(bytes);
        while let Some(event) = decoder.next().unwrap() {
            match event {
                RdbEvent::Entry(entry) => {
                    values.push((entry.key.to_vec(), entry.expire_at_ms, entry.value.to_vec()));
                }
                RdbEvent::LargeBegin { key, expire_at_ms, .. } => {
                    values.push((key.to_vec(), expire_at_ms, Vec::new()));
                    large += 1;
                }
                RdbEvent::LargePart(part) => values.last_mut().unwrap().2.extend_from_slice(part),
                _ => {}
            }
        }
        // What is held is the bound and a piece, whatever the value's size.
        let bound = 17 * u128::from(split_above.saturating_add(piece as u64)) + 64;
        assert!((decoder.remaining().len() as u128) < bound);
    }
    decoder.finish().unwrap();
    (values, large)
}

#[test]
fn a_value_in_parts_is_the_same_bytes() {
    for server in ["redis-2.8.19", "redis-6.2.5", "redis-7.4.1", "redis-8.2.3", "valkey-9.1.2"] {
        let path = format!("{}/tests/golden/{server}.rdb", env!("CARGO_MANIFEST_DIR"));
        let rdb = fs::read(path).unwrap();
        let (whole, none) = values(&rdb, 1 << 20, u64::MAX);
        assert_eq!(none, 0);
        for piece in [1, 7, 100, 3000] {
            let (parted, large) = values(&rdb, piece, 64);
            assert_eq!(parted, whole, "{server} in pieces of {piece}");
            // In long pieces short values arrive whole.
            assert!(large > 1 || piece > 100, "{server}: {large} in parts");
        }
    }
}

#[test]
fn a_value_beyond_the_bound_is_no_error_where_it_comes_in_parts() {
    let mut rdb = b"REDIS0010\x00\x03big\x80\x00\x10\x00\x01".to_vec();
    rdb.resize(rdb.len() + (1 << 20) + 1, b'x');
    rdb.push(255);
    let mut crc = Crc64::default();
    crc.update(&rdb);
    rdb.extend_from_slice(&crc.value().to_le_bytes());
    let (values, large) = values(&rdb, 5000, 1000);
    assert_eq!((values[0].2.len(), large), ((1 << 20) + 6, 1));
    let mut decoder =
        RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 20, split_above: u64::MAX });
    decoder.push(&rdb);
    assert_eq!(decoder.next(), Ok(Some(RdbEvent::Header { family: Family::Redis, version: 10 })));
    assert!(matches!(decoder.next(), Err(RdbError::TooLarge { .. })));
}
