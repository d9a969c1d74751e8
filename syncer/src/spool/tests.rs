//! Tests of the spool on a real directory. `Kit` holds what they share.

mod append;
mod cut;
mod lineage;
mod model;
mod recovery;
mod retention;
mod units;

use std::{fs, path::PathBuf, time::Duration};

use super::{CopyId, RangeView, Spool, SpoolError, SpoolOptions, StreamReader, UnitMark};
use crate::position::{DbIndex, Offset, Position, ReplId};

const COPY: CopyId = CopyId(0xc0ff_ee00_0000_0001);

/// A replid that is one digit forty times.
fn replid(digit: char) -> ReplId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn at(digit: char, offset: u64) -> Position {
    Position { replid: replid(digit), offset: Offset(offset) }
}

fn mark(unit_end: u64) -> UnitMark {
    UnitMark { unit_end: Offset(unit_end), db: Some(DbIndex(3)) }
}

/// Bytes that differ from one place to the next.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

struct Kit {
    /// Deleted with the kit.
    _dir: tempfile::TempDir,
    options: SpoolOptions,
}

impl Kit {
    /// Segments of about a hundred bytes of payload, so that every test crosses borders.
    fn small() -> Self {
        Self::with(400, 1 << 20)
    }

    fn with(segment_bytes: u64, max_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SpoolOptions {
            dir: dir.path().join("spool"),
            max_bytes,
            retention_bytes: 0,
            retention_age: Duration::ZERO,
            segment_bytes,
        };
        Self { _dir: dir, options }
    }

    fn open(&self) -> Spool {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Spool, SpoolError> {
        Spool::open(self.options.clone())
    }

    /// A spool with a copy at offset 1000 of the history `a`.
    fn begun(&self) -> Spool {
        let spool = self.open();
        spool.begin_copy(COPY, at('a', 1000)).unwrap();
        spool
    }

    /// The spool's files whose names begin so, in order.
    fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.options.dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
            .collect();
        files.sort();
        files
    }
}

/// Appends in pieces, each with the mark of its own end.
fn append_all(spool: &Spool, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece) {
        let end = spool.end().0 + piece.len() as u64;
        spool.append(piece, mark(end)).unwrap();
    }
}

fn read_all(reader: &mut StreamReader, piece: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while reader.read(&mut bytes, piece).unwrap() > 0 {}
    bytes
}

/// What the live range holds from `offset` on, by the newest replid.
fn held(spool: &Spool, offset: u64) -> Vec<u8> {
    let live = live(spool);
    let replid = live.lineage.last().unwrap().replid;
    let mut reader = spool.reader_at(Position { replid, offset: Offset(offset) }).unwrap();
    read_all(&mut reader, 4096)
}

fn live(spool: &Spool) -> RangeView {
    spool.live_range().unwrap()
}
