//! Where a command goes: its database at the target. Pure; after filter, before batch.
//!
//! With one target node the lane is always the same. A SELECT is written only where the database changes, so the
//! source's own SELECTs, redundant ones included, cost the target nothing.

use crate::{position::DbIndex, resp::encode};

/// The database selected at some point of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    selected: DbIndex,
}

impl Route {
    /// Where the record lives; every batch starts and ends there.
    pub const RECORD_DB: DbIndex = DbIndex(0);

    /// A batch's start.
    pub fn new() -> Self {
        Self { selected: Self::RECORD_DB }
    }

    /// Makes `db` the selected one; true if that took a command.
    pub fn select(&mut self, db: DbIndex, out: &mut Vec<u8>) -> bool {
        if self.selected == db {
            return false;
        }
        self.selected = db;
        encode::command(out, &["SELECT", itoa::Buffer::new().format(db.0)]);
        true
    }
}

impl Default for Route {
    fn default() -> Self {
        Self::new()
    }
}
