//! One batch with its record: sent, awaited, checked. The record moves only with the data (Promise 2).

use super::{
    Applier,
    attach::{Attached, refused},
};
use crate::{
    batch::{Batch, BatchCounts},
    failpoint::{Failpoint, hit},
    position::{Offset, Position, ReplId},
    record::{Record, StreamPosition, UncheckedBatch},
    spool::SpoolProgress,
    target::{
        error::{TargetError, is_passing},
        guarded::{Errors, Expected, Outcome},
    },
};

/// What became of a batch that was not simply applied.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The record has passed the unit that ends here; one of its commands failed, the others were applied.
    Passed(Offset, String),
    /// The unit that ends here was refused when it was queued; all before it is applied.
    Refused(Offset, String),
}

/// How a batch ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Applied, checked, confirmed.
    Confirmed,
    /// Not sent: the spool was cut since it was gathered.
    Stale,
    /// A unit of it failed.
    Rejected(Rejected),
}

impl Applier {
    /// Applies a batch that was gathered when the spool's state was `gathered`. Afterwards the batch is of no more
    /// use. `replid` names the history in the record from now on.
    pub(super) async fn write(
        &mut self,
        attached: &mut Attached,
        batch: &mut Batch,
        replid: ReplId,
        gathered: SpoolProgress,
    ) -> Result<Written, TargetError> {
        let mut guard = self.link.gate.enter().await;
        // Whoever cuts the spool holds the gate: from here on it stays as it is.
        if attached.spool_progress.borrow().generation != gathered.generation {
            return Ok(Written::Stale);
        }
        let Some(record) = &attached.record else { return Ok(Written::Stale) };
        let Some(next) = next_record(record, batch, replid) else { return Ok(Written::Stale) };
        let data_commands = batch.command_count - batch.select_count;
        let units = batch.units.len() as u64;
        let counts = batch.counts;
        batch.select_record_db();
        let selects = batch.select_count;
        next.encode(&self.link.names.record, &mut batch.bytes);
        let command_count = batch.command_count + 1;
        let position = next.position.map(|at| at.position);
        // What the source's side must not cut below: housekeeping behind it is no loss.
        let data = next.data_position().map(|at| at.position);
        hit(Failpoint::BeforeExec);
        *guard = data;
        if let Some(at) = position {
            self.link.state.ladder.written.set(at.offset);
        }
        // Over a lost connection the guard stays held until the record was read again.
        self.held = Some(guard);
        let expected = Expected::record(&next);
        attached.writer.send(&batch.bytes).await?;
        hit(Failpoint::AfterExec);
        let outcome = attached.writer.receive(command_count, &expected).await?;
        hit(Failpoint::AfterReplies);
        self.note_outcome(attached, &outcome, &next);
        match outcome {
            Outcome::Applied(errors) if errors.count == 0 => {
                self.count(counts, units, data_commands);
                Ok(Written::Confirmed)
            }
            Outcome::Applied(errors) if errors.count == command_count - selects => {
                Err(refused(&errors.first))
            }
            Outcome::Applied(errors) if self.set_failed_aside(attached, batch, &errors)? => {
                if let Some(record) = &mut attached.record {
                    record.unverified += errors.count as u64;
                }
                // Not confirmed before a record that counts them is: should the connection be lost, it counts as unchecked.
                self.show(attached.record.as_ref());
                self.count(counts, units, data_commands);
                // The guard that rode behind this EXEC was not looked at.
                attached.writer.watch(&expected).await?;
                Ok(Written::Confirmed)
            }
            Outcome::Applied(errors) => Ok(Written::Rejected(passed(batch, &errors))),
            Outcome::RecordChanged => Err(TargetError::RecordChanged),
            Outcome::Aborted { queued, exec } => {
                self.retry_before(
                    attached,
                    batch,
                    replid,
                    gathered,
                    &queued,
                    exec,
                    command_count - selects,
                )
                .await
            }
        }
    }

    /// A batch is confirmed.
    fn count(&mut self, counts: BatchCounts, units: u64, data_commands: usize) {
        let state = &self.link.state.counts;
        state.units_applied.add(units);
        state.commands_applied.add(counts.commands);
        state.commands_filtered.add(counts.dropped);
        state.expiring_commands.add(counts.expiring);
        state.batches.add(u64::from(data_commands > 0));
        self.target_took_a_write();
    }

    /// The outcome is known: the gate opens again, and the record in memory is that in the target.
    fn note_outcome(&mut self, attached: &mut Attached, outcome: &Outcome, next: &Record) {
        if let Outcome::Applied(errors) = outcome {
            // The record's own command is the last one; if it failed, its error is among those counted, and the
            // caller attaches anew. A batch with errors is not confirmed before its halt is recorded.
            if errors.count == 0 {
                self.confirmed = next.position.map(|at| at.position);
            }
            attached.record = Some(next.clone());
            self.show(attached.record.as_ref());
        }
        if let Some(mut guard) = self.held.take() {
            *guard = attached.record.as_ref().and_then(Record::data_position).map(|at| at.position);
        }
    }

    /// Nothing was applied. If single commands were refused, what is before the first of them is applied now.
    #[expect(clippy::too_many_arguments, reason = "the parts of one decision, made in one place")]
    async fn retry_before(
        &mut self,
        attached: &mut Attached,
        batch: &mut Batch,
        replid: ReplId,
        gathered: SpoolProgress,
        queued: &Errors,
        exec: String,
        refusable: usize,
    ) -> Result<Written, TargetError> {
        let Some((index, error)) = queued.first.first() else {
            return Err(TargetError::Refused(exec));
        };
        if is_passing(error) || queued.count >= refusable {
            return Err(TargetError::Refused(error.clone()));
        }
        // The record's own command is refused: not a matter of any unit.
        let Some(unit) = batch.unit_of(*index) else {
            return Err(TargetError::Refused(error.clone()));
        };
        let end = batch.units[unit].end;
        batch.truncate(unit);
        let watched = attached.expected();
        attached.writer.watch(&watched).await?;
        if !batch.units.is_empty() {
            match Box::pin(self.write(attached, batch, replid, gathered)).await? {
                Written::Confirmed => {}
                other => return Ok(other),
            }
        }
        Ok(Written::Rejected(Rejected::Refused(end, error.clone())))
    }

    /// Writes the record alone, whatever it says.
    pub(super) async fn write_record(
        &mut self,
        attached: &mut Attached,
        next: Record,
    ) -> Result<(), TargetError> {
        let mut bytes = Vec::new();
        next.encode(&self.link.names.record, &mut bytes);
        let expected = Expected::record(&next);
        let mut guard = self.link.gate.enter().await;
        *guard = next.data_position().map(|at| at.position);
        self.held = Some(guard);
        let outcome = attached.writer.execute(&bytes, 1, &expected).await?;
        self.held = None;
        match outcome {
            Outcome::Applied(errors) if errors.count == 0 => {
                attached.record = Some(next);
                self.show(attached.record.as_ref());
                self.target_took_a_write();
                Ok(())
            }
            Outcome::Applied(errors) => Err(refused(&errors.first)),
            Outcome::Aborted { queued, exec } => Err(if queued.count > 0 {
                refused(&queued.first)
            } else {
                TargetError::Refused(exec)
            }),
            Outcome::RecordChanged => Err(TargetError::RecordChanged),
        }
    }
}

/// The record as the batch leaves it. `None` if there is nothing to go on from.
fn next_record(record: &Record, batch: &Batch, replid: ReplId) -> Option<Record> {
    let from = record.position?;
    let last = batch.units.last();
    let offset = last.map_or(from.position.offset, |unit| unit.end);
    let db = last.map_or(from.db, |unit| unit.db);
    let mut next = record.clone();
    next.position = Some(StreamPosition { position: Position { replid, offset }, db });
    if let Some(unit) = batch.last_data_unit() {
        next.data_end = Some((unit.end, unit.db));
    }
    next.unchecked =
        batch.has_commands().then_some(UncheckedBatch { start: from.position.offset, end: offset });
    // What they would have done is not at the target.
    next.unverified += batch.counts.rejected;
    next.drop_passed_consent(offset);
    Some(next)
}

fn passed(batch: &Batch, errors: &Errors) -> Rejected {
    let (index, error) = errors.first.first().cloned().unwrap_or_default();
    let unit = batch.unit_of(index).and_then(|unit| batch.units.get(unit)).or(batch.units.last());
    Rejected::Passed(unit.map_or(Offset(0), |unit| unit.end), error)
}
