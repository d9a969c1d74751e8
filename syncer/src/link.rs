//! What the two sides of a link share: the source's side fills the spool, the target's side empties it. Each piece of
//! state has one writer.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

use tokio::sync::watch;

use crate::{
    config::ValidatedConfig,
    contract::FullCopyReason,
    gate::Gate,
    lag::LagTracker,
    position::Offset,
    record::{StreamPosition, alive_key, record_key},
    shutdown::Shutdown,
    spool::{CopyId, Spool},
    state::LinkState,
};

/// The only link that a standalone or Sentinel source has.
pub const LINK: &str = "0";

/// What the target's side wants of the source's side. Nothing is asked of the source before the target was examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// No connection: the target is not examined, or refused.
    Hold,
    /// Go on with what the spool's live range holds.
    Continue,
    /// The stream from this position on, in the data of this full copy.
    Resume(StreamPosition, CopyId),
    /// A full copy, unless another than `after` has begun in this process meanwhile.
    FullCopy {
        /// Why.
        reason: FullCopyReason,
        /// The copy begun last when this was decided.
        after: Option<CopyId>,
    },
}

/// Names under which one link appears at the servers.
#[derive(Clone, Debug)]
pub struct Names {
    /// The record's key.
    pub record: String,
    /// The key of the owner's sign of life.
    pub alive: String,
    /// Connections that write to the target: a take-over ends all others of this name.
    pub writer: String,
    /// Connections that only read, at either end.
    pub reader: String,
}

impl Names {
    /// The names of a pair's link.
    pub fn new(pair_id: &str, link: &str) -> Self {
        let record = record_key(pair_id, link);
        Self {
            alive: alive_key(pair_id, link),
            writer: record.clone(),
            reader: format!("{record}:reader"),
            record,
        }
    }
}

/// Shared by the tasks of one link.
pub struct Link {
    /// The configuration as it is now.
    pub config: watch::Receiver<Arc<ValidatedConfig>>,
    /// What the report shows. Nothing is decided by it.
    pub state: Arc<LinkState>,
    /// The log between the two sides.
    pub spool: Spool,
    /// Beside the spool: the keys of a full copy.
    pub key_set_dir: PathBuf,
    /// The names at the servers.
    pub names: Names,
    /// Held by the writer while an EXEC is outstanding.
    pub gate: Gate,
    /// Set by the target's side.
    pub goal: watch::Sender<Goal>,
    /// The full copy that the source's side has begun in this process. Set by it; taken back by the target's side
    /// when another process owns the target.
    pub begun_copy: Mutex<Option<CopyId>>,
    /// The target's side has drained and will write no more. Set by it.
    pub drained: watch::Sender<bool>,
    /// An orderly end was asked for.
    pub shutdown: Shutdown,
    /// How far the target's data of a full copy are confirmed. Set by the target's side.
    acknowledged: Mutex<Option<(CopyId, Offset)>>,
    /// Why the target must not be written to, as last asked: it evicts keys. Set by the preflight's watch and by the
    /// target's side.
    pub evicts: watch::Sender<Option<String>>,
    /// The source's stream is being received. Set by the source's side.
    pub is_source_attached: AtomicBool,
    /// The preflight's checks were made once in this process. Set by the preflight's watch.
    pub is_preflighted: watch::Sender<bool>,
    lag: Mutex<LagTracker>,
}

impl Link {
    /// A link at its start: nothing is known of either end.
    pub fn new(
        config: watch::Receiver<Arc<ValidatedConfig>>,
        state: Arc<LinkState>,
        spool: Spool,
        shutdown: Shutdown,
    ) -> Self {
        let (names, key_set_dir) = {
            let config = config.borrow();
            (Names::new(&config.pair_id, LINK), config.spool.dir.join("keys"))
        };
        Self {
            config,
            state,
            spool,
            key_set_dir,
            names,
            gate: Gate::default(),
            goal: watch::Sender::new(Goal::Hold),
            begun_copy: Mutex::new(None),
            drained: watch::Sender::new(false),
            shutdown,
            acknowledged: Mutex::new(None),
            evicts: watch::Sender::new(None),
            is_source_attached: AtomicBool::new(false),
            is_preflighted: watch::Sender::new(false),
            lag: Mutex::new(LagTracker::default()),
        }
    }

    /// The configuration as it is now.
    pub fn config(&self) -> Arc<ValidatedConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// The full copy that was begun in this process.
    pub fn begun_copy(&self) -> Option<CopyId> {
        *self.begun_copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source's side has begun one; or none counts any more.
    pub fn set_begun_copy(&self, copy_id: Option<CopyId>) {
        *self.begun_copy.lock().unwrap_or_else(PoisonError::into_inner) = copy_id;
    }

    /// Wants something of the source's side; nothing happens if it is what was wanted already.
    pub fn want(&self, goal: Goal) {
        self.goal.send_if_modified(|current| std::mem::replace(current, goal) != goal);
    }

    /// What of this full copy's stream may be acknowledged at most: nothing until the copy has ended.
    pub fn acknowledged(&self, copy_id: Option<CopyId>) -> Offset {
        match *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((confirmed, offset)) if Some(confirmed) == copy_id => offset,
            _ => Offset(0),
        }
    }

    /// Sets what may be acknowledged.
    pub fn set_acknowledged(&self, confirmed: Option<(CopyId, Offset)>) {
        *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) = confirmed;
    }

    /// The lag's moments.
    pub fn lag(&self) -> MutexGuard<'_, LagTracker> {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an orderly end was asked for.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_requested()
    }
}
