//! Finding the last whole unit below an offset, by scanning from a segment's head.

use super::{Shared, Spool, SpoolError, UnitMark, range::Range, read::LogReader};
use crate::position::{DbIndex, Offset};
use std::sync::Arc;

/// Follows the units of a stream. The spool does not know what a unit is.
pub trait UnitScan {
    /// Begins at a unit's end, with that database selected, if it is known.
    fn reset(&mut self, unit_end: Offset, db: Option<DbIndex>);
    /// Goes on through bytes that follow the last ones. None of them lies above `limit`.
    fn scan(&mut self, bytes: &[u8], limit: Offset);
    /// The end of the last whole unit.
    fn unit_end(&self) -> Offset;
    /// The database selected there, if it is known.
    fn db(&self) -> Option<DbIndex>;
}

/// What is scanned at once.
const SCAN_BYTES: usize = 256 << 10;

impl Spool {
    /// The last whole unit of the live range that ends at or below `limit`, and the database
    /// selected there. None if the range begins inside of that unit.
    ///
    /// After a start it is called with the range's end, and what lies above the result is cut by
    /// [`Spool::truncate_to`].
    pub fn last_unit_end(
        &self,
        limit: Offset,
        scan: &mut dyn UnitScan,
    ) -> Result<Option<UnitMark>, SpoolError> {
        let Some((mut reader, mark, limit)) = self.unit_reader(limit)? else {
            return Ok(None);
        };
        scan.reset(mark.unit_end, mark.db);
        let mut piece = Vec::with_capacity(SCAN_BYTES);
        while reader.position() < limit.0 {
            let left = usize::try_from(limit.0 - reader.position()).unwrap_or(SCAN_BYTES);
            piece.clear();
            if reader.read(&mut piece, left.min(SCAN_BYTES))? == 0 {
                break;
            }
            scan.scan(&piece, limit);
        }
        Ok(Some(UnitMark { unit_end: scan.unit_end(), db: scan.db() }))
    }

    /// A reader at the highest unit's end at or below `limit` that a segment's head tells of.
    fn unit_reader(
        &self,
        limit: Offset,
    ) -> Result<Option<(LogReader, UnitMark, Offset)>, SpoolError> {
        let shared: &Arc<Shared> = &self.shared;
        // Half a cut would hide units that are there.
        let _writer = shared.writer();
        shared.finish_live_cut()?;
        let state = shared.state();
        let range = state.ranges.last().ok_or(SpoolError::NoRange)?;
        let limit = limit.min(Offset(range.log.end()));
        let Some(mark) = range.mark_below(limit) else {
            return Ok(None);
        };
        let reader = LogReader::new(Arc::clone(shared), &range.log, mark.unit_end.0);
        Ok(Some((reader, mark, limit)))
    }
}

impl Range {
    fn mark_below(&self, limit: Offset) -> Option<UnitMark> {
        let start = Offset(self.log.start());
        let marks = self.log.segments.iter().rev().filter_map(|segment| segment.head.mark);
        let head = UnitMark { unit_end: Offset(self.head), db: self.head_db };
        // The head is a unit's end as well, and the only one before the first segment is there.
        // Its database may have become known after that segment was begun.
        marks
            .filter(|mark| mark.unit_end != head.unit_end)
            .chain([head])
            .find(|mark| start <= mark.unit_end && mark.unit_end <= limit)
    }
}
