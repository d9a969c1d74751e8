//! The spool: the syncer's log on disk of what the source sent, so that the source's output buffer
//! never grows on our account and the target may fall behind, or back, without a full copy.
//!
//! It lies between the source connection (one appender) and the decoder (readers). There are two
//! logs of one make: the *RDB log* of the current full copy, with positions from 0, and the
//! *stream log*, with replication offsets, whose coverage is a list of ranges. It knows nothing of
//! RESP; where units end it is told. It must never drop what is above `durable` (Promise 1), and
//! never yield bytes of a tail that was cut off.
//!
//! Data are not synced as they come: a crash of the machine may take a tail, recovery finds the
//! last good frame, and the source's backlog has the rest. Rare events (a copy, a cut, a lineage)
//! are on disk before the call returns.
//!
//! ```text
//! LOCK  index.json  rdb-<copyId>-<start>.seg  stream-<range>-<start>.seg
//! ```

mod append;
mod control;
mod copy;
mod cut;
mod error;
mod frame;
mod index;
mod log;
mod range;
mod read;
mod recover;
mod retention;
mod seal;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod unit;

use std::{fs::File, path::PathBuf, sync::Arc, sync::Mutex, sync::MutexGuard, time::Duration};

use tokio::sync::watch;

pub use self::{
    copy::{CopyId, CopyView, InvalidCopyId},
    error::SpoolError,
    range::{LineageEntry, RangeId, RangeView, UnitMark},
    read::{RdbReader, StreamReader},
    unit::UnitScan,
};
use self::{seal::Sealer, state::State};
use crate::position::{Offset, Position};

/// How a spool is kept.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Its directory. Made if it is missing; nothing else may live in it.
    pub dir: PathBuf,
    /// What its segments may take in all. The volume should have 32 MiB more, for what is
    /// allocated ahead of the writes.
    pub max_bytes: u64,
    /// Below `durable` at least this much is kept while there is room …
    pub retention_bytes: u64,
    /// … and at least what was closed within this time.
    pub retention_age: Duration,
    /// The size at which a segment is closed. What retention and a cut delete is whole segments;
    /// smaller ones make more files.
    pub segment_bytes: u64,
}

impl SpoolOptions {
    /// 64 MiB: a budget of 1 GiB is still sixteen steps, and one of 1 TiB no more than 16384 files.
    pub const SEGMENT_BYTES: u64 = 64 << 20;
}

/// What readers wait for a change of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolProgress {
    /// Changes whenever something was cut, dropped or begun: readers may be stale.
    pub generation: u64,
    /// The end of the live range.
    pub end: Offset,
    /// The end of the RDB log.
    pub rdb_bytes: u64,
    /// Whether the RDB log will grow no more.
    pub is_rdb_complete: bool,
}

/// What the spool takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// In its segments.
    pub bytes: u64,
    /// What they may take.
    pub max_bytes: u64,
    /// How many they are.
    pub segments: usize,
}

/// The handle; cheap to clone. One task appends, others read.
///
/// Calls use the disk on the caller's thread. The state's lock is held for no call to the disk
/// but opening a file, so a reader does not wait for an append that the kernel holds up. The
/// directory's lock is held until the last handle and the last reader are gone.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    options: SpoolOptions,
    /// One at a time changes the end of a log, and holds this while it writes. Taken before
    /// `state`, never after it.
    writer: Mutex<()>,
    state: Arc<Mutex<State>>,
    progress: watch::Sender<SpoolProgress>,
    /// Dropped before `_lock`: it ends its thread, which still writes to the directory.
    sealer: Sealer,
    _lock: File,
}

impl Spool {
    /// Locks the directory and recovers what is in it.
    ///
    /// [`SpoolError::Corrupt`] means that the index is damaged: nothing in the directory can be
    /// trusted then, and [`Spool::erase`] is the way on, at the price of what the source's
    /// backlog does not have.
    pub fn open(options: SpoolOptions) -> Result<Self, SpoolError> {
        let lock = recover::lock(&options.dir)?;
        Self::start(options, lock)
    }

    /// Locks the directory, deletes what the spool has in it, and opens it empty.
    pub fn erase(options: SpoolOptions) -> Result<Self, SpoolError> {
        let lock = recover::lock(&options.dir)?;
        recover::erase(&options.dir)?;
        Self::start(options, lock)
    }

    fn start(options: SpoolOptions, lock: File) -> Result<Self, SpoolError> {
        let state = recover::recover(&options.dir)?;
        let unsealed = state.closed_unsealed();
        let progress = watch::Sender::new(state.progress());
        let state = Arc::new(Mutex::new(state));
        let sealer = Sealer::start(Arc::clone(&state), &options.dir)?;
        for (key, start) in unsealed {
            sealer.seal(key, start);
        }
        let shared =
            Shared { options, writer: Mutex::new(()), state, progress, sealer, _lock: lock };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Wakes when bytes have come, or when a reader may have become stale.
    pub fn subscribe(&self) -> watch::Receiver<SpoolProgress> {
        self.shared.progress.subscribe()
    }

    /// The end of the live range; 0 without one.
    pub fn end(&self) -> Offset {
        self.shared.state().progress().end
    }

    /// The end of the last whole unit that the appender told of. Right after a start it is that of
    /// the last segment's head: [`Spool::last_unit_end`] finds the true one.
    pub fn unit_end(&self) -> Offset {
        self.shared.state().ranges.last().map_or(Offset(0), |range| range.unit.unit_end)
    }

    /// The current full copy, if one was begun here.
    pub fn copy(&self) -> Option<CopyView> {
        self.shared.state().copy.as_ref().map(copy::Copy::view)
    }

    /// The range that is appended to.
    pub fn live_range(&self) -> Option<RangeView> {
        self.shared.state().ranges.last().map(|range| range.view(true))
    }

    /// All ranges, the live one last.
    pub fn ranges(&self) -> Vec<RangeView> {
        self.shared.state().range_views()
    }

    /// The newest range that covers a position.
    pub fn find_range(&self, position: Position) -> Option<RangeView> {
        let state = self.shared.state();
        let index = state.ranges.iter().rposition(|range| range.covers(position))?;
        Some(state.ranges[index].view(index + 1 == state.ranges.len()))
    }

    /// A reader of the stream from `position` on, if the newest range that covers it has the
    /// bytes. It stays within that range.
    pub fn reader_at(&self, position: Position) -> Option<StreamReader> {
        StreamReader::open(&self.shared, position)
    }

    /// A reader of the RDB log from its first byte on; none once a part of it was dropped.
    pub fn rdb_reader(&self, copy_id: CopyId) -> Option<RdbReader> {
        RdbReader::open(&self.shared, copy_id)
    }

    /// What the spool takes.
    pub fn usage(&self) -> Usage {
        let state = self.shared.state();
        Usage {
            bytes: state.bytes(),
            max_bytes: self.shared.options.max_bytes,
            segments: state.logs().map(|log| log.segments.len()).sum(),
        }
    }
}

impl Shared {
    /// A panic while the lock was held cannot have left the state half changed in a way that
    /// matters more than a syncer that is stuck: every change is a few assignments.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells the readers what is there now.
    fn publish(&self, state: &State) {
        self.progress.send_replace(state.progress());
    }
}
