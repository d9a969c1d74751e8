//! How long to wait before the next attempt at one Sentinel, or at the node that it names.

use std::time::Duration;

/// A restarted Sentinel answers within a fraction of a second.
const FIRST: Duration = Duration::from_millis(200);
/// One that is back is heard again within this time. More often would be noise at a host that is gone.
const LONGEST: Duration = Duration::from_secs(5);

/// Doubles from 0.2 to 5 s, with jitter, so that several watchers do not come back in step.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Before the first attempt.
    pub fn new() -> Self {
        Self { next: FIRST }
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The time to wait now: between half of the step and all of it.
    pub fn step(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        // Without randomness the wait is the whole step, which is no more than less kind.
        let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
        step.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_to_the_longest_and_start_anew_after_a_success() {
        let mut backoff = Backoff::new();
        for step in [200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = backoff.step().as_millis();
            assert!((step / 2..=step).contains(&wait), "{wait} ms at the step of {step} ms");
        }
        backoff.reset();
        assert!(backoff.step() <= FIRST);
    }
}
