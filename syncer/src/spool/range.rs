//! A range of coverage and its lineage: which replids its offsets may be asked for by.

use super::{CopyId, log::Log};
use crate::position::{DbIndex, Offset, Position, ReplId};

/// Names a range. Never used twice in one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeId(pub u64);

/// From `from_offset` on, the source called its history `replid`. Bytes below it are in that
/// history too: a promoted node keeps what it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineageEntry {
    /// The name of the history.
    pub replid: ReplId,
    /// Where it took over from the entry before it.
    pub from_offset: Offset,
}

/// The state of the scanner of the stream: the end of the last whole unit, and the database that
/// is selected there, where known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitMark {
    /// The end of the last whole unit.
    pub unit_end: Offset,
    /// The database selected there.
    pub db: Option<DbIndex>,
}

/// A range as its users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeView {
    /// Its name.
    pub id: RangeId,
    /// The full copy that it follows.
    pub copy_id: CopyId,
    /// The histories that its offsets belong to, oldest first.
    pub lineage: Vec<LineageEntry>,
    /// The database selected where the range began (`head`), if known.
    pub head_db: Option<DbIndex>,
    /// Where the range began.
    pub head: Offset,
    /// From where on its bytes are still held.
    pub start: Offset,
    /// Behind its last byte.
    pub end: Offset,
    /// The last whole unit in it that is known of; `Spool::last_unit_end` finds the true one.
    pub unit: UnitMark,
    /// Whether this is the range that is appended to.
    pub is_live: bool,
}

/// A range in memory. The last of the spool's list is the live one.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) id: RangeId,
    pub(super) copy_id: CopyId,
    pub(super) lineage: Vec<LineageEntry>,
    pub(super) head: u64,
    pub(super) head_db: Option<DbIndex>,
    pub(super) unit: UnitMark,
    pub(super) log: Log,
}

impl Range {
    pub(super) fn covers(&self, position: Position) -> bool {
        let offset = position.offset;
        let is_inside = self.log.start() <= offset.0 && offset.0 <= self.log.end();
        is_inside && lineage_holds(&self.lineage, position)
    }

    pub(super) fn view(&self, is_live: bool) -> RangeView {
        RangeView {
            id: self.id,
            copy_id: self.copy_id,
            lineage: self.lineage.clone(),
            head_db: self.head_db,
            head: Offset(self.head),
            start: Offset(self.log.start()),
            end: Offset(self.log.end()),
            unit: self.unit,
            is_live,
        }
    }
}

/// Whether these bytes are that history's. Above the next entry's `from_offset` an older replid
/// went another way, or ended.
pub(super) fn lineage_holds(lineage: &[LineageEntry], position: Position) -> bool {
    lineage.iter().enumerate().any(|(index, entry)| {
        entry.replid == position.replid
            && lineage.get(index + 1).is_none_or(|next| position.offset <= next.from_offset)
    })
}

/// Ends the lineage at `end`. Entries above it stay, moved down: the history that took over at a
/// higher offset has all bytes below it, and the target's record may name it already.
pub(super) fn lineage_clamp(lineage: &mut [LineageEntry], end: Offset) {
    for entry in lineage {
        entry.from_offset = entry.from_offset.min(end);
    }
}

/// The lineage after the source was found to be called `replid` from `from_offset` on.
pub(super) fn lineage_adopt(
    lineage: &[LineageEntry],
    replid: ReplId,
    from_offset: Offset,
) -> Vec<LineageEntry> {
    let mut lineage = lineage.to_vec();
    lineage_clamp(&mut lineage, from_offset);
    if lineage.last().is_none_or(|last| last.replid != replid) {
        lineage.push(LineageEntry { replid, from_offset });
    }
    lineage
}
