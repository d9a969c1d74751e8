//! A full copy at the target: every key of the spooled RDB restored, what the source no longer has swept, then the
//! record says from where the stream goes on.
//!
//! The record is not written between a copy's start and its end (but for a brake and its release), so that the
//! connections that restore can watch it. A copy may start again from the spooled RDB: every key replaces what is there.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Applier, Wake, attach::Attached};
use crate::{
    connection::Connection,
    contract::{self, HaltReason, OnExistingData},
    failpoint::{Failpoint, hit},
    filter::is_reserved_key,
    position::DbIndex,
    rdb::{
        decode::{RdbDecoder, RdbLimits},
        event::{RdbEntry, RdbEvent},
    },
    record::{CopyPhase, Record, StreamPosition},
    spool::{CopyId, RdbReader, SpoolError},
    state::HaltDetails,
    target::{
        error::{TargetError, is_passing, without_arguments},
        guarded::{Expected, GuardedConnection, Outcome},
        key_set::{KeySet, KeySetBuilder},
        restore::{EntryRefusal, RestoreBatch},
        sweep::{SweepCount, Walk, delete, stale},
    },
};

/// A batch of keys goes at so many bytes.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// … or at so many commands.
const BATCH_COMMANDS_MAX: usize = 2048;
/// Connections that restore: while one waits for its EXEC the target works for the other.
const RESTORE_CONNECTIONS: usize = 2;
/// Read from the spool at once.
const READ_BYTES: usize = 256 << 10;
/// The largest key: `proto-max-bulk-len` is 512 MiB by default, on most clouds not to be changed.
const VALUE_BYTES_MAX: u64 = 512 << 20;

/// How restoring ended, if not with all keys.
enum Stop {
    /// Something that a human must look at.
    Halt(HaltDetails),
    /// The source began another copy, or the RDB was dropped.
    Gone,
    /// The target.
    Target(TargetError),
}

impl From<TargetError> for Stop {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<SpoolError> for Stop {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Stale | SpoolError::Unknown => Self::Gone,
            other => Self::Target(other.into()),
        }
    }
}

impl Applier {
    /// Writes a record that says that this copy has begun: from here on there is no position to go on from.
    pub(super) async fn begin_copy(
        &mut self,
        attached: &mut Attached,
        copy_id: CopyId,
    ) -> Result<(), TargetError> {
        let owner =
            contract::Owner { term: self.claim.term.unwrap_or(1), nonce: self.claim.nonce.clone() };
        let is_first = attached.record.is_none();
        let has_consent = self.link.config().on_existing_data == OnExistingData::Sweep;
        let before = attached.record.clone();
        let next = Record {
            owner: before.as_ref().map_or(owner, |record| record.owner.clone()),
            copy_id,
            copy_phase: CopyPhase::Copying,
            position: None,
            unchecked: None,
            unverified: 0,
            // The consent counts for the first copy, and for the next one if that could not be finished.
            is_sweep_allowed: match &before {
                None => has_consent,
                Some(record) => record.is_sweep_allowed && record.copy_phase == CopyPhase::Copying,
            },
            halt: None,
            consent: None,
        };
        self.write_record(attached, next).await?;
        if is_first {
            self.claim.term = Some(self.claim.term.unwrap_or(1));
            self.link.state.set_owner(self.claim.term.unwrap_or(1), &self.claim.nonce);
        }
        self.confirmed = None;
        hit(Failpoint::AfterCopyRecord);
        Ok(())
    }

    /// Restores the copy that the record names, sweeps, and ends it. Returns early to let the plan decide anew.
    pub(super) async fn copy(&mut self, attached: &mut Attached) -> Result<(), TargetError> {
        let Some(record) = attached.record.clone() else { return Ok(()) };
        let Some(reader) = self.link.spool.rdb_reader(record.copy_id) else { return Ok(()) };
        self.link.state.full_copy_phase(contract::CopyPhase::Restoring);
        let restored = self.restore(attached, &record, reader).await;
        let (keys, db) = match restored {
            Ok(restored) => restored,
            Err(Stop::Gone) => {
                if self.link.begun_copy() == Some(record.copy_id) {
                    self.link.state.full_copy_interrupted();
                }
                return Ok(());
            }
            Err(Stop::Target(error)) => return Err(error),
            Err(Stop::Halt(details)) => return self.halt(attached, details, true).await,
        };
        if self.link.config().on_existing_data != OnExistingData::Keep
            && !self.sweep(attached, &record, &keys).await?
        {
            return Ok(());
        }
        drop(keys);
        self.end_copy(attached, record, db).await
    }

    async fn end_copy(
        &mut self,
        attached: &mut Attached,
        record: Record,
        db: Option<DbIndex>,
    ) -> Result<(), TargetError> {
        let Some(copy) = self.link.spool.copy().filter(|copy| copy.copy_id == record.copy_id)
        else {
            return Ok(());
        };
        // A source that failed over meanwhile has another name for the same history by now.
        let position = match self.link.spool.live_range() {
            Some(range) if range.copy_id == record.copy_id => range.lineage.last().map(|entry| {
                crate::position::Position { replid: entry.replid, offset: copy.position.offset }
            }),
            _ => None,
        };
        let position = position.unwrap_or(copy.position);
        hit(Failpoint::BeforeCopyEnd);
        let next = Record {
            copy_phase: CopyPhase::Complete,
            position: Some(StreamPosition { position, db }),
            is_sweep_allowed: false,
            ..record
        };
        self.write_record(attached, next).await?;
        self.confirmed = Some(position);
        hit(Failpoint::AfterCopyEnd);
        self.link.state.full_copy_finished();
        self.link.spool.drop_rdb(copy.copy_id)?;
        Ok(())
    }

    /// Restores all keys; gives their set and the database that the stream starts in.
    async fn restore(
        &mut self,
        attached: &mut Attached,
        record: &Record,
        mut reader: RdbReader,
    ) -> Result<(KeySet, Option<DbIndex>), Stop> {
        let mut keys = KeySetBuilder::new(&self.link.key_set_dir).map_err(TargetError::KeySet)?;
        let mut workers = self.start_workers(attached, record).await?;
        let mut decoder = RdbDecoder::new(RdbLimits { value_bytes_max: VALUE_BYTES_MAX });
        let mut copied = Copied::default();
        let mut bytes = Vec::with_capacity(READ_BYTES);
        loop {
            bytes.clear();
            if reader.read(&mut bytes, READ_BYTES)? == 0 {
                self.wait_for_rdb(attached, record, &mut workers).await?;
                continue;
            }
            decoder.push(&bytes);
            while let Some(event) = decoder.next().map_err(|error| corrupt(record, &error))? {
                let step = copied
                    .take(event, attached, &mut keys)
                    .map_err(|refusal| refusal.halt(record))?;
                if copied.batch.bytes.len() >= BATCH_BYTES_MAX
                    || copied.batch.command_count >= BATCH_COMMANDS_MAX
                {
                    workers.send(&mut copied.batch).await?;
                    self.note_progress(&copied);
                }
                if step == Step::End {
                    workers.send(&mut copied.batch).await?;
                    workers.finish().await?;
                    self.note_progress(&copied);
                    self.link.state.counts.keys_restored.add(copied.keys);
                    return Ok((keys.finish().map_err(TargetError::KeySet)?, copied.stream_db));
                }
            }
            self.check_master(&attached.address)?;
            self.give_sign_of_life(attached).await?;
            self.rest_while_paused(attached).await?;
            let progress = *attached.spool_progress.borrow();
            if !progress.is_rdb_complete && !self.link.spool.has_room(self.room_wanted()) {
                // Promise 1 needs the stream more than the RDB: what is restored may go.
                self.link.spool.drop_rdb_before(record.copy_id, reader.position())?;
            }
        }
    }

    /// While the RDB arrives this much is kept free for it: half a segment's worth at least.
    fn room_wanted(&self) -> u64 {
        (self.link.config().spool.max_bytes / 8).min(64 << 20)
    }

    async fn rest_while_paused(&mut self, attached: &mut Attached) -> Result<(), Stop> {
        while self.is_paused() {
            if self.wait(attached, Duration::from_secs(1)).await? == Wake::Shutdown {
                return Err(Stop::Gone);
            }
        }
        Ok(())
    }

    async fn wait_for_rdb(
        &mut self,
        attached: &mut Attached,
        record: &Record,
        workers: &mut Workers,
    ) -> Result<(), Stop> {
        let copy = self
            .link
            .spool
            .copy()
            .filter(|copy| copy.copy_id == record.copy_id && !copy.is_dropped);
        let Some(copy) = copy else { return Err(Stop::Gone) };
        if copy.is_complete {
            let details = "the RDB ends before its end mark";
            return Err(corrupt(record, &details));
        }
        workers.check().await?;
        if self.link.is_shutting_down() {
            return Err(Stop::Gone);
        }
        self.wait(attached, Duration::from_secs(1)).await?;
        Ok(())
    }

    fn note_progress(&self, copied: &Copied) {
        let state = &self.link.state;
        state.set_copy_keys_restored(copied.keys);
        if copied.keys_total > 0 {
            state.full_copy_totals(None, Some(copied.keys_total));
        }
    }

    async fn start_workers(
        &mut self,
        attached: &mut Attached,
        record: &Record,
    ) -> Result<Workers, TargetError> {
        let credentials = match &self.link.config().target.auth {
            Some(auth) => Some(auth.read()?),
            None => None,
        };
        let (link, address) = (&self.link, &attached.address);
        let mut workers = Workers::default();
        for _ in 0..RESTORE_CONNECTIONS {
            let connection =
                Connection::open(address, credentials.as_ref(), &link.names.writer).await?;
            let mut writer = GuardedConnection::new(
                connection,
                address,
                &link.names.record,
                std::sync::Arc::clone(&link.state),
            );
            let expected = Expected::record(record);
            writer.watch(&expected).await?;
            workers.start(writer, expected);
        }
        Ok(workers)
    }

    /// A sweep takes its time: we are still there, the target's master is still the same.
    async fn keep_sweep_alive(&mut self, attached: &mut Attached) -> Result<(), TargetError> {
        self.check_master(&attached.address)?;
        self.give_sign_of_life(attached).await
    }

    /// Deletes what the copy did not have. False if the brake holds.
    async fn sweep(
        &mut self,
        attached: &mut Attached,
        record: &Record,
        keys: &KeySet,
    ) -> Result<bool, TargetError> {
        let state = std::sync::Arc::clone(&self.link.state);
        state.full_copy_phase(contract::CopyPhase::Sweeping);
        let mut count = SweepCount::default();
        let mut walk = Walk::start(&mut attached.reader).await?;
        while let Some((db, page)) = walk.page(&mut attached.reader).await? {
            count.keys += page.len() as u64;
            count.stale += stale(keys, db, page)?.len() as u64;
            self.keep_sweep_alive(attached).await?;
        }
        tracing::info!(
            keys = count.keys,
            stale = count.stale,
            copied = keys.count(),
            "counted for the sweep"
        );
        // Promise 5.
        if count.is_over_brake() && !record.is_sweep_allowed {
            let copy_id = record.copy_id.to_string();
            let details = HaltDetails {
                reason: HaltReason::SweepBrake,
                message: format!(
                    "the sweep would delete {} of the target's {} keys; the source's copy has {}",
                    count.stale,
                    count.keys,
                    keys.count()
                ),
                remedy: format!(
                    "see whether the source came back empty or with an old file; if its data are right, `release --allow-sweep {copy_id}`, else repair the source and `release --copy-again`"
                ),
                offset: None,
                copy_id: Some(copy_id),
            };
            self.halt(attached, details, true).await?;
            return Ok(false);
        }
        let expected = Expected::record(record);
        let mut walk = Walk::start(&mut attached.reader).await?;
        while let Some((db, page)) = walk.page(&mut attached.reader).await? {
            let stale = stale(keys, db, page)?;
            if !stale.is_empty() {
                hit(Failpoint::InSweep);
                delete(&mut attached.writer, &expected, db, &stale).await?;
                state.counts.keys_swept.add(stale.len() as u64);
            }
            self.keep_sweep_alive(attached).await?;
        }
        attached.reader.call(&["SELECT", "0"]).await?;
        Ok(true)
    }
}

fn corrupt(record: &Record, error: &dyn std::fmt::Display) -> Stop {
    Stop::Halt(HaltDetails {
        reason: HaltReason::CorruptRdb,
        message: format!("the source's RDB cannot be read: {error}"),
        remedy: "copy again with `release --copy-again`; if it comes back, this source needs another version of the syncer".into(),
        offset: None,
        copy_id: Some(record.copy_id.to_string()),
    })
}

/// What was read of the RDB so far.
#[derive(Default)]
struct Copied {
    batch: RestoreBatch,
    db: DbIndex,
    stream_db: Option<DbIndex>,
    keys: u64,
    keys_total: u64,
    scratch: Vec<u8>,
}

#[derive(PartialEq, Eq)]
enum Step {
    Next,
    End,
}

/// Why a record of the RDB cannot be applied.
enum Refusal {
    Entry(&'static str, EntryRefusal),
    Module(String),
    KeySet(std::io::Error),
    SlotImport,
}

impl Refusal {
    fn halt(self, record: &Record) -> Stop {
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
            Self::SlotImport => (
                HaltReason::UnsupportedValue,
                "the source is importing slots of a cluster".to_owned(),
                "wait until the migration has ended".to_owned(),
            ),
        };
        Stop::Halt(HaltDetails {
            reason,
            message,
            remedy: format!("{remedy}; then `release --copy-again`"),
            offset: None,
            copy_id: Some(record.copy_id.to_string()),
        })
    }
}

impl Copied {
    fn take(
        &mut self,
        event: RdbEvent<'_>,
        attached: &Attached,
        keys: &mut KeySetBuilder,
    ) -> Result<Step, Refusal> {
        match event {
            RdbEvent::Entry(entry) => self.entry(&entry, attached, keys)?,
            RdbEvent::SelectDb(db) => self.db = DbIndex(db),
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

    fn entry(
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
        self.batch
            .add(self.db, entry, &attached.capabilities, &mut self.scratch)
            .map_err(|refusal| Refusal::Entry(entry.value_type.name(), refusal))
    }
}

/// The connections that restore, each with a task of its own.
#[derive(Default)]
struct Workers {
    senders: Vec<mpsc::Sender<RestoreBatch>>,
    tasks: tokio::task::JoinSet<Result<(), Stop>>,
    /// Emptied batches come back, so that no memory is allocated per batch.
    recycled: Option<mpsc::Receiver<RestoreBatch>>,
    recycle: Option<mpsc::Sender<RestoreBatch>>,
    next: usize,
}

impl Workers {
    fn start(&mut self, writer: GuardedConnection, expected: Expected) {
        let recycle = self.recycle.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(2 * RESTORE_CONNECTIONS + 1);
            self.recycled = Some(receiver);
            sender
        });
        let (sender, receiver) = mpsc::channel(1);
        self.senders.push(sender);
        self.tasks.spawn(restore_batches(writer, expected, receiver, recycle.clone()));
    }

    async fn send(&mut self, batch: &mut RestoreBatch) -> Result<(), Stop> {
        if batch.command_count == 0 {
            return Ok(());
        }
        batch.finish();
        let empty = self
            .recycled
            .as_mut()
            .and_then(|recycled| recycled.try_recv().ok())
            .unwrap_or_default();
        let full = std::mem::replace(batch, empty);
        self.next = (self.next + 1) % self.senders.len();
        if self.senders[self.next].send(full).await.is_err() {
            self.check().await?;
            return Err(Stop::Target(TargetError::Unexpected("a restoring connection")));
        }
        hit(Failpoint::InRestore);
        Ok(())
    }

    /// A worker that has ended before its time has failed.
    async fn check(&mut self) -> Result<(), Stop> {
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(Ok(result)) => {
                result.and(Err(Stop::Target(TargetError::Unexpected("a restoring connection"))))
            }
            Some(Err(_)) => Err(Stop::Target(TargetError::Unexpected("a restoring task"))),
        }
    }

    /// Waits until everything sent is applied.
    async fn finish(&mut self) -> Result<(), Stop> {
        self.senders.clear();
        while let Some(result) = self.tasks.join_next().await {
            result.unwrap_or(Err(Stop::Target(TargetError::Unexpected("a restoring task"))))?;
        }
        Ok(())
    }
}

async fn restore_batches(
    mut writer: GuardedConnection,
    expected: Expected,
    mut batches: mpsc::Receiver<RestoreBatch>,
    recycle: mpsc::Sender<RestoreBatch>,
) -> Result<(), Stop> {
    while let Some(mut batch) = batches.recv().await {
        match writer.execute(&batch.bytes, batch.command_count, &expected).await? {
            Outcome::Applied(errors) if errors.count == 0 => {}
            Outcome::RecordChanged => return Err(TargetError::RecordChanged.into()),
            Outcome::Applied(errors) | Outcome::Aborted { queued: errors, .. } => {
                let Some((index, error)) = errors.first.first() else {
                    return Err(TargetError::Refused("EXECABORT".into()).into());
                };
                if is_passing(error) || errors.count >= batch.command_count {
                    return Err(TargetError::Refused(error.clone()).into());
                }
                return Err(Stop::Halt(HaltDetails {
                    reason: HaltReason::ValueRejected,
                    message: format!(
                        "the target refuses a key of type {}: {:?}",
                        batch.type_of(*index),
                        without_arguments(error)
                    ),
                    remedy: "make the target accept it (a missing module, rights, limits), then `release --copy-again`".into(),
                    offset: None,
                    copy_id: None,
                }));
            }
        }
        batch.clear();
        // Nobody may be left to take it.
        let _ = recycle.try_send(batch);
    }
    Ok(())
}
