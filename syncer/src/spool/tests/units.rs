use super::{super::UnitScan, *};

/// A unit ends with `\n`; `@3` at its start selects a database.
#[derive(Default)]
struct Lines {
    position: u64,
    unit: UnitMark,
    line: Vec<u8>,
}

impl UnitScan for Lines {
    fn reset(&mut self, unit_end: Offset, db: Option<DbIndex>) {
        *self = Self { position: unit_end.0, unit: UnitMark { unit_end, db }, line: Vec::new() };
    }

    fn scan(&mut self, bytes: &[u8], limit: Offset) {
        for byte in bytes {
            self.position += 1;
            assert!(self.position <= limit.0);
            self.line.push(*byte);
            if *byte == b'\n' {
                if let [b'@', db, ..] = self.line[..] {
                    self.unit.db = Some(DbIndex(u32::from(db - b'0')));
                }
                self.unit.unit_end = Offset(self.position);
                self.line.clear();
            }
        }
    }

    fn unit_end(&self) -> Offset {
        self.unit.unit_end
    }

    fn db(&self) -> Option<DbIndex> {
        self.unit.db
    }
}

/// Lines of all lengths up to some segments', a database selected now and then.
fn lines() -> Vec<u8> {
    let mut text = Vec::new();
    for (index, length) in
        [3, 40, 0, 700, 5, 90, 90, 333, 1, 2, 60, 1000, 8].into_iter().enumerate()
    {
        text.extend(format!("@{}", index % 10).bytes());
        text.extend(std::iter::repeat_n(b'x', length));
        text.push(b'\n');
    }
    text.extend_from_slice(b"broken off");
    text
}

/// What the scan of everything from the start says.
fn expected(text: &[u8], limit: usize) -> UnitMark {
    let mut scan = Lines::default();
    scan.reset(Offset(1000), None);
    scan.scan(&text[..limit], Offset(u64::MAX));
    scan.unit
}

fn append_with_marks(spool: &Spool, text: &[u8], piece: usize) {
    let mut done = 0;
    for piece in text.chunks(piece) {
        done += piece.len();
        spool.append(piece, expected(text, done)).unwrap();
    }
}

#[test]
fn the_last_whole_unit_is_found_below_every_offset() {
    let kit = Kit::small();
    let spool = kit.begun();
    let text = lines();
    append_with_marks(&spool, &text, 37);
    for limit in 0..=text.len() + 1 {
        let found = spool.last_unit_end(Offset(1000 + limit as u64), &mut Lines::default());
        assert_eq!(found.unwrap(), Some(expected(&text, limit.min(text.len()))), "at {limit}");
    }
    assert_eq!(
        spool.last_unit_end(Offset(999), &mut Lines::default()).unwrap(),
        None,
        "below the range"
    );
}

#[test]
fn after_a_start_the_broken_off_unit_is_cut() {
    let kit = Kit::small();
    let spool = kit.begun();
    spool.set_head_db(COPY, DbIndex(9)).unwrap();
    let text = lines();
    append_with_marks(&spool, &text, 37);
    drop(spool);
    let spool = kit.open();
    let unit = spool.last_unit_end(spool.end(), &mut Lines::default()).unwrap().unwrap();
    assert_eq!(unit, expected(&text, text.len()));
    spool.truncate_to(unit).unwrap();
    assert_eq!(spool.end(), unit.unit_end);
    assert_eq!(held(&spool, 1000), text[..text.len() - 10]);
}

#[test]
fn the_heads_database_holds_until_the_first_unit() {
    let kit = Kit::small();
    let spool = kit.begun();
    spool.append(b"half a unit", UnitMark { unit_end: Offset(1000), db: None }).unwrap();
    spool.set_head_db(COPY, DbIndex(4)).unwrap();
    drop(spool);
    let spool = kit.open();
    let unit = spool.last_unit_end(spool.end(), &mut Lines::default()).unwrap().unwrap();
    assert_eq!(unit, UnitMark { unit_end: Offset(1000), db: Some(DbIndex(4)) });
}

/// Retention works below a durable unit; from there on every unit must still be found.
#[test]
fn retention_keeps_the_head_of_the_unit_that_a_segment_begins_in() {
    let text = lines();
    for durable in (0..text.len()).step_by(61) {
        let kit = Kit::small();
        let spool = kit.begun();
        append_with_marks(&spool, &text, 37);
        let durable = expected(&text, durable).unit_end;
        spool.set_durable(spool.live_range().unwrap().copy_id, durable).unwrap();
        assert!(live(&spool).start <= durable);
        for limit in durable.0..=spool.end().0 {
            let found = spool.last_unit_end(Offset(limit), &mut Lines::default()).unwrap();
            let expected = expected(&text, (limit - 1000) as usize);
            assert_eq!(found, Some(expected), "durable {durable}, limit {limit}");
        }
    }
}
