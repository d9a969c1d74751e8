//! What a start makes of a directory: the lock, and the log as far as it is whole.
//!
//! The index says which logs there are; the segments say how far each goes. A log ends at its
//! last good frame: behind a bad one nothing is believed, and later segments go. A sealed segment
//! is believed unread, since its bytes were synced; its frames are still checked when they are
//! read.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::{fs::FlockOperation, io::Errno};

use super::{
    CopyId, RangeId, SpoolError, UnitMark,
    copy::Copy,
    error::Act,
    frame::{Fill, FrameReader},
    index::{INDEX_NAME, Index, IndexCopy, IndexRange, IndexRdb, remove_temporary},
    log::Log,
    range::{LineageEntry, Range, lineage_clamp},
    segment::{
        BadHead, LogKey, SEGMENT_HEADER, Seal, Segment, SegmentHead, delete, open_for_write,
        parse_segment_name,
    },
    state::State,
};
use crate::position::{DbIndex, Offset, Position, ReplId};

const LOCK_NAME: &str = "LOCK";

/// The segment files of each log, by their start.
type Files = BTreeMap<LogKey, BTreeMap<u64, PathBuf>>;

/// Makes the directory if need be, and locks it for as long as the file is held.
pub(super) fn lock(dir: &Path) -> Result<File, SpoolError> {
    fs::create_dir_all(dir).act("create", dir)?;
    let path = dir.join(LOCK_NAME);
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(&path).act("open", &path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(SpoolError::Locked { dir: dir.to_owned() }),
        Err(err) => Err(err).act("lock", &path),
    }
}

/// Deletes what the spool has in the directory, the index last: without it segments are an error.
pub(super) fn erase(dir: &Path) -> Result<(), SpoolError> {
    for path in list(dir)?.into_values().flat_map(BTreeMap::into_values) {
        delete(&path)?;
    }
    remove_temporary(dir)?;
    delete(&dir.join(INDEX_NAME))
}

pub(super) fn recover(dir: &Path) -> Result<State, SpoolError> {
    remove_temporary(dir)?;
    let mut files = list(dir)?;
    let mut state = State {
        copy: None,
        ranges: Vec::new(),
        next_range: 1,
        had_whole_copy: false,
        generation: 0,
        durable: None,
        doomed: Vec::new(),
    };
    let Some(index) = Index::load(dir)? else {
        if files.is_empty() {
            return Ok(state);
        }
        // It is written before any segment, so somebody took it away.
        return Err(SpoolError::corrupt(&dir.join(INDEX_NAME), "it is missing beside segments"));
    };
    state.next_range = index.next_range;
    state.had_whole_copy = index.had_whole_copy;
    let bad_index = || SpoolError::corrupt(&dir.join(INDEX_NAME), "a value has the wrong form");
    if let Some(copy) = &index.copy {
        state.copy = Some(recover_copy(copy, &mut files, bad_index)?);
    }
    let last = index.ranges.len().saturating_sub(1);
    for (at, entry) in index.ranges.iter().enumerate() {
        let range = recover_range(entry, &mut files, bad_index)?;
        // Retention took the last segment of an older range: there is nothing left to cover.
        if at == last || range.log.start() < range.log.end() {
            state.ranges.push(range);
        }
    }
    state.open_tails();
    // No log that the index knows: a copy that was dropped while the process died.
    for path in files.into_values().flat_map(BTreeMap::into_values) {
        delete(&path)?;
    }
    Ok(state)
}

fn list(dir: &Path) -> Result<Files, SpoolError> {
    let mut files = Files::new();
    for entry in fs::read_dir(dir).act("list", dir)? {
        let path = entry.act("list", dir)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some((key, start)) = name.and_then(parse_segment_name) {
            files.entry(key).or_default().insert(start, path);
        }
    }
    Ok(files)
}

fn recover_copy(
    entry: &IndexCopy,
    files: &mut Files,
    bad_index: impl Fn() -> SpoolError,
) -> Result<Copy, SpoolError> {
    let copy_id: CopyId = entry.copy_id.parse().map_err(|_| bad_index())?;
    let replid: ReplId = entry.replid.parse().map_err(|_| bad_index())?;
    let position = Position { replid, offset: Offset(entry.offset) };
    let key = LogKey::Rdb(copy_id);
    let mut rdb = entry.rdb;
    let files = match rdb {
        // What is left of a dropped RDB is deleted with the files that no log claims.
        IndexRdb::Dropped => BTreeMap::new(),
        _ => files.remove(&key).unwrap_or_default(),
    };
    // A whole log of which no file is left was not dropped on purpose: it is not complete.
    let log = recover_log(key, copy_id, 0, files)?;
    if matches!(rdb, IndexRdb::Complete(bytes) if bytes != log.end()) {
        rdb = IndexRdb::Receiving;
    }
    Ok(Copy { copy_id, position, rdb, log })
}

fn recover_range(
    entry: &IndexRange,
    files: &mut Files,
    bad_index: impl Fn() -> SpoolError,
) -> Result<Range, SpoolError> {
    let copy_id: CopyId = entry.copy_id.parse().map_err(|_| bad_index())?;
    let lineage: Result<Vec<_>, _> = entry
        .lineage
        .iter()
        .map(|entry| {
            let from_offset = Offset(entry.from_offset);
            entry.replid.parse().map(|replid| LineageEntry { replid, from_offset })
        })
        .collect();
    let mut lineage = lineage.map_err(|_| bad_index())?;
    let id = RangeId(entry.id);
    let key = LogKey::Stream(id);
    let log = recover_log(key, copy_id, entry.head, files.remove(&key).unwrap_or_default())?;
    lineage_clamp(&mut lineage, Offset(log.end()));
    let head_db = entry.head_db.map(DbIndex);
    let head = UnitMark { unit_end: Offset(entry.head), db: head_db };
    let mark = log.segments.back().and_then(|segment| segment.head.mark);
    let unit = mark.filter(|mark| mark.unit_end != head.unit_end).unwrap_or(head);
    Ok(Range { id, copy_id, lineage, head: entry.head, head_db, unit, log })
}

fn recover_log(
    key: LogKey,
    copy_id: CopyId,
    head: u64,
    files: BTreeMap<u64, PathBuf>,
) -> Result<Log, SpoolError> {
    let mut log = Log::new(key, head);
    let mut files = files.into_iter();
    for (start, path) in files.by_ref() {
        let follows = log.segments.is_empty() || start == log.end();
        let found = if follows { recover_segment(key, copy_id, start, &path)? } else { None };
        let Some((segment, is_whole)) = found else {
            delete(&path)?;
            break;
        };
        log.push(segment);
        if !is_whole {
            break;
        }
    }
    for (_, path) in files {
        delete(&path)?;
    }
    Ok(log)
}

/// None if its header is not what its name says; false if something came behind its last frame.
fn recover_segment(
    key: LogKey,
    copy_id: CopyId,
    start: u64,
    path: &Path,
) -> Result<Option<(Segment, bool)>, SpoolError> {
    let file = open_for_write(path).act("open", path)?;
    let meta = file.metadata().act("look at", path)?;
    let mut header = [0; SEGMENT_HEADER as usize];
    if meta.len() < SEGMENT_HEADER {
        return Ok(None);
    }
    file.read_exact_at(&mut header, 0).act("read", path)?;
    let head = match SegmentHead::decode(&header) {
        Ok(head) => head,
        Err(BadHead::Damaged) => return Ok(None),
        // It may be good to the version that wrote it: not ours to delete.
        Err(BadHead::Version(version)) => {
            return Err(SpoolError::corrupt(path, format!("version {version} is not known here")));
        }
    };
    if head.key != key || head.copy_id != copy_id || head.start != start {
        return Ok(None);
    }
    let seal = Seal::decode(&header, head.salt).filter(|seal| seal.data_end <= meta.len());
    let (data_end, end, is_whole) = match seal {
        Some(seal) => (seal.data_end, seal.end, true),
        None => {
            let (data_end, end) = last_good_frame(&file, &head, meta.len(), path)?;
            (data_end, end, data_end == meta.len())
        }
    };
    if data_end < meta.len() {
        file.set_len(data_end).act("shorten", path)?;
    }
    let segment = Segment {
        head,
        path: path.to_owned(),
        end,
        data_end,
        // The last write is as near to its closing as can be told.
        closed_at: Some(meta.modified().unwrap_or_else(|_| SystemTime::now())),
        is_sealed: seal.is_some(),
        file: None,
        allocated: 0,
    };
    Ok(Some((segment, is_whole)))
}

fn last_good_frame(
    file: &File,
    head: &SegmentHead,
    len: u64,
    path: &Path,
) -> Result<(u64, u64), SpoolError> {
    let file = file.try_clone().act("open", path)?;
    let mut frames = FrameReader::new(file, head.salt, SEGMENT_HEADER, head.start, Vec::new());
    while frames.fill(len).act("read", path)? == Fill::Verified {
        while frames.peek().is_some() {
            frames.advance();
        }
    }
    Ok(frames.verified_end())
}

impl State {
    /// The tails that are appended to are not closed: the live range's, and a growing RDB's.
    fn open_tails(&mut self) {
        let rdb = self.copy.as_mut().filter(|copy| copy.rdb == IndexRdb::Receiving);
        let rdb = rdb.and_then(|copy| copy.log.segments.back_mut());
        let live = self.ranges.last_mut().and_then(|range| range.log.segments.back_mut());
        for tail in rdb.into_iter().chain(live) {
            // A sealed one stays closed: its seal would not be true of what is appended.
            if !tail.is_sealed {
                tail.closed_at = None;
            }
        }
    }
}
