//! A halt is kept in the record: a restart does not clear it, a human does (Promise 8).

use std::time::Duration;

use super::{Applier, Wake, attach::Attached};
use crate::{
    contract::Timestamp,
    link::Goal,
    record::{Consent, Record, RecordedHalt},
    state::HaltDetails,
    target::{error::TargetError, guarded::Expected},
};

/// How often the record is looked at for an answer.
const CONSENT_INTERVAL: Duration = Duration::from_millis(500);

impl Applier {
    /// Writes a halt into the record and shows it.
    pub(super) async fn halt(
        &mut self,
        attached: &mut Attached,
        details: HaltDetails,
        is_passed: bool,
    ) -> Result<(), TargetError> {
        let Some(record) = &attached.record else { return Err(TargetError::RecordChanged) };
        let halt = RecordedHalt {
            reason: details.reason,
            message: details.message.clone(),
            remedy: details.remedy.clone(),
            offset: details.offset,
            is_passed,
            copy_id: details.copy_id.clone(),
            since: Timestamp::now(),
        };
        // Whoever halts has seen the replies of the last batch.
        let next = Record { unchecked: None, halt: Some(halt), consent: None, ..record.clone() };
        // The watch may be gone with an aborted transaction.
        let watched = attached.expected();
        attached.writer.watch(&watched).await?;
        self.link.state.set_halt(details);
        self.write_record(attached, next).await
    }

    /// Waits until a human answers, and takes his answer over into the record.
    pub(super) async fn wait_for_release(
        &mut self,
        attached: &mut Attached,
    ) -> Result<Wake, TargetError> {
        loop {
            let Some(record) = attached.record.clone() else {
                return Err(TargetError::RecordChanged);
            };
            let Some(halt) = &record.halt else { return Ok(Wake::Spool) };
            self.link.state.set_halt(details(halt));
            // The source is read on while the link halts.
            let goal = record.position.map(|position| Goal::Resume(position, record.copy_id));
            self.link.want(goal.unwrap_or(Goal::Continue));
            if let Some(consent) = self.read_consent(attached, &record).await? {
                let next = released(&record, halt, &consent);
                tracing::info!(?consent, "released");
                self.write_record(attached, next).await?;
                self.link.state.clear_halt();
                return Ok(Wake::Spool);
            }
            if self.wait(attached, CONSENT_INTERVAL).await? == Wake::Shutdown {
                return Ok(Wake::Shutdown);
            }
        }
    }

    /// The answer in the record, if it is one to this halt. The record was then written by another hand: the watch
    /// starts anew.
    async fn read_consent(
        &mut self,
        attached: &mut Attached,
        record: &Record,
    ) -> Result<Option<Consent>, TargetError> {
        let seen =
            Record::parse(&attached.reader.call(&["HGETALL", &self.link.names.record]).await?)?;
        let Some(seen) = seen else { return Err(TargetError::RecordChanged) };
        let Some(consent) = seen.consent.clone() else { return Ok(None) };
        if Expected::record(&seen) != Expected::record(record) {
            return Err(TargetError::RecordChanged);
        }
        let watched = attached.expected();
        attached.writer.watch(&watched).await?;
        Ok(Some(consent))
    }
}

fn details(halt: &RecordedHalt) -> HaltDetails {
    HaltDetails {
        reason: halt.reason,
        message: halt.message.clone(),
        remedy: halt.remedy.clone(),
        offset: halt.offset,
        copy_id: halt.copy_id.clone(),
    }
}

/// The record after an answer. Pure.
fn released(record: &Record, halt: &RecordedHalt, consent: &Consent) -> Record {
    let mut next = Record { halt: None, consent: None, ..record.clone() };
    match consent {
        // A unit that the record has passed needs no skipping.
        Consent::SkipUnit(end) => {
            next.consent = (!halt.is_passed).then_some(Consent::SkipUnit(*end));
        }
        Consent::AllowSweep(_) => next.is_sweep_allowed = true,
        Consent::CopyAgain => next.consent = Some(Consent::CopyAgain),
    }
    next
}
