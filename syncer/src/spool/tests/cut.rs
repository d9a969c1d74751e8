use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{recovery::wait_for_seals, *};

fn filled(kit: &Kit) -> (Spool, Vec<u8>) {
    let spool = kit.begun();
    let bytes = noise(900);
    append_all(&spool, &bytes, 60);
    (spool, bytes)
}

#[test]
fn a_cut_ends_the_log_at_any_offset_and_the_log_goes_on_from_there() {
    for to in (0..=900).step_by(7).chain([60, 120, 899, 900]) {
        let kit = Kit::small();
        let (spool, bytes) = filled(&kit);
        spool.cut(mark(1000 + to), replid('b')).unwrap();
        assert_eq!((spool.end(), spool.unit_end()), (Offset(1000 + to), Offset(1000 + to)));
        let kept = &bytes[..to as usize];
        assert_eq!(held(&spool, 1000), kept, "cut to {to}");
        drop(spool);
        let spool = kit.open();
        assert_eq!(held(&spool, 1000), kept, "cut to {to}, after a start");
        let more = noise(333);
        append_all(&spool, &more, 71);
        let all = [kept, &more].concat();
        assert_eq!(held(&spool, 1000), all);
        let used = spool.usage();
        drop(spool);
        let spool = kit.open();
        assert_eq!(held(&spool, 1000), all);
        assert_eq!(spool.usage(), used, "the count of bytes is that of the files");
    }
}

#[test]
fn the_same_bytes_may_be_cut_and_sent_again_in_other_pieces() {
    let kit = Kit::small();
    let (spool, bytes) = filled(&kit);
    for to in [850, 300, 299, 0] {
        spool.truncate_to(mark(1000 + to)).unwrap();
        append_all(&spool, &bytes[to as usize..], 47);
        assert_eq!(held(&spool, 1000), bytes);
    }
    drop(spool);
    assert_eq!(held(&kit.open(), 1000), bytes);
}

#[test]
fn a_reader_above_the_cut_is_stale_and_one_below_it_goes_on() {
    let kit = Kit::with(4096, 1 << 20);
    let spool = kit.begun();
    let bytes = noise(900);
    append_all(&spool, &bytes, 300);
    let readers: Vec<_> = [99, 100, 101, 400]
        .map(|count| {
            let mut reader = spool.reader_at(at('a', 1000)).unwrap();
            // It has read ahead of what it yields: that must not come out after the cut.
            assert_eq!(reader.read(&mut Vec::new(), count).unwrap(), count);
            (count, reader)
        })
        .into();
    spool.cut(mark(1100), replid('b')).unwrap();
    let other = noise(2000)[1000..].to_vec();
    append_all(&spool, &other, 500);
    for (count, mut reader) in readers {
        let mut got = Vec::new();
        if count > 100 {
            assert!(matches!(reader.read(&mut got, 50), Err(SpoolError::Stale)), "at {count}");
            assert!(matches!(reader.read(&mut got, 50), Err(SpoolError::Stale)), "at {count}");
        } else {
            let rest = read_all(&mut reader, 77);
            assert_eq!(rest, [&bytes[count..100], &other].concat(), "at {count}");
        }
    }
}

#[test]
fn a_cut_wakes_the_readers() {
    let kit = Kit::small();
    let (spool, _) = filled(&kit);
    let mut progress = spool.subscribe();
    let before = *progress.borrow_and_update();
    spool.cut(mark(1100), replid('b')).unwrap();
    assert!(progress.has_changed().unwrap());
    let after = *progress.borrow_and_update();
    assert_ne!(before.generation, after.generation);
    assert_eq!(after.end, Offset(1100));
}

#[test]
fn a_cut_outside_of_the_live_range_is_refused_and_changes_nothing() {
    let kit = Kit::small();
    let (spool, bytes) = filled(&kit);
    for to in [999, 1901] {
        let err = spool.cut(mark(to), replid('b')).unwrap_err();
        assert!(matches!(err, SpoolError::OutOfRange { .. }));
    }
    assert_eq!(held(&spool, 1000), bytes);
    assert_eq!(live(&spool).lineage.len(), 1);
}

/// The segment files as they are between the cut and the index with the new lineage, and before
/// the segments above the cut are gone: both starts find a log that is true.
#[test]
fn a_kill_inside_of_a_cut_leaves_a_true_log() {
    let kit = Kit::small();
    let (spool, bytes) = filled(&kit);
    drop(spool);
    let index = fs::read(kit.options.dir.join("index.json")).unwrap();
    let above: Vec<_> = kit.files("stream-")[5..]
        .iter()
        .map(|path| (path, fs::read(path).unwrap()))
        .map(|(path, file)| (path.clone(), file))
        .collect();
    let spool = kit.open();
    spool.cut(mark(1200), replid('b')).unwrap();
    drop(spool);
    fs::write(kit.options.dir.join("index.json"), &index).unwrap();
    for (path, file) in above {
        fs::write(path, file).unwrap();
    }
    let spool = kit.open();
    assert_eq!(held(&spool, 1000), bytes[..200]);
    assert!(spool.reader_at(at('a', 1200)).is_some());
    assert!(spool.reader_at(at('b', 1200)).is_none());
}

#[test]
fn a_cut_segment_is_not_believed_by_its_old_seal() {
    let kit = Kit::small();
    let (spool, bytes) = filled(&kit);
    wait_for_seals(&kit);
    spool.cut(mark(1090), replid('b')).unwrap();
    let other = noise(5000)[4000..].to_vec();
    append_all(&spool, &other[..30], 30);
    // As after a kill: not sealed again, and as long as it was.
    drop(spool);
    let spool = kit.open();
    assert_eq!(held(&spool, 1000), [&bytes[..90], &other[..30]].concat());
}

#[test]
fn readers_and_the_appender_do_not_disturb_each_other() {
    let kit = Kit::with(20_000, 64 << 20);
    let spool = kit.begun();
    let bytes = noise(2 << 20);
    std::thread::scope(|scope| {
        for max in [777, 70_000] {
            let mut reader = spool.reader_at(at('a', 1000)).unwrap();
            let bytes = &bytes;
            scope.spawn(move || {
                let mut got = Vec::new();
                while got.len() < bytes.len() {
                    reader.read(&mut got, max).unwrap();
                }
                assert!(got == *bytes);
            });
        }
        append_all(&spool, &bytes, 3000);
    });
}

/// Cuts come while readers are in the middle of a piece: what they yield is what the log held, and
/// never is a half overwritten frame called damage.
#[test]
fn a_reader_that_a_cut_overtakes_ends_with_what_the_log_holds() {
    let kit = Kit::with(3000, 64 << 20);
    let spool = kit.begun();
    let noise = noise(1 << 20);
    let mut model = Vec::new();
    let is_done = AtomicBool::new(false);
    let got = std::thread::scope(|scope| {
        let readers = [100, 5000].map(|max| {
            let (spool, is_done) = (&spool, &is_done);
            scope.spawn(move || {
                let open = || spool.reader_at(at('a', 1000)).unwrap();
                let (mut reader, mut got) = (open(), Vec::new());
                loop {
                    let was_done = is_done.load(Ordering::SeqCst);
                    match reader.read(&mut got, max) {
                        Ok(0) if was_done => return got,
                        Ok(_) => {}
                        Err(SpoolError::Stale) => {
                            got.clear();
                            reader = open();
                        }
                        Err(err) => panic!("{err}"),
                    }
                }
            })
        });
        for round in 0..300 {
            let from = round * 1777;
            let piece = &noise[from..from + 900 + round];
            model.extend_from_slice(piece);
            append_all(&spool, piece, 450);
            if round % 3 == 0 {
                model.truncate(model.len() - 700);
                spool.truncate_to(mark(1000 + model.len() as u64)).unwrap();
            }
        }
        is_done.store(true, Ordering::SeqCst);
        readers.map(|reader| reader.join().unwrap())
    });
    assert!(got.iter().all(|got| *got == model));
}
