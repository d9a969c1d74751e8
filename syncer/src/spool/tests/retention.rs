use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

use super::{recovery::wait_for_seals, *};

/// What 100 bytes take with the headers of their segment and frame.
const SEGMENT: u64 = 256 + 16 + 100;

fn ten_segments(kit: &Kit) -> Spool {
    let spool = kit.begun();
    append_all(&spool, &noise(1000), 100);
    assert_eq!(spool.usage().segments, 10);
    assert_eq!(spool.usage().bytes, 10 * SEGMENT);
    spool
}

#[test]
fn nothing_is_dropped_above_durable() {
    let kit = Kit::small();
    let spool = ten_segments(&kit);
    let mut expected = 10;
    for durable in 1000..=2000 {
        spool.set_durable(spool.live_range().unwrap().copy_id, Offset(durable)).unwrap();
        assert!(live(&spool).start.0 <= durable);
        expected = expected.min(10 - (durable - 1000) as usize / 100).max(1);
        assert_eq!(spool.usage().segments, expected, "durable {durable}");
        assert_eq!(kit.files("stream-").len(), expected);
    }
    assert!(spool.reader_at(at('a', 1899)).is_none());
    assert!(spool.reader_at(at('a', 1900)).is_some());
}

#[test]
fn the_larger_of_bytes_and_age_is_kept() {
    // 350 bytes below 1950 begin at 1600.
    for (bytes, seconds, kept) in [(350, 0, 4), (0, 3600, 10), (350, 3600, 10), (0, 0, 1)] {
        let mut kit = Kit::small();
        kit.options.retention_bytes = bytes;
        kit.options.retention_age = Duration::from_secs(seconds);
        let spool = ten_segments(&kit);
        spool.set_durable(spool.live_range().unwrap().copy_id, Offset(1950)).unwrap();
        assert_eq!(spool.usage().segments, kept);
    }
}

#[test]
fn the_age_of_a_segment_outlives_a_start() {
    let mut kit = Kit::small();
    kit.options.retention_age = Duration::from_secs(3600);
    drop(ten_segments(&kit));
    for path in &kit.files("stream-")[..4] {
        let old = SystemTime::now() - Duration::from_secs(4000);
        File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let spool = kit.open();
    spool.set_durable(spool.live_range().unwrap().copy_id, Offset(2000)).unwrap();
    assert_eq!(spool.usage().segments, 6);
}

#[test]
fn a_start_drops_nothing_before_durable_is_known_again() {
    let kit = Kit::with(400, 10 * SEGMENT);
    drop(ten_segments(&kit));
    let spool = kit.open();
    assert!(!spool.has_room(1));
    assert!(matches!(spool.append(b"x", mark(2001)), Err(SpoolError::Full { .. })));
    assert_eq!(held(&spool, 1000).len(), 1000);
    spool.set_durable(spool.live_range().unwrap().copy_id, Offset(1100)).unwrap();
    assert!(spool.has_room(1));
    append_all(&spool, b"x", 1);
}

#[test]
fn when_room_is_short_the_window_gives_way_oldest_first() {
    let mut kit = Kit::with(400, 10 * SEGMENT);
    kit.options.retention_bytes = 1 << 20;
    let spool = ten_segments(&kit);
    spool.set_durable(spool.live_range().unwrap().copy_id, Offset(1250)).unwrap();
    assert_eq!(spool.usage().segments, 10, "the window is wide");
    assert!(spool.has_room(100));
    append_all(&spool, &noise(100), 100);
    assert_eq!(live(&spool).start, Offset(1100));
    append_all(&spool, &noise(100), 100);
    assert_eq!(live(&spool).start, Offset(1200));

    let err = spool.append(&noise(100), mark(2300)).unwrap_err();
    assert!(err.is_full(), "{err}");
    assert!(!spool.has_room(100));
    assert_eq!((spool.end(), live(&spool).start), (Offset(2200), Offset(1200)));
    assert_eq!(held(&spool, 1250).len(), 950);
}

#[test]
fn an_append_that_cannot_fit_leaves_the_window_alone() {
    let mut kit = Kit::with(400, 10 * SEGMENT);
    kit.options.retention_bytes = 1 << 20;
    let spool = ten_segments(&kit);
    spool.set_durable(spool.live_range().unwrap().copy_id, Offset(1250)).unwrap();
    assert!(matches!(spool.append(&noise(400), mark(1)), Err(SpoolError::Full { .. })));
    assert_eq!(live(&spool).start, Offset(1000));
}

#[test]
fn the_rdb_counts_and_gives_way_only_when_it_is_told() {
    let kit = Kit::with(400, 4 * SEGMENT);
    let spool = kit.begun();
    for piece in noise(400).chunks(100) {
        spool.rdb_append(piece).unwrap();
    }
    assert!(spool.rdb_append(b"x").unwrap_err().is_full());
    assert!(spool.append(b"x", mark(1001)).unwrap_err().is_full());
    spool.drop_rdb_before(COPY, 250).unwrap();
    assert_eq!(spool.copy().unwrap().rdb_start, 200);
    spool.rdb_append(b"x").unwrap();
    spool.drop_rdb(COPY).unwrap();
    append_all(&spool, &noise(100), 100);
}

#[test]
fn an_older_range_goes_before_the_live_one_and_is_gone_after_a_start() {
    let kit = Kit::small();
    let spool = ten_segments(&kit);
    spool.begin_range(COPY, at('b', 5000), None).unwrap();
    append_all(&spool, &noise(300), 100);
    spool.set_durable(spool.live_range().unwrap().copy_id, Offset(1500)).unwrap();
    assert_eq!(spool.ranges().len(), 2);
    assert_eq!(spool.ranges()[0].start, Offset(1500));
    spool.set_durable(spool.live_range().unwrap().copy_id, Offset(5150)).unwrap();
    assert_eq!(spool.ranges().len(), 1);
    assert_eq!(live(&spool).start, Offset(5100));
    drop(spool);
    let spool = kit.open();
    assert_eq!(spool.ranges().len(), 1);
    assert_eq!(held(&spool, 5100).len(), 200);
}

#[test]
fn a_reader_below_what_was_dropped_is_stale() {
    let kit = Kit::small();
    let spool = ten_segments(&kit);
    let mut reader = spool.reader_at(at('a', 1050)).unwrap();
    spool.set_durable(spool.live_range().unwrap().copy_id, Offset(1500)).unwrap();
    assert!(matches!(reader.read(&mut Vec::new(), 10), Err(SpoolError::Stale)));
}

#[test]
fn the_live_ranges_last_segment_stays_so_that_its_end_is_known() {
    let kit = Kit::small();
    drop(ten_segments(&kit));
    let spool = kit.open();
    wait_for_seals(&kit);
    drop(spool);
    // A kill that lost the tail leaves a closed segment in its place.
    fs::remove_file(kit.files("stream-").pop().unwrap()).unwrap();
    for _ in 0..2 {
        let spool = kit.open();
        spool.set_durable(spool.live_range().unwrap().copy_id, Offset(1900)).unwrap();
        assert_eq!((spool.end(), spool.usage().segments), (Offset(1900), 1));
    }
}

#[test]
fn promise_5_that_the_target_once_held_a_copy_whole_outlives_a_start_and_the_next_copy() {
    let kit = Kit::small();
    let spool = kit.begun();
    append_all(&spool, &noise(300), 100);
    assert!(!spool.had_whole_copy(), "the copy is not yet in the target");
    drop(spool);
    let spool = kit.open();
    assert!(!spool.had_whole_copy());
    spool.set_durable(spool.live_range().unwrap().copy_id, Offset(1000)).unwrap();
    drop(spool);
    let spool = kit.open();
    assert!(spool.had_whole_copy());
    spool.begin_copy(CopyId(77), at('b', 5)).unwrap();
    drop(spool);
    assert!(kit.open().had_whole_copy());
}
