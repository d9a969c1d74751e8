//! The rare events: a copy begun or complete, a range begun, a lineage grown, a tail cut. Each is
//! on disk before its call returns, and in an order that a crash at any point leaves sound.

use std::{mem, path::PathBuf};

use super::{
    CopyId, RangeId, Shared, Spool, SpoolError, UnitMark,
    copy::Copy,
    index::{Index, IndexRdb, sync_dir},
    log::Log,
    range::{LineageEntry, Range, lineage_adopt},
    retention::delete_all,
    segment::{LogKey, Segment},
    state::State,
};
use crate::position::{DbIndex, Offset, Position, ReplId};

impl Spool {
    /// A full copy begins (`+FULLRESYNC`). What is held is of another history and is dropped. The
    /// stream will begin at `position`; the database selected there is not known yet.
    pub fn begin_copy(&self, copy_id: CopyId, position: Position) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        {
            let mut state = self.shared.state();
            state.drop_ranges(|_| true);
            state.drop_copy();
            // What the target holds of another history says nothing about this one.
            state.durable = None;
            let log = Log::new(LogKey::Rdb(copy_id), 0);
            state.copy = Some(Copy { copy_id, position, rdb: IndexRdb::Receiving, log });
            state.push_range(copy_id, position, None);
        }
        self.shared.store_index()
    }

    /// The RDB log is whole. Its bytes are synced before the index says so.
    pub fn rdb_complete(&self) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        let Some(key) = self.shared.state().receiving_key() else {
            let is_dropped = self.copy().is_some_and(|copy| copy.is_dropped);
            // The target has restored all of it already.
            return if is_dropped { Ok(()) } else { Err(SpoolError::Unknown) };
        };
        self.shared.sync(key)?;
        let index = {
            let mut index = self.shared.state().index();
            if let Some(copy) = &mut index.copy {
                let bytes = self.shared.state().log(key).map_or(0, Log::end);
                copy.rdb = IndexRdb::Complete(bytes);
            }
            index
        };
        index.store(&self.shared.options.dir)?;
        let mut state = self.shared.state();
        let closed = state.copy.as_mut().and_then(|copy| {
            copy.rdb = IndexRdb::Complete(copy.log.end());
            copy.log.segments.back_mut().and_then(Segment::close)
        });
        self.shared.publish(&state);
        drop(state);
        if let Some(closed) = closed {
            closed.finish(&self.shared, key);
        }
        Ok(())
    }

    /// The RDB of that copy is not needed any more. Its readers become stale.
    pub fn drop_rdb(&self, copy_id: CopyId) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        {
            let mut state = self.shared.state();
            let copy = state.copy.as_mut().filter(|copy| copy.copy_id == copy_id);
            let copy = copy.ok_or(SpoolError::Unknown)?;
            copy.rdb = IndexRdb::Dropped;
            let mut dropped = Log::new(copy.log.key, copy.log.end());
            // Its readers are behind this cut, wherever they are.
            dropped.cuts = vec![0];
            let doomed = paths(mem::replace(&mut copy.log, dropped));
            state.doomed.extend(doomed);
            state.generation += 1;
        }
        self.shared.store_index()
    }

    /// Room is short: drops the whole segments of the RDB below `position`, which were restored.
    /// A start will then need another copy.
    pub fn drop_rdb_before(&self, copy_id: CopyId, position: u64) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        let mut doomed = Vec::new();
        {
            let mut state = self.shared.state();
            let copy = state.copy.as_mut().filter(|copy| copy.copy_id == copy_id);
            let log = &mut copy.ok_or(SpoolError::Unknown)?.log;
            let may_go = |segment: &Segment| segment.closed_at.is_some() && segment.end <= position;
            while log.segments.front().is_some_and(may_go) {
                doomed.extend(log.pop_front().map(|segment| segment.path));
            }
        }
        delete_all(&doomed)
    }

    /// A new live range, where the stream goes on after a gap or on an empty spool. Ranges of
    /// another copy are dropped.
    pub fn begin_range(
        &self,
        copy_id: CopyId,
        position: Position,
        db: Option<DbIndex>,
    ) -> Result<RangeId, SpoolError> {
        let _writer = self.shared.writer();
        self.shared.finish_live_cut()?;
        let (id, closed) = {
            let mut state = self.shared.state();
            // A range without a byte covers nothing worth keeping.
            state.drop_ranges(|range| {
                range.copy_id != copy_id || range.log.start() == range.log.end()
            });
            if state.copy.as_ref().is_some_and(|copy| copy.copy_id != copy_id) {
                state.drop_copy();
            }
            let live = state.ranges.last_mut();
            let closed = live.and_then(|range| {
                let closed = range.log.segments.back_mut().and_then(Segment::close)?;
                Some((range.log.key, closed))
            });
            (state.push_range(copy_id, position, db), closed)
        };
        if let Some((key, closed)) = closed {
            closed.finish(&self.shared, key);
        }
        self.shared.store_index()?;
        Ok(id)
    }

    /// An older range becomes the live one again; the later ones are dropped.
    pub fn activate_range(&self, id: RangeId) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        {
            let mut state = self.shared.state();
            if !state.ranges.iter().any(|range| range.id == id) {
                return Err(SpoolError::Unknown);
            }
            state.generation += 1;
            state.drop_ranges(|range| range.id > id);
        }
        self.shared.store_index()
    }

    /// The database selected at the live range's head has become known (from the RDB).
    pub fn set_head_db(&self, copy_id: CopyId, db: DbIndex) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        {
            let mut state = self.shared.state();
            let live = state.ranges.last_mut().filter(|range| range.copy_id == copy_id);
            let range = live.ok_or(SpoolError::Unknown)?;
            range.head_db = Some(db);
            if range.unit.unit_end.0 == range.head {
                range.unit.db = Some(db);
            }
        }
        self.shared.store_index()
    }

    /// The source is called `replid` from the live range's end on (`+CONTINUE <newid>`).
    pub fn adopt(&self, replid: ReplId) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        let end = self.shared.state().live_end()?;
        self.shared.adopt(replid, Offset(end))
    }

    /// The source gave up what lies above `unit`, and is called `replid` from there on: cuts the
    /// live range and grows its lineage. If it fails after the cut, it may be called again.
    pub fn cut(&self, unit: UnitMark, replid: ReplId) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        self.shared.cut(unit)?;
        self.shared.adopt(replid, unit.unit_end)
    }

    /// Cuts the live range behind its last whole unit, its lineage unchanged: a broken-off unit
    /// must not stay, since the stream is asked for from a unit's end on.
    pub fn truncate_to(&self, unit: UnitMark) -> Result<(), SpoolError> {
        let _writer = self.shared.writer();
        self.shared.cut(unit)
    }
}

impl Shared {
    /// Tells the readers of what is in memory, writes the index for it, and only then deletes
    /// what that does not name any more. The other way round a crash would leave an index that
    /// promises a copy which is half gone; what a crash leaves this way the next start deletes.
    fn store_index(&self) -> Result<(), SpoolError> {
        let index = {
            let state = self.state();
            self.publish(&state);
            state.index()
        };
        index.store(&self.options.dir)?;
        let doomed = mem::take(&mut self.state().doomed);
        delete_all(&doomed)
    }

    /// The lineage counts in memory only once it is on disk.
    fn adopt(&self, replid: ReplId, from_offset: Offset) -> Result<(), SpoolError> {
        let (lineage, index) = {
            let state = self.state();
            let live = state.ranges.last().ok_or(SpoolError::NoRange)?;
            let lineage = lineage_adopt(&live.lineage, replid, from_offset);
            if lineage == live.lineage {
                return Ok(());
            }
            let mut index: Index = state.index();
            if let Some(range) = index.ranges.last_mut() {
                range.set_lineage(&lineage);
            }
            (lineage, index)
        };
        index.store(&self.options.dir)?;
        let mut state = self.state();
        if let Some(live) = state.ranges.last_mut() {
            live.lineage = lineage;
        }
        state.generation += 1;
        self.publish(&state);
        Ok(())
    }

    /// Syncs what no seal says is synced, and the names.
    fn sync(&self, key: LogKey) -> Result<(), SpoolError> {
        let unsealed: Vec<PathBuf> = {
            let state = self.state();
            let log = state.log(key).ok_or(SpoolError::Unknown)?;
            let segments = log.segments.iter().filter(|segment| !segment.is_sealed);
            segments.map(|segment| segment.path.clone()).collect()
        };
        for path in unsealed {
            super::cut::sync_file(&path)?;
        }
        sync_dir(&self.options.dir)
    }
}

impl State {
    pub(super) fn live_end(&self) -> Result<u64, SpoolError> {
        self.ranges.last().map(|range| range.log.end()).ok_or(SpoolError::NoRange)
    }

    fn push_range(&mut self, copy_id: CopyId, position: Position, db: Option<DbIndex>) -> RangeId {
        let id = RangeId(self.next_range);
        self.next_range += 1;
        self.generation += 1;
        self.ranges.push(Range {
            id,
            copy_id,
            lineage: vec![LineageEntry { replid: position.replid, from_offset: position.offset }],
            head: position.offset.0,
            head_db: db,
            unit: UnitMark { unit_end: position.offset, db },
            log: Log::new(LogKey::Stream(id), position.offset.0),
        });
        id
    }

    fn drop_ranges(&mut self, is_doomed: impl Fn(&Range) -> bool) {
        for range in mem::take(&mut self.ranges) {
            if is_doomed(&range) {
                self.doomed.extend(paths(range.log));
            } else {
                self.ranges.push(range);
            }
        }
    }

    fn drop_copy(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.doomed.extend(paths(copy.log));
        }
    }
}

fn paths(log: Log) -> Vec<PathBuf> {
    let pending = log.pending_cut.map(|cut| cut.doomed).unwrap_or_default();
    log.segments.into_iter().map(|segment| segment.path).chain(pending).collect()
}
