//! The target's side of a link: takes the record, then restores copies and applies the stream, one step at a time.
//!
//! ```text
//! attach → plan → { refuse | halted | ask the source | begin a copy | restore | stream } → plan …
//! ```
//!
//! Any error ends the connection, is told as what is waited for, and is tried again with backoff (Promise 8). The
//! record says where to go on.

pub mod plan;

mod attach;
mod copy;
mod flow;
mod halt;
mod set_aside;
mod stream;
mod write;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use self::{
    attach::{Attached, Rival},
    plan::{Observed, Plan, plan},
};
use crate::{
    address::Peer,
    causes::chain,
    config::ValidatedConfig,
    contract::WaitReason,
    dead_letters::DeadLetterFile,
    gate::GateGuard,
    link::{Goal, Link},
    position::{Offset, Position},
    record::{Record, StreamPosition},
    sentinel::follow::Resolution,
    spool::Spool,
    state::{HaltDetails, WaitSubject},
    target::{error::TargetError, take_over::Claim},
};

/// The first wait after an error; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest: what is gone comes back soon after it is there again.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A sign of life at least every 10 s (Promise 7), with room for a slow target.
const ALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// After this much idleness the record is written clean (Promise 8).
const IDLE_BEFORE_CLEAN: Duration = Duration::from_secs(1);

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// The spool has more, or other, bytes.
    Spool,
    /// The configuration changed.
    Config,
    /// An orderly end was asked for.
    Shutdown,
    /// The time is over.
    Time,
}

/// The target's side of a link.
pub struct Applier {
    link: Arc<Link>,
    resolution: watch::Receiver<Resolution>,
    /// Of its own, so that a change wakes it once.
    config: watch::Receiver<Arc<ValidatedConfig>>,
    claim: Claim,
    /// Held while an EXEC's outcome is unknown.
    held: Option<GateGuard>,
    /// The last position whose batch's replies were seen and checked by this process.
    confirmed: Option<Position>,
    /// The unit that the target refused, to be set aside when it is met again.
    rejected: Option<(Offset, String)>,
    dead_letters: DeadLetterFile,
    /// A unit failed within its batch, and the halt is not in the record yet.
    unrecorded_halt: Option<HaltDetails>,
    rival: Option<Rival>,
    alive_count: u64,
    alive_due: Instant,
    backoff: Duration,
}

impl Applier {
    /// The target's side, in a process of that nonce.
    pub fn new(link: Arc<Link>, resolution: watch::Receiver<Resolution>, nonce: String) -> Self {
        let dead_letters = DeadLetterFile::new(&link.config().spool.dir);
        Self {
            rejected: None,
            dead_letters,
            config: link.config.clone(),
            link,
            resolution,
            claim: Claim { nonce, term: None, may_displace: false },
            held: None,
            confirmed: None,
            unrecorded_halt: None,
            rival: None,
            alive_count: 0,
            alive_due: Instant::now(),
            backoff: BACKOFF_MIN,
        }
    }

    /// Runs until an orderly end is asked for, then drains.
    pub async fn run(mut self) {
        let shutdown = self.link.shutdown.clone();
        self.show_dead_letters();
        loop {
            let error = match self.session().await {
                Ok(()) => break,
                Err(error) => error,
            };
            if self.link.is_shutting_down() {
                tracing::warn!(%error, "ending without having drained");
                break;
            }
            self.note(&error);
            self.link.state.counts.target_reconnects.add(1);
            tokio::select! {
                () = shutdown.requested() => {}
                // Sentinel names another master: no reason to wait any longer.
                Ok(()) = self.resolution.changed() => {}
                () = tokio::time::sleep(self.backoff) => {}
            }
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        self.link.drained.send_replace(true);
    }

    fn note(&mut self, error: &TargetError) {
        let state = &self.link.state;
        match error {
            // Told at its end, by what comes after it.
            TargetError::MasterChanged => {
                tracing::info!("the target's master changed, or is dialled elsewhere");
                self.backoff = BACKOFF_MIN;
            }
            error => {
                if matches!(error, TargetError::NotEmpty { .. }) {
                    self.link.want(Goal::Hold);
                }
                state.set_waiting(error.wait_reason(), chain(error));
            }
        }
        // While a foreign process owns the target, nothing that we know of it holds, and no copy of ours is wanted.
        if matches!(error, TargetError::Superseded(_)) {
            self.link.want(Goal::Hold);
            self.link.set_begun_copy(None);
        }
    }

    /// From a connection to its end. `Ok` is an orderly end of the process.
    async fn session(&mut self) -> Result<(), TargetError> {
        let mut attached = self.attach().await?;
        self.record_lost_halt(&mut attached).await?;
        loop {
            if self.link.is_shutting_down() && !self.has_stream(&attached) {
                return Ok(());
            }
            match self.plan(&mut attached).await? {
                Plan::Refuse => return Err(attached.not_empty()),
                Plan::Halted => {
                    if self.wait_for_release(&mut attached).await? == Wake::Shutdown {
                        return Ok(());
                    }
                }
                Plan::Ask(goal) => {
                    if attached.record.is_none() {
                        // Nothing can be written yet; the target was found fit for it.
                        self.target_took_a_write();
                    }
                    self.link.want(goal);
                    if self.wait(&mut attached, Duration::from_secs(1)).await? == Wake::Shutdown {
                        return Ok(());
                    }
                }
                Plan::BeginCopy(_) | Plan::Restore if self.is_paused() => {
                    self.link.want(Goal::Continue);
                    if self.wait(&mut attached, Duration::from_secs(1)).await? == Wake::Shutdown {
                        return Ok(());
                    }
                }
                Plan::BeginCopy(copy_id) => {
                    self.begin_copy(&mut attached, copy_id).await?;
                }
                Plan::Restore => {
                    self.link.want(Goal::Continue);
                    self.copy(&mut attached).await?;
                }
                Plan::Stream => {
                    if self.stream(&mut attached).await? == Wake::Shutdown {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn has_stream(&self, attached: &Attached) -> bool {
        attached
            .record
            .as_ref()
            .is_some_and(|record| record.position.is_some() && record.halt.is_none())
    }

    async fn plan(&self, attached: &mut Attached) -> Result<Plan, TargetError> {
        let link = &self.link;
        let has_foreign_keys = match &attached.record {
            Some(_) => false,
            None => attached.has_foreign_keys().await?,
        };
        Ok(plan(&Observed {
            record: attached.record.as_ref(),
            has_foreign_keys,
            on_existing_data: link.config().on_existing_data,
            spooled_copy: link.spool.copy(),
            begun_copy: link.begun_copy(),
            is_covered: attached
                .record
                .as_ref()
                .is_some_and(|record| covered(&link.spool, record).is_some()),
            has_range: link.spool.live_range().is_some(),
        }))
    }

    /// The target took a write: nothing of it is waited for any more.
    fn target_took_a_write(&mut self) {
        self.backoff = BACKOFF_MIN;
        let state = &self.link.state;
        state.clear_waiting(WaitSubject::Target);
        state.clear_waiting_for(
            WaitSubject::Pair,
            &[WaitReason::TargetNotEmpty, WaitReason::Superseded],
        );
        state.clear_waiting_for(WaitSubject::Spool, &[WaitReason::DiskError]);
    }

    /// Whether applying rests. The source is read on.
    fn is_paused(&self) -> bool {
        let is_paused = self.link.config.borrow().paused;
        match is_paused {
            true => {
                self.link.state.set_waiting(WaitReason::Paused, "the configuration says paused");
            }
            false => self.link.state.clear_waiting(WaitSubject::Pause),
        }
        is_paused
    }

    /// Waits for a change of anything that the next step depends on, at most for `limit`. Gives signs of life.
    async fn wait(
        &mut self,
        attached: &mut Attached,
        limit: Duration,
    ) -> Result<Wake, TargetError> {
        self.check_master(&attached.peer)?;
        self.give_sign_of_life(attached).await?;
        let is_paused = self.is_paused();
        let shutdown = self.link.shutdown.clone();
        let deadline = (Instant::now() + limit).min(self.alive_due);
        tokio::select! {
            () = shutdown.requested() => Ok(Wake::Shutdown),
            _ = self.resolution.changed() => {
                self.check_master(&attached.peer)?;
                Ok(Wake::Time)
            }
            // While applying rests, bytes that arrive are no reason to wake.
            _ = attached.spool_progress.changed(), if !is_paused => Ok(Wake::Spool),
            _ = self.config.changed() => Ok(Wake::Config),
            () = tokio::time::sleep_until(deadline) => Ok(Wake::Time),
        }
    }

    /// The master that Sentinel names is still the one that we write to, and keeps what it is given. No word from any
    /// Sentinel is no reason to stop: the node itself says what it is.
    fn check_master(&self, peer: &Peer) -> Result<(), TargetError> {
        if let Some(why) = &*self.link.evicts.borrow() {
            return Err(TargetError::Evicts(why.clone()));
        }
        match &*self.resolution.borrow() {
            Resolution::Known(candidate) if candidate.peer() != *peer => {
                Err(TargetError::MasterChanged)
            }
            _ => Ok(()),
        }
    }
}

/// The position that the spool can go on from: the record's, or the end of the data before it where a failover of the
/// source has taken the housekeeping behind.
fn covered(spool: &Spool, record: &Record) -> Option<StreamPosition> {
    let is_covered = |at: &StreamPosition| {
        spool.find_range(at.position).is_some_and(|range| range.copy_id == record.copy_id)
    };
    record.position.filter(is_covered).or(record.data_position().filter(is_covered))
}
