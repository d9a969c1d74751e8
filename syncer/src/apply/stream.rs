//! Applying the stream: gather what is there, write it with its record, again. A small batch leaves at once; while one
//! is on its way the next one grows.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Applier, IDLE_BEFORE_CLEAN, Wake,
    attach::Attached,
    flow::{Filled, Flow},
    write::{Rejected, Written},
};
use crate::{
    batch::{Batch, UnitRefusal},
    contract::{HaltReason, Phase},
    link::Goal,
    position::{Offset, ReplId},
    record::{Consent, Record},
    spool::SpoolError,
    state::HaltDetails,
    target::error::{TargetError, without_arguments},
};

impl Applier {
    /// Applies the stream from the record's position on, until something else is to be done: `Shutdown` after
    /// draining, anything else to look again.
    pub(super) async fn stream(&mut self, attached: &mut Attached) -> Result<Wake, TargetError> {
        let Some(record) = &attached.record else { return Ok(Wake::Spool) };
        let Some(from) = record.position else { return Ok(Wake::Spool) };
        if let Some(copy) =
            self.link.spool.copy().filter(|copy| copy.copy_id == record.copy_id && !copy.is_dropped)
        {
            // Killed between the copy's end and this.
            self.link.spool.drop_rdb(copy.copy_id)?;
        }
        let skip = match record.consent {
            Some(Consent::SkipUnit(end)) => Some(Offset(end)),
            _ => None,
        };
        self.link.want(Goal::Resume(from, record.copy_id));
        let mut gathered = *attached.spool_progress.borrow_and_update();
        let Some(mut flow) = Flow::open(&self.link.spool, from, skip) else {
            return Ok(Wake::Spool);
        };
        if !matches!(self.link.state.phase(), Phase::Streaming) {
            self.link.state.set_phase(Phase::CatchingUp);
        }
        let mut batch = Batch::default();
        let mut idle_since = Instant::now();
        let drain_until = Instant::now() + self.link.config().drain.mul_f64(0.6);
        let mut drain_deadline = None;
        loop {
            self.check_master(&attached.address)?;
            self.give_sign_of_life(attached).await?;
            if self.is_new_copy(attached) {
                return Ok(Wake::Spool);
            }
            let is_draining = self.link.is_shutting_down();
            if is_draining {
                self.link.state.set_phase(Phase::Draining);
                drain_deadline.get_or_insert_with(|| {
                    drain_until.max(Instant::now() + Duration::from_secs(1))
                });
            }
            if self.is_paused() && !is_draining {
                // What was gathered is gathered again after the pause.
                self.wait(attached, Duration::from_secs(1)).await?;
                if !self.is_paused() || self.link.is_shutting_down() {
                    return Ok(Wake::Config);
                }
                continue;
            }
            let filled = match flow.fill(&mut batch) {
                Ok(filled) => filled,
                // Cut or dropped: look again from the record's position.
                Err(SpoolError::Stale) => return Ok(Wake::Spool),
                Err(error) => return Err(error.into()),
            };
            let Some(replid) = self.live_replid() else { return Ok(Wake::Spool) };
            let is_drain_over = is_draining
                && (matches!(filled, Filled::CaughtUp)
                    || drain_deadline.is_some_and(|end| Instant::now() > end));
            if batch.has_commands()
                || self.is_record_due(attached, &batch, replid, idle_since, is_drain_over)
            {
                let written = self.write(attached, &mut batch, replid, gathered).await?;
                match written {
                    Written::Confirmed => {}
                    Written::Stale => return Ok(Wake::Spool),
                    Written::Rejected(rejected) => {
                        self.halt_at(attached, rejected).await?;
                        return Ok(Wake::Spool);
                    }
                }
                batch.clear();
                idle_since = Instant::now();
            } else if matches!(filled, Filled::Full) {
                // Units without commands only: they move the position with the next batch or when idle.
                batch.units.drain(..batch.units.len() - 1);
            }
            match filled {
                Filled::Refused(end, refusal) if !batch.has_commands() => {
                    self.halt_unit(attached, &mut batch, replid, gathered, end, refusal).await?;
                    return Ok(Wake::Spool);
                }
                _ if is_drain_over => {
                    self.write_clean(attached).await?;
                    return Ok(Wake::Shutdown);
                }
                Filled::CaughtUp => {
                    let wake = self.wait(attached, IDLE_BEFORE_CLEAN).await?;
                    if wake == Wake::Spool {
                        let progress = *attached.spool_progress.borrow();
                        if progress.generation != gathered.generation {
                            return Ok(Wake::Spool);
                        }
                        gathered = progress;
                    }
                }
                Filled::Full | Filled::Refused(..) => {}
            }
        }
    }

    fn is_new_copy(&self, attached: &Attached) -> bool {
        let ours = attached.record.as_ref().map(|record| record.copy_id);
        self.link.begun_copy().is_some_and(|begun| Some(begun) != ours)
            && self
                .link
                .spool
                .copy()
                .is_some_and(|copy| Some(copy.copy_id) != ours && !copy.is_dropped)
    }

    /// The name of the history that the spool is at.
    fn live_replid(&self) -> Option<ReplId> {
        self.link.spool.live_range()?.lineage.last().map(|entry| entry.replid)
    }

    /// Whether the record is to be written without data: at once for a new replid, when idle to make it clean.
    fn is_record_due(
        &self,
        attached: &Attached,
        batch: &Batch,
        replid: ReplId,
        idle_since: Instant,
        is_drain_over: bool,
    ) -> bool {
        let Some(record) = &attached.record else { return false };
        let Some(at) = record.position else { return false };
        let is_behind =
            record.unchecked.is_some() || batch.end().is_some_and(|end| end != at.position.offset);
        at.position.replid != replid
            || (is_behind && (is_drain_over || idle_since.elapsed() >= IDLE_BEFORE_CLEAN))
    }

    /// The last batch's replies were seen: the record says so before an orderly end (Promise 8).
    async fn write_clean(&mut self, attached: &mut Attached) -> Result<(), TargetError> {
        let record = attached.record.as_ref().filter(|record| record.unchecked.is_some());
        let Some(record) = record else { return Ok(()) };
        let next = Record { unchecked: None, ..record.clone() };
        self.write_record(attached, next).await
    }

    async fn halt_at(
        &mut self,
        attached: &mut Attached,
        rejected: Rejected,
    ) -> Result<(), TargetError> {
        let (end, error, is_passed) = match rejected {
            Rejected::Passed(end, error) => (end, error, true),
            Rejected::Refused(end, error) => (end, error, false),
        };
        let error = without_arguments(&error);
        let (message, remedy) = match is_passed {
            true => (
                format!(
                    "the target answered {error:?} to a command of the unit that ends at offset {end}; the rest of its batch was applied"
                ),
                format!(
                    "find out why source and target differ; then `release --skip-unit {end}` goes on behind it, `release --copy-again` copies everything again"
                ),
            ),
            false => (
                format!(
                    "the target refuses a command of the unit that ends at offset {end}: {error:?}; nothing of it was applied"
                ),
                format!(
                    "make the target accept it and `release --skip-unit {end}` if you applied it yourself, or `release --copy-again`"
                ),
            ),
        };
        let details = HaltDetails {
            reason: HaltReason::CommandRejected,
            message,
            remedy,
            offset: Some(end.0),
            copy_id: None,
        };
        self.halt(attached, details, is_passed).await
    }

    /// Everything before the unit is applied; the position is moved up to it, then the link halts there.
    async fn halt_unit(
        &mut self,
        attached: &mut Attached,
        batch: &mut Batch,
        replid: ReplId,
        gathered: crate::spool::SpoolProgress,
        end: Offset,
        refusal: UnitRefusal,
    ) -> Result<(), TargetError> {
        if !batch.units.is_empty()
            && self.write(attached, batch, replid, gathered).await? == Written::Stale
        {
            return Ok(());
        }
        let (reason, remedy) = match &refusal {
            UnitRefusal::Refused { remedy, .. } => {
                let release = format!("; `release --skip-unit {end}` or `release --copy-again`");
                (HaltReason::UnsupportedCommand, (*remedy).to_owned() + &release)
            }
            UnitRefusal::UnknownDatabase | UnitRefusal::Corrupt(_) => (
                HaltReason::CorruptStream,
                "copy again with `release --copy-again`; if it comes back, report it with the source's version".into(),
            ),
        };
        let message = format!("the unit that ends at offset {end} cannot be applied: {refusal}");
        let details = HaltDetails { reason, message, remedy, offset: Some(end.0), copy_id: None };
        self.halt(attached, details, false).await
    }
}
