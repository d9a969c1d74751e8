//! A spool that was damaged on disk: what it still yields must be what was written to it, never anything else.

use std::{fs, path::PathBuf, time::Duration};

use redissync_syncer::{
    position::{DbIndex, Offset, Position, ReplId},
    spool::{CopyId, Spool, SpoolError, SpoolOptions, UnitMark},
};

const FIRST: u64 = 1000;

/// Up to a byte of 255 it says what is done to the spool, three bytes each; what follows damages its files.
pub fn run(data: &[u8]) {
    let (acts, damage) = match data.iter().position(|byte| *byte == 255) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.expect("a directory");
    let options = SpoolOptions {
        dir: dir.path().join("spool"),
        max_bytes: 1 << 20,
        retention_bytes: 0,
        retention_age: Duration::ZERO,
        segment_bytes: 400,
    };
    let model = write(&options, acts);
    for act in damage.chunks_exact(4).take(8) {
        break_file(&options.dir, act);
    }
    match Spool::open(options.clone()) {
        Ok(spool) => {
            check(&spool, &model, !damage.is_empty());
            goes_on(&spool);
        }
        // Then it is erased, and the backlog has to bridge it.
        Err(SpoolError::Corrupt { .. }) if !damage.is_empty() => {
            drop(Spool::erase(options).expect("an erased spool opens"));
        }
        Err(error) => panic!("it does not open: {error}"),
    }
}

/// What was written, by place: every name of the history keeps the bytes that it had.
struct Model {
    name: u32,
    bytes: Vec<u8>,
    /// The names, and how long the history was when each was the current one.
    histories: Vec<(u32, Vec<u8>)>,
}

fn replid(name: u32) -> ReplId {
    format!("{name:040x}").parse().expect("forty digits")
}

fn mark(unit_end: u64) -> UnitMark {
    UnitMark { unit_end: Offset(unit_end), db: Some(DbIndex(3)) }
}

fn write(options: &SpoolOptions, acts: &[u8]) -> Model {
    let spool = Spool::open(options.clone()).expect("an empty directory opens");
    let copy_id: CopyId = "00000000000000ab".parse().expect("a copyId");
    let mut model = Model { name: 1, bytes: Vec::new(), histories: Vec::new() };
    let begin = Position { replid: replid(1), offset: Offset(FIRST) };
    spool.begin_copy(copy_id, begin).expect("a copy begins");
    let mut durable = FIRST;
    for act in acts.chunks_exact(3).take(64) {
        let end = FIRST + model.bytes.len() as u64;
        match act[0] % 6 {
            0..=2 => {
                let count = u64::from(act[1]) * 3 + 1;
                // Each byte tells its place and its history, so that none can stand for another.
                let bytes: Vec<u8> = (0..count)
                    .map(|at| (((end + at) as u8).wrapping_mul(31)) ^ model.name as u8 ^ act[2])
                    .collect();
                spool.append(&bytes, mark(end + count)).expect("there is room");
                model.bytes.extend(bytes);
            }
            3 => {
                let to = durable + u64::from(act[1]) % (end - durable + 1);
                model.histories.push((model.name, model.bytes.clone()));
                model.bytes.truncate((to - FIRST) as usize);
                model.name += 1;
                spool.cut(mark(to), replid(model.name)).expect("a unit's end");
            }
            4 => {
                model.histories.push((model.name, model.bytes.clone()));
                model.name += 1;
                spool.adopt(replid(model.name)).expect("a name");
            }
            _ => {
                durable += u64::from(act[1]) % (end - durable + 1);
                spool.set_durable(copy_id, Offset(durable)).expect("below the end");
            }
        }
    }
    model.histories.push((model.name, model.bytes.clone()));
    model
}

/// Two bytes say where, one what: a bit turned, the file cut there, a part of it overwritten, or the file gone.
fn break_file(dir: &std::path::Path, act: &[u8]) {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .expect("it is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let Some(path) = files.get(usize::from(act[0] >> 2) % files.len().max(1)) else { return };
    let mut bytes = fs::read(path).expect("a file");
    if bytes.is_empty() {
        return;
    }
    let at = (usize::from(act[1]) << 8 | usize::from(act[2])) % bytes.len();
    match act[0] & 3 {
        0 => bytes[at] ^= act[3] | 1,
        1 => bytes.truncate(at),
        2 => {
            let end = bytes.len().min(at + usize::from(act[3]));
            bytes[at..end].fill(act[3]);
        }
        _ => {
            fs::remove_file(path).expect("it goes");
            return;
        }
    }
    fs::write(path, bytes).expect("it is written");
}

fn check(spool: &Spool, model: &Model, is_damaged: bool) {
    let Some(live) = spool.live_range() else {
        assert!(is_damaged, "a range is gone");
        return;
    };
    if !is_damaged {
        assert_eq!(spool.end().0, FIRST + model.bytes.len() as u64);
    }
    for (name, bytes) in &model.histories {
        let from = live.start.0;
        let position = Position { replid: replid(*name), offset: Offset(from) };
        let Some(mut reader) = spool.reader_at(position) else { continue };
        let mut read = Vec::new();
        loop {
            match reader.read(&mut read, 333) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => {
                    assert!(is_damaged, "an undamaged spool cannot be read");
                    break;
                }
            }
        }
        let at = (from - FIRST) as usize;
        // Under an old name the current history is read on: it is the same up to where the names part.
        let current = &model.bytes[at.min(model.bytes.len())..];
        let expected = if *name == model.name { &bytes[at.min(bytes.len())..] } else { current };
        assert!(read.len() <= expected.len(), "it yields more than was written");
        assert!(read == expected[..read.len()], "it yields other bytes than were written");
    }
}

/// It can be written to again, and yields that too.
fn goes_on(spool: &Spool) {
    let Some(live) = spool.live_range() else { return };
    let name = live.lineage.last().expect("a name").replid;
    let end = spool.end();
    spool.append(b"what follows", mark(end.0 + 12)).expect("it is appended to");
    let mut reader =
        spool.reader_at(Position { replid: name, offset: end }).expect("its own end is covered");
    let mut read = Vec::new();
    assert_eq!(reader.read(&mut read, 100).expect("it reads"), 12);
    assert_eq!(read, b"what follows");
}
