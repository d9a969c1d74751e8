//! Appending: one writer at a time, one system call for each frame, nothing copied, nothing
//! synced.

use std::{fs::File, sync::Arc, time::SystemTime};

use super::{
    Shared, Spool, SpoolError, UnitMark,
    error::Act,
    frame::{FRAME_HEADER, frame_header, write_frame},
    segment::{ALLOCATE_BYTES, LogKey, SEGMENT_HEADER, Segment, SegmentHead, payload_max},
    state::State,
};

/// Where the next frame of a log goes.
struct Tail {
    file: Arc<File>,
    path: std::path::PathBuf,
    data_end: u64,
    end: u64,
    salt: u32,
    allocated: u64,
}

impl Spool {
    /// Appends what came of the command stream. `mark` is the scanner's state after these bytes.
    ///
    /// On an error a part may have been taken: [`Spool::end`] says how much, and the mark is the
    /// old one. [`SpoolError::Full`] takes nothing.
    pub fn append(&self, bytes: &[u8], mark: UnitMark) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        let key = self.shared.state().live_key().ok_or(SpoolError::NoRange)?;
        self.shared.append(key, bytes)?;
        let mut state = self.shared.state();
        if let Some(range) = state.ranges.last_mut() {
            range.unit = mark;
        }
        self.shared.publish(&state);
        Ok(())
    }

    /// Appends what came of the RDB of the current copy. Errors are those of [`Spool::append`].
    pub fn rdb_append(&self, bytes: &[u8]) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        let key = self.shared.state().receiving_key().ok_or(SpoolError::Unknown)?;
        self.shared.append(key, bytes)?;
        self.shared.publish(&self.shared.state());
        Ok(())
    }
}

impl Shared {
    /// To be called with the writer's lock held.
    fn append(&self, key: LogKey, bytes: &[u8]) -> Result<(), SpoolError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.finish_cut(key)?;
        self.make_room(append_cost(bytes.len() as u64, self.options.segment_bytes))?;
        for payload in bytes.chunks(payload_max(self.options.segment_bytes)) {
            self.append_frame(key, payload)?;
        }
        Ok(())
    }

    fn append_frame(&self, key: LogKey, payload: &[u8]) -> Result<(), SpoolError> {
        let frame_bytes = (FRAME_HEADER + payload.len()) as u64;
        let found = self.state().tail(key, frame_bytes, self.options.segment_bytes)?;
        let tail = match found {
            Some(tail) => tail,
            None => self.begin_segment(key)?,
        };
        let data_end = tail.data_end + frame_bytes;
        let allocated = self.allocate(&tail, data_end);
        let header = frame_header(tail.salt, tail.end, payload);
        // A write that fails half way leaves a piece of one frame behind the end. The next frame
        // takes its place, and what sticks out of it is no frame: its checksum is salted.
        write_frame(&tail.file, &header, payload, tail.data_end).act("write to", &tail.path)?;
        let mut state = self.state();
        let log = state.log_mut(key).ok_or(SpoolError::Unknown)?;
        log.bytes += frame_bytes;
        if let Some(segment) = log.segments.back_mut() {
            segment.data_end = data_end;
            segment.end = tail.end + payload.len() as u64;
            segment.allocated = allocated;
        }
        Ok(())
    }

    /// Closes the tail, if there is one, and begins a segment at the log's end.
    fn begin_segment(&self, key: LogKey) -> Result<Tail, SpoolError> {
        let salt = getrandom::u32()
            .map_err(|err| std::io::Error::other(err.to_string()))
            .act("draw a random number for", &self.options.dir)?;
        let head = self.state().next_head(key, salt).ok_or(SpoolError::Unknown)?;
        let segment = Segment::create(&self.options.dir, head)?;
        let closed = {
            let mut state = self.state();
            let log = state.log_mut(key).ok_or(SpoolError::Unknown)?;
            let closed = log.segments.back_mut().and_then(Segment::close);
            log.push(segment);
            closed
        };
        if let Some(closed) = closed {
            closed.finish(self, key);
        }
        let tail = self.state().tail(key, 0, u64::MAX)?;
        tail.ok_or(SpoolError::Unknown)
    }

    /// Asks for room ahead of the writes, which makes them cheaper. A file system that cannot, or
    /// has no room, is no error: the write will tell.
    fn allocate(&self, tail: &Tail, data_end: u64) -> u64 {
        // Small segments are not worth it.
        if data_end <= tail.allocated || self.options.segment_bytes < ALLOCATE_BYTES {
            return tail.allocated;
        }
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        // An error is not repeated at each frame: the next try comes a step later.
        let _ = rustix::fs::fallocate(&tail.file, flags, tail.data_end, ALLOCATE_BYTES);
        tail.data_end + ALLOCATE_BYTES
    }
}

/// A segment that was the tail. What is left to do to it needs no lock.
pub(super) struct Closed {
    file: Option<Arc<File>>,
    start: u64,
    data_end: u64,
    allocated: u64,
}

impl Closed {
    pub(super) fn finish(self, shared: &Shared, key: LogKey) {
        if let Some(file) = self.file.filter(|_| self.allocated > self.data_end) {
            // Gives back what was allocated ahead. If it cannot be, it is still deleted with the
            // file.
            let _ = file.set_len(self.data_end);
        }
        shared.sealer.seal(key, self.start);
    }
}

impl Segment {
    /// None if it is closed already.
    pub(super) fn close(&mut self) -> Option<Closed> {
        if self.closed_at.is_some() {
            return None;
        }
        self.closed_at = Some(SystemTime::now());
        Some(Closed {
            file: self.file.take(),
            start: self.head.start,
            data_end: self.data_end,
            allocated: self.allocated,
        })
    }
}

impl State {
    /// The tail of a log, if a frame of that size still goes into it.
    fn tail(
        &mut self,
        key: LogKey,
        frame_bytes: u64,
        segment_bytes: u64,
    ) -> Result<Option<Tail>, SpoolError> {
        let log = self.log_mut(key).ok_or(SpoolError::Unknown)?;
        let Some(segment) = log.segments.back_mut() else {
            return Ok(None);
        };
        let is_empty = segment.data_end == SEGMENT_HEADER;
        let fits = is_empty || segment.data_end + frame_bytes <= segment_bytes;
        if !fits || segment.closed_at.is_some() {
            return Ok(None);
        }
        Ok(Some(Tail {
            file: segment.tail_file()?,
            path: segment.path.clone(),
            data_end: segment.data_end,
            end: segment.end,
            salt: segment.head.salt,
            allocated: segment.allocated,
        }))
    }

    fn next_head(&self, key: LogKey, salt: u32) -> Option<SegmentHead> {
        let (log, copy_id, mark) = match key {
            LogKey::Rdb(copy_id) => (self.rdb_log(copy_id)?, copy_id, None),
            LogKey::Stream(id) => {
                let range = self.ranges.iter().find(|range| range.id == id)?;
                (&range.log, range.copy_id, Some(range.unit))
            }
        };
        Some(SegmentHead { key, copy_id, start: log.end(), mark, salt })
    }
}

/// At most what an append of that many bytes adds to the files.
pub(super) fn append_cost(bytes: u64, segment_bytes: u64) -> u64 {
    let frames = bytes.div_ceil(payload_max(segment_bytes) as u64);
    bytes + frames * (FRAME_HEADER as u64 + SEGMENT_HEADER)
}
