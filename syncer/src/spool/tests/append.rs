use super::{super::Spool, *};

#[test]
fn what_was_appended_is_read_back_by_every_chunking() {
    let bytes = noise(700);
    for write in [1, 7, 99, 128, 129, 700] {
        let kit = Kit::small();
        let spool = kit.begun();
        append_all(&spool, &bytes, write);
        assert_eq!(spool.end(), Offset(1700));
        for read in [1, 3, 100, 144, 1000] {
            let mut reader = spool.reader_at(at('a', 1000)).unwrap();
            assert_eq!(read_all(&mut reader, read), bytes, "written by {write}, read by {read}");
            assert_eq!(reader.position(), at('a', 1700));
        }
        for from in (0..=700).step_by(13) {
            assert_eq!(held(&spool, 1000 + from), bytes[from as usize..], "from {from}");
        }
        assert!(kit.files("stream-").len() > 3);
    }
}

#[test]
fn a_reader_that_is_caught_up_goes_on_when_more_comes() {
    let kit = Kit::small();
    let spool = kit.begun();
    let bytes = noise(600);
    let mut reader = spool.reader_at(at('a', 1000)).unwrap();
    let mut progress = spool.subscribe();
    let mut got = Vec::new();
    for piece in bytes.chunks(11) {
        assert_eq!(reader.read(&mut got, 100).unwrap(), 0);
        progress.mark_unchanged();
        append_all(&spool, piece, 11);
        assert!(progress.has_changed().unwrap());
        assert_eq!(progress.borrow_and_update().end, spool.end());
        assert_eq!(reader.read(&mut got, 100).unwrap(), piece.len());
    }
    assert_eq!(got, bytes);
}

#[test]
fn an_append_longer_than_a_frame_is_split() {
    let kit = Kit::with(16 << 20, 1 << 30);
    let spool = kit.begun();
    let bytes = noise((5 << 20) + 17);
    spool.append(&bytes, mark(1000)).unwrap();
    assert_eq!(spool.end(), Offset(1000 + bytes.len() as u64));
    assert!(held(&spool, 1000) == bytes);
}

#[test]
fn the_rdb_is_read_while_it_grows_and_after_a_start() {
    let kit = Kit::small();
    let spool = kit.begun();
    let bytes = noise(500);
    let mut reader = spool.rdb_reader(COPY).unwrap();
    let mut got = Vec::new();
    for piece in bytes.chunks(33) {
        spool.rdb_append(piece).unwrap();
        while reader.read(&mut got, 20).unwrap() > 0 {}
    }
    assert_eq!(got, bytes);
    assert!(!spool.copy().unwrap().is_complete);
    spool.rdb_complete().unwrap();
    assert!(spool.subscribe().borrow().is_rdb_complete);
    assert!(matches!(spool.rdb_append(b"more"), Err(SpoolError::Unknown)));
    append_all(&spool, b"stream", 6);
    drop((spool, reader));

    let spool = kit.open();
    let copy = spool.copy().unwrap();
    assert_eq!((copy.copy_id, copy.position), (COPY, at('a', 1000)));
    assert!(copy.is_complete && !copy.is_dropped);
    assert_eq!(copy.rdb_bytes, 500);
    assert_eq!(rdb_bytes(&spool), bytes);
    assert_eq!(held(&spool, 1000), b"stream");
}

#[test]
fn a_dropped_rdb_makes_its_readers_stale_and_frees_its_room() {
    let kit = Kit::small();
    let spool = kit.begun();
    spool.rdb_append(&noise(500)).unwrap();
    spool.rdb_complete().unwrap();
    let used = spool.usage().bytes;
    let mut reader = spool.rdb_reader(COPY).unwrap();
    spool.drop_rdb_before(COPY, 300).unwrap();
    assert!(spool.copy().unwrap().rdb_start > 200);
    assert!(spool.usage().bytes < used);
    assert!(spool.rdb_reader(COPY).is_none());
    assert!(matches!(reader.read(&mut Vec::new(), 10), Err(SpoolError::Stale)));

    spool.drop_rdb(COPY).unwrap();
    assert_eq!(spool.usage().bytes, 0);
    assert!(kit.files("rdb-").is_empty());
    drop((spool, reader));
    let copy = kit.open().copy().unwrap();
    assert!(copy.is_complete && copy.is_dropped);
}

#[test]
fn a_new_copy_drops_what_was_held() {
    let kit = Kit::small();
    let spool = kit.begun();
    spool.rdb_append(&noise(300)).unwrap();
    append_all(&spool, &noise(300), 50);
    let mut reader = spool.reader_at(at('a', 1000)).unwrap();
    spool.begin_copy(CopyId(7), at('b', 50)).unwrap();
    assert!(matches!(reader.read(&mut Vec::new(), 10), Err(SpoolError::Stale)));
    assert!(spool.reader_at(at('a', 1000)).is_none());
    assert!(spool.rdb_reader(COPY).is_none());
    assert_eq!(spool.usage().segments, 0);
    assert_eq!(kit.files("").len(), 2, "LOCK and index.json");
    append_all(&spool, b"of b", 4);
    drop((spool, reader));
    assert_eq!(held(&kit.open(), 50), b"of b");
}

#[test]
fn only_one_handle_holds_the_directory() {
    let kit = Kit::small();
    let spool = kit.begun();
    let reader = spool.reader_at(at('a', 1000)).unwrap();
    assert!(matches!(kit.try_open(), Err(SpoolError::Locked { dir }) if dir == kit.options.dir));
    drop(spool);
    assert!(matches!(kit.try_open(), Err(SpoolError::Locked { .. })), "the reader holds it too");
    drop(reader);
    kit.open();
}

#[test]
fn there_is_nothing_to_append_to_before_a_range() {
    let spool = Kit::small().open();
    assert!(matches!(spool.append(b"x", mark(1)), Err(SpoolError::NoRange)));
    assert!(matches!(spool.rdb_append(b"x"), Err(SpoolError::Unknown)));
    assert!(matches!(spool.adopt(replid('b')), Err(SpoolError::NoRange)));
}

pub(super) fn rdb_bytes(spool: &Spool) -> Vec<u8> {
    let mut reader = spool.rdb_reader(spool.copy().unwrap().copy_id).unwrap();
    let mut bytes = Vec::new();
    while reader.read(&mut bytes, 64).unwrap() > 0 {}
    bytes
}
