use proptest::prelude::*;

use super::*;
use crate::rdb::{event::Checksum, value::Kind};

const LIMITS: RdbLimits = RdbLimits { value_bytes_max: 64 << 20, split_above: u64::MAX };

/// An event that has outlived the decoder's buffer.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Header(Family, u32),
    Aux(Vec<u8>, Vec<u8>),
    Other(String),
    Entry { key: Vec<u8>, byte: u8, value: Vec<u8>, expire_at_ms: Option<i64>, about: String },
    End(Checksum),
}

fn see(event: RdbEvent<'_>) -> Seen {
    match event {
        RdbEvent::Header { family, version } => Seen::Header(family, version),
        RdbEvent::Aux { key, value } => Seen::Aux(key.to_vec(), value.to_vec()),
        RdbEvent::Entry(entry) => Seen::Entry {
            key: entry.key.to_vec(),
            byte: entry.value_type.byte,
            value: entry.value.to_vec(),
            expire_at_ms: entry.expire_at_ms,
            about: format!(
                "{:?} {:?} {}",
                entry.idle_seconds, entry.freq, entry.has_large_listpack
            ),
        },
        RdbEvent::End { checksum } => Seen::End(checksum),
        other => Seen::Other(format!("{other:?}")),
    }
}

fn take_all(decoder: &mut RdbDecoder, seen: &mut Vec<Seen>) -> Result<(), RdbError> {
    while let Some(event) = decoder.next()? {
        seen.push(see(event));
    }
    Ok(())
}

/// Decodes `rdb` as it arrives in pieces.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Seen>, RdbError> {
    let mut decoder = RdbDecoder::new(LIMITS);
    let mut seen = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        take_all(&mut decoder, &mut seen)?;
    }
    decoder.finish()?;
    assert_eq!(decoder.remaining(), b"");
    Ok(seen)
}

/// Writes RDBs, as small as the format allows or not.
#[derive(Clone, Default)]
struct Encoder(Vec<u8>);

impl Encoder {
    fn new(magic: &str) -> Self {
        Self(magic.as_bytes().to_vec())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn len(self, number: u64) -> Self {
        match number {
            0..64 => self.raw(&[number as u8]),
            64..16384 => self.raw(&[0x40 | (number >> 8) as u8, number as u8]),
            16384..0x1_0000_0000 => self.raw(&[0x80]).raw(&(number as u32).to_be_bytes()),
            _ => self.raw(&[0x81]).raw(&number.to_be_bytes()),
        }
    }

    fn str(self, text: &[u8]) -> Self {
        self.len(text.len() as u64).raw(text)
    }

    fn lzf(self, text: &[u8]) -> Self {
        let compressed = lzf::compress(text).expect("the test's text can be compressed");
        self.raw(&[0xc3]).len(compressed.len() as u64).len(text.len() as u64).raw(&compressed)
    }

    fn end(self) -> Vec<u8> {
        let mut ended = self.raw(&[255]).0;
        let mut crc = Crc64::default();
        crc.update(&ended);
        ended.extend_from_slice(&crc.value().to_le_bytes());
        ended
    }
}

/// The value of each type with at least two of everything that repeats, by its layout's description
/// in rdb.c and not by the table under test.
fn value_of(family: Family, byte: u8) -> Vec<u8> {
    let e = Encoder::default;
    let stream = |version: u8| {
        let mut s = e().len(2).str(&[1; 16]).lzf(&[7; 900]).str(&[2; 16]).str(b"listpack");
        s = s.len(3).len(1 << 40).len(5);
        if version >= 2 {
            s = s.len(1).len(2).len(3).len(4).len(5);
        }
        s = s.len(2);
        for group in [&b"g1"[..], b"group-2"] {
            s = s.str(group).len(1 << 41).len(7);
            if version >= 2 {
                s = s.len(u64::MAX);
            }
            s = s.len(2).raw(&[9; 24]).len(1).raw(&[9; 24]).len(70000);
            s = s.len(2);
            for consumer in [&b"c1"[..], b"consumer-2"] {
                s = s.str(consumer).raw(&[3; 8]);
                if version >= 3 {
                    s = s.raw(&[4; 8]);
                }
                s = s.len(1).raw(&[9; 16]);
            }
            if version >= 5 {
                s = s.len(2).raw(&[5; 32]);
            }
        }
        if version >= 4 {
            s = s.len(100).len(200).len(2);
            s = s.str(b"p1").len(0).str(b"p2").len(2);
            s = s.str(b"i1").len(1).len(2).str(b"i2").len(3).len(4).len(9).len(10);
        }
        s
    };
    let s = match (family, byte) {
        (_, 0) => e().str(b"value"),
        (_, 1 | 2 | 14) => e().len(3).str(b"a").raw(&[0xc1, 1, 2]).lzf(&[b'z'; 300]),
        (_, 3) => e()
            .len(4)
            .str(b"a")
            .raw(b"\x031.5")
            .str(b"b")
            .raw(&[254])
            .str(b"c")
            .raw(&[255])
            .str(b"d")
            .raw(&[0]),
        (_, 4) => e().len(2).str(b"f").str(b"v").lzf(&[b'f'; 99]).raw(&[0xc2, 1, 2, 3, 4]),
        (_, 5) => e().len(2).str(b"a").raw(&1.5f64.to_le_bytes()).str(b"b").raw(&[0; 8]),
        (_, 7) => e()
            .len(0xffff_ffff_ffff)
            .len(1)
            .len(5)
            .len(2)
            .len(1 << 50)
            .len(3)
            .raw(&[0; 4])
            .len(4)
            .raw(&[0; 8])
            .len(5)
            .str(b"text")
            .len(5)
            .lzf(&[0; 500])
            .len(0),
        (_, 9..=13 | 16 | 17 | 20) => e().lzf(&[b'b'; 1000]),
        (_, 15) => stream(1),
        (_, 18) => e().len(3).len(1).str(&[b'p'; 9000]).len(2).str(b"lp").len(2).lzf(&[1; 200]),
        (_, 19) => stream(2),
        (_, 21) => stream(3),
        (Family::Redis, 22) => {
            e().len(2).len(0).str(b"f").str(b"v").len(1 << 41).str(b"g").str(b"")
        }
        (Family::Redis, 23) => e().str(&[7; 70]),
        (Family::Redis, 24) => {
            e().raw(&[1; 8]).len(2).len(0).str(b"f").str(b"v").len(9).str(b"g").str(b"")
        }
        (Family::Redis, 25) => e().raw(&[1; 8]).str(&[7; 70]),
        (Family::Redis, 26) => stream(4),
        (Family::Redis, 27) => stream(5),
        (Family::Redis, 28) => e()
            .len(4)
            .len(1)
            .len(77)
            .len(0)
            .len(0)
            .str(b"s")
            .len(1)
            .len(1)
            .raw(&[1; 8])
            .len(5)
            .len(2)
            .raw(&[2; 8])
            .len(9)
            .len(3)
            .str(b"small"),
        (Family::Valkey, 22) => {
            e().len(2).str(b"f").str(b"v").raw(&[255; 8]).str(b"g").str(b"w").raw(&[1; 8])
        }
        _ => panic!("no value for type {byte}"),
    };
    s.0
}

fn types_of(family: Family) -> Vec<u8> {
    let common = (0..=5).chain([7]).chain(9..=21);
    match family {
        Family::Redis => common.chain(22..=28).collect(),
        Family::Valkey => common.chain([22]).collect(),
    }
}

/// Every opcode and every type once.
fn full_rdb(family: Family) -> (Vec<u8>, Vec<Seen>) {
    let (magic, version) =
        if family == Family::Redis { ("REDIS0014", 14) } else { ("VALKEY080", 80) };
    let mut rdb = Encoder::new(magic)
        .raw(&[250])
        .str(b"redis-ver")
        .str(b"7.0.15")
        .raw(&[250])
        .str(b"redis-bits")
        .raw(&[0xc0, 64])
        .raw(&[245])
        .lzf(&[b'#'; 400])
        .raw(&[247])
        .len(0x0102_0304_0506_0708)
        .len(2)
        .len(1)
        .len(0)
        .raw(&[247])
        .len(0x0102_0304_0506_0708)
        .len(2)
        .len(2)
        .len(5)
        .str(b"kept")
        .len(0);
    let mut seen = vec![
        Seen::Header(family, version),
        Seen::Aux(b"redis-ver".to_vec(), b"7.0.15".to_vec()),
        Seen::Aux(b"redis-bits".to_vec(), b"64".to_vec()),
        see(RdbEvent::Function { code: &[b'#'; 400] }),
        see(RdbEvent::ModuleAux { module: ModuleId(0x0102_0304_0506_0708), is_empty: true }),
        see(RdbEvent::ModuleAux { module: ModuleId(0x0102_0304_0506_0708), is_empty: false }),
    ];
    if family == Family::Valkey {
        rdb = rdb.raw(&[243]).str(&[b'j'; 40]).len(2).len(0).len(99).len(16383).len(16383);
        let ranges = [(0, 99), (16383, 16383)];
        seen.push(see(RdbEvent::SlotImport { job: &[b'j'; 40], ranges: &ranges }));
    }
    rdb = rdb.raw(&[254]).len(0).raw(&[251]).len(70).len(1 << 33);
    seen.push(see(RdbEvent::SelectDb(0)));
    seen.push(see(RdbEvent::ResizeDb { keys: 70, expires: 1 << 33 }));
    if family == Family::Redis {
        rdb = rdb.raw(&[244]).len(16383).len(5).len(6);
        seen.push(see(RdbEvent::SlotInfo { slot: 16383, keys: 5, expires: 6 }));
    }
    for (i, byte) in types_of(family).into_iter().enumerate() {
        let expire_at_ms: Option<i64> = [None, Some(0), Some(-5), Some(1 << 41), Some(7000)][i % 5];
        rdb = match expire_at_ms {
            None => rdb,
            Some(7000) => rdb.raw(&[253, 7, 0, 0, 0]),
            Some(ms) => rdb.raw(&[252]).raw(&ms.to_le_bytes()),
        };
        let about = ["None None false", "Some(300) None false", "None Some(255) false"][i % 3];
        rdb = [rdb.clone(), rdb.clone().raw(&[248]).len(300), rdb.raw(&[249, 255])][i % 3].clone();
        let key = [&b"-7"[..], b"", &[b'k'; 200], b"plain"][i % 4].to_vec();
        rdb = rdb.raw(&[byte]);
        rdb = match i % 4 {
            0 => rdb.raw(&[0xc0, 249]),
            2 => rdb.lzf(&key),
            _ => rdb.str(&key),
        };
        let value = value_of(family, byte);
        rdb = rdb.raw(&value);
        seen.push(Seen::Entry { key, byte, value, expire_at_ms, about: about.to_owned() });
    }
    seen.push(Seen::End(Checksum::Verified));
    (rdb.end(), seen)
}

#[test]
fn every_record_survives_every_split() {
    for family in [Family::Redis, Family::Valkey] {
        let (rdb, expected) = full_rdb(family);
        assert_eq!(decode([&rdb[..]]).unwrap(), expected);
        assert_eq!(decode(rdb.chunks(1)).unwrap(), expected, "byte by byte");
        for cut in 0..=rdb.len() {
            let (head, tail) = rdb.split_at(cut);
            assert_eq!(decode([head, tail]).unwrap(), expected, "cut at {cut}");
        }
    }
}

#[test]
fn an_rdb_that_ends_early_is_an_error_only_when_the_caller_says_so() {
    let (rdb, _) = full_rdb(Family::Redis);
    for cut in 0..rdb.len() {
        let error = decode([&rdb[..cut]]).unwrap_err();
        assert_eq!(error, RdbError::UnexpectedEnd { at: cut as u64 });
    }
}

#[test]
fn bytes_behind_the_end_are_left_over() {
    let mut rdb = Encoder::new("REDIS0011").end();
    rdb.extend_from_slice(b"*1\r\n");
    let mut decoder = RdbDecoder::new(LIMITS);
    decoder.push(&rdb);
    take_all(&mut decoder, &mut Vec::new()).unwrap();
    assert!(decoder.has_ended());
    assert_eq!(decoder.remaining(), b"*1\r\n");
    assert_eq!(decoder.consumed(), rdb.len() as u64 - 4);
    decoder.push(b"$4\r\n");
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.remaining(), b"*1\r\n$4\r\n");
}

#[test]
fn a_changed_byte_is_found_by_the_checksum() {
    let mut rdb = Encoder::new("REDIS0011").raw(&[0]).str(b"key").str(b"value").end();
    rdb[12] ^= 1;
    assert!(matches!(decode([&rdb[..]]), Err(RdbError::ChecksumMismatch { .. })));
}

#[test]
fn a_source_may_write_no_checksum() {
    let rdb = Encoder::new("REDIS0009").raw(&[255]).raw(&[0; 8]).0;
    assert_eq!(decode([&rdb[..]]).unwrap().last(), Some(&Seen::End(Checksum::Disabled)));
    let of_2_4 = Encoder::new("REDIS0002").raw(&[254, 0, 0]).str(b"k").str(b"v").raw(&[255]).0;
    assert_eq!(decode([&of_2_4[..]]).unwrap().last(), Some(&Seen::End(Checksum::Disabled)));
}

#[test]
fn what_is_not_certain_is_refused_and_stays_refused() {
    let refused = |magic: &str, byte: u8| {
        let rdb = Encoder::new(magic).raw(&[byte]).raw(&[0; 40]).0;
        let mut decoder = RdbDecoder::new(LIMITS);
        decoder.push(&rdb);
        decoder.next().unwrap();
        let error = match decoder.next() {
            // The key is told first.
            Ok(event) => {
                assert!(matches!(event, Some(RdbEvent::Unreadable { key: b"", .. })), "{event:?}");
                decoder.next().unwrap_err()
            }
            Err(error) => error,
        };
        decoder.push(&Encoder::new("REDIS0011").end());
        assert_eq!(decoder.next().unwrap_err(), error);
        assert_eq!(decoder.finish().unwrap_err(), error);
        error
    };
    for (magic, bytes) in [
        ("REDIS0011", &[6u8, 8, 22, 23, 24, 25, 26, 27, 28, 29, 60, 241][..]),
        ("REDIS0012", &[26, 27, 28]),
        ("REDIS0015", &[6, 8, 29, 30, 31, 32, 33]),
        ("VALKEY081", &[6, 8, 23, 24, 25, 26, 27, 28]),
    ] {
        for &byte in bytes {
            let error = refused(magic, byte);
            assert!(matches!(error, RdbError::UnknownType { .. }), "{magic} {byte}: {error}");
        }
    }
    for (magic, bytes) in [
        ("REDIS0011", &[242u8, 243, 244, 246][..]),
        ("REDIS0015", &[242, 243, 246]),
        ("VALKEY081", &[242, 244, 246]),
    ] {
        for &byte in bytes {
            let error = refused(magic, byte);
            assert!(matches!(error, RdbError::UnknownOpcode { .. }), "{magic} {byte}: {error}");
        }
    }
}

#[test]
fn only_known_magics_are_read() {
    for (magic, is_unknown_version) in [
        ("REDIS0000", true),
        ("REDIS0016", true),
        ("REDIS0080", true),
        ("VALKEY011", true),
        ("VALKEY082", true),
        ("REDIS00x1", false),
        ("-ERR nope", false),
    ] {
        let error = decode([magic.as_bytes()]).unwrap_err();
        assert_eq!(
            matches!(error, RdbError::UnsupportedVersion { .. }),
            is_unknown_version,
            "{magic}"
        );
    }
}

#[test]
fn numbers_outside_their_range_are_corrupt() {
    for (magic, body) in [
        ("REDIS0012", Encoder::default().raw(&[254]).len(1 << 31)),
        ("REDIS0012", Encoder::default().raw(&[244]).len(16384).len(0).len(0)),
        ("VALKEY080", Encoder::default().raw(&[243]).str(b"j").len(16385)),
        ("VALKEY080", Encoder::default().raw(&[243]).str(b"j").len(1).len(0).len(16384)),
        ("REDIS0012", Encoder::default().raw(&[247]).len(1).len(1).len(1)),
        ("REDIS0012", Encoder::default().raw(&[3, 0]).len(1).str(b"a").raw(&[253])),
        ("REDIS0012", Encoder::default().raw(&[5, 0]).len(1).str(b"a").raw(&[0xff; 8])),
        ("REDIS0012", Encoder::default().raw(&[18, 0]).len(1).len(3).str(b"a")),
        ("REDIS0012", Encoder::default().raw(&[252, 0, 0, 0, 0, 0, 0, 0, 0, 255]).raw(&[0; 8])),
    ] {
        let rdb = Encoder::new(magic).raw(&body.0).0;
        let error = decode([&rdb[..]]).unwrap_err();
        assert!(matches!(error, RdbError::Corrupt { .. }), "{magic} {:?}: {error}", body.0);
    }
}

#[test]
fn a_value_above_the_limit_is_refused_before_it_arrives() {
    let limits = RdbLimits { value_bytes_max: 1000, split_above: u64::MAX };
    let filler = [b'x'; 100];
    for body in [
        Encoder::default().raw(&[0, 0]).len(1001),
        Encoder::default().raw(&[0]).len(1001),
        Encoder::default().raw(&[0]).raw(&[0xc3]).len(30).len(1001),
        Encoder::default().raw(&[4, 0]).len(1001),
        Encoder::default().raw(&[4, 0]).len(9).str(&[0; 600]).len(600),
        Encoder::default().raw(&[250]).len(u64::MAX),
        Encoder::default().raw(&[28, 0]).len(u64::MAX).len(0),
        (0..10).fold(Encoder::default().raw(&[1, 0]).len(10), |e, _| e.str(&filler)),
    ] {
        let rdb = Encoder::new("REDIS0014").raw(&body.0).0;
        let mut decoder = RdbDecoder::new(limits);
        decoder.push(&rdb);
        let error = take_all(&mut decoder, &mut Vec::new()).unwrap_err();
        assert_eq!(error, RdbError::TooLarge { limit: 1000, at: 9 }, "{:?}", body.0);
        assert!(decoder.buffer.capacity() < 4000);
    }
}

#[test]
fn a_large_value_is_walked_once_and_its_buffer_given_back() {
    let value = Encoder::default().len(3 << 20);
    let value = (0..3 << 20).fold(value, |e, i: u32| e.str(&i.to_le_bytes())).0;
    let rdb = Encoder::new("REDIS0011").raw(&[2]).str(b"set").raw(&value);
    let rdb = rdb.raw(&[0]).str(b"k").str(b"v").end();
    let mut decoder = RdbDecoder::new(LIMITS);
    let mut walked = 0;
    let mut entries = 0;
    for piece in rdb.chunks(1 << 16) {
        decoder.push(piece);
        while let Some(event) = decoder.next().unwrap() {
            if let RdbEvent::Entry(entry) = event {
                entries += 1;
                assert!(entry.value == value || entry.value == b"\x01v");
            }
        }
        assert!(entries > 0 || decoder.skipper.at() >= walked);
        walked = decoder.skipper.at();
    }
    assert_eq!(entries, 2);
    assert!(decoder.buffer.capacity() > BUFFER_KEPT_BYTES);
    for _ in 0..=SMALL_PUSHES_MAX {
        decoder.push(&[]);
    }
    assert!(decoder.buffer.capacity() <= BUFFER_KEPT_BYTES);
}

#[test]
fn strings_have_a_plain_form() {
    let plain = vec![b'p'; 20_000];
    let rdb = Encoder::new("REDIS0011")
        .raw(&[0])
        .str(b"raw")
        .str(b"value")
        .raw(&[0])
        .str(b"int")
        .raw(&[0xc2, 0, 0, 0, 0x80])
        .raw(&[0])
        .str(b"lzf")
        .lzf(&plain)
        .raw(&[2])
        .str(b"set")
        .len(0)
        .end();
    let mut decoder = RdbDecoder::new(LIMITS);
    decoder.push(&rdb);
    let mut scratch = Vec::new();
    let mut plains = Vec::new();
    while let Some(event) = decoder.next().unwrap() {
        if let RdbEvent::Entry(entry) = event {
            plains.push(entry.string_value(&mut scratch).unwrap().map(<[u8]>::to_vec));
            assert!(!entry.has_large_listpack);
            assert!(matches!(entry.value_type.kind(), Some(Kind::String | Kind::Set)));
        }
    }
    let expected = [Some(b"value".to_vec()), Some(b"-2147483648".to_vec()), Some(plain), None];
    assert_eq!(plains, expected);
}

#[test]
fn a_modules_name_is_in_its_id() {
    // ReJSON-RL, encoding version 3, as Redis Stack 7.4 writes it.
    let name = b"ReJSON-RL";
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let id = name
        .iter()
        .fold(0u64, |id, c| (id << 6) | alphabet.iter().position(|a| a == c).unwrap() as u64);
    let module = ModuleId((id << 10) | 3);
    assert_eq!(&module.name(), name);
    assert_eq!(module.to_string(), "ReJSON-RL version 3");
}

fn any_entry(family: Family) -> impl Strategy<Value = (u8, Vec<u8>, Vec<u8>)> {
    let strings = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20);
    (prop::sample::select(types_of(family)), prop::collection::vec(any::<u8>(), 0..90), strings)
        .prop_map(move |(byte, key, strings)| {
            let value = match byte {
                0 => Encoder::default().str(&strings.concat()).0,
                1 | 2 | 14 => {
                    strings
                        .iter()
                        .fold(Encoder::default().len(strings.len() as u64), |e, s| e.str(s))
                        .0
                }
                4 => {
                    strings
                        .iter()
                        .fold(Encoder::default().len(strings.len() as u64), |e, s| e.str(s).str(s))
                        .0
                }
                _ => value_of(family, byte),
            };
            (byte, key, value)
        })
}

proptest! {
    #[test]
    fn valid_rdbs_survive_any_chunking(
        entries in prop::collection::vec(any_entry(Family::Redis), 0..20),
        sizes in prop::collection::vec(1usize..300, 1..20),
    ) {
        let mut rdb = Encoder::new("REDIS0014");
        let mut expected = vec![Seen::Header(Family::Redis, 14)];
        for (byte, key, value) in entries {
            rdb = rdb.raw(&[byte]).str(&key).raw(&value);
            let about = "None None false".to_owned();
            expected.push(Seen::Entry { key, byte, value, expire_at_ms: None, about });
        }
        expected.push(Seen::End(Checksum::Verified));
        let rdb = rdb.end();
        let mut rest = &rdb[..];
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert_eq!(decode(pieces).unwrap(), expected);
    }

    #[test]
    fn random_bytes_never_panic(
        is_valkey in any::<bool>(),
        first in prop::sample::select((0..=28u8).chain(242..=255).collect::<Vec<_>>()),
        bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), 0u8..6, prop::sample::select(vec![0x80, 0x81, 0xc3, 0xff])],
            0..300,
        ),
    ) {
        let magic = if is_valkey { "VALKEY081" } else { "REDIS0015" };
        let rdb = Encoder::new(magic).raw(&[first]).raw(&bytes).0;
        let whole = decode([&rdb[..]]);
        prop_assert_eq!(&decode(rdb.chunks(1)), &whole, "the same in pieces");
    }

    #[test]
    fn a_changed_byte_of_a_valid_rdb_never_panics(at in any::<usize>(), byte in any::<u8>()) {
        for family in [Family::Redis, Family::Valkey] {
            let (mut rdb, _) = full_rdb(family);
            let at = at % rdb.len();
            rdb[at] = byte;
            let _ = decode(rdb.chunks(100));
        }
    }
}
