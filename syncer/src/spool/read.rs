//! Reading: a reader follows a log while it grows, in big pieces and outside of the lock, and
//! learns before each piece that it yields whether the log was cut below it.

use std::{fs::File, path::PathBuf, sync::Arc};

use bytes::BufMut;

use super::{
    CopyId, Shared, SpoolError,
    error::Act,
    frame::{Fill, FrameReader},
    log::Log,
    segment::{LogKey, SEGMENT_HEADER},
};
use crate::position::{Offset, Position, ReplId};

/// Reads the stream within one range.
pub struct StreamReader {
    log: LogReader,
    replid: ReplId,
}

/// Reads the RDB of one copy.
pub struct RdbReader {
    log: LogReader,
}

impl StreamReader {
    pub(super) fn open(shared: &Arc<Shared>, position: Position) -> Option<Self> {
        let state = shared.state();
        let range = state.ranges.iter().rev().find(|range| range.covers(position))?;
        let log = LogReader::new(Arc::clone(shared), &range.log, position.offset.0);
        drop(state);
        Some(Self { log, replid: position.replid })
    }

    /// Appends up to `max` bytes to `buf` and says how many; 0 means caught up.
    ///
    /// On [`SpoolError::Stale`] the bytes that this reader yielded last may be of a tail that was
    /// cut: what was decoded above the cut must be dropped, and a new reader opened.
    pub fn read(&mut self, buf: &mut impl BufMut, max: usize) -> Result<usize, SpoolError> {
        self.log.read(buf, max)
    }

    /// Behind the last byte that was yielded. The replid is the one it was opened with: the
    /// lineage has the one that holds now.
    pub fn position(&self) -> Position {
        Position { replid: self.replid, offset: Offset(self.log.position) }
    }
}

impl RdbReader {
    pub(super) fn open(shared: &Arc<Shared>, copy_id: CopyId) -> Option<Self> {
        let state = shared.state();
        let log = state.rdb_log(copy_id).filter(|log| log.start() == 0)?;
        let log = LogReader::new(Arc::clone(shared), log, 0);
        drop(state);
        Some(Self { log })
    }

    /// Appends up to `max` bytes to `buf` and says how many; 0 means caught up, which is the end
    /// if the copy is complete. [`SpoolError::Stale`]: the RDB was dropped.
    pub fn read(&mut self, buf: &mut impl BufMut, max: usize) -> Result<usize, SpoolError> {
        self.log.read(buf, max)
    }

    /// How many bytes were yielded.
    pub fn position(&self) -> u64 {
        self.log.position
    }
}

/// Reads one log, of either kind.
pub(super) struct LogReader {
    shared: Arc<Shared>,
    key: LogKey,
    /// Behind the last byte that was yielded.
    position: u64,
    /// How many of the log's cuts this reader has taken note of.
    cuts_seen: usize,
    open: Option<OpenSegment>,
}

struct OpenSegment {
    start: u64,
    path: PathBuf,
    frames: FrameReader,
}

/// What the log held when it was looked at.
enum Look {
    CaughtUp,
    /// Frames up to here in the open segment's file.
    Until(u64),
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>, log: &Log, position: u64) -> Self {
        Self { shared, key: log.key, position, cuts_seen: log.cuts.len(), open: None }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn read(&mut self, buf: &mut impl BufMut, max: usize) -> Result<usize, SpoolError> {
        loop {
            let Look::Until(data_end) = self.look()? else {
                return Ok(0);
            };
            let taken = self.take(buf, max);
            if taken > 0 || max == 0 {
                return Ok(taken);
            }
            let Some(open) = &mut self.open else {
                continue;
            };
            let filled = open.frames.fill(data_end);
            if self.was_cut()? {
                // What was read may be of the tail that is gone, or half overwritten.
                continue;
            }
            let Some(open) = &self.open else {
                continue;
            };
            match filled.act("read", &open.path)? {
                Fill::Verified => {}
                // The log goes on in a segment that is found by the next look.
                Fill::End if self.position >= open.frames.verified_end().1 => self.open = None,
                Fill::End => {
                    return Err(SpoolError::corrupt(&open.path, "it ends before its end"));
                }
                Fill::Bad(what) => return Err(SpoolError::corrupt(&open.path, what)),
            }
        }
    }

    /// Takes note of cuts, and opens the segment that the position lies in.
    fn look(&mut self) -> Result<Look, SpoolError> {
        self.was_cut()?;
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        let log = state.log(self.key).ok_or(SpoolError::Stale)?;
        // Within a frame that a cut is making shorter one waits for its new header.
        if self.position >= log.readable_end() && self.position <= log.end() {
            return Ok(Look::CaughtUp);
        }
        // Below the start or above the end: dropped, or never there.
        let segment = log.segment_at(self.position).ok_or(SpoolError::Stale)?;
        if self.open.as_ref().is_none_or(|open| open.start != segment.head.start) {
            let raw = self.open.take().map(|open| open.frames.into_buffer()).unwrap_or_default();
            let file = File::open(&segment.path).act("open", &segment.path)?;
            let (salt, start) = (segment.head.salt, segment.head.start);
            self.open = Some(OpenSegment {
                start,
                path: segment.path.clone(),
                frames: FrameReader::new(file, salt, SEGMENT_HEADER, start, raw),
            });
        }
        Ok(Look::Until(log.readable_data_end(segment)))
    }

    /// True if there was a cut above the position: what was read ahead is thrown away.
    fn was_cut(&mut self) -> Result<bool, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        let log = state.log(self.key).ok_or(SpoolError::Stale)?;
        let news = log.cuts.get(self.cuts_seen..).unwrap_or_default();
        if news.iter().any(|cut| *cut < self.position) {
            return Err(SpoolError::Stale);
        }
        let was_cut = !news.is_empty();
        self.cuts_seen = log.cuts.len();
        if was_cut {
            self.open = None;
        }
        Ok(was_cut)
    }

    /// Copies out what is verified, from the position on.
    fn take(&mut self, buf: &mut impl BufMut, max: usize) -> usize {
        let Some(open) = &mut self.open else {
            return 0;
        };
        let mut taken = 0;
        while taken < max {
            let Some(frame) = open.frames.peek() else {
                break;
            };
            // After an open in the middle, frames or a part of one lie below the position.
            let below = usize::try_from(self.position - frame.position).unwrap_or(usize::MAX);
            let rest = frame.payload.get(below..).unwrap_or_default();
            let count = rest.len().min(max - taken);
            buf.put_slice(&rest[..count]);
            taken += count;
            self.position += count as u64;
            if count == rest.len() {
                open.frames.advance();
            }
        }
        taken
    }
}
