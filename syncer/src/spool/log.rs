//! One log in memory: its segments in order, and the cuts that its readers must notice.

use std::{collections::VecDeque, path::PathBuf};

use super::{
    frame::FRAME_HEADER,
    segment::{LogKey, Segment},
};

/// A cut that memory knows of and the disk may not. Nothing is appended before it is done: old
/// frames that follow the new ones without a seam would pass for the log at the next start.
#[derive(Debug)]
pub(super) struct PendingCut {
    /// Segments above the cut, newest first.
    pub(super) doomed: Vec<PathBuf>,
    /// The frame that the cut goes through. Until its header is written anew nobody reads it.
    pub(super) shortened: Option<Shortened>,
}

/// A frame whose payload ends earlier than it did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shortened {
    /// Where it lies in the file.
    pub(super) offset: u64,
    /// The position of its first byte.
    pub(super) position: u64,
    pub(super) header: [u8; FRAME_HEADER],
}

/// An RDB log or the stream log of a range.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) key: LogKey,
    pub(super) segments: VecDeque<Segment>,
    /// Where the log starts and ends while it has no segment.
    pub(super) empty_at: u64,
    /// Where it was cut, in order of time. One for each source failover that took bytes back, so
    /// the list stays short.
    pub(super) cuts: Vec<u64>,
    pub(super) pending_cut: Option<PendingCut>,
    /// What its files take on disk.
    pub(super) bytes: u64,
}

impl Log {
    pub(super) fn new(key: LogKey, empty_at: u64) -> Self {
        Self {
            key,
            segments: VecDeque::new(),
            empty_at,
            cuts: Vec::new(),
            pending_cut: None,
            bytes: 0,
        }
    }

    pub(super) fn start(&self) -> u64 {
        self.segments.front().map_or(self.empty_at, |segment| segment.head.start)
    }

    pub(super) fn end(&self) -> u64 {
        self.segments.back().map_or(self.empty_at, |segment| segment.end)
    }

    pub(super) fn push(&mut self, segment: Segment) {
        self.bytes += segment.data_end;
        self.segments.push_back(segment);
    }

    /// Takes the oldest segment off the list. Its file is still there.
    pub(super) fn pop_front(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        self.empty_at = segment.end;
        self.bytes -= segment.data_end;
        Some(segment)
    }

    /// The position up to which readers may read.
    pub(super) fn readable_end(&self) -> u64 {
        self.shortened().map_or(self.end(), |frame| frame.position)
    }

    /// Where in that segment's file the frames end that readers may read.
    pub(super) fn readable_data_end(&self, segment: &Segment) -> u64 {
        let is_tail = segment.end == self.end();
        let shortened = self.shortened().filter(|_| is_tail);
        shortened.map_or(segment.data_end, |frame| frame.offset)
    }

    fn shortened(&self) -> Option<Shortened> {
        self.pending_cut.as_ref().and_then(|cut| cut.shortened)
    }

    /// The segment that holds the byte at `position`.
    pub(super) fn segment_at(&self, position: u64) -> Option<&Segment> {
        let index = self.segments.partition_point(|segment| segment.end <= position);
        self.segments.get(index).filter(|segment| segment.head.start <= position)
    }

    /// Ends the log at `end` in memory; the disk follows through `pending_cut`.
    pub(super) fn cut(&mut self, end: u64, point: CutPoint) {
        let mut doomed = Vec::new();
        while self.segments.len() > self.segments_below(end) {
            if let Some(segment) = self.segments.pop_back() {
                self.bytes -= segment.data_end;
                doomed.push(segment.path);
            }
        }
        if let Some(tail) = self.segments.back_mut() {
            self.bytes -= tail.data_end.saturating_sub(point.data_end);
            tail.data_end = point.data_end;
            tail.end = end;
            tail.closed_at = None;
            tail.is_sealed = false;
        }
        self.cuts.push(end);
        self.pending_cut = Some(PendingCut { doomed, shortened: point.shortened });
    }

    /// How many segments a cut at `end` keeps. The first one stays even if none of its bytes do:
    /// its head is the log's start.
    pub(super) fn segments_below(&self, end: u64) -> usize {
        let below = self.segments.partition_point(|segment| segment.head.start < end);
        below.max(1).min(self.segments.len())
    }
}

/// Where in its last segment's file a cut falls.
pub(super) struct CutPoint {
    pub(super) data_end: u64,
    pub(super) shortened: Option<Shortened>,
}
