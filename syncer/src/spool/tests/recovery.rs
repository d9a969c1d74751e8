use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use super::{super::segment::SEGMENT_HEADER, append::rdb_bytes, *};

/// Nine segments of 100-byte frames, the last begun; then the process is gone.
fn left_behind(kit: &Kit) -> Vec<u8> {
    let spool = kit.begun();
    let bytes = noise(900);
    append_all(&spool, &bytes, 100);
    assert_eq!(kit.files("stream-").len(), 9);
    wait_for_seals(kit);
    drop(spool);
    bytes
}

pub(super) fn is_sealed(path: &Path) -> bool {
    fs::read(path).unwrap()[128..148] != [0; 20]
}

pub(super) fn wait_for_seals(kit: &Kit) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !kit.files("stream-").iter().rev().skip(1).all(|path| is_sealed(path)) {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

fn shorten(path: &Path, by: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

fn zero_tail(path: &Path, count: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    file.write_all_at(&vec![0; count as usize], len - count).unwrap();
}

fn unseal(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0; 20], 128).unwrap();
}

/// The bytes from 1000 on survive up to `kept` of them, and the log takes more.
fn assert_recovers(kit: &Kit, bytes: &[u8], kept: usize) {
    let spool = kit.open();
    assert_eq!(spool.end(), Offset(1000 + kept as u64));
    assert_eq!(held(&spool, 1000), bytes[..kept]);
    let more = noise(350);
    append_all(&spool, &more, 90);
    let all = [&bytes[..kept], &more].concat();
    assert_eq!(held(&spool, 1000), all);
    drop(spool);
    assert_eq!(held(&kit.open(), 1000), all);
}

#[test]
fn a_whole_log_is_read_on_after_a_start() {
    let kit = Kit::small();
    let bytes = left_behind(&kit);
    assert_recovers(&kit, &bytes, 900);
}

#[test]
fn a_torn_last_frame_is_cut() {
    for by in [1, 50, 99, 100, 101, 115] {
        let kit = Kit::small();
        let bytes = left_behind(&kit);
        shorten(kit.files("stream-").last().unwrap(), by);
        assert_recovers(&kit, &bytes, 800);
    }
}

#[test]
fn a_tail_that_was_lost_and_reads_as_zeros_is_cut() {
    for count in [1, 60, 116] {
        let kit = Kit::small();
        let bytes = left_behind(&kit);
        zero_tail(kit.files("stream-").last().unwrap(), count);
        assert_recovers(&kit, &bytes, 800);
    }
}

#[test]
fn a_last_segment_that_is_missing_or_empty_or_without_header_ends_the_log_before_it() {
    for damage in ["missing", "empty", "zeroed", "foreign"] {
        let kit = Kit::small();
        let bytes = left_behind(&kit);
        let files = kit.files("stream-");
        match damage {
            "missing" => fs::remove_file(&files[8]).unwrap(),
            "empty" => fs::write(&files[8], []).unwrap(),
            "zeroed" => fs::write(&files[8], [0; 400]).unwrap(),
            _ => fs::write(&files[8], fs::read(&files[2]).unwrap()).map(|_| ()).unwrap(),
        }
        assert_recovers(&kit, &bytes, 800);
    }
}

#[test]
fn behind_a_bad_frame_in_the_middle_nothing_is_believed() {
    let kit = Kit::small();
    let bytes = left_behind(&kit);
    let files = kit.files("stream-");
    unseal(&files[4]);
    zero_tail(&files[4], 5);
    let spool = kit.open();
    assert_eq!(spool.end(), Offset(1400));
    assert_eq!(kit.files("stream-").len(), 5, "the damaged one stays, empty");
    drop(spool);
    assert_recovers(&kit, &bytes, 400);
}

#[test]
fn behind_a_missing_segment_nothing_is_believed() {
    let kit = Kit::small();
    let bytes = left_behind(&kit);
    fs::remove_file(&kit.files("stream-")[4]).unwrap();
    assert_recovers(&kit, &bytes, 400);
}

#[test]
fn damage_in_a_sealed_segment_is_found_by_its_reader() {
    let kit = Kit::small();
    left_behind(&kit);
    zero_tail(&kit.files("stream-")[1], 5);
    let spool = kit.open();
    let mut reader = spool.reader_at(at('a', 1000)).unwrap();
    let mut got = Vec::new();
    assert_eq!(reader.read(&mut got, 1000).unwrap(), 100);
    let err = reader.read(&mut got, 1000).unwrap_err();
    assert!(matches!(&err, SpoolError::Corrupt { .. }), "{err}");
    assert_eq!(got.len(), 100);
    assert_eq!(held(&spool, 1200).len(), 700);
}

#[test]
fn closed_segments_are_sealed_and_an_open_one_is_not() {
    let kit = Kit::small();
    left_behind(&kit);
    let files = kit.files("stream-");
    assert!(files[..8].iter().all(|path| is_sealed(path)));
    assert!(!is_sealed(&files[8]));
}

#[test]
fn a_seal_that_says_more_than_the_file_holds_is_not_believed() {
    let kit = Kit::small();
    let bytes = left_behind(&kit);
    shorten(&kit.files("stream-")[3], 1);
    assert_recovers(&kit, &bytes, 300);
}

#[test]
fn a_damaged_index_is_an_error_and_erasing_is_the_way_on() {
    let texts: [&[u8]; 4] =
        [b"", b"{", b"\0\0\0\0", br#"{"version":9,"next_range":1,"ranges":[]}"#];
    for text in texts {
        let kit = Kit::small();
        left_behind(&kit);
        fs::write(kit.options.dir.join("index.json"), text).unwrap();
        assert!(matches!(kit.try_open(), Err(SpoolError::Corrupt { .. })));
        assert_eq!(kit.files("stream-").len(), 9, "nothing was deleted");
        let spool = Spool::erase(kit.options.clone()).unwrap();
        assert!(spool.copy().is_none() && spool.ranges().is_empty());
        assert!(kit.files("stream-").is_empty());
    }
}

#[test]
fn segments_without_an_index_are_an_error() {
    let kit = Kit::small();
    left_behind(&kit);
    fs::remove_file(kit.options.dir.join("index.json")).unwrap();
    assert!(matches!(kit.try_open(), Err(SpoolError::Corrupt { .. })));
}

#[test]
fn a_segment_of_another_format_version_is_not_deleted() {
    let kit = Kit::small();
    left_behind(&kit);
    let path = kit.files("stream-")[8].clone();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&9_u32.to_le_bytes(), 8).unwrap();
    assert!(matches!(kit.try_open(), Err(SpoolError::Corrupt { .. })));
    assert!(path.exists());
}

#[test]
fn temporary_files_and_segments_of_dropped_logs_are_removed() {
    let kit = Kit::small();
    let bytes = left_behind(&kit);
    let dir = &kit.options.dir;
    fs::write(dir.join("index.json.tmp"), b"half").unwrap();
    fs::copy(&kit.files("stream-")[0], dir.join("stream-00000077-00000000000000001000.seg"))
        .unwrap();
    fs::write(dir.join("rdb-00000000000000ff-00000000000000000000.seg"), b"x").unwrap();
    fs::write(dir.join("stranger.txt"), b"not ours").unwrap();
    assert_recovers(&kit, &bytes, 900);
    assert!(kit.files("index.json.tmp").is_empty());
    assert!(kit.files("stream-00000077").is_empty() && kit.files("rdb-").is_empty());
    assert_eq!(kit.files("stranger").len(), 1);
}

#[test]
fn an_rdb_that_lost_bytes_is_not_complete() {
    let kit = Kit::small();
    let spool = kit.begun();
    spool.rdb_append(&noise(300)).unwrap();
    spool.rdb_complete().unwrap();
    drop(spool);
    fs::remove_file(kit.files("rdb-").last().unwrap()).unwrap();
    assert!(!kit.open().copy().unwrap().is_complete);
}

#[test]
fn an_rdb_that_was_cut_short_by_a_kill_goes_on_where_it_ends() {
    let kit = Kit::small();
    let spool = kit.begun();
    let bytes = noise(300);
    spool.rdb_append(&bytes[..170]).unwrap();
    drop(spool);
    let spool = kit.open();
    assert_eq!(spool.copy().unwrap().rdb_bytes, 170);
    spool.rdb_append(&bytes[170..]).unwrap();
    assert_eq!(rdb_bytes(&spool), bytes);
}

#[test]
fn bytes_that_look_like_a_frame_are_none_without_the_salt() {
    let kit = Kit::with(4096, 1 << 20);
    let spool = kit.begun();
    append_all(&spool, &noise(100), 100);
    drop(spool);
    let path = kit.files("stream-").remove(0);
    // A client may send what would be the next frame, were it not for the salt.
    let forged = super::super::frame::frame_header(0xffff_ffff, 1100, b"evil");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&forged).unwrap();
    file.write_all(b"evil").unwrap();
    assert_eq!(kit.open().end(), Offset(1100));
    assert_eq!(fs::metadata(&path).unwrap().len(), SEGMENT_HEADER + 116);
}

/// No byte of a file, whatever it is, makes a start or a reader panic or yield wrong bytes.
#[test]
fn any_single_damaged_byte_of_an_unsealed_segment_only_shortens_the_log() {
    let kit = Kit::with(4096, 1 << 20);
    let spool = kit.begun();
    let bytes = noise(300);
    append_all(&spool, &bytes, 100);
    drop(spool);
    let path = kit.files("stream-").remove(0);
    let whole = fs::read(&path).unwrap();
    // Not the version, which is an error of its own.
    for damaged in (0..8).chain(12..whole.len()) {
        let mut file = whole.clone();
        file[damaged] ^= 0x41;
        fs::write(&path, &file).unwrap();
        let spool = kit.open();
        let got = held(&spool, 1000);
        assert_eq!(got, bytes[..got.len()], "byte {damaged}");
        let whole_frames = damaged.saturating_sub(SEGMENT_HEADER as usize) / 116;
        let is_padding = (60..256).contains(&damaged);
        assert_eq!(got.len(), if is_padding { 300 } else { whole_frames * 100 }, "byte {damaged}");
    }
}
