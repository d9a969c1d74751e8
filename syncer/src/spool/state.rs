//! What the spool holds in memory of its directory, behind one lock.

use std::path::PathBuf;

use super::{
    CopyId, RangeView, SpoolProgress,
    copy::Copy,
    index::{Index, IndexCopy, IndexLineage, IndexRange, IndexRdb},
    log::Log,
    range::{LineageEntry, Range},
    segment::LogKey,
};
use crate::position::Offset;

#[derive(Debug)]
pub(super) struct State {
    pub(super) copy: Option<Copy>,
    /// The last is the live one.
    pub(super) ranges: Vec<Range>,
    pub(super) next_range: u64,
    /// Once true it stays so: only the directory's end makes the pair a new one.
    pub(super) had_whole_copy: bool,
    pub(super) generation: u64,
    /// Below it retention works. Memory only: after a start nothing is dropped until the target
    /// has said what it has.
    pub(super) durable: Option<Offset>,
    /// Files that the index on disk may still name: deleted once a newer one is written.
    pub(super) doomed: Vec<PathBuf>,
}

impl State {
    pub(super) fn logs(&self) -> impl Iterator<Item = &Log> {
        let rdb = self.copy.iter().map(|copy| &copy.log);
        rdb.chain(self.ranges.iter().map(|range| &range.log))
    }

    pub(super) fn log(&self, key: LogKey) -> Option<&Log> {
        self.logs().find(|log| log.key == key)
    }

    pub(super) fn log_mut(&mut self, key: LogKey) -> Option<&mut Log> {
        let rdb = self.copy.iter_mut().map(|copy| &mut copy.log);
        rdb.chain(self.ranges.iter_mut().map(|range| &mut range.log)).find(|log| log.key == key)
    }

    pub(super) fn live_key(&self) -> Option<LogKey> {
        self.ranges.last().map(|range| range.log.key)
    }

    /// The RDB log, while bytes may still come.
    pub(super) fn receiving_key(&self) -> Option<LogKey> {
        self.copy.as_ref().filter(|copy| copy.rdb == IndexRdb::Receiving).map(|copy| copy.log.key)
    }

    pub(super) fn rdb_log(&self, copy_id: CopyId) -> Option<&Log> {
        self.copy.as_ref().filter(|copy| copy.copy_id == copy_id).map(|copy| &copy.log)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.logs().map(|log| log.bytes).sum()
    }

    pub(super) fn progress(&self) -> SpoolProgress {
        SpoolProgress {
            generation: self.generation,
            end: Offset(self.ranges.last().map_or(0, |range| range.log.end())),
            rdb_bytes: self.copy.as_ref().map_or(0, |copy| copy.log.end()),
            is_rdb_complete: self.copy.as_ref().is_some_and(|copy| copy.rdb != IndexRdb::Receiving),
        }
    }

    pub(super) fn range_views(&self) -> Vec<RangeView> {
        let live = self.ranges.len().saturating_sub(1);
        self.ranges.iter().enumerate().map(|(index, range)| range.view(index == live)).collect()
    }

    /// The closed segments that no seal spares the next start from reading.
    pub(super) fn closed_unsealed(&self) -> Vec<(LogKey, u64)> {
        let segments = self.logs().flat_map(|log| &log.segments);
        segments
            .filter(|segment| segment.closed_at.is_some() && !segment.is_sealed)
            .map(|segment| (segment.head.key, segment.head.start))
            .collect()
    }

    pub(super) fn index(&self) -> Index {
        let mut index = Index::new(self.next_range);
        index.had_whole_copy = self.had_whole_copy;
        index.copy = self.copy.as_ref().map(|copy| IndexCopy {
            copy_id: copy.copy_id.to_string(),
            replid: copy.position.replid.to_string(),
            offset: copy.position.offset.0,
            rdb: copy.rdb,
        });
        index.ranges = self.ranges.iter().map(index_range).collect();
        index
    }
}

fn index_range(range: &Range) -> IndexRange {
    let mut index = IndexRange {
        id: range.id.0,
        copy_id: range.copy_id.to_string(),
        head: range.head,
        head_db: range.head_db.map(|db| db.0),
        lineage: Vec::new(),
    };
    index.set_lineage(&range.lineage);
    index
}

impl IndexRange {
    pub(super) fn set_lineage(&mut self, lineage: &[LineageEntry]) {
        let entries = lineage.iter().map(|entry| IndexLineage {
            replid: entry.replid.to_string(),
            from_offset: entry.from_offset.0,
        });
        self.lineage = entries.collect();
    }
}
