//! A full copy at the target: every key of the spooled RDB restored, what the source no longer has swept, then the
//! record says from where the stream goes on.
//!
//! The record is not written between a copy's start and its end (but for a brake and its release), so that the
//! connections that restore can watch it. A copy may start again from the spooled RDB: every key replaces what is there.

mod building;
mod copied;
mod left_out;
mod remains;
mod stop;
mod sweeping;
mod taking;
mod workers;

use std::time::Duration;

use self::{
    copied::{Copied, Refusal, Step, corrupt},
    left_out::LeftOut,
    stop::Stop,
    taking::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, CopyStop},
    workers::{RESTORE_CONNECTIONS, Restorer, Workers},
};
use super::{Applier, Wake, attach::Attached};
use crate::{
    connection::Connection,
    contract::{self, OnExistingData},
    failpoint::{Failpoint, hit},
    position::DbIndex,
    rdb::decode::{RdbDecoder, RdbLimits},
    record::{CopyPhase, Record, StreamPosition},
    spool::{CopyId, RdbReader},
    target::{
        error::TargetError,
        examine::keyspace,
        guarded::{Expected, GuardedConnection},
        key_set::{KeySet, KeySetBuilder},
    },
};

/// Read from the spool at once.
const READ_BYTES: usize = 256 << 10;
/// The largest value that goes as it is: `proto-max-bulk-len` is 512 MiB by default, on most clouds not to be changed.
const VALUE_BYTES_MAX: u64 = 512 << 20;
/// A larger value is built from its elements, if its type has any. As a whole it is held three times (in the decoder, in
/// a batch, at the target), and the target does nothing else while it takes it.
const SPLIT_ABOVE: u64 = 8 << 20;

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
        // What the configuration says is the consent for the pair's first copy. It may stand there for years: should the
        // record be lost, or another server stand at the target's address, the brake decides (Promise 5).
        let has_consent = self.link.config().on_existing_data == OnExistingData::Sweep
            && !self.link.spool.had_whole_copy();
        let before = attached.record.clone();
        let keys_before = match &before {
            Some(record) if record.copy_phase == CopyPhase::Copying => record.keys_before,
            _ => keyspace(&mut attached.reader).await?.iter().map(|(_, keys)| keys).sum(),
        };
        let next = Record {
            owner: before.as_ref().map_or(owner, |record| record.owner.clone()),
            copy_id,
            copy_phase: CopyPhase::Copying,
            position: None,
            data_end: None,
            unchecked: None,
            unverified: 0,
            keys_before,
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
        self.link.state.full_copy_continued(record.copy_id.to_string());
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
            data_end: Some((position.offset, db)),
            is_sweep_allowed: false,
            ..record
        };
        self.write_record(attached, next).await?;
        self.confirmed = Some(position);
        hit(Failpoint::AfterCopyEnd);
        self.link.state.full_copy_finished();
        if let Some(db) = db {
            // The spool's scanner starts there, should it look for a unit's end before the first SELECT.
            self.link.spool.set_head_db(copy.copy_id, db)?;
        }
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
        let left_out = LeftOut::new(
            &self.link.config(),
            &self.link.names.record,
            std::sync::Arc::clone(&self.link.state),
        );
        self.remove_remains(attached, record, &left_out).await?;
        let mut workers = self.start_workers(attached, record, &left_out).await?;
        let limits = RdbLimits { value_bytes_max: VALUE_BYTES_MAX, split_above: SPLIT_ABOVE };
        let mut decoder = RdbDecoder::new(limits);
        let mut copied = Copied::new(left_out.clone(), self.link.config().grace);
        let mut building = None;
        let mut bytes = Vec::with_capacity(READ_BYTES);
        loop {
            bytes.clear();
            if reader.read(&mut bytes, READ_BYTES)? == 0 {
                self.wait_for_rdb(attached, record, &mut workers).await?;
                continue;
            }
            decoder.push(&bytes);
            while let Some(event) = decoder.next().map_err(|error| corrupt(record, &error))? {
                let taken = self
                    .take(&event, attached, &mut keys, &mut copied, &mut building, &mut workers)
                    .await;
                let step = match taken {
                    Ok(step) => step,
                    Err(CopyStop::Stop(stop)) => return Err(stop),
                    Err(CopyStop::Refusal(refusal)) => {
                        // What was restored stays, and the key's name reaches its list.
                        workers.send(&mut copied.batch).await?;
                        workers.finish().await?;
                        return Err(refusal.halt(record, &left_out.where_listed()));
                    }
                };
                if step == Step::Database {
                    // It was idle since the last one: a target with a client timeout has closed it.
                    attached.reader = self.open_reader(&attached.peer).await?;
                    if !attached.has_database(copied.db).await? {
                        return Err(Refusal::Database(copied.db).halt(record, ""));
                    }
                }
                if building.is_none()
                    && (copied.batch.bytes.len() >= BATCH_BYTES_MAX
                        || copied.batch.command_count >= BATCH_COMMANDS_MAX)
                {
                    workers.send(&mut copied.batch).await?;
                    self.note_progress(&copied);
                }
                if step == Step::End {
                    workers.send(&mut copied.batch).await?;
                    workers.finish().await?;
                    self.note_progress(&copied);
                    self.link.state.counts.keys_restored.add(copied.keys);
                    self.until_spooled(attached, record).await?;
                    return Ok((keys.finish().map_err(TargetError::KeySet)?, copied.stream_db));
                }
            }
            self.check_master(&attached.peer)?;
            self.give_sign_of_life(attached).await?;
            self.rest_while_paused(attached).await?;
            if self.link.is_shutting_down() {
                return Err(Stop::Gone);
            }
            if !self.link.spool.has_room(self.room_wanted()) {
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

    /// The sweep begins when the RDB is whole on disk: killed in the sweep, the next process then begins again from
    /// there. Without it the end of a copy outruns a slow disk, and a kill costs a needless copy (Promise 4).
    async fn until_spooled(
        &mut self,
        attached: &mut Attached,
        record: &Record,
    ) -> Result<(), Stop> {
        loop {
            let copy = self.link.spool.copy().filter(|copy| copy.copy_id == record.copy_id);
            let Some(copy) = copy else { return Err(Stop::Gone) };
            // Dropped for want of room is complete as well.
            if copy.is_complete {
                return Ok(());
            }
            if self.link.is_shutting_down() {
                return Err(Stop::Gone);
            }
            self.wait(attached, Duration::from_secs(1)).await?;
        }
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
        left_out: &LeftOut,
    ) -> Result<Workers, TargetError> {
        let login = self.link.config().target.login.read()?;
        let (link, peer) = (&self.link, &attached.peer);
        let mut workers = Workers::default();
        for _ in 0..RESTORE_CONNECTIONS {
            let connection = Connection::open(peer, &login, &link.names.writer).await?;
            let mut writer = GuardedConnection::new(
                connection,
                peer,
                &link.names.record,
                std::sync::Arc::clone(&link.state),
            );
            let expected = Expected::record(record);
            writer.watch(&expected).await?;
            let (copy_id, left_out) = (record.copy_id, left_out.clone());
            let target = attached.capabilities;
            workers.start(Restorer { writer, expected, copy_id, left_out, target });
        }
        Ok(workers)
    }
}
