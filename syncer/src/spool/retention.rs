//! Retention: what may go below `durable`, and when it must.
//!
//! Below `durable` the larger of `retention_bytes` and `retention_age` is kept for a target that
//! falls back to an older copy. When room is short the oldest goes first, window or not; nothing
//! that the target may still need from here ever goes (Promise 1).

use std::{path::PathBuf, time::SystemTime};

use super::{
    CopyId, Shared, Spool, SpoolError, SpoolOptions, append::append_cost, segment, state::State,
};
use crate::position::Offset;

impl Spool {
    /// Says what the target holds for good of this copy's stream. It may fall, when the target did. Of another copy
    /// than the live range's it says nothing.
    pub fn set_durable(&self, copy_id: CopyId, offset: Offset) -> Result<(), SpoolError> {
        self.remember_whole_copy()?;
        let doomed = {
            let mut state = self.shared.state();
            if state.ranges.last().is_none_or(|range| range.copy_id != copy_id) {
                return Ok(());
            }
            state.durable = Some(offset);
            let doomed = state.drop_out_of_window(&self.shared.options, SystemTime::now());
            if !doomed.is_empty() {
                self.shared.publish(&state);
            }
            doomed
        };
        delete_all(&doomed)
    }

    /// Whether the target has ever held a full copy of this pair whole, as far as this directory remembers. Where it has,
    /// a record that is missing was lost: the next full copy is not the pair's first (Promise 5).
    pub fn had_whole_copy(&self) -> bool {
        self.shared.state().had_whole_copy
    }

    /// A target that holds a position of the stream has held the copy before it.
    fn remember_whole_copy(&self) -> Result<(), SpoolError> {
        if self.had_whole_copy() {
            return Ok(());
        }
        let _writer = self.shared.writer();
        let mut index = self.shared.state().index();
        index.had_whole_copy = true;
        index.store(&self.shared.options.dir)?;
        // Only now: what could not be written is written by the next call.
        self.shared.state().had_whole_copy = true;
        Ok(())
    }

    /// Whether an append of that many bytes would find room, counting what retention would drop
    /// for it.
    pub fn has_room(&self, bytes: u64) -> bool {
        let options = &self.shared.options;
        let state = self.shared.state();
        let used = state.bytes() - state.droppable_bytes();
        used + append_cost(bytes, options.segment_bytes) <= options.max_bytes
    }
}

impl Shared {
    /// Drops what retention must so that `cost` more bytes fit. If that is not enough it drops
    /// nothing: the window would be gone for no gain.
    pub(super) fn make_room(&self, cost: u64) -> Result<(), SpoolError> {
        let max = self.options.max_bytes;
        let mut doomed = Vec::new();
        {
            let mut state = self.state();
            let needed = state.bytes() + cost;
            if needed <= max {
                return Ok(());
            }
            if needed - state.droppable_bytes() > max {
                return Err(SpoolError::Full { needed, max });
            }
            while state.bytes() + cost > max {
                match state.drop_oldest() {
                    Some(path) => doomed.push(path),
                    None => break,
                }
            }
        }
        delete_all(&doomed)
    }
}

/// Oldest first: should the process die in between, what is left still has no hole.
pub(super) fn delete_all(paths: &[PathBuf]) -> Result<(), SpoolError> {
    paths.iter().try_for_each(|path| segment::delete(path))
}

impl State {
    fn drop_out_of_window(&mut self, options: &SpoolOptions, now: SystemTime) -> Vec<PathBuf> {
        let mut doomed = Vec::new();
        while self.is_oldest_out_of_window(options, now) {
            let Some(path) = self.drop_oldest() else {
                break;
            };
            doomed.push(path);
        }
        doomed
    }

    fn is_oldest_out_of_window(&self, options: &SpoolOptions, now: SystemTime) -> bool {
        let (Some(durable), true) = (self.durable, self.droppable().next().is_some()) else {
            return false;
        };
        let Some(oldest) =
            self.oldest_log().and_then(|index| self.ranges[index].log.segments.front())
        else {
            return false;
        };
        // What lies behind the oldest segment and below `durable` must be window enough alone.
        let kept = durable.0.saturating_sub(oldest.end);
        // A clock that was set back makes a segment look young: it is kept longer.
        let age = oldest.closed_at.and_then(|closed_at| now.duration_since(closed_at).ok());
        kept >= options.retention_bytes && age.is_some_and(|age| age >= options.retention_age)
    }

    /// The oldest range that still has segments.
    fn oldest_log(&self) -> Option<usize> {
        self.ranges.iter().position(|range| !range.log.segments.is_empty())
    }

    /// Takes the oldest segment off the lists if it may go, and its range with its last one.
    fn drop_oldest(&mut self) -> Option<PathBuf> {
        self.droppable().next()?;
        let index = self.oldest_log()?;
        let path = self.ranges[index].log.pop_front()?.path;
        let is_live = index + 1 == self.ranges.len();
        if !is_live && self.ranges[index].log.segments.is_empty() {
            // The index still names it; a start finds no segment of it and drops it there too.
            self.ranges.remove(index);
            self.generation += 1;
        }
        Some(path)
    }

    fn droppable_bytes(&self) -> u64 {
        self.droppable().sum()
    }

    /// The sizes of the segments that may go, oldest first: those closed and wholly below what
    /// must stay. The live range's last one stays even then: the next start learns from it where
    /// the range ends.
    fn droppable(&self) -> impl Iterator<Item = u64> {
        let floor = self.floor();
        let tail = self.ranges.last().and_then(|range| range.log.segments.back());
        let tail = tail.map(|segment| segment.head);
        let segments = self.ranges.iter().flat_map(|range| &range.log.segments);
        segments
            .take_while(move |segment| {
                let may_go = segment.closed_at.is_some() && segment.end <= floor;
                may_go && tail != Some(segment.head)
            })
            .map(|segment| segment.data_end)
    }

    /// The offset below which nothing is needed: `durable`, or less where the segment with it
    /// begins inside of a unit: units are found from a unit's end on, so the piece in the segments
    /// before must stay as well.
    fn floor(&self) -> u64 {
        let (Some(durable), Some(live)) = (self.durable, self.ranges.last()) else {
            return 0;
        };
        let holder = self.ranges.iter().rev().find_map(|range| range.log.segment_at(durable.0));
        let segment = holder.or_else(|| live.log.segments.back());
        let unit_end = segment.and_then(|segment| segment.head.mark).map(|mark| mark.unit_end.0);
        durable.0.min(unit_end.unwrap_or(durable.0))
    }
}
