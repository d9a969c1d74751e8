//! What is read of the RDB: its keys go into batches, what cannot be sent is refused with a remedy.

use super::stop::Stop;
use crate::{
    apply::attach::Attached,
    contract::HaltReason,
    filter::is_reserved_key,
    grace::Grace,
    position::DbIndex,
    rdb::event::{RdbEntry, RdbEvent},
    record::Record,
    release::Decision,
    state::HaltDetails,
    target::{
        error::TargetError,
        key_set::KeySetBuilder,
        restore::{EntryRefusal, RestoreBatch},
    },
};

pub(super) fn corrupt(record: &Record, error: &dyn std::fmt::Display) -> Stop {
    let copy = Decision::copy_again_after(record.copy_id);
    Stop::Halt(HaltDetails {
        reason: HaltReason::CorruptRdb,
        message: format!("the source's RDB cannot be read: {error}"),
        remedy: format!(
            "release with {copy}; if it comes back, this source needs another version of the syncer"
        ),
        offset: None,
        copy_id: Some(record.copy_id.to_string()),
    })
}

/// What was read of the RDB so far.
#[derive(Default)]
pub(super) struct Copied {
    /// What goes to the target next.
    pub(super) batch: RestoreBatch,
    /// The database of the keys that follow.
    pub(super) db: DbIndex,
    /// The database that the stream begins in, if the RDB says it.
    pub(super) stream_db: Option<DbIndex>,
    /// Keys so far.
    pub(super) keys: u64,
    /// Keys that the RDB announces.
    pub(super) keys_total: u64,
    grace: Grace,
    scratch: Vec<u8>,
    shifted: Vec<u8>,
}

#[derive(PartialEq, Eq)]
pub(super) enum Step {
    Next,
    /// The keys that follow are of another database.
    Database,
    End,
}

/// Why a record of the RDB cannot be applied.
pub(super) enum Refusal {
    Entry(&'static str, EntryRefusal),
    Module(String),
    KeySet(std::io::Error),
    SlotImport,
    Database(DbIndex),
}

impl Refusal {
    pub(super) fn halt(self, record: &Record) -> Stop {
        let (reason, message, remedy) = match self {
            Self::KeySet(error) => return Stop::Target(TargetError::KeySet(error)),
            Self::Entry(name, EntryRefusal::Unsupported(unsupported)) => (
                HaltReason::UnsupportedValue,
                format!("a key of type {name} cannot be sent: {}", unsupported.reason),
                unsupported.remedy.to_owned(),
            ),
            Self::Entry(name, EntryRefusal::Corrupt(error)) => (
                HaltReason::CorruptRdb,
                format!("a key of type {name} cannot be read: {error}"),
                "check the source's data".to_owned(),
            ),
            Self::Module(name) => (
                HaltReason::UnsupportedValue,
                format!(
                    "the source's module {name} keeps data beside the keys, which no command can carry"
                ),
                "unload the module at the source, or wait for a version that carries it".to_owned(),
            ),
            Self::Database(db) => (
                HaltReason::UnsupportedValue,
                format!("the source has keys in database {db}, which the target lacks"),
                "raise `databases` in the target's configuration".to_owned(),
            ),
            Self::SlotImport => (
                HaltReason::UnsupportedValue,
                "the source is importing slots of a cluster".to_owned(),
                "wait until the migration has ended".to_owned(),
            ),
        };
        Stop::Halt(HaltDetails {
            reason,
            message,
            remedy: format!(
                "{remedy}; then release with {}",
                Decision::copy_again_after(record.copy_id)
            ),
            offset: None,
            copy_id: Some(record.copy_id.to_string()),
        })
    }
}

impl Copied {
    /// Times of expiry get the grace.
    pub(super) fn new(grace: Grace) -> Self {
        Self { grace, ..Self::default() }
    }

    pub(super) fn take(
        &mut self,
        event: RdbEvent<'_>,
        attached: &Attached,
        keys: &mut KeySetBuilder,
    ) -> Result<Step, Refusal> {
        match event {
            RdbEvent::Entry(entry) => self.entry(&entry, attached, keys)?,
            RdbEvent::SelectDb(db) => {
                self.db = DbIndex(db);
                return Ok(Step::Database);
            }
            RdbEvent::ResizeDb { keys, .. } => self.keys_total += keys,
            RdbEvent::Function { code } => self.batch.add_function(code),
            RdbEvent::Aux { key: b"lua", value } => self.batch.add_script(value),
            RdbEvent::Aux { key: b"repl-stream-db", value } => {
                let db = std::str::from_utf8(value).ok().and_then(|db| db.parse().ok());
                self.stream_db = db.map(DbIndex);
            }
            RdbEvent::ModuleAux { module, is_empty: false } => {
                return Err(Refusal::Module(module.to_string()));
            }
            RdbEvent::SlotImport { .. } => return Err(Refusal::SlotImport),
            RdbEvent::Header { .. }
            | RdbEvent::Aux { .. }
            | RdbEvent::ModuleAux { .. }
            | RdbEvent::SlotInfo { .. } => {}
            RdbEvent::End { .. } => return Ok(Step::End),
        }
        Ok(Step::Next)
    }

    pub(super) fn entry(
        &mut self,
        entry: &RdbEntry<'_>,
        attached: &Attached,
        keys: &mut KeySetBuilder,
    ) -> Result<(), Refusal> {
        if is_reserved_key(entry.key) {
            return Ok(());
        }
        keys.add(self.db, entry.key).map_err(Refusal::KeySet)?;
        self.keys += 1;
        let refuse = |refusal| Refusal::Entry(entry.value_type.name(), refusal);
        let later = entry
            .with_grace(self.grace, &mut self.shifted)
            .map_err(|error| refuse(error.into()))?;
        self.batch.add(self.db, &later, &attached.capabilities, &mut self.scratch).map_err(refuse)
    }
}
