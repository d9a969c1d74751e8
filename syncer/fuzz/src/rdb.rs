//! An RDB from anywhere: cut into records, its values decoded, shifted and rewritten.

use std::time::Duration;

use redissync_syncer::{
    grace::Grace,
    rdb::{
        backlen::{BacklenForm, find_backlens, fit_backlens},
        decode::{RdbDecoder, RdbLimits},
        dump::dump_trailer,
        elements::ValueDecoder,
        error::RdbError,
        event::{RdbEntry, RdbEvent},
        value::ValueType,
    },
};

/// The most of one value: a few bytes must not become more.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// The first byte says in how large pieces the rest arrives, the second above which size values are split.
pub fn run(data: &[u8]) {
    let [first, second, bytes @ ..] = data else { return };
    let piece = 1 + usize::from(*first);
    let split_above = u64::from(*second) * 16;
    let whole = records(bytes, bytes.len().max(1), u64::MAX);
    let pieces = records(bytes, piece, u64::MAX);
    // Where in a broken record an error is seen first may differ.
    let told = |found: &(usize, Option<RdbError>)| (found.0, found.1.is_some());
    assert_eq!(told(&whole), told(&pieces), "the pieces change the records: {whole:?} {pieces:?}");
    let _ = records(bytes, piece, split_above);
}

/// How often which record came, and the error at the end.
fn records(bytes: &[u8], piece: usize, split_above: u64) -> (usize, Option<RdbError>) {
    let limits = RdbLimits { value_bytes_max: VALUE_BYTES_MAX, split_above };
    let mut decoder = RdbDecoder::new(limits);
    let mut large: Option<ValueDecoder> = None;
    let mut count = 0;
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Err(error) => return (count, Some(error)),
                Ok(None) => break,
                Ok(Some(event)) => {
                    count += 1;
                    look(&event, &mut large);
                }
            }
        }
        assert!(decoder.consumed() <= bytes.len() as u64);
    }
    (count, decoder.finish().err())
}

fn look(event: &RdbEvent<'_>, large: &mut Option<ValueDecoder>) {
    match event {
        RdbEvent::Entry(entry) => value(entry),
        RdbEvent::LargeBegin { value_type, .. } => {
            *large = ValueDecoder::new(*value_type, VALUE_BYTES_MAX);
            assert!(large.is_some(), "a value comes in parts that cannot be decoded");
        }
        RdbEvent::LargePart(bytes) => {
            if let Some(decoder) = large {
                decoder.push(bytes);
                elements(decoder);
            }
        }
        RdbEvent::LargeEnd => {
            if let Some(decoder) = large.take() {
                let _ = decoder.finish();
            }
        }
        _ => {}
    }
}

fn elements(decoder: &mut ValueDecoder) {
    while let Ok(Some(element)) = decoder.next() {
        // Looked at whole: a place that was computed wrong shows here.
        assert!(format!("{element:?}").len() > 3);
    }
}

fn value(entry: &RdbEntry<'_>) {
    let mut scratch = Vec::new();
    if let Ok(Some(plain)) = entry.string_value(&mut scratch) {
        assert!(entry.string_len().is_some_and(|length| length >= plain.len() as u64));
    }
    let _ = entry.module().map(|module| module.name());
    let _ = dump_trailer(entry.value_type, entry.value, 11);
    let mut shifted = Vec::new();
    if let Ok(later) = entry.with_grace(Grace::new(Duration::from_secs(3600)), &mut shifted) {
        assert_eq!(later.value_type, entry.value_type);
    }
    let mut scratch = Vec::new();
    let _ = find_backlens(entry, &mut scratch);
    for form in [BacklenForm::Old, BacklenForm::New] {
        if let Ok(Some(fitted)) = fit_backlens(form, entry, &mut scratch) {
            let fitted = RdbEntry { value: &fitted, ..entry.clone() };
            assert_eq!(
                fit_backlens(form, &fitted, &mut scratch),
                Ok(None),
                "fitted, it does not fit"
            );
        }
    }
    split(entry.value_type, entry.value);
}

/// The elements of a value are the same whether it comes at once or byte by byte.
fn split(value_type: ValueType, value: &[u8]) {
    let listed = |piece: usize| {
        let mut decoder = ValueDecoder::new(value_type, VALUE_BYTES_MAX)?;
        let mut listed = String::new();
        for piece in value.chunks(piece.max(1)) {
            decoder.push(piece);
            loop {
                match decoder.next() {
                    Ok(Some(element)) => listed.push_str(&format!("{element:?}\n")),
                    Ok(None) => break,
                    Err(_) => return None,
                }
            }
        }
        decoder.finish().ok().map(|()| listed)
    };
    // A string comes as it arrives, so its elements are the pieces.
    if !value_type.is_string() && value.len() <= 4096 {
        assert_eq!(listed(value.len()), listed(1), "the pieces change the elements");
    }
}
