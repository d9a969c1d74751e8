//! Keys that a copy cannot carry: counted, and listed in the target, where who may read the data may read their names.
//! A report and a log never show a key. The list is bounded and goes when the next copy begins.

use std::sync::Arc;

use crate::{
    config::ValidatedConfig,
    contract::{OnExistingData, OnUnsupported},
    position::DbIndex,
    state::LinkState,
    target::{restore::RestoreBatch, temporary::left_out_key},
};

/// Keys that are listed; all are counted.
const LISTED_MAX: u32 = 1000;
/// How much of a key is listed.
const KEY_BYTES_MAX: usize = 1024;

/// What becomes of such keys.
#[derive(Clone)]
pub(super) struct LeftOut {
    policy: OnUnsupported,
    may_delete: bool,
    list: String,
    state: Arc<LinkState>,
}

impl LeftOut {
    pub(super) fn new(config: &ValidatedConfig, record_key: &str, state: Arc<LinkState>) -> Self {
        Self {
            policy: config.on_unsupported,
            may_delete: config.on_existing_data != OnExistingData::Keep,
            list: left_out_key(record_key),
            state,
        }
    }

    /// Whether what the target has under such a key's name goes; the sweep would do the same.
    pub(super) fn may_delete(&self) -> bool {
        self.may_delete
    }

    /// Whether the copy goes on without them.
    pub(super) fn may_skip(&self) -> bool {
        self.policy == OnUnsupported::Skip
    }

    pub(super) fn count(&self, keys: u64) {
        self.state.counts.keys_left_out.add(keys);
    }

    /// Where a human finds the key.
    pub(super) fn where_listed(&self) -> String {
        format!("its name is in the target's list {}", self.list)
    }

    /// Adds a key to the list.
    pub(super) fn list(
        &self,
        batch: &mut RestoreBatch,
        db: DbIndex,
        name: &'static str,
        key: &[u8],
    ) {
        let mut line = format!("{db} {name} ").into_bytes();
        line.extend_from_slice(&key[..key.len().min(KEY_BYTES_MAX)]);
        batch.finish();
        batch.command(&[b"RPUSH".as_slice(), self.list.as_bytes(), &line], "list of keys");
        let last = (LISTED_MAX - 1).to_string();
        batch.command(&["LTRIM", &self.list, "0", &last], "list of keys");
    }

    /// Removes the list.
    pub(super) fn clear(&self, batch: &mut RestoreBatch) {
        batch.finish();
        batch.command(&["DEL", &self.list], "list of keys");
    }
}
