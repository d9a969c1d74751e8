//! Full copies: how many and why, and how far the one under way is.

use std::time::{Duration, Instant};

use crate::contract::{CopyPhase, CopyProgress, FullCopies, FullCopyReason, Timestamp};

/// Before this share and this time the pace so far says nothing about the rest.
const ESTIMATE_PERCENT_MIN: f64 = 1.0;
const ESTIMATE_SECONDS_MIN: f64 = 2.0;

#[derive(Debug, Default)]
pub(super) struct CopyState {
    by_reason: Vec<(FullCopyReason, u64)>,
    last_reason: Option<FullCopyReason>,
    last_started: Option<Timestamp>,
    last_finished: Option<Timestamp>,
    current: Option<Current>,
    last_duration: Option<Duration>,
    finished: u64,
}

/// How long full copies take, by a clock that nobody sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyTimes {
    /// Since when one is under way in this process.
    pub running_since: Option<Instant>,
    /// How long the last one took that ended whole.
    pub last_duration: Option<Duration>,
    /// How many have ended whole.
    pub finished: u64,
}

#[derive(Debug)]
struct Current {
    phase: CopyPhase,
    copy_id: String,
    bytes_received: u64,
    bytes_total: Option<u64>,
    keys_restored: u64,
    keys_total: Option<u64>,
    begun: Instant,
    /// When restoring began; the source's fork before it is no measure of the pace.
    restoring_since: Option<Instant>,
}

impl CopyState {
    pub(super) fn start(&mut self, reason: FullCopyReason, copy_id: String) {
        match self.by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.by_reason.push((reason, 1)),
        }
        self.last_reason = Some(reason);
        self.last_started = Some(Timestamp::now());
        self.current = Some(Current::new(copy_id));
    }

    /// Whether that is another part than before.
    /// One that an earlier process began, or that starts again from the spool: shown, not counted.
    pub(super) fn go_on(&mut self, copy_id: String) -> bool {
        if self.current.as_ref().is_some_and(|current| current.copy_id == copy_id) {
            return false;
        }
        self.current = Some(Current::new(copy_id));
        true
    }

    pub(super) fn enter(&mut self, phase: CopyPhase) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        if phase == CopyPhase::Restoring && current.restoring_since.is_none() {
            current.restoring_since = Some(Instant::now());
        }
        super::replace(&mut current.phase, phase)
    }

    pub(super) fn set_totals(&mut self, bytes: Option<u64>, keys: Option<u64>) {
        if let Some(current) = &mut self.current {
            current.bytes_total = bytes.or(current.bytes_total);
            current.keys_total = keys.or(current.keys_total);
        }
    }

    pub(super) fn set_bytes_received(&mut self, bytes: u64) {
        if let Some(current) = &mut self.current {
            current.bytes_received = bytes;
        }
    }

    pub(super) fn set_keys_restored(&mut self, keys: u64) {
        if let Some(current) = &mut self.current {
            current.keys_restored = keys;
        }
    }

    pub(super) fn finish(&mut self) -> bool {
        self.last_finished = Some(Timestamp::now());
        if let Some(current) = self.current.take() {
            self.last_duration = Some(current.begun.elapsed());
        }
        self.finished += 1;
        true
    }

    pub(super) fn interrupt(&mut self) -> bool {
        self.current.take().is_some()
    }

    pub(super) fn times(&self) -> CopyTimes {
        CopyTimes {
            running_since: self.current.as_ref().map(|current| current.begun),
            last_duration: self.last_duration,
            finished: self.finished,
        }
    }

    /// Every reason, those that never occurred with 0, so that a rate over them begins at the first copy.
    pub(super) fn by_reason(&self) -> Vec<(FullCopyReason, u64)> {
        let count = |reason| {
            self.by_reason.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
        };
        FullCopyReason::ALL.iter().map(|reason| (*reason, count(*reason))).collect()
    }

    pub(super) fn report(&self) -> FullCopies {
        FullCopies {
            count: self.by_reason.iter().map(|(_, count)| count).sum(),
            last_reason: self.last_reason,
            last_started: self.last_started,
            last_finished: self.last_finished,
            progress: self.current.as_ref().map(Current::report),
        }
    }
}

impl Current {
    fn new(copy_id: String) -> Self {
        Self {
            phase: CopyPhase::Preparing,
            copy_id,
            bytes_received: 0,
            bytes_total: None,
            keys_restored: 0,
            keys_total: None,
            begun: Instant::now(),
            restoring_since: None,
        }
    }

    fn report(&self) -> CopyProgress {
        let percent = self.percent();
        let elapsed = self.restoring_since.map(|since| since.elapsed().as_secs_f64());
        CopyProgress {
            phase: self.phase,
            copy_id: self.copy_id.clone(),
            bytes_received: self.bytes_received,
            bytes_total: self.bytes_total,
            keys_restored: self.keys_restored,
            keys_total: self.keys_total,
            percent,
            seconds_left: percent.zip(elapsed).and_then(|(done, spent)| seconds_left(done, spent)),
        }
    }

    /// By keys, since that is what the target has; by bytes where the source did not count its keys. Writes
    /// during the copy may take it past its total.
    fn percent(&self) -> Option<f64> {
        if self.phase == CopyPhase::Sweeping {
            return Some(100.0);
        }
        let by_keys = self.keys_total.map(|total| (self.keys_restored, total));
        let by_bytes = self.bytes_total.map(|total| (self.bytes_received, total));
        let (done, total) = by_keys.or(by_bytes)?;
        if total == 0 {
            return Some(100.0);
        }
        let percent = (done as f64 / total as f64 * 100.0).min(100.0);
        Some((percent * 10.0).round() / 10.0)
    }
}

fn seconds_left(percent: f64, seconds_spent: f64) -> Option<u64> {
    let is_early = percent < ESTIMATE_PERCENT_MIN || seconds_spent < ESTIMATE_SECONDS_MIN;
    (!is_early).then(|| (seconds_spent * (100.0 - percent) / percent).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(copies: &CopyState) -> CopyProgress {
        copies.report().progress.unwrap()
    }

    #[test]
    fn progress_goes_by_keys_and_else_by_bytes() {
        let mut copies = CopyState::default();
        copies.start(FullCopyReason::Initial, "c1".to_owned());
        assert_eq!(progress(&copies).percent, None);
        copies.set_totals(Some(2000), None);
        copies.set_bytes_received(500);
        assert_eq!(progress(&copies).percent, Some(25.0));
        copies.set_totals(None, Some(3));
        copies.set_keys_restored(1);
        assert_eq!(progress(&copies).percent, Some(33.3));
        assert_eq!(progress(&copies).bytes_total, Some(2000));
        copies.set_keys_restored(9);
        assert_eq!(progress(&copies).percent, Some(100.0));
    }

    #[test]
    fn time_left_is_told_when_there_is_a_pace() {
        assert_eq!(seconds_left(0.0, 100.0), None);
        assert_eq!(seconds_left(50.0, 1.0), None);
        assert_eq!(seconds_left(25.0, 10.0), Some(30));
        assert_eq!(seconds_left(100.0, 10.0), Some(0));
    }

    #[test]
    fn copies_are_counted_by_reason() {
        let mut copies = CopyState::default();
        copies.start(FullCopyReason::Initial, "c1".to_owned());
        assert!(copies.interrupt());
        assert!(!copies.interrupt());
        copies.start(FullCopyReason::InterruptedCopy, "c2".to_owned());
        copies.finish();
        let report = copies.report();
        assert_eq!((report.count, report.progress), (2, None));
        assert_eq!(report.last_reason, Some(FullCopyReason::InterruptedCopy));
        assert!(copies.by_reason().contains(&(FullCopyReason::Initial, 1)));
        assert!(copies.by_reason().contains(&(FullCopyReason::Requested, 0)));
    }
}
