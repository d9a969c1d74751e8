//! How far the target is behind. Pure: times and offsets in, numbers out.
//!
//! Lag in time is now less the moment at which the source's offset first passed the checkpoint. So the moments are
//! kept at which offsets were first seen, thinned where they lie close together.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::position::Offset;

/// Offsets seen within a step count as seen at its start: lag is overstated by so much at most. The step to begin with.
const STEP_MIN: Duration = Duration::from_millis(5);
/// At most so many moments. When they are full the step doubles: it stays below a thousandth of the time they span.
const MOMENTS_MAX: usize = 8192;

/// What lies between source and target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The source's offset less the checkpoint.
    pub bytes: u64,
    /// Since the source passed the checkpoint with data.
    pub milliseconds: u64,
    /// Nothing but housekeeping is behind.
    pub is_idle: bool,
}

/// The moments of one history.
#[derive(Debug)]
pub struct LagTracker {
    moments: VecDeque<(Instant, Offset)>,
    step: Duration,
    source: Offset,
    received: Offset,
    data_end: Offset,
}

impl Default for LagTracker {
    fn default() -> Self {
        let zero = Offset(0);
        Self {
            moments: VecDeque::new(),
            step: STEP_MIN,
            source: zero,
            received: zero,
            data_end: zero,
        }
    }
}

impl LagTracker {
    /// Another history: offsets seen before mean nothing.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The stream goes on at `offset`: what was seen above it is of no more use (a cut). The moment counts for what
    /// is spooled already and was never seen.
    pub fn resume(&mut self, now: Instant, offset: Offset) {
        self.moments.retain(|(_, seen)| *seen <= offset);
        if self.moments.back().is_none_or(|(_, seen)| *seen < offset) {
            self.moments.push_back((now, offset));
        }
        self.source = offset;
        self.received = offset;
        self.data_end = offset;
    }

    /// The source said its own offset.
    pub fn note_source(&mut self, now: Instant, offset: Offset) {
        if offset <= self.source {
            return;
        }
        self.source = offset;
        match self.moments.back_mut() {
            Some((at, last)) if now.saturating_duration_since(*at) < self.step => *last = offset,
            _ => self.moments.push_back((now, offset)),
        }
        if self.moments.len() > MOMENTS_MAX {
            self.thin_out();
        }
    }

    /// Doubles the step: moments within one step become its first, with the last's offset.
    fn thin_out(&mut self) {
        self.step *= 2;
        let mut kept: VecDeque<(Instant, Offset)> = VecDeque::with_capacity(MOMENTS_MAX);
        for (at, offset) in self.moments.drain(..) {
            match kept.back_mut() {
                Some((first, last)) if at.saturating_duration_since(*first) < self.step => {
                    *last = offset
                }
                _ => kept.push_back((at, offset)),
            }
        }
        self.moments = kept;
    }

    /// Bytes arrived up to `received`; the last unit with data ends at `data_end`.
    pub fn note_received(&mut self, now: Instant, received: Offset, data_end: Offset) {
        self.note_source(now, received);
        self.received = received;
        self.data_end = data_end;
    }

    /// The lag of a checkpoint.
    pub fn behind(&mut self, now: Instant, checkpoint: Offset) -> Behind {
        while self.moments.front().is_some_and(|(_, offset)| *offset <= checkpoint) {
            self.moments.pop_front();
        }
        if self.moments.len() < MOMENTS_MAX / 8 {
            self.step = STEP_MIN;
        }
        let is_idle = checkpoint >= self.data_end && self.source <= self.received.max(checkpoint);
        let since = self.moments.front().map_or(now, |(at, _)| *at);
        Behind {
            bytes: self.source.0.saturating_sub(checkpoint.0),
            milliseconds: match is_idle {
                true => 0,
                false => now.saturating_duration_since(since).as_millis() as u64,
            },
            is_idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_the_first_offset_that_is_not_applied() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut lag = LagTracker::default();
        lag.resume(at(0), Offset(100));
        lag.note_received(at(0), Offset(200), Offset(200));
        lag.note_received(at(1000), Offset(300), Offset(300));
        lag.note_source(at(2000), Offset(350));
        let behind = |bytes, milliseconds| Behind { bytes, milliseconds, is_idle: false };
        assert_eq!(lag.behind(at(3000), Offset(100)), behind(250, 3000));
        assert_eq!(lag.behind(at(3000), Offset(200)), behind(150, 2000));
        assert_eq!(lag.behind(at(3000), Offset(300)), behind(50, 1000), "not yet received");
        assert_eq!(
            lag.behind(at(3000), Offset(350)),
            Behind { bytes: 0, milliseconds: 0, is_idle: true }
        );
    }

    #[test]
    fn housekeeping_alone_is_no_lag_in_time() {
        let start = Instant::now();
        let mut lag = LagTracker::default();
        lag.resume(start, Offset(100));
        lag.note_received(start, Offset(114), Offset(100));
        let later = start + Duration::from_secs(9);
        assert_eq!(
            lag.behind(later, Offset(100)),
            Behind { bytes: 14, milliseconds: 0, is_idle: true }
        );
    }

    #[test]
    fn a_new_connection_does_not_make_the_lag_look_young() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut lag = LagTracker::default();
        lag.resume(at(0), Offset(100));
        lag.note_received(at(1000), Offset(200), Offset(200));
        lag.note_received(at(2000), Offset(300), Offset(300));
        lag.resume(at(5000), Offset(250));
        assert_eq!(
            lag.behind(at(6000), Offset(100)),
            Behind { bytes: 150, milliseconds: 5000, is_idle: false }
        );
        assert_eq!(
            lag.behind(at(6000), Offset(200)),
            Behind { bytes: 50, milliseconds: 1000, is_idle: false }
        );
    }

    #[test]
    fn moments_are_bounded_and_the_oldest_stays() {
        let start = Instant::now();
        let mut lag = LagTracker::default();
        lag.resume(start, Offset(0));
        for step in 1..=100_000 {
            let offset = Offset(step);
            lag.note_received(start + Duration::from_millis(10 * step), offset, offset);
        }
        assert!(lag.moments.len() <= MOMENTS_MAX);
        let behind = lag.behind(start + Duration::from_secs(1000), Offset(0));
        assert!((999_000..=1_000_000).contains(&behind.milliseconds), "{behind:?}");
    }
}
