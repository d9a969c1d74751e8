//! Where the writer can be held at a batch's border, so that the spool may be cut under it.
//!
//! The writer holds the gate from an EXEC's sending until its outcome is known: over a lost connection too, until the
//! record has told it. Whoever else gets the gate finds nothing outstanding.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::position::Position;

/// The end of the last unit whose EXEC was sent; `None` while no unit of the current copy's stream was.
pub type Written = Option<Position>;

/// The gate. Whoever waits first gets it first, so a busy writer cannot keep others out.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<Written>>);

/// Held by whoever is inside.
pub type GateGuard = OwnedMutexGuard<Written>;

impl Gate {
    /// Waits until nobody else is inside.
    pub async fn enter(&self) -> GateGuard {
        Arc::clone(&self.0).lock_owned().await
    }
}
