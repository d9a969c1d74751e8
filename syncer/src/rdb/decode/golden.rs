//! Files of real servers: what is cut out must equal what the same server answered to DUMP.

use std::{collections::BTreeMap, fs};

use super::*;
use crate::rdb::{
    backlen::{BacklenForm, find_backlens, fit_backlens},
    dump::{TRAILER_LEN, dump_trailer},
    event::Checksum,
    support::can_restore,
};

/// Server, magic, its types in order, the form of its back lengths where it has streams.
type Golden = (&'static str, Family, u16, &'static [u8], Option<BacklenForm>);

const GOLDEN: [Golden; 7] = {
    use BacklenForm::{New, Old};
    use Family::{Redis, Valkey};
    [
        ("redis-2.8.19", Redis, 6, &[0, 1, 2, 3, 4, 10, 11, 12, 13], None),
        ("redis-6.2.5", Redis, 9, &[0, 2, 4, 5, 11, 12, 13, 14, 15], Some(Old)),
        ("redis-7.0.15", Redis, 10, &[0, 2, 4, 5, 11, 16, 17, 18, 19], Some(Old)),
        ("redis-7.4.1", Redis, 12, &[0, 2, 4, 5, 7, 11, 16, 17, 18, 20, 21, 24, 25], Some(Old)),
        ("redis-8.2.3", Redis, 12, &[0, 2, 4, 5, 11, 16, 17, 18, 20, 21, 24, 25], Some(Old)),
        ("valkey-8.1.8", Redis, 11, &[0, 2, 4, 5, 11, 16, 17, 18, 20, 21], Some(Old)),
        ("valkey-9.1.2", Valkey, 80, &[0, 2, 4, 5, 11, 16, 17, 18, 20, 21, 22], Some(New)),
    ]
};

fn read(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("a hex digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// What the server answered to DUMP, by database and key.
fn dumps(server: &str) -> BTreeMap<(u32, Vec<u8>), Vec<u8>> {
    let listing = String::from_utf8(read(&format!("{server}.dumps"))).expect("hex is text");
    let mut dumps = BTreeMap::new();
    for line in listing.lines() {
        let [db, key, dump] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        dumps.insert((db.parse().expect("a number"), unhex(key)), unhex(dump));
    }
    dumps
}

#[test]
fn what_is_cut_out_equals_the_servers_own_dump() {
    for (server, family, version, types, _) in GOLDEN {
        let mut dumps = dumps(server);
        let mut seen_types = Vec::new();
        let mut db = None;
        let mut checksum = None;
        let mut functions = 0;
        let mut decoder =
            RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 20, split_above: u64::MAX });
        for piece in read(&format!("{server}.rdb")).chunks(100) {
            decoder.push(piece);
            while let Some(event) = decoder.next().unwrap() {
                match event {
                    RdbEvent::Header { family: found, version: of } => {
                        assert_eq!((found, of), (family, u32::from(version)), "{server}");
                    }
                    RdbEvent::SelectDb(selected) => db = Some(selected),
                    RdbEvent::Function { code } => {
                        functions += 1;
                        assert!(code.starts_with(b"#!lua name=golden\n"), "{server}");
                    }
                    RdbEvent::End { checksum: found } => checksum = Some(found),
                    RdbEvent::Entry(entry) => {
                        let name = entry.key.escape_ascii();
                        let dump = dumps.remove(&(db.unwrap(), entry.key.to_vec())).unwrap();
                        let (payload, trailer) = dump.split_at(dump.len() - TRAILER_LEN);
                        assert_eq!(payload[0], entry.value_type.byte, "{server} {name}");
                        assert_eq!(&payload[1..], entry.value, "{server} {name}");
                        let ours = dump_trailer(entry.value_type, entry.value, version);
                        assert_eq!(trailer, ours, "{server} {name}");
                        assert_eq!(can_restore(family, version, entry.value_type), Ok(()));
                        let is_expiring = entry.key == b"expiring";
                        assert_eq!(
                            entry.expire_at_ms,
                            is_expiring.then_some(4_102_444_800_123),
                            "{server} {name}"
                        );
                        assert_eq!(entry.idle_seconds.is_some(), server == "redis-7.0.15");
                        assert_eq!(entry.freq.is_some(), server == "redis-8.2.3");
                        seen_types.push(entry.value_type.byte);
                    }
                    _ => {}
                }
            }
        }
        decoder.finish().unwrap();
        assert_eq!(decoder.remaining(), b"", "{server}");
        assert_eq!(checksum, Some(Checksum::Verified), "{server}");
        assert_eq!(dumps, BTreeMap::new(), "{server}: keys that were not found");
        assert_eq!(functions, i32::from(version >= 10), "{server}");
        seen_types.sort_unstable();
        seen_types.dedup();
        assert_eq!(seen_types, types, "{server}");
    }
}

/// What comes out of a file in these pieces.
fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder =
        RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 20, split_above: u64::MAX });
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(event) = decoder.next().unwrap() {
            events.push(format!("{event:?}"));
        }
    }
    decoder.finish().unwrap();
    events
}

#[test]
fn every_file_survives_every_split() {
    for (server, ..) in GOLDEN {
        let rdb = read(&format!("{server}.rdb"));
        let whole = events([&rdb[..]]);
        assert!(whole.len() > 20, "{server}");
        assert_eq!(events(rdb.chunks(1)), whole, "{server} byte by byte");
        for cut in 0..=rdb.len() {
            let (head, tail) = rdb.split_at(cut);
            assert_eq!(events([head, tail]), whole, "{server} cut at {cut}");
        }
    }
}

/// Which values come in parts depends on the pieces; what they hold does not.
#[test]
fn values_in_parts_survive_every_split_of_every_file() {
    for (server, ..) in GOLDEN {
        let rdb = read(&format!("{server}.rdb"));
        let mut wholes = BTreeMap::new();
        for cut in 0..=rdb.len() {
            let (head, tail) = rdb.split_at(cut);
            for (key, value) in values([head, tail], 20) {
                let known = wholes.entry(key).or_insert_with(|| value.clone());
                assert_eq!(*known, value, "{server} cut at {cut}");
            }
        }
        let byte_by_byte = values(rdb.chunks(1), 20);
        assert_eq!(byte_by_byte.len(), wholes.len(), "{server}");
        assert!(byte_by_byte.iter().all(|(key, value)| wholes.get(key) == Some(value)), "{server}");
    }
}

/// Payloads by database and key.
type Payloads = Vec<((u32, Vec<u8>), Vec<u8>)>;

/// Each key with its value, whole or in parts.
fn values<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, split_above: u64) -> Payloads {
    let mut decoder = RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 20, split_above });
    let (mut values, mut db) = (Vec::new(), 0);
    for piece in pieces {
        decoder.push(piece);
        while let Some(event) = decoder.next().unwrap() {
            match event {
                RdbEvent::SelectDb(selected) => db = selected,
                RdbEvent::Entry(entry) => {
                    values.push(((db, entry.key.to_vec()), entry.value.to_vec()));
                }
                RdbEvent::LargeBegin { key, .. } => values.push(((db, key.to_vec()), Vec::new())),
                RdbEvent::LargePart(part) => values.last_mut().unwrap().1.extend_from_slice(part),
                _ => {}
            }
        }
    }
    decoder.finish().unwrap();
    values
}

#[test]
fn module_values_name_their_module() {
    let mut names = Vec::new();
    let mut decoder =
        RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 20, split_above: u64::MAX });
    decoder.push(&read("redis-7.4.1.rdb"));
    while let Some(event) = decoder.next().unwrap() {
        if let RdbEvent::Entry(entry) = event {
            names.extend(entry.module().map(|module| module.to_string()));
        }
    }
    names.sort();
    assert_eq!(names, ["MBbloom-- version 4", "ReJSON-RL version 3"]);
}

#[test]
fn the_form_of_back_lengths_shows_in_the_servers_own_bytes() {
    for (server, _, _, _, form) in GOLDEN {
        let mut found = None;
        let mut large = 0;
        let mut scratch = Vec::new();
        let mut decoder =
            RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 20, split_above: u64::MAX });
        decoder.push(&read(&format!("{server}.rdb")));
        while let Some(event) = decoder.next().unwrap() {
            let RdbEvent::Entry(entry) = event else { continue };
            // All listpacks must be walkable, also those that nobody would ask about.
            let backlens = find_backlens(&entry, &mut scratch).unwrap();
            large += usize::from(entry.has_large_listpack);
            if entry.key != b"stream:backlen" {
                assert_eq!(backlens, Default::default(), "{server}");
                continue;
            }
            assert!(entry.has_large_listpack);
            found = match (backlens.has_old, backlens.has_new) {
                (true, false) => Some(BacklenForm::Old),
                (false, true) => Some(BacklenForm::New),
                _ => None,
            };
            for target in [BacklenForm::Old, BacklenForm::New] {
                let fitted = fit_backlens(target, &entry, &mut scratch).unwrap();
                assert_eq!(fitted.is_none(), form == Some(target), "{server}");
                if let Some(value) = fitted {
                    let fitted = RdbEntry { value: &value, ..entry.clone() };
                    assert_eq!(fit_backlens(target, &fitted, &mut scratch), Ok(None));
                }
            }
        }
        assert_eq!(found, form, "{server}");
        assert_eq!(large > 0, form.is_some(), "{server}");
    }
}
