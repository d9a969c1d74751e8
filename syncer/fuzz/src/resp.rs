//! What a source sends after its RDB, and what servers answer. Three readers of one format must agree on where a value ends.

use redissync_syncer::{
    decode::UnitDecoder,
    expiry::expiry,
    filter::judge,
    position::Offset,
    resp::{command::Command, encode, frame, reply},
    source::scanner::UnitScanner,
};

/// The first byte says in how large pieces the rest arrives.
pub fn run(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let piece = 1 + usize::from(first);
    answers(bytes);
    commands(bytes);
    units(bytes, piece);
}

/// A whole value is as long for who builds it as for who skips it.
fn answers(bytes: &[u8]) {
    let built = frame::decode(bytes);
    let skipped = reply::read(bytes, 0, true);
    if let (Ok(Some((_, built))), Ok(Some((_, skipped)))) = (&built, &skipped) {
        assert_eq!(built, skipped, "a value has two ends");
    }
    let mut at = 0;
    while let Ok(Some((_, next))) = reply::read(bytes, at, false) {
        assert!(next > at && next <= bytes.len());
        at = next;
    }
}

/// Whatever a command is made of, it is judged without a panic; and written again it is the same command.
fn commands(bytes: &[u8]) {
    let mut command = Command::default();
    let mut again = Command::default();
    let mut at = 0;
    while let Ok(Some(end)) = command.parse(bytes, at) {
        assert!(end > at && end <= bytes.len());
        let _ = judge(&command, bytes, &bytes[at..end]);
        if let Some(found) = expiry(&command, bytes) {
            assert!(found.index > 0);
        }
        let arguments: Vec<&[u8]> = (0..command.argument_count())
            .map(|index| command.argument(bytes, index).expect("it was counted"))
            .collect();
        if !arguments.is_empty() {
            let mut written = Vec::new();
            encode::command(&mut written, &arguments);
            assert_eq!(again.parse(&written, 0), Ok(Some(written.len())));
            assert_eq!(again.argument_count(), arguments.len());
        }
        at = end;
    }
}

/// The scanner, which keeps nothing, and the decoder, which keeps a unit, find the same ends in any pieces.
fn units(bytes: &[u8], piece: usize) {
    let whole = decoded(bytes, bytes.len().max(1));
    let pieces = decoded(bytes, piece);
    assert_eq!(whole, pieces, "the pieces change the units");
    let mut scanner = UnitScanner::new(Offset(0), None);
    let scanned = bytes.chunks(piece).try_for_each(|piece| scanner.scan(piece));
    if let (Ok(ends), Ok(())) = (whole, scanned) {
        let end = ends.last().copied().unwrap_or(0);
        assert_eq!(scanner.unit_end(), Offset(end), "scanner and decoder disagree");
    }
}

/// The ends of all units; an error has those before it lost, since it ends the stream.
fn decoded(bytes: &[u8], piece: usize) -> Result<Vec<u64>, ()> {
    let mut decoder = UnitDecoder::new(Offset(0));
    let mut ends = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.input().extend_from_slice(piece);
        while let Some(unit) = decoder.next_unit().map_err(|_| ())? {
            assert_eq!(unit.bytes.len() as u64, unit.end.0 - ends.last().copied().unwrap_or(0));
            ends.push(unit.end.0);
        }
    }
    Ok(ends)
}
