//! What a link's tasks write and the report reads. Sits beside the pipeline: tasks push into [`LinkState`],
//! [`LinkState::snapshot`] turns it into a [`SyncReport`]. It decides nothing and nothing may decide by it:
//! it is gone with the process, the record in the target is the truth.
//!
//! Hot paths touch relaxed atomics only. A change of state takes a short lock and gives the report a new
//! revision at once, which wakes long polls; changes of numbers do so every [`NUMBERS_INTERVAL`] at most.

mod copy;
mod gauge;
mod numbers;
mod parts;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::{error, info, warn};

use self::{
    copy::CopyState,
    gauge::LagGauge,
    parts::{EndParts, Parts, end_of},
};
pub use self::{
    copy::CopyTimes,
    gauge::{Count, Counts, Ladder, Rung},
    numbers::{NUMBERS_INTERVAL, publish_numbers},
    parts::WaitSubject,
};
use crate::{
    config::{Site, ValidatedConfig},
    contract::{
        BacklogReport, Check, CopyPhase, DataVerified, EndReport, ExpiryReport, FullCopyReason,
        Halt, HaltReason, LinkReport, Owner, Phase, REPORT_VERSION, RecordPosition, SpoolUse,
        SyncReport, Timestamp, Verification, WaitEnd, WaitReason, WaitingFor,
    },
    position::{DbIndex, Position},
};

/// Field, problem and remedy of every error of ours fit.
const CONFIG_ERROR_LENGTH_MAX: usize = 1000;

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The site that is read.
    Source,
    /// The site that is written.
    Target,
}

/// Everything that is told about one link, shared by all its tasks. Memory-only.
#[derive(Debug)]
pub struct LinkState {
    nonce: String,
    pair_id: String,
    source: EndReport,
    target: EndReport,
    spool_bytes_max: u64,
    revision: watch::Sender<u64>,
    parts: Mutex<Parts>,
    lag: LagGauge,
    /// The offset ladder; each rung is set by the task that owns it.
    pub ladder: Ladder,
    /// The counters; any task may add.
    pub counts: Counts,
    /// Bytes that the spool takes; set by the spool.
    pub spool_bytes: Count,
    /// Files of the spool; set by the spool.
    pub spool_segments: Count,
    /// Letters in the dead-letter file.
    pub dead_letters: Count,
}

/// What a halt says; the time is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaltDetails {
    /// Why.
    pub reason: HaltReason,
    /// The same in a sentence, with the evidence; no key names or values.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The end of the unit that it halted at.
    pub offset: Option<u64>,
    /// The full copy that it halted in.
    pub copy_id: Option<String>,
}

impl LinkState {
    /// A link that has just begun. `nonce` makes this process unique: it heads every revision, and a reader
    /// that remembers one of an earlier process is answered at once.
    pub fn new(config: &ValidatedConfig, nonce: String) -> Self {
        let state = Self {
            nonce,
            pair_id: config.pair_id.clone(),
            source: end_report(&config.source),
            target: end_report(&config.target),
            spool_bytes_max: config.spool.max_bytes,
            revision: watch::Sender::new(1),
            parts: Mutex::new(Parts::new()),
            lag: LagGauge::default(),
            ladder: Ladder::default(),
            counts: Counts::default(),
            spool_bytes: Count::default(),
            spool_segments: Count::default(),
            dead_letters: Count::default(),
        };
        state.set_paused(config.paused);
        state
    }

    /// What makes this process unique.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Follows the revision; its value says only that something changed.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// What the syncer is doing. While it waits or is halted the report shows that instead. Once it is
    /// draining only [`Phase::Stopped`] follows: a late word of some task is not taken.
    pub fn set_phase(&self, phase: Phase) {
        if self.change(|parts| parts.enter(phase)) {
            info!(%phase, "phase");
        }
    }

    /// The phase that the report shows.
    pub fn phase(&self) -> Phase {
        self.parts().shown_phase()
    }

    /// Something must pass by itself. Each [`WaitSubject`] has its own place, so that the end of one wait
    /// does not hide another's. Said again with the same reason it keeps its `since`. Logged here.
    pub fn set_waiting(&self, reason: WaitReason, message: impl Into<String>) {
        let message = message.into();
        let is_new = {
            let mut parts = self.parts();
            let slot = parts.waits.entry(WaitSubject::of(reason)).or_insert_with(|| WaitingFor {
                reason: WaitReason::Unknown,
                message: String::new(),
                since: Timestamp::now(),
                end: WaitEnd::Unknown,
            });
            let is_new = slot.reason != reason;
            if is_new {
                slot.reason = reason;
                slot.end = end_of(reason);
                slot.since = Timestamp::now();
            }
            slot.message.clone_from(&message);
            is_new
        };
        if is_new {
            warn!(%reason, message, "waiting");
            self.bump();
        }
    }

    /// The wait of this subject is over.
    pub fn clear_waiting(&self, subject: WaitSubject) {
        self.clear_waiting_if(subject, |_| true);
    }

    /// The same, if the wait is for one of these reasons: another task may wait for the same subject.
    pub fn clear_waiting_for(&self, subject: WaitSubject, reasons: &[WaitReason]) {
        self.clear_waiting_if(subject, |reason| reasons.contains(&reason));
    }

    fn clear_waiting_if(&self, subject: WaitSubject, is_over: impl Fn(WaitReason) -> bool) {
        let ended = {
            let mut parts = self.parts();
            let is_ended = parts.waits.get(&subject).is_some_and(|wait| is_over(wait.reason));
            if is_ended { parts.waits.remove(&subject) } else { None }
        };
        if let Some(WaitingFor { reason, since, .. }) = ended {
            let seconds = Timestamp::now().millis_since(since) / 1000;
            info!(%reason, seconds, "no longer waiting");
            self.bump();
        }
    }

    /// Every wait, the one that the report shows first.
    pub fn waits(&self) -> Vec<WaitingFor> {
        self.parts().waits.values().cloned().collect()
    }

    /// Only a human can decide. The record keeps the halt, and since when (an earlier process may have met it); this
    /// shows it. Logged here.
    pub fn set_halt(&self, details: HaltDetails, since: Timestamp) {
        let HaltDetails { reason, message, remedy, offset, copy_id } = details;
        let is_changed = self.change(|parts| {
            let ignored_release = match &parts.halt {
                Some(halt) if halt.since == since => halt.ignored_release.clone(),
                _ => None,
            };
            replace(
                &mut parts.halt,
                Some(Halt {
                    reason,
                    message: message.clone(),
                    remedy: remedy.clone(),
                    offset,
                    copy_id,
                    since,
                    ignored_release,
                }),
            )
        });
        if is_changed {
            error!(%reason, message, remedy, offset, "halted");
        }
    }

    /// The configuration holds a release that does not count for the halt, and why. Logged here.
    pub fn set_ignored_release(&self, why: Option<String>) {
        let is_changed = self.change(|parts| match &mut parts.halt {
            Some(halt) => replace(&mut halt.ignored_release, why.clone()),
            None => false,
        });
        if let (true, Some(why)) = (is_changed, why) {
            warn!(why, "a release is ignored");
        }
    }

    /// A human has released the halt.
    pub fn clear_halt(&self) {
        if self.change(|parts| replace(&mut parts.halt, None)) {
            info!("released");
        }
    }

    /// Whether the target's data are known to be right, and how many batches are in doubt.
    pub fn set_data_verified(&self, status: Verification, unchecked_batches: u64) {
        let verified = DataVerified { status, unchecked_batches };
        self.change(|parts| replace(&mut parts.data_verified, verified));
    }

    /// What the configuration says. Whether anything waits for it is the pipeline's to say.
    pub fn set_paused(&self, paused: bool) {
        self.change(|parts| replace(&mut parts.paused, paused));
    }

    /// Who may write, as last read from or written to the record.
    pub fn set_owner(&self, term: u64, nonce: &str) {
        let owner = Owner { term, nonce: nonce.to_owned() };
        self.change(|parts| replace(&mut parts.owner, Some(owner)));
    }

    /// The node that an end is connected to now. Another one than before is a switch that was followed, however the
    /// connection to the old one ended.
    pub fn set_address(&self, end: End, address: impl ToString) {
        let address = Some(address.to_string());
        self.change(|parts| {
            let (place, count) = match end {
                End::Source => (&mut parts.source.address, &self.counts.source_failovers),
                End::Target => (&mut parts.target.address, &self.counts.target_failovers),
            };
            count.add(u64::from(place.is_some() && *place != address));
            replace(place, address)
        });
    }

    /// The config epoch under which the sentinels name an end's master.
    pub fn set_epoch(&self, end: End, epoch: Option<u64>) {
        self.change(|parts| replace(&mut parts.end(end).epoch, epoch));
    }

    /// Whether an end's node answers, as asked regularly; else why not. Only the turn of it is a change of state.
    pub fn set_answer(&self, end: End, answer: Result<(), String>) {
        self.change(|parts| {
            let place = &mut parts.end(end).answer;
            let is_turn = place.as_ref().map(Result::is_ok) != Some(answer.is_ok());
            *place = Some(answer);
            is_turn
        });
    }

    /// What became of the configuration's file: why it cannot be used, and what of it waits for a restart.
    pub fn set_config_error(&self, error: Option<String>) {
        // It may quote a value as long as the file may be.
        let error = error.map(|error| error.chars().take(CONFIG_ERROR_LENGTH_MAX).collect());
        self.change(|parts| replace(&mut parts.config_error, error));
    }

    /// The fields of the configuration's file whose change waits for a restart.
    pub fn set_pending_restart(&self, fields: Vec<String>) {
        self.change(|parts| replace(&mut parts.pending_restart, fields));
    }

    /// The record's position. A number: it changes with each batch.
    pub fn set_position(&self, position: Position, db: DbIndex) {
        self.parts().position = Some((position, db));
    }

    /// There is no record (any more).
    pub fn clear_position(&self) {
        self.parts().position = None;
    }

    /// How far the target is behind; `idle`: only housekeeping is.
    pub fn set_lag(&self, bytes: u64, milliseconds: u64, idle: bool) {
        self.lag.set(bytes, milliseconds, idle);
    }

    /// The lag cannot be told (no position yet, another history).
    pub fn clear_lag(&self) {
        self.lag.clear();
    }

    /// A full copy that an earlier process began, or that starts again from the spool: shown, not counted.
    pub fn full_copy_continued(&self, copy_id: impl Into<String>) {
        let copy_id = copy_id.into();
        self.change(|parts| parts.copies.go_on(copy_id));
    }

    /// A full copy has begun. The phase becomes [`Phase::FullCopy`]. Logged here.
    pub fn full_copy_started(&self, reason: FullCopyReason, copy_id: impl Into<String>) {
        let copy_id = copy_id.into();
        warn!(%reason, copy_id, "full copy");
        self.change(|parts| {
            parts.enter(Phase::FullCopy);
            parts.copies.start(reason, copy_id);
            true
        });
    }

    /// The copy goes on with another part. The phase follows it.
    pub fn full_copy_phase(&self, phase: CopyPhase) {
        self.change(|parts| {
            let is_sweep = phase == CopyPhase::Sweeping;
            let shown = if is_sweep { Phase::Sweeping } else { Phase::FullCopy };
            parts.enter(shown) | parts.copies.enter(phase)
        });
    }

    /// Totals as the source gave them; what it did not give is `None`.
    pub fn full_copy_totals(&self, bytes: Option<u64>, keys: Option<u64>) {
        self.parts().copies.set_totals(bytes, keys);
    }

    /// Progress of the copy under way, in bytes of the RDB that arrived.
    pub fn set_copy_bytes_received(&self, bytes: u64) {
        self.parts().copies.set_bytes_received(bytes);
    }

    /// Progress of the copy under way, in keys. [`Counts::keys_restored`] is counted beside it.
    pub fn set_copy_keys_restored(&self, keys: u64) {
        self.parts().copies.set_keys_restored(keys);
    }

    /// The copy has ended whole, its sweep included; the phase becomes [`Phase::CatchingUp`].
    pub fn full_copy_finished(&self) {
        self.change(|parts| {
            parts.enter(Phase::CatchingUp);
            // Whatever the target had lost before, it has again.
            parts.evicted_before_copy = self.counts.keys_evicted.get();
            parts.copies.finish()
        });
    }

    /// The copy was cut short; the next one counts anew.
    pub fn full_copy_interrupted(&self) {
        self.change(|parts| parts.copies.interrupt());
    }

    /// The preflight's checks, all of them.
    pub fn set_preflight(&self, checks: Vec<Check>) {
        self.change(|parts| replace(&mut parts.preflight, checks));
    }

    /// The source's backlog. Only the turn of its health is a change of state.
    pub fn set_backlog(&self, backlog: Option<BacklogReport>) {
        self.change(|parts| {
            let health = |backlog: &Option<BacklogReport>| backlog.as_ref().map(|it| it.health);
            let is_turn = health(&parts.backlog) != health(&backlog);
            parts.backlog = backlog;
            is_turn
        });
    }

    /// Whether keys may run out too early at the target. Only the turn of it is a change of state.
    pub fn set_expiry(&self, expiry: ExpiryReport) {
        self.change(|parts| {
            let is_turn = parts.expiry.as_ref().map(|it| it.risk) != Some(expiry.risk);
            parts.expiry = Some(expiry);
            is_turn
        });
    }

    /// How fast the source's stream grows, once that was measured.
    pub fn stream_bytes_per_second(&self) -> Option<f64> {
        self.parts().backlog.as_ref().map(|backlog| backlog.write_bytes_per_second as f64)
    }

    /// How far the target is behind in time, where that is known.
    pub fn lag_milliseconds(&self) -> Option<u64> {
        self.lag.read().milliseconds
    }

    /// Keys that the target has evicted since the last full copy ended.
    pub fn evicted_since_copy(&self) -> u64 {
        let before = self.parts().evicted_before_copy;
        self.counts.keys_evicted.get().saturating_sub(before)
    }

    /// When the full copy under way was begun, how long the last one took, and how many have ended whole.
    pub fn copy_times(&self) -> CopyTimes {
        self.parts().copies.times()
    }

    /// Full copies started, by reason, for the metrics.
    pub fn full_copies_by_reason(&self) -> Vec<(FullCopyReason, u64)> {
        self.parts().copies.by_reason()
    }

    /// Everything, as of now.
    pub fn snapshot(&self) -> SyncReport {
        // Read first: what is read after it is at least as new, so a reader that polls with this revision
        // never misses a change (it may be woken once too often).
        let revision = *self.revision.borrow();
        let parts = self.parts();
        let source = end_now(&self.source, &parts.source, parts.waits.get(&WaitSubject::Source));
        let target = end_now(&self.target, &parts.target, parts.waits.get(&WaitSubject::Target));
        let link = LinkReport {
            link: "0".to_owned(),
            source,
            target,
            position: parts.position.map(|(position, db)| RecordPosition {
                replid: position.replid.to_string(),
                offset: position.offset.0,
                db: db.0,
            }),
            offsets: self.ladder.read(),
            lag: self.lag.read(),
            full_copies: parts.copies.report(),
            spool: SpoolUse {
                bytes: self.spool_bytes.get(),
                max_bytes: self.spool_bytes_max,
                segments: self.spool_segments.get(),
            },
            dead_letters: self.dead_letters.get(),
            counters: self.counts.read(),
            backlog: parts.backlog.clone(),
            expiry: parts.expiry.clone(),
            evicted_since_copy: self
                .counts
                .keys_evicted
                .get()
                .saturating_sub(parts.evicted_before_copy),
        };
        SyncReport {
            version: REPORT_VERSION,
            revision: self.revision_text(revision),
            observed_at: Timestamp::now(),
            pair_id: self.pair_id.clone(),
            phase: parts.shown_phase(),
            waiting_for: parts.waits.values().next().cloned(),
            waits: parts.waits.values().cloned().collect(),
            halt: parts.halt.clone(),
            data_verified: parts.data_verified,
            paused: parts.paused,
            config_error: parts.config_error.clone(),
            pending_restart: parts.pending_restart.clone(),
            owner: parts.owner.clone(),
            preflight: parts.preflight.clone(),
            links: vec![link],
        }
    }

    /// The current revision as reports write it.
    pub fn current_revision(&self) -> String {
        self.revision_text(*self.revision.borrow())
    }

    /// Who follows the revision now: tests wait for a long poll to have arrived.
    #[cfg(test)]
    pub(crate) fn watcher_count(&self) -> usize {
        self.revision.receiver_count()
    }

    fn revision_text(&self, revision: u64) -> String {
        format!("{}-{revision}", self.nonce)
    }

    /// Applies a change; `true` from it means that the state is another now.
    fn change(&self, apply: impl FnOnce(&mut Parts) -> bool) -> bool {
        let is_changed = apply(&mut self.parts());
        if is_changed {
            self.bump();
        }
        is_changed
    }

    fn bump(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// A task that panicked while it held the lock left whole values behind: each change is one assignment.
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts `value` in place; whether it is another than before.
fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let is_changed = *place != value;
    *place = value;
    is_changed
}

fn end_report(site: &Site) -> EndReport {
    EndReport {
        name: site.name.clone(),
        address: None,
        topology: site.endpoint.topology(),
        reachable: None,
        last_error: None,
        epoch: None,
    }
}

fn end_now(end: &EndReport, parts: &EndParts, wait: Option<&WaitingFor>) -> EndReport {
    let (reachable, last_error) = parts.reachable(wait);
    let (address, epoch) = (parts.address.clone(), parts.epoch);
    EndReport { address, reachable, last_error, epoch, ..end.clone() }
}

#[cfg(test)]
pub(crate) mod tests;
