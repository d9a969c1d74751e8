use super::{super::RangeId, *};

/// Which of (replid, offset) the spool can serve.
fn assert_covers(spool: &Spool, table: &[(char, u64, bool)]) {
    for (digit, offset, is_covered) in table {
        let position = at(*digit, *offset);
        assert_eq!(spool.reader_at(position).is_some(), *is_covered, "{digit}:{offset}");
        assert_eq!(spool.find_range(position).is_some(), *is_covered, "{digit}:{offset}");
    }
}

/// a from 1000, called b from 1300 on by +CONTINUE, cut to 1500 and called c.
fn grown(kit: &Kit) -> Spool {
    let spool = kit.begun();
    append_all(&spool, &noise(300), 60);
    spool.adopt(replid('b')).unwrap();
    spool.adopt(replid('b')).unwrap();
    append_all(&spool, &noise(300), 60);
    spool.cut(mark(1500), replid('c')).unwrap();
    append_all(&spool, &noise(100), 60);
    spool
}

const GROWN: [(char, u64, bool); 13] = [
    ('a', 999, false),
    ('a', 1000, true),
    ('a', 1300, true),
    ('a', 1301, false),
    // b's history has everything below 1300 as well.
    ('b', 1000, true),
    ('b', 1500, true),
    ('b', 1501, false),
    ('c', 999, false),
    ('c', 1000, true),
    ('c', 1600, true),
    ('c', 1601, false),
    ('d', 1000, false),
    ('d', 1600, false),
];

#[test]
fn a_position_is_covered_by_the_histories_that_hold_it() {
    let kit = Kit::small();
    assert_covers(&grown(&kit), &GROWN);
}

#[test]
fn the_lineage_outlives_a_start() {
    let kit = Kit::small();
    drop(grown(&kit));
    let spool = kit.open();
    assert_eq!(live(&spool).lineage.len(), 3);
    assert_covers(&spool, &GROWN);
}

#[test]
fn a_cut_below_an_adoption_keeps_the_adopted_history_up_to_the_cut() {
    let kit = Kit::small();
    let spool = kit.begun();
    append_all(&spool, &noise(300), 60);
    spool.adopt(replid('b')).unwrap();
    spool.cut(mark(1200), replid('c')).unwrap();
    append_all(&spool, &noise(300), 60);
    let table = [
        ('a', 1200, true),
        ('a', 1201, false),
        ('b', 1100, true),
        ('b', 1200, true),
        ('b', 1201, false),
        ('c', 1500, true),
    ];
    assert_covers(&spool, &table);
    drop(spool);
    assert_covers(&kit.open(), &table);
}

#[test]
fn a_range_after_a_gap_leaves_the_older_one_readable() {
    let kit = Kit::small();
    let spool = kit.begun();
    let bytes = noise(300);
    append_all(&spool, &bytes, 60);
    let id = spool.begin_range(COPY, at('b', 5000), Some(DbIndex(2))).unwrap();
    append_all(&spool, b"later", 5);
    drop(spool);
    let spool = kit.open();
    let table = [
        ('a', 1000, true),
        ('a', 1300, true),
        ('a', 1301, false),
        ('a', 5000, false),
        ('b', 1300, false),
        ('b', 5000, true),
        ('b', 5005, true),
    ];
    assert_covers(&spool, &table);
    let range = spool.find_range(at('b', 5001)).unwrap();
    assert!(range.is_live && range.id == id && range.head_db == Some(DbIndex(2)));
    assert!(!spool.find_range(at('a', 1001)).unwrap().is_live);
    assert_eq!(read_all(&mut spool.reader_at(at('a', 1000)).unwrap(), 100), bytes);
    assert_eq!(spool.end(), Offset(5005));
}

#[test]
fn an_older_range_becomes_the_live_one_again() {
    let kit = Kit::small();
    let spool = kit.begun();
    let bytes = noise(350);
    append_all(&spool, &bytes[..300], 60);
    let older = live(&spool).id;
    spool.begin_range(COPY, at('b', 5000), None).unwrap();
    append_all(&spool, b"later", 5);
    let mut reader = spool.reader_at(at('b', 5000)).unwrap();
    assert!(matches!(spool.activate_range(RangeId(99)), Err(SpoolError::Unknown)));
    spool.activate_range(older).unwrap();
    assert!(matches!(reader.read(&mut Vec::new(), 9), Err(SpoolError::Stale)));
    assert_eq!(spool.end(), Offset(1300));
    append_all(&spool, &bytes[300..], 60);
    assert_eq!(held(&spool, 1000), bytes);
    drop((spool, reader));
    let spool = kit.open();
    assert_eq!(held(&spool, 1000), bytes);
    assert_eq!(spool.ranges().len(), 1);
    let newer = spool.begin_range(COPY, at('b', 5000), None).unwrap();
    assert!(newer > older, "a name is not used twice");
}

#[test]
fn a_range_of_another_copy_replaces_what_was_held() {
    let kit = Kit::small();
    let spool = kit.begun();
    spool.rdb_append(b"rdb").unwrap();
    append_all(&spool, &noise(300), 60);
    spool.begin_range(CopyId(9), at('a', 1200), None).unwrap();
    assert_covers(&spool, &[('a', 1100, false), ('a', 1200, true), ('a', 1300, false)]);
    assert!(spool.copy().is_none());
    assert_eq!(live(&spool).copy_id, CopyId(9));
    assert_eq!(spool.usage().segments, 0);
}

#[test]
fn the_heads_database_outlives_a_start() {
    let kit = Kit::small();
    let spool = kit.begun();
    assert_eq!(live(&spool).head_db, None);
    assert!(matches!(spool.set_head_db(CopyId(9), DbIndex(5)), Err(SpoolError::Unknown)));
    spool.set_head_db(COPY, DbIndex(5)).unwrap();
    drop(spool);
    let range = live(&kit.open());
    assert_eq!((range.head_db, range.unit.db), (Some(DbIndex(5)), Some(DbIndex(5))));
    assert_eq!(range.unit.unit_end, Offset(1000));
}
