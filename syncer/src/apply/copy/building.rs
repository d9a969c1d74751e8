//! A value that goes as commands: built under a temporary name and renamed into place, so that readers see the old
//! value or the new one, never a part (Promise 5). Small ones are built in one EXEC, under their own name.
//!
//! What is held is a command's worth of elements. A process that is killed leaves a temporary key behind, which stands
//! in a hash beside the record: the next copy begins by removing it.

use super::{
    stop::Stop,
    taking::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX},
    workers::Workers,
};
use crate::{
    grace::Grace,
    position::DbIndex,
    rdb::{
        elements::{ValueDecoder, ValueError},
        support::Unsupported,
        value::ValueType,
    },
    target::{
        commands::ValueWriter,
        examine::Capabilities,
        restore::{EntryRefusal, RestoreBatch},
        temporary::{part_key, parts_key},
        whole::{ELEMENT_BYTES_MAX, NOT_DECODED},
    },
};

/// A value of so many bytes is built in one EXEC. Compressed ones may be 88 times as long when they are written.
pub(super) const WHOLE_BYTES_MAX: usize = 64 << 10;
/// What stands in the target beside the data.
const HOUSEKEEPING: &str = "temporary key";

/// A value under construction.
pub(super) struct Building {
    pub(super) db: DbIndex,
    pub(super) key: Vec<u8>,
    pub(super) value_type: ValueType,
    expire_at_ms: Option<i64>,
    target: Capabilities,
    decoder: ValueDecoder,
    writer: ValueWriter,
    /// The hash of what is under construction.
    parts_key: String,
    temporary: String,
}

/// Why building stops.
pub(super) enum BuildStop {
    Refused(EntryRefusal),
    Stop(Stop),
}

impl From<Unsupported> for BuildStop {
    fn from(refusal: Unsupported) -> Self {
        Self::Refused(EntryRefusal::Unsupported(refusal))
    }
}

impl From<ValueError> for BuildStop {
    fn from(error: ValueError) -> Self {
        Self::Refused(EntryRefusal::Value(error))
    }
}

impl From<Stop> for BuildStop {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// The key that a value is for.
pub(super) struct Wanted<'a> {
    pub(super) db: DbIndex,
    pub(super) key: &'a [u8],
    pub(super) value_type: ValueType,
    pub(super) expire_at_ms: Option<i64>,
    pub(super) grace: Grace,
}

impl Building {
    /// Begins a value in an empty batch.
    pub(super) fn begin(
        wanted: &Wanted<'_>,
        record_key: &str,
        target: &Capabilities,
        batch: &mut RestoreBatch,
    ) -> Result<Self, Unsupported> {
        let decoder = ValueDecoder::new(wanted.value_type, ELEMENT_BYTES_MAX).ok_or(NOT_DECODED)?;
        let temporary = part_key(record_key, wanted.key);
        let building = Self {
            db: wanted.db,
            key: wanted.key.to_vec(),
            value_type: wanted.value_type,
            expire_at_ms: later(wanted.grace, wanted.expire_at_ms),
            target: *target,
            decoder,
            writer: ValueWriter::new(
                temporary.as_bytes(),
                wanted.value_type.name(),
                *target,
                wanted.grace,
            ),
            parts_key: parts_key(record_key),
            temporary,
        };
        building.mark(batch);
        // It is known before it exists.
        batch.command(&["HSET", &building.parts_key, &building.field(), "building"], HOUSEKEEPING);
        batch.select(building.db);
        batch.remove(building.temporary.as_bytes(), target, HOUSEKEEPING);
        Ok(building)
    }

    /// The next bytes of the value. Goes through one connection: the order is kept.
    pub(super) async fn part(
        &mut self,
        bytes: &[u8],
        batch: &mut RestoreBatch,
        workers: &mut Workers,
    ) -> Result<(), BuildStop> {
        self.decoder.push(bytes);
        while let Some(element) = self.decoder.next()? {
            self.writer.add(&element, batch)?;
            if batch.bytes.len() >= BATCH_BYTES_MAX || batch.command_count >= BATCH_COMMANDS_MAX {
                self.send(batch, workers).await?;
                batch.select(self.db);
            }
        }
        Ok(())
    }

    /// The value is whole: it takes its place.
    pub(super) async fn end(
        &mut self,
        batch: &mut RestoreBatch,
        workers: &mut Workers,
    ) -> Result<(), BuildStop> {
        self.decoder.finish()?;
        self.writer.flush(batch);
        self.send(batch, workers).await?;
        let name = self.value_type.name();
        batch.wanted_length = self.writer.wanted_length(self.db, &self.temporary);
        batch.select(self.db);
        self.writer.close(batch);
        // The old value is freed aside; RENAME alone would free it on the spot. All of this is one EXEC.
        batch.remove(&self.key, &self.target, name);
        // What was seen to have fields that last is not gone by itself.
        if self.writer.has_expiries() && batch.wanted_length.is_none() {
            batch.may_be_gone = Some(batch.command_count);
        }
        batch.command(&[b"RENAME".as_slice(), self.temporary.as_bytes(), &self.key], name);
        if let Some(at) = self.expire_at_ms {
            // Behind the RENAME: a time in the past would leave nothing to rename.
            batch.expire(&self.key, at, name);
        }
        self.forget(batch);
        workers.send_in_order(batch).await?;
        Ok(())
    }

    /// The value is not to be: what was built of it goes.
    pub(super) async fn give_up(
        &self,
        batch: &mut RestoreBatch,
        workers: &mut Workers,
    ) -> Result<(), Stop> {
        batch.clear();
        batch.select(self.db);
        batch.remove(self.temporary.as_bytes(), &self.target, HOUSEKEEPING);
        self.forget(batch);
        workers.send_in_order(batch).await
    }

    /// Sends what there is; what follows is of this value too.
    async fn send(&self, batch: &mut RestoreBatch, workers: &mut Workers) -> Result<(), Stop> {
        workers.send_in_order(batch).await?;
        self.mark(batch);
        Ok(())
    }

    /// Says whose value the batch builds: should a command of it fail, the value must not be shown.
    fn mark(&self, batch: &mut RestoreBatch) {
        batch.builds = Some((self.db, self.key.clone()));
    }

    fn forget(&self, batch: &mut RestoreBatch) {
        batch.finish();
        batch.command(&["HDEL", &self.parts_key, &self.field()], HOUSEKEEPING);
    }

    /// This value's field in the hash of what is under construction.
    fn field(&self) -> String {
        format!("{} {}", self.db, self.temporary)
    }
}

/// When the key expires at the target (Promise 6).
fn later(grace: Grace, expire_at_ms: Option<i64>) -> Option<i64> {
    expire_at_ms.map(|at| grace.shift_millis(at).unwrap_or(at))
}
