//! Numbers that hot paths write without a lock. All relaxed: each stands for itself, nothing is ordered by
//! them, and the report says as of when it read them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    contract::{Counters, Ends, Lag, Offsets},
    position::Offset,
};

/// Marks what is not known. No offset or lag gets there: a source that writes 10 GB/s needs 58 years.
const UNKNOWN: u64 = u64::MAX;

/// A number that grows (or, for amounts, is set).
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Sets it.
    pub fn set(&self, count: u64) {
        self.0.store(count, Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One rung of the offset ladder.
#[derive(Debug)]
pub struct Rung(AtomicU64);

impl Default for Rung {
    fn default() -> Self {
        Self(AtomicU64::new(UNKNOWN))
    }
}

impl Rung {
    /// Sets it; it may go down where another history begins.
    pub fn set(&self, offset: Offset) {
        self.0.store(offset.0, Relaxed);
    }

    /// It is not known (any more).
    pub fn clear(&self) {
        self.0.store(UNKNOWN, Relaxed);
    }

    /// Reads it; `None` where it is not known.
    pub fn get(&self) -> Option<Offset> {
        known(&self.0).map(Offset)
    }
}

fn known(number: &AtomicU64) -> Option<u64> {
    match number.load(Relaxed) {
        UNKNOWN => None,
        number => Some(number),
    }
}

/// The offset ladder, highest first.
#[derive(Debug, Default)]
pub struct Ladder {
    /// Set by the poll of the source's INFO.
    pub source: Rung,
    /// Set by the reader of the source's socket.
    pub received: Rung,
    /// Set by the spool.
    pub spooled: Rung,
    /// Set by the target's writer, at a unit's end.
    pub written: Rung,
    /// Set when the record that the batch carried is known to be in the target.
    pub checkpoint: Rung,
    /// Set when a batch's replies were checked.
    pub confirmed: Rung,
    /// Set when it is on the asked number of replicas.
    pub durable: Rung,
}

impl Ladder {
    /// Read from the lowest rung up: all of them only grow in one history, so a later reading of a higher rung
    /// cannot fall below an earlier one of a lower.
    pub(super) fn read(&self) -> Offsets {
        let Self { source, received, spooled, written, checkpoint, confirmed, durable } = self;
        let durable = known(&durable.0);
        let confirmed = known(&confirmed.0);
        let checkpoint = known(&checkpoint.0);
        let written = known(&written.0);
        let spooled = known(&spooled.0);
        let received = known(&received.0);
        let source = known(&source.0);
        Offsets { source, received, spooled, written, checkpoint, confirmed, durable }
    }
}

/// How far the target is behind, computed elsewhere.
#[derive(Debug)]
pub(super) struct LagGauge {
    bytes: AtomicU64,
    milliseconds: AtomicU64,
    idle: AtomicU64,
}

impl Default for LagGauge {
    fn default() -> Self {
        let unknown = || AtomicU64::new(UNKNOWN);
        Self { bytes: unknown(), milliseconds: unknown(), idle: AtomicU64::new(0) }
    }
}

impl LagGauge {
    pub(super) fn set(&self, bytes: u64, milliseconds: u64, idle: bool) {
        self.bytes.store(bytes, Relaxed);
        self.milliseconds.store(milliseconds, Relaxed);
        self.idle.store(u64::from(idle), Relaxed);
    }

    pub(super) fn clear(&self) {
        self.set(UNKNOWN, UNKNOWN, false);
    }

    pub(super) fn read(&self) -> Lag {
        Lag {
            bytes: known(&self.bytes),
            milliseconds: known(&self.milliseconds),
            idle: self.idle.load(Relaxed) == 1,
        }
    }
}

/// Counts since the process started; see [`Counters`] for each.
#[derive(Debug, Default)]
pub struct Counts {
    /// Units of the stream that were confirmed.
    pub units_applied: Count,
    /// Commands in them.
    pub commands_applied: Count,
    /// Bytes taken off the source's sockets.
    pub bytes_received: Count,
    /// Batches that were confirmed.
    pub batches: Count,
    /// Keys restored by full copies.
    pub keys_restored: Count,
    /// Keys removed by sweeps.
    pub keys_swept: Count,
    /// Keys that full copies left out.
    pub keys_left_out: Count,
    /// Commands dropped on purpose.
    pub commands_filtered: Count,
    /// Connections to the source made again.
    pub source_reconnects: Count,
    /// Connections to the target made again.
    pub target_reconnects: Count,
    /// Switches of the source's master that were followed.
    pub source_failovers: Count,
    /// Switches of the target's master that were followed.
    pub target_failovers: Count,
    /// Batches whose replies were lost.
    pub unchecked_batches: Count,
    /// Source transactions that could not be applied as one.
    pub torn_transactions: Count,
    /// See [`Counters::expiring_commands`].
    pub expiring_commands: Count,
    /// Keys that the target has evicted.
    pub keys_evicted: Count,
}

impl Counts {
    pub(super) fn read(&self) -> Counters {
        Counters {
            units_applied: self.units_applied.get(),
            commands_applied: self.commands_applied.get(),
            bytes_received: self.bytes_received.get(),
            batches: self.batches.get(),
            keys_restored: self.keys_restored.get(),
            keys_swept: self.keys_swept.get(),
            keys_left_out: self.keys_left_out.get(),
            commands_filtered: self.commands_filtered.get(),
            reconnects: Ends {
                source: self.source_reconnects.get(),
                target: self.target_reconnects.get(),
            },
            failovers: Ends {
                source: self.source_failovers.get(),
                target: self.target_failovers.get(),
            },
            unchecked_batches: self.unchecked_batches.get(),
            torn_transactions: self.torn_transactions.get(),
            expiring_commands: self.expiring_commands.get(),
            keys_evicted: self.keys_evicted.get(),
        }
    }
}
