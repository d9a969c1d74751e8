//! The sweep at the end of a copy, with its brake (Promise 5). Counted first, so that nothing is deleted before a human
//! was asked.

use std::time::Duration;

use crate::{
    apply::{Applier, attach::Attached},
    contract::{self, HaltReason},
    failpoint::{Failpoint, hit},
    record::Record,
    release::Decision,
    state::HaltDetails,
    target::{
        error::TargetError,
        guarded::Expected,
        key_set::KeySet,
        sweep::{SweepCount, Walk, delete, stale},
    },
};

impl Applier {
    /// A sweep takes its time: we are still there, the target's master is still the same.
    pub(super) async fn keep_sweep_alive(
        &mut self,
        attached: &mut Attached,
    ) -> Result<(), TargetError> {
        self.check_master(&attached.peer)?;
        while self.is_paused() && !self.link.is_shutting_down() {
            self.wait(attached, Duration::from_secs(1)).await?;
        }
        if self.link.is_shutting_down() {
            // The copy is restored again from the spool after the restart.
            return Err(TargetError::Ending);
        }
        self.give_sign_of_life(attached).await
    }

    /// Deletes what the copy did not have. False if the brake holds.
    pub(super) async fn sweep(
        &mut self,
        attached: &mut Attached,
        record: &Record,
        keys: &KeySet,
    ) -> Result<bool, TargetError> {
        let state = std::sync::Arc::clone(&self.link.state);
        state.full_copy_phase(contract::CopyPhase::Sweeping);
        // The reader was idle while keys were restored: a target with a client timeout has closed it.
        attached.reader = self.open_reader(&attached.peer).await?;
        let mut count = SweepCount::default();
        let mut walk = Walk::start(&mut attached.reader).await?;
        while let Some((db, page)) = walk.page(&mut attached.reader).await? {
            count.keys += page.len() as u64;
            count.stale += stale(keys, db, page)?.len() as u64;
            self.keep_sweep_alive(attached).await?;
        }
        tracing::info!(
            keys = count.keys,
            stale = count.stale,
            copied = keys.count(),
            "counted for the sweep"
        );
        // Promise 5.
        if count.is_over_brake(record.keys_before) && !record.is_sweep_allowed {
            let copy_id = record.copy_id.to_string();
            let allow = Decision::AllowSweep { copy_id: copy_id.clone() };
            let copy = Decision::copy_again_after(&copy_id);
            let details = HaltDetails {
                reason: HaltReason::SweepBrake,
                message: format!(
                    "the sweep would delete {} of the target's {} keys; the source's copy has {}",
                    count.stale,
                    count.keys,
                    keys.count()
                ),
                remedy: format!(
                    "see whether the source came back empty or with an old file; if its data are right, release with {allow}, else repair the source and release with {copy}"
                ),
                offset: None,
                copy_id: Some(copy_id),
            };
            self.halt(attached, details, true).await?;
            return Ok(false);
        }
        let expected = Expected::record(record);
        let mut walk = Walk::start(&mut attached.reader).await?;
        // We are the only writer: where the first walk met nothing stale, a second one would not either.
        while count.stale > 0
            && let Some((db, page)) = walk.page(&mut attached.reader).await?
        {
            let stale = stale(keys, db, page)?;
            if !stale.is_empty() {
                hit(Failpoint::InSweep);
                delete(&mut attached.writer, &expected, db, &stale).await?;
                state.counts.keys_swept.add(stale.len() as u64);
            }
            self.keep_sweep_alive(attached).await?;
        }
        Ok(true)
    }
}
