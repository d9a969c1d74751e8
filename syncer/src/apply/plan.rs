//! What to do with the target next. Pure: the record, the spool and the policy in, a step out.

use crate::{
    contract::{FullCopyReason, OnExistingData},
    link::Goal,
    record::{Consent, CopyPhase, Record},
    spool::{CopyId, CopyView},
};

/// What is known when the next step is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The record, if there is one.
    pub record: Option<&'a Record>,
    /// Whether the target holds keys that are not ours. Looked at only where there is no record.
    pub has_foreign_keys: bool,
    /// What the user allows then.
    pub on_existing_data: OnExistingData,
    /// The full copy that the spool holds.
    pub spooled_copy: Option<CopyView>,
    /// The full copy that was begun in this process.
    pub begun_copy: Option<CopyId>,
    /// Whether the spool covers the record's position.
    pub is_covered: bool,
    /// Whether the spool holds a part of some stream.
    pub has_range: bool,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// `TargetNotEmpty`: nothing is changed.
    Refuse,
    /// The record halts; a human releases it.
    Halted,
    /// Ask the source's side, and look again when the spool has changed.
    Ask(Goal),
    /// Write a record for this copy, then restore it.
    BeginCopy(CopyId),
    /// Restore the copy that the record names.
    Restore,
    /// Apply the stream from the record's position on.
    Stream,
}

/// Chooses the next step.
pub fn plan(observed: &Observed<'_>) -> Plan {
    let Observed { record, spooled_copy, begun_copy, .. } = *observed;
    if record.is_some_and(|record| record.halt.is_some()) {
        return Plan::Halted;
    }
    // Promise 5: keys without a record are not ours.
    if record.is_none()
        && observed.has_foreign_keys
        && observed.on_existing_data == OnExistingData::Refuse
    {
        return Plan::Refuse;
    }
    let held = spooled_copy.filter(|copy| !copy.is_dropped);
    // A copy can be restored while its RDB is held from its first byte on.
    let usable = spooled_copy
        .filter(|copy| copy.rdb_start == 0 && !copy.is_dropped)
        .map(|copy| copy.copy_id);
    let begun = begun_copy.filter(|begun| Some(*begun) == usable);
    let full = |reason| full(observed, reason);
    let is_new = begun.is_some() && begun != record.map(|record| record.copy_id);
    match record {
        Some(record) if record.consent == Some(Consent::CopyAgain) && !is_new => {
            full(FullCopyReason::Requested)
        }
        Some(record)
            if record.copy_phase == CopyPhase::Copying && usable == Some(record.copy_id) =>
        {
            Plan::Restore
        }
        Some(record)
            if record.copy_phase == CopyPhase::Complete && begun_copy == Some(record.copy_id) =>
        {
            stream(record, observed)
        }
        _ if begun.is_some() => begun.map_or(Plan::Refuse, Plan::BeginCopy),
        Some(record) if record.copy_phase == CopyPhase::Complete => stream(record, observed),
        Some(record) => {
            let is_held = held.is_some_and(|copy| copy.copy_id == record.copy_id);
            let reason = match is_held {
                true => FullCopyReason::SpoolFull,
                false if held.is_some() || begun_copy.is_some() => FullCopyReason::InterruptedCopy,
                false => FullCopyReason::SpoolLost,
            };
            full(reason)
        }
        None if held.is_some() => full(FullCopyReason::InterruptedCopy),
        None if observed.has_range => full(FullCopyReason::NoRecord),
        None => full(FullCopyReason::Initial),
    }
}

/// `after`: a copy that has begun since this was decided makes the wish void.
fn full(observed: &Observed<'_>, reason: FullCopyReason) -> Plan {
    Plan::Ask(Goal::FullCopy { reason, after: observed.begun_copy })
}

fn stream(record: &Record, observed: &Observed<'_>) -> Plan {
    match record.position {
        Some(_) if observed.is_covered => Plan::Stream,
        Some(position) => Plan::Ask(Goal::Resume(position, record.copy_id)),
        // A record that is complete has a position; one without is as good as none.
        None => full(observed, FullCopyReason::NoRecord),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::{HaltReason, Owner, Timestamp},
        position::{DbIndex, Offset, Position},
        record::{RecordedHalt, StreamPosition},
    };

    fn position() -> StreamPosition {
        let replid = "a".repeat(40).parse().unwrap();
        StreamPosition { position: Position { replid, offset: Offset(7) }, db: Some(DbIndex(0)) }
    }

    fn record(copy: u64, copy_phase: CopyPhase) -> Record {
        Record {
            owner: Owner { term: 1, nonce: "n".into() },
            copy_id: CopyId(copy),
            copy_phase,
            position: (copy_phase == CopyPhase::Complete).then(position),
            data_end: None,
            unchecked: None,
            unverified: 0,
            keys_before: 0,
            is_sweep_allowed: false,
            halt: None,
            consent: None,
        }
    }

    fn copy(id: u64, rdb_start: u64) -> Option<CopyView> {
        Some(CopyView {
            copy_id: CopyId(id),
            position: position().position,
            rdb_start,
            rdb_bytes: 9,
            is_complete: true,
            is_dropped: false,
        })
    }

    #[test]
    fn promise_5_and_12_the_record_and_the_spool_decide() {
        use CopyPhase::{Complete, Copying};
        use FullCopyReason::{Initial, InterruptedCopy, NoRecord, SpoolFull, SpoolLost};
        let base = Observed {
            record: None,
            has_foreign_keys: false,
            on_existing_data: OnExistingData::Refuse,
            spooled_copy: None,
            begun_copy: None,
            is_covered: false,
            has_range: false,
        };
        let (complete, copying) = (record(1, Complete), record(1, Copying));
        let mut again = record(1, Complete);
        again.consent = Some(Consent::CopyAgain);
        let mut halted = record(1, Complete);
        halted.halt = Some(RecordedHalt {
            reason: HaltReason::CommandRejected,
            message: String::new(),
            remedy: String::new(),
            offset: None,
            is_passed: true,
            copy_id: None,
            since: Timestamp::from_millis(0),
            stale_release: None,
        });
        let full = |reason| Plan::Ask(Goal::FullCopy { reason, after: None });
        let begun = Some(CopyId(2));
        let table = [
            ("empty target", base, full(Initial)),
            (
                "foreign keys",
                Observed { has_foreign_keys: true, begun_copy: begun, ..base },
                Plan::Refuse,
            ),
            (
                "foreign keys, consent",
                Observed {
                    has_foreign_keys: true,
                    on_existing_data: OnExistingData::Sweep,
                    ..base
                },
                full(Initial),
            ),
            ("record gone", Observed { has_range: true, ..base }, full(NoRecord)),
            (
                "killed before the record was made",
                Observed { spooled_copy: copy(9, 0), ..base },
                full(InterruptedCopy),
            ),
            (
                "copy begun",
                Observed { begun_copy: begun, spooled_copy: copy(2, 0), ..base },
                Plan::BeginCopy(CopyId(2)),
            ),
            (
                "halted",
                Observed {
                    record: Some(&halted),
                    begun_copy: begun,
                    spooled_copy: copy(2, 0),
                    ..base
                },
                Plan::Halted,
            ),
            (
                "streaming",
                Observed { record: Some(&complete), is_covered: true, ..base },
                Plan::Stream,
            ),
            (
                "spool lost",
                Observed { record: Some(&complete), ..base },
                Plan::Ask(Goal::Resume(position(), CopyId(1))),
            ),
            (
                "a copy of an earlier process does not displace a whole record",
                Observed {
                    record: Some(&complete),
                    is_covered: true,
                    spooled_copy: copy(2, 0),
                    ..base
                },
                Plan::Stream,
            ),
            (
                "a new copy does",
                Observed {
                    record: Some(&complete),
                    is_covered: true,
                    spooled_copy: copy(2, 0),
                    begun_copy: begun,
                    ..base
                },
                Plan::BeginCopy(CopyId(2)),
            ),
            (
                "our own copy has ended",
                Observed {
                    record: Some(&complete),
                    is_covered: true,
                    spooled_copy: copy(1, 0),
                    begun_copy: Some(CopyId(1)),
                    ..base
                },
                Plan::Stream,
            ),
            (
                "killed in the copy",
                Observed { record: Some(&copying), spooled_copy: copy(1, 0), ..base },
                Plan::Restore,
            ),
            (
                "a part was dropped for room",
                Observed { record: Some(&copying), spooled_copy: copy(1, 5), ..base },
                full(SpoolFull),
            ),
            ("the volume is lost", Observed { record: Some(&copying), ..base }, full(SpoolLost)),
            (
                "the source forked anew",
                Observed {
                    record: Some(&copying),
                    spooled_copy: copy(2, 0),
                    begun_copy: begun,
                    ..base
                },
                Plan::BeginCopy(CopyId(2)),
            ),
            (
                "a human wants a copy",
                Observed { record: Some(&again), is_covered: true, ..base },
                full(FullCopyReason::Requested),
            ),
            (
                "and gets it",
                Observed {
                    record: Some(&again),
                    is_covered: true,
                    spooled_copy: copy(2, 0),
                    begun_copy: begun,
                    ..base
                },
                Plan::BeginCopy(CopyId(2)),
            ),
            (
                "killed between two copies",
                Observed { record: Some(&copying), spooled_copy: copy(2, 0), ..base },
                full(InterruptedCopy),
            ),
        ];
        for (what, observed, expected) in table {
            assert_eq!(plan(&observed), expected, "{what}");
        }
    }
}
