//! Applying the stream: gather what is there, write it with its record, again. A small batch leaves at once; while one
//! is on its way the next one grows.

use tokio::time::Instant;

use super::{
    Applier, IDLE_BEFORE_CLEAN, Wake,
    attach::Attached,
    covered,
    flow::{Filled, Flow},
    set_aside::SetAside,
    write::{Rejected, Written},
};
use crate::{
    batch::{Batch, UnitRefusal},
    contract::{HaltReason, Phase},
    link::Goal,
    position::{Offset, ReplId},
    record::{Consent, Record},
    release::Decision,
    spool::{SpoolError, SpoolProgress},
    state::HaltDetails,
    target::{
        error::{TargetError, without_arguments},
        knows::knows,
    },
    terms::Question,
};

/// Of the time for an orderly end this part may go into applying what is spooled; the rest is for the last words.
const DRAIN_SHARE: f64 = 0.6;

/// What is under way while the stream is applied.
struct Streaming {
    flow: Flow,
    batch: Batch,
    /// The spool as it was when `flow` was opened: what is gathered is void once it was cut.
    gathered: SpoolProgress,
    /// When the last batch was written.
    idle_since: Instant,
    /// Until when an orderly end goes on applying.
    drain_deadline: Option<Instant>,
}

impl Applier {
    /// Applies the stream from the record's position on, until something else is to be done: `Shutdown` after
    /// draining, anything else to look again.
    pub(super) async fn stream(&mut self, attached: &mut Attached) -> Result<Wake, TargetError> {
        self.fall_back_over_housekeeping(attached).await?;
        let Some(mut streaming) = self.start_streaming(attached)? else { return Ok(Wake::Spool) };
        loop {
            self.check_master(&attached.peer)?;
            self.give_sign_of_life(attached).await?;
            if self.is_new_copy(attached) {
                return Ok(Wake::Spool);
            }
            let is_draining = self.link.is_shutting_down();
            if self.is_paused() {
                if is_draining {
                    return self.end_stream(attached).await;
                }
                self.wait(attached, IDLE_BEFORE_CLEAN).await?;
                if streaming.is_cut(attached) {
                    return Ok(Wake::Spool);
                }
                continue;
            }
            let filled = match streaming.flow.fill(&mut streaming.batch) {
                Ok(filled) => filled,
                // Cut or dropped: look again from the record's position.
                Err(SpoolError::Stale) => return Ok(Wake::Spool),
                Err(SpoolError::Corrupt { path, what }) => {
                    let what = format!("{} is damaged: {what}", path.display());
                    self.halt_corrupt_spool(attached, what).await?;
                    return Ok(Wake::Spool);
                }
                Err(error) => return Err(error.into()),
            };
            if !self.write_what_is_due(attached, &mut streaming, &filled).await? {
                return Ok(Wake::Spool);
            }
            if is_draining {
                self.link.state.set_phase(Phase::Draining);
                let limit = self.link.config().drain.mul_f64(DRAIN_SHARE);
                let deadline =
                    *streaming.drain_deadline.get_or_insert_with(|| Instant::now() + limit);
                if !matches!(filled, Filled::Full | Filled::Asks(_)) || Instant::now() > deadline {
                    return self.end_stream(attached).await;
                }
            }
            match filled {
                Filled::Full => {}
                Filled::Asks(question) => {
                    ask(attached, &mut streaming.flow, question).await?;
                }
                Filled::Refused(end, refusal) => {
                    let flow = &mut streaming.flow;
                    match self.set_unit_aside(attached, flow, end, &refusal)? {
                        SetAside::Kept => flow.reject(&mut streaming.batch),
                        SetAside::Not(why) => {
                            self.halt_unit(attached, end, refusal, why).await?;
                            return Ok(Wake::Spool);
                        }
                    }
                }
                Filled::CaughtUp => {
                    let wake = self.wait(attached, IDLE_BEFORE_CLEAN).await?;
                    let is_live = streaming.flow.is_live(&self.link.spool);
                    if streaming.is_cut(attached) || (wake != Wake::Shutdown && !is_live) {
                        return Ok(Wake::Spool);
                    }
                }
            }
        }
    }

    /// The source failed over, and the new one lacks what the record has passed behind the last data: PINGs, hellos.
    /// Nothing is lost, so no full copy is needed (Promise 4): the record goes back to the end of the data.
    async fn fall_back_over_housekeeping(
        &mut self,
        attached: &mut Attached,
    ) -> Result<(), TargetError> {
        let Some(record) = &attached.record else { return Ok(()) };
        let Some(from) =
            covered(&self.link.spool, record).filter(|from| Some(*from) != record.position)
        else {
            return Ok(());
        };
        tracing::info!(
            offset = from.position.offset.0,
            "the new source lacks housekeeping only: the record goes back over it"
        );
        let next = Record { position: Some(from), unchecked: None, ..record.clone() };
        self.write_record(attached, next).await
    }

    fn start_streaming(
        &mut self,
        attached: &mut Attached,
    ) -> Result<Option<Streaming>, TargetError> {
        let Some(record) = &attached.record else { return Ok(None) };
        let Some(from) = record.position else { return Ok(None) };
        let spool = &self.link.spool;
        if let Some(copy) =
            spool.copy().filter(|copy| copy.copy_id == record.copy_id && !copy.is_dropped)
        {
            // Killed between the copy's end and this.
            spool.drop_rdb(copy.copy_id)?;
        }
        let skip = match record.consent {
            Some(Consent::SkipUnit(end)) => Some(Offset(end)),
            _ => None,
        };
        let gathered = *attached.spool_progress.borrow_and_update();
        let Some(flow) = Flow::open(
            spool,
            from,
            record.copy_id,
            attached.terms.clone(),
            skip,
            self.rejected.take(),
        ) else {
            return Ok(None);
        };
        // Where the live range has the position, its end is what the source is asked for, however far the position
        // is behind; retention may have dropped the position itself by then.
        let is_live = flow.is_live(spool);
        self.link.want(if is_live { Goal::Continue } else { Goal::Resume(from, record.copy_id) });
        if self.link.state.phase() != Phase::Streaming {
            self.link.state.set_phase(Phase::CatchingUp);
        }
        let batch = Batch::default();
        Ok(Some(Streaming {
            flow,
            batch,
            gathered,
            idle_since: Instant::now(),
            drain_deadline: None,
        }))
    }

    /// Writes the batch if it has anything, and the record if that is due. False if the stream is to be looked at
    /// anew.
    async fn write_what_is_due(
        &mut self,
        attached: &mut Attached,
        streaming: &mut Streaming,
        filled: &Filled,
    ) -> Result<bool, TargetError> {
        let Some(replid) = self.replid(attached) else { return Ok(false) };
        let batch = &mut streaming.batch;
        let is_halting = matches!(filled, Filled::Refused(..)) && !batch.units.is_empty();
        let is_idle = streaming.idle_since.elapsed() >= IDLE_BEFORE_CLEAN;
        if !batch.has_commands() && !is_halting && !is_record_due(attached, batch, replid, is_idle)
        {
            if matches!(filled, Filled::Full) {
                // Units without commands only: they move the position with the next batch or when idle.
                batch.units.drain(..batch.units.len() - 1);
            }
            return Ok(true);
        }
        match self.write(attached, batch, replid, streaming.gathered).await? {
            Written::Confirmed => {}
            Written::Stale => return Ok(false),
            Written::Rejected(Rejected::Refused(end, error)) if self.may_set_aside(&error) => {
                // The unit is read again, and set aside as one that cannot be sent.
                self.rejected = Some((end, without_arguments(&error)));
                return Ok(false);
            }
            Written::Rejected(rejected) => {
                self.halt_at(attached, rejected).await?;
                return Ok(false);
            }
        }
        batch.clear();
        streaming.idle_since = Instant::now();
        Ok(true)
    }

    /// The last words of an orderly end: the record says that all replies were seen (Promise 8).
    async fn end_stream(&mut self, attached: &mut Attached) -> Result<Wake, TargetError> {
        if let Some(record) = attached.record.as_ref().filter(|record| record.unchecked.is_some()) {
            let next = Record { unchecked: None, ..record.clone() };
            self.write_record(attached, next).await?;
        }
        Ok(Wake::Shutdown)
    }

    /// Whether the source's side has begun a copy that the record does not know of.
    fn is_new_copy(&self, attached: &Attached) -> bool {
        let ours = attached.record.as_ref().map(|record| record.copy_id);
        let copy = self.link.spool.copy();
        self.link.begun_copy().is_some_and(|begun| Some(begun) != ours)
            && copy.is_some_and(|copy| Some(copy.copy_id) != ours && !copy.is_dropped)
    }

    /// The name that the history of the record's position has now.
    fn replid(&self, attached: &Attached) -> Option<ReplId> {
        let position = attached.record.as_ref()?.position?.position;
        self.link.spool.find_range(position)?.lineage.last().map(|entry| entry.replid)
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
        let [retry, skip, copy] = decisions(end);
        let (message, remedy) = match is_passed {
            true => (
                format!(
                    "the target answered {error:?} to a command of the unit that ends at offset {end}; the rest of its batch was applied"
                ),
                format!(
                    "find out why source and target differ; then release with {skip} to go on behind it, or with {copy} to copy everything again"
                ),
            ),
            false => (
                format!(
                    "the target refuses a command of the unit that ends at offset {end}: {error:?}; nothing of it was applied"
                ),
                format!(
                    "make the target accept it, then release with {retry}; or with {skip} to go on without it, or with {copy}"
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

    /// Everything before the unit is applied; the link halts there.
    async fn halt_unit(
        &mut self,
        attached: &mut Attached,
        end: Offset,
        refusal: UnitRefusal,
        not_set_aside: Option<String>,
    ) -> Result<(), TargetError> {
        let [retry, skip, copy] = decisions(end);
        let (reason, remedy) = match &refusal {
            UnitRefusal::Refused { remedy, .. } => (
                HaltReason::UnsupportedCommand,
                format!(
                    "{remedy}; then release with {retry}, with {skip} to go on without it, or with {copy}"
                ),
            ),
            UnitRefusal::Unsupported { why, .. } => (
                HaltReason::UnsupportedCommand,
                format!(
                    "{}; then release with {retry}, with {skip} to go on without it, or with {copy}",
                    why.remedy
                ),
            ),
            UnitRefusal::Rejected { .. } => (
                HaltReason::CommandRejected,
                format!(
                    "make the target accept it, then release with {retry}; or with {skip} to go on without it, or with {copy}"
                ),
            ),
            UnitRefusal::NoDatabase(_) => (
                HaltReason::UnsupportedCommand,
                format!(
                    "raise `databases` in the target's configuration; then release with {retry}, with {skip} to go on without it, or with {copy}"
                ),
            ),
            UnitRefusal::TooLarge(_) => (
                HaltReason::UnitTooLarge,
                format!(
                    "make the source's transactions and values smaller, then release with {copy}"
                ),
            ),
            UnitRefusal::UnknownDatabase | UnitRefusal::Unasked(_) | UnitRefusal::Corrupt(_) => (
                HaltReason::CorruptStream,
                format!(
                    "release with {copy}; if it comes back, report it with the source's version"
                ),
            ),
        };
        let mut message =
            format!("the unit that ends at offset {end} cannot be applied: {refusal}");
        if let Some(why) = not_set_aside {
            message.push_str("; ");
            message.push_str(&why);
        }
        let details = HaltDetails { reason, message, remedy, offset: Some(end.0), copy_id: None };
        self.halt(attached, details, false).await
    }

    async fn halt_corrupt_spool(
        &mut self,
        attached: &mut Attached,
        what: String,
    ) -> Result<(), TargetError> {
        let Some(record) = &attached.record else { return Err(TargetError::RecordChanged) };
        let copy_id = record.copy_id.to_string();
        let copy = Decision::copy_again_after(&copy_id);
        let details = HaltDetails {
            reason: HaltReason::CorruptSpool,
            message: format!("the spool cannot be read: {what}"),
            remedy: format!("check the spool's disk, then release with {copy}"),
            offset: None,
            copy_id: Some(copy_id),
        };
        self.halt(attached, details, true).await
    }
}

/// What may be decided about the unit that ends there: to try it again, to skip it, to copy everything again.
fn decisions(end: Offset) -> [Decision; 3] {
    let offset = end.0;
    [Decision::RetryUnit { offset }, Decision::SkipUnit { offset }, Decision::copy_again_at(offset)]
}

impl Streaming {
    /// Something was cut, dropped or renamed since this was opened.
    fn is_cut(&self, attached: &Attached) -> bool {
        attached.spool_progress.borrow().generation != self.gathered.generation
    }
}

/// Gets the answer that the next unit waits for.
async fn ask(
    attached: &mut Attached,
    flow: &mut Flow,
    question: Question,
) -> Result<(), TargetError> {
    match question {
        Question::Database(db) => match attached.has_database(db).await? {
            true => flow.terms().allow(db),
            false => flow.refuse_pending(UnitRefusal::NoDatabase(db)),
        },
        Question::Command(name) => {
            match knows(&mut attached.reader, &name).await? {
                Some(is_known) => attached.terms.known.learn(&name, is_known),
                None => attached.terms.known.stop_asking(),
            }
            flow.terms().known = attached.terms.known.clone();
        }
    }
    Ok(())
}

/// Whether the record is to be written without data: at once for a new replid, when idle to make it clean.
fn is_record_due(attached: &Attached, batch: &Batch, replid: ReplId, is_idle: bool) -> bool {
    let Some(record) = &attached.record else { return false };
    let Some(at) = record.position else { return false };
    let is_behind =
        record.unchecked.is_some() || batch.end().is_some_and(|end| end != at.position.offset);
    at.position.replid != replid || (is_behind && is_idle)
}
