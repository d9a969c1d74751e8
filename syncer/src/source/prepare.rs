//! Where the stream goes on: what to ask the source for, and what to cut off the spool first.
//!
//! The spool's end is asked for, not the target's position: what is spooled need not come again. If the source was
//! promoted before that end, the spool is cut to the promotion, unless the target has applied more already.

use super::{error::SourceError, info::History, scanner::UnitScanner};
use crate::{
    contract::FullCopyReason,
    failpoint::{Failpoint, hit},
    link::{Goal, Link},
    position::{DbIndex, Offset, Position},
    record::StreamPosition,
    spool::{CopyId, SpoolError, UnitMark, UnitScan},
};

/// What to ask the source for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// The position to go on from; `None` asks for everything.
    pub(super) from: Option<StreamPosition>,
    /// `from` is not the spool's end: a range of its own begins there, in the data of this copy.
    pub(super) new_range: Option<CopyId>,
    /// Why a full copy is asked for, or was foreseen. `None`: the source's history will tell.
    pub(super) reason: Option<FullCopyReason>,
}

impl Ask {
    fn full(reason: FullCopyReason) -> Self {
        Self { from: None, new_range: None, reason: Some(reason) }
    }
}

/// Makes the spool ready and says what to ask for.
pub(super) async fn prepare(
    link: &Link,
    goal: Goal,
    history: Option<&History>,
) -> Result<Ask, SourceError> {
    match goal {
        Goal::FullCopy { reason, after } if after == link.begun_copy() => {
            return Ok(Ask::full(reason));
        }
        // Only a copy whose RDB is whole can go on.
        _ if link.spool.copy().is_some_and(|copy| !copy.is_complete) => {
            return Ok(Ask::full(FullCopyReason::InterruptedCopy));
        }
        Goal::Resume(position, copy_id) => match link.spool.find_range(position.position) {
            Some(range) if range.is_live => {}
            Some(range) => link.spool.activate_range(range.id)?,
            None => {
                return Ok(Ask { from: Some(position), new_range: Some(copy_id), reason: None });
            }
        },
        Goal::Hold | Goal::Continue | Goal::FullCopy { .. } => {}
    }
    let Some(range) = link.spool.live_range() else {
        return Ok(Ask::full(FullCopyReason::SpoolLost));
    };
    let end = end_on_whole_unit(link)?;
    let Some(replid) = range.lineage.last().map(|entry| entry.replid) else {
        return Ok(Ask::full(FullCopyReason::SpoolLost));
    };
    let at = |unit: UnitMark, replid| Ask {
        from: Some(StreamPosition {
            position: Position { replid, offset: unit.unit_end },
            db: unit.db,
        }),
        new_range: None,
        reason: None,
    };
    match history.and_then(|history| Some((history.shared_end(replid)?, history))) {
        Some((shared, history)) if shared < end.unit_end && Some(replid) == history.replid2 => {
            match cut(link, shared, history, replid, range.start).await? {
                Some(unit) => Ok(at(unit, history.replid)),
                None => Ok(Ask { reason: Some(FullCopyReason::SourceRollback), ..at(end, replid) }),
            }
        }
        _ => Ok(at(end, replid)),
    }
}

/// Cuts a broken-off unit from the spool's end: a position to go on from is a unit's end.
fn end_on_whole_unit(link: &Link) -> Result<UnitMark, SourceError> {
    let end = link.spool.end();
    let unit = last_unit_end(link, end)?;
    if unit.unit_end < end {
        link.spool.truncate_to(unit)?;
    }
    Ok(unit)
}

fn last_unit_end(link: &Link, limit: Offset) -> Result<UnitMark, SourceError> {
    let mut scan = SpoolScan(UnitScanner::new(limit, None));
    let unit = link.spool.last_unit_end(limit, &mut scan)?;
    unit.ok_or(SourceError::Spool(SpoolError::NoRange))
}

/// The source was promoted at `shared`, below what is spooled: the spool is cut to the last whole unit there. `None`
/// if the target has applied what the source lost.
async fn cut(
    link: &Link,
    shared: Offset,
    history: &History,
    replid: crate::position::ReplId,
    range_start: Offset,
) -> Result<Option<UnitMark>, SourceError> {
    // Until this is dropped nothing is outstanding at the target, and nothing is sent.
    let written = link.gate.enter().await;
    let is_applied = written.is_some_and(|at| at.offset > shared && at.replid == replid);
    if is_applied || shared < range_start {
        return Ok(None);
    }
    let unit = last_unit_end(link, shared)?;
    if written.is_some_and(|at| at.replid == replid && at.offset > unit.unit_end) {
        return Ok(None);
    }
    tracing::warn!(
        spooled = link.spool.end().0,
        shared = shared.0,
        cut_to = unit.unit_end.0,
        "the source was promoted before what is spooled: the spool is cut"
    );
    hit(Failpoint::BeforeCut);
    link.spool.cut(unit, history.replid)?;
    hit(Failpoint::AfterCut);
    Ok(Some(unit))
}

/// The stream's scanner, as the spool drives it.
struct SpoolScan(UnitScanner);

impl UnitScan for SpoolScan {
    fn reset(&mut self, unit_end: Offset, db: Option<DbIndex>) {
        self.0 = UnitScanner::new(unit_end, db);
    }

    fn scan(&mut self, bytes: &[u8], _limit: Offset) {
        // What was spooled was scanned before. If it is unreadable now, the last unit found stands.
        if let Err(error) = self.0.scan(bytes) {
            tracing::warn!(%error, "the spool holds what is no stream");
        }
    }

    fn unit_end(&self) -> Offset {
        self.0.unit_end()
    }

    fn db(&self) -> Option<DbIndex> {
        self.0.unit_db()
    }
}
