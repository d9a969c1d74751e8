//! Gives changed numbers a revision, at a pace that does not wear out whoever reads them.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::LinkState;
use crate::contract::{SyncReport, Timestamp};

/// Numbers alone change the revision this often at most. An operator with 1,000 pairs gets 500 reports a
/// second from it, and a person at a terminal that repeats `status` sees a lag that moves.
pub const NUMBERS_INTERVAL: Duration = Duration::from_secs(2);

/// Runs as long as it is polled; ends with the task that holds it.
pub async fn publish_numbers(state: Arc<LinkState>) {
    publish_numbers_every(&state, NUMBERS_INTERVAL).await;
}

pub(super) async fn publish_numbers_every(state: &LinkState, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut published = without_time(state.snapshot());
    loop {
        ticks.tick().await;
        let current = without_time(state.snapshot());
        if current.links != published.links || current.waits != published.waits {
            state.bump();
        }
        published = current;
    }
}

/// What changes by itself must not count as a change.
fn without_time(mut report: SyncReport) -> SyncReport {
    report.observed_at = Timestamp::from_millis(0);
    for link in &mut report.links {
        // These move on an idle pair too; whoever wants them scrapes the metrics.
        link.backlog = None;
        link.expiry = None;
        if let Some(progress) = &mut link.full_copies.progress {
            progress.seconds_left = None;
        }
    }
    report
}
