//! A halt is kept in the record: a restart does not clear it, a human does (Promise 8).

use std::time::Duration;

use super::{Applier, Wake, attach::Attached};
use crate::{
    contract::{Phase, Timestamp},
    link::Goal,
    record::{Consent, Record, RecordedHalt},
    release::Decision,
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
        let (config, since) = (self.link.config(), Timestamp::now());
        let halt = RecordedHalt {
            reason: details.reason,
            message: details.message.clone(),
            remedy: details.remedy.clone(),
            offset: details.offset,
            is_passed,
            copy_id: details.copy_id.clone(),
            since,
            stale_release: config.release.as_ref().map(Decision::words),
        };
        // Whoever halts has seen the replies of the last batch.
        let next = Record { unchecked: None, halt: Some(halt), consent: None, ..record.clone() };
        // The watch may be gone with an aborted transaction.
        let watched = attached.expected();
        // Until it is in the record, a lost connection must not make it forgotten.
        self.unrecorded_halt =
            Some(details.clone()).filter(|halt| is_passed && halt.offset.is_some());
        attached.writer.watch(&watched).await?;
        self.write_record(attached, next).await?;
        self.unrecorded_halt = None;
        self.link.state.set_halt(details, since);
        self.confirmed =
            attached.record.as_ref().and_then(|record| record.position).map(|at| at.position);
        Ok(())
    }

    /// A unit failed within its batch, and the connection was lost before the halt was recorded. If the target still
    /// holds that batch, the halt is recorded now; if it fell back, the unit will be met again.
    pub(super) async fn record_lost_halt(
        &mut self,
        attached: &mut Attached,
    ) -> Result<(), TargetError> {
        let Some(details) = self.unrecorded_halt.take() else { return Ok(()) };
        let position = attached.record.as_ref().and_then(|record| record.position);
        if position.is_some_and(|at| details.offset.is_some_and(|end| at.position.offset.0 >= end))
        {
            self.halt(attached, details, true).await?;
        }
        Ok(())
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
            self.link.state.set_halt(details(halt), halt.since);
            // The source is read on while the link halts.
            let goal = record.position.map(|position| Goal::Resume(position, record.copy_id));
            self.link.want(goal.unwrap_or(Goal::Continue));
            let answer = match self.read_consent(attached, &record).await? {
                Some(consent) => Answer::Counts(consent),
                None => configured(self.link.config().release.as_ref(), halt),
            };
            match answer {
                Answer::Counts(consent) => {
                    let next = released(&record, halt, &consent);
                    tracing::info!(?consent, "released");
                    self.write_record(attached, next).await?;
                    if matches!(consent, Consent::CopyAgain) {
                        // The copy begins in a moment; until then the stream is over (Promise 9).
                        self.link.state.set_phase(Phase::Handshaking);
                    }
                    // What the target lacked may be there now: a module was loaded, a limit raised.
                    attached.learn_target().await?;
                    self.link.state.clear_halt();
                    return Ok(Wake::Spool);
                }
                Answer::Fresh => {
                    // From here on the same decision, should it be given again, is one about this halt.
                    let halt = RecordedHalt { stale_release: None, ..halt.clone() };
                    let next = Record { halt: Some(halt), ..record.clone() };
                    self.write_record(attached, next).await?;
                    continue;
                }
                Answer::None => self.link.state.set_ignored_release(None),
                Answer::Ignored(why) => self.link.state.set_ignored_release(Some(why)),
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

/// What a human has answered to a halt.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing yet.
    None,
    /// The decision that was there before the halt is there no more.
    Fresh,
    /// A decision that does not count for this halt, and why.
    Ignored(String),
    /// A decision about this halt.
    Counts(Consent),
}

/// What the running configuration decides about a halt. Pure. A release that is left standing does nothing: what was
/// there before the halt was not meant for it, even if it names it (a unit that was tried again and refused again).
fn configured(release: Option<&Decision>, halt: &RecordedHalt) -> Answer {
    let words = release.map(Decision::words);
    if halt.stale_release.is_some() && words != halt.stale_release {
        return Answer::Fresh;
    }
    let (Some(decision), Some(words)) = (release, words) else { return Answer::None };
    if halt.stale_release.is_some() {
        return Answer::Ignored(format!(
            "release ({words}) stood in the configuration before this halt: if it shall count, remove it and set it again"
        ));
    }
    match decision.consent(halt) {
        Ok(consent) => Answer::Counts(consent),
        Err(why) => Answer::Ignored(format!("release ({words}) does not count: {why}")),
    }
}

/// The record after an answer. Pure.
fn released(record: &Record, halt: &RecordedHalt, consent: &Consent) -> Record {
    let mut next = Record { halt: None, consent: None, ..record.clone() };
    match consent {
        // A unit that the record has passed needs no skipping.
        Consent::SkipUnit(end) => {
            next.consent = (!halt.is_passed).then_some(Consent::SkipUnit(*end));
            // What the source did there is not at the target.
            next.unverified += 1;
        }
        // Nothing of it was applied: it is met again.
        Consent::RetryUnit(_) => {}
        Consent::AllowSweep(_) => next.is_sweep_allowed = true,
        Consent::CopyAgain => next.consent = Some(Consent::CopyAgain),
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::HaltReason;

    #[test]
    fn a_release_in_the_configuration_counts_once_and_for_its_halt() {
        let halt = |stale: Option<&Decision>| RecordedHalt {
            reason: HaltReason::CommandRejected,
            message: String::new(),
            remedy: String::new(),
            offset: Some(7),
            is_passed: false,
            copy_id: None,
            since: Timestamp::from_millis(0),
            stale_release: stale.map(Decision::words),
        };
        let (retry, skip) = (Decision::RetryUnit { offset: 7 }, Decision::SkipUnit { offset: 7 });
        let other = Decision::SkipUnit { offset: 6 };
        assert_eq!(configured(None, &halt(None)), Answer::None);
        assert_eq!(configured(Some(&retry), &halt(None)), Answer::Counts(Consent::RetryUnit(7)));
        assert!(matches!(configured(Some(&other), &halt(None)), Answer::Ignored(_)));
        // Tried again, refused again: the same words are about the first halt.
        let Answer::Ignored(why) = configured(Some(&retry), &halt(Some(&retry))) else {
            panic!("it counts");
        };
        assert!(why.contains("RetryUnit, offset 7") && why.contains("set it again"), "{why}");
        // Another decision, or none: whatever comes now is about this halt.
        assert_eq!(configured(Some(&skip), &halt(Some(&retry))), Answer::Fresh);
        assert_eq!(configured(None, &halt(Some(&retry))), Answer::Fresh);
    }
}
