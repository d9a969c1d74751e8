//! The source's side of a link: attaches like a replica, and takes off the socket what the source sends.
//!
//! ```text
//! goal → attach (role, record, history, cut, PSYNC) → receive (RDB, stream → spool; ACK) → again
//! ```
//!
//! Any error ends the connection, is told as what is waited for, and is tried again with backoff (Promise 8).

pub mod error;
pub mod handshake;
pub mod info;
pub mod poll;
pub mod rdb_transfer;
pub mod scanner;

mod attach;
mod prepare;
mod receive;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use self::{error::SourceError, poll::Poll};
use crate::{
    address::Peer,
    causes::chain,
    link::{Goal, Link},
    resp::RespError,
    sentinel::follow::Resolution,
    spool::{CopyId, SpoolError},
    state::WaitSubject,
};

/// The first wait after an error; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A stream that lasted so long ends with the shortest wait.
const STREAM_MIN: Duration = Duration::from_secs(1);
/// A connection closed for room is not opened again before there is this much, or a quarter of a small spool: one that
/// is smaller than this would never have it.
const ROOM_BYTES: u64 = 4 << 20;
/// A copy that fails so often for room waits: it would only make the source fork.
const RDB_FAILURES_MAX: u32 = 2;

/// The source's side of a link.
pub struct SourceSide {
    link: Arc<Link>,
    resolution: watch::Receiver<Resolution>,
    poll: watch::Receiver<Poll>,
    peer: Peer,
    /// The full copy that the stream belongs to.
    copy_id: Option<CopyId>,
    /// The last connection was closed for want of room, and nothing was spooled since.
    was_spool_full: bool,
    /// The disk failed, and nothing was spooled since.
    has_disk_failed: bool,
    rdb_failures: u32,
    /// The length of the RDB that came last, if the source told.
    rdb_length: Option<u64>,
    /// When the stream of this connection began.
    stream_since: Option<Instant>,
}

impl SourceSide {
    /// The source's side; `poll` tells what the source says of itself.
    pub fn new(
        link: Arc<Link>,
        resolution: watch::Receiver<Resolution>,
        poll: watch::Receiver<Poll>,
    ) -> Self {
        Self {
            link,
            resolution,
            poll,
            peer: Peer::default(),
            copy_id: None,
            was_spool_full: false,
            has_disk_failed: false,
            rdb_failures: 0,
            rdb_length: None,
            stream_since: None,
        }
    }

    /// Runs until an orderly end is asked for.
    pub async fn run(mut self) {
        let shutdown = self.link.shutdown.clone();
        let mut backoff = BACKOFF_MIN;
        while !shutdown.is_requested() {
            let Some(goal) = self.next_goal().await else { break };
            let error = match self.session(goal, &mut backoff).await {
                Ok(()) => break,
                Err(error) => error,
            };
            self.link.state.counts.source_reconnects.add(1);
            match error {
                SourceError::GoalChanged => {
                    backoff = BACKOFF_MIN;
                    continue;
                }
                SourceError::MasterChanged => {
                    tracing::info!(
                        old = self.peer.address,
                        "the source's master changed, or is dialled elsewhere"
                    );
                    backoff = BACKOFF_MIN;
                    continue;
                }
                error => self.link.state.set_waiting(error.wait_reason(), chain(&error)),
            }
            if self.has_disk_failed {
                // The source answers well each time: only what is spooled shows that the disk works again.
                backoff = BACKOFF_MAX;
            }
            tokio::select! {
                () = shutdown.requested() => {}
                _ = self.resolution.changed() => backoff = BACKOFF_MIN,
                () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MAX),
            }
        }
    }

    async fn session(&mut self, goal: Goal, backoff: &mut Duration) -> Result<(), SourceError> {
        self.stream_since = None;
        let shutdown = self.link.shutdown.clone();
        let (connection, follows) = tokio::select! {
            attached = self.attach(goal) => attached?,
            () = shutdown.requested() => return Ok(()),
        };
        self.link.is_source_attached.store(true, Relaxed);
        let ended = self.receive(connection, follows).await;
        self.link.is_source_attached.store(false, Relaxed);
        // A copy that breaks off must not make the source fork at full speed.
        if self.stream_since.is_some_and(|since| since.elapsed() >= STREAM_MIN) {
            *backoff = BACKOFF_MIN;
        }
        ended
    }

    fn room_wanted(&self) -> u64 {
        ROOM_BYTES.min(self.link.config().spool.max_bytes / 4)
    }

    /// The spool refused what came.
    fn note_spool_failure(&mut self, error: &SpoolError) {
        self.was_spool_full |= error.is_full();
        self.has_disk_failed = !error.is_over_budget();
    }

    /// The spool took what came: an earlier want of room is no reason for anything any more.
    fn note_spooled(&mut self) {
        if self.was_spool_full || self.has_disk_failed {
            (self.was_spool_full, self.has_disk_failed) = (false, false);
            self.link.state.clear_waiting(WaitSubject::Spool);
        }
    }

    /// What the target's side wants, once it wants something and there is room. `None`: an orderly end.
    async fn next_goal(&mut self) -> Option<Goal> {
        let shutdown = self.link.shutdown.clone();
        let mut goals = self.link.goal.subscribe();
        loop {
            let goal = *goals.borrow_and_update();
            let is_tried = self.rdb_failures >= RDB_FAILURES_MAX;
            if goal != Goal::Hold
                && !is_tried
                && (!self.was_spool_full || self.link.spool.has_room(self.room_wanted()))
            {
                if !self.has_disk_failed {
                    self.link.state.clear_waiting(WaitSubject::Spool);
                }
                return Some(goal);
            }
            if is_tried {
                let usage = self.link.spool.usage();
                let needed = self.rdb_length.unwrap_or(usage.bytes).max(usage.bytes);
                let error = SourceError::SpoolTooSmall { needed, max: usage.max_bytes };
                self.link.state.set_waiting(error.wait_reason(), error.to_string());
            }
            tokio::select! {
                () = shutdown.requested() => return None,
                _ = goals.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }
}

/// A length of the stream: digits only, within a limit.
fn number(digits: &[u8], limit: u64) -> Result<u64, RespError> {
    let invalid = || RespError::InvalidNumber(String::from_utf8_lossy(digits).into_owned());
    if digits.is_empty() || digits.len() > 12 {
        return Err(invalid());
    }
    let mut number = 0;
    for digit in digits {
        match digit {
            b'0'..=b'9' => number = number * 10 + u64::from(digit - b'0'),
            _ => return Err(invalid()),
        }
    }
    if number > limit {
        return Err(RespError::TooLong { length: number, limit });
    }
    Ok(number)
}
