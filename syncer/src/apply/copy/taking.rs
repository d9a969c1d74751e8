//! One event of the RDB: into the batch, or into the value that is being built.

use super::{
    building::{BuildStop, Building, Wanted},
    copied::{Copied, Entered, Refusal, Step},
    stop::Stop,
    workers::Workers,
};
use crate::{
    apply::{Applier, attach::Attached},
    filter::is_reserved_key,
    rdb::event::RdbEvent,
    target::{key_set::KeySetBuilder, restore::EntryRefusal, way::way},
};

/// A batch of keys goes at so many bytes.
pub(super) const BATCH_BYTES_MAX: usize = 256 << 10;
/// … or at so many commands.
pub(super) const BATCH_COMMANDS_MAX: usize = 2048;

/// Why an event of the RDB cannot be taken.
pub(super) enum CopyStop {
    Refusal(Refusal),
    Stop(Stop),
}

impl From<Refusal> for CopyStop {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Stop> for CopyStop {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Applier {
    /// Takes one event of the RDB.
    pub(super) async fn take(
        &self,
        event: &RdbEvent<'_>,
        attached: &Attached,
        keys: &mut KeySetBuilder,
        copied: &mut Copied,
        building: &mut Option<Building>,
        workers: &mut Workers,
    ) -> Result<Step, CopyStop> {
        match event {
            RdbEvent::Entry(entry) => {
                if copied.entry(entry, attached, keys)? == Entered::ToBuild {
                    let (key, value_type) = (entry.key, entry.value_type);
                    let expire_at_ms = entry.expire_at_ms;
                    let wanted = Wanted {
                        db: copied.db,
                        key,
                        value_type,
                        expire_at_ms,
                        grace: copied.grace,
                    };
                    self.begin_building(&wanted, attached, copied, building, workers).await?;
                    build_part(entry.value, copied, building, workers).await?;
                    end_building(keys, copied, building, workers).await?;
                }
            }
            RdbEvent::LargeBegin { key, .. } if is_reserved_key(key) => {}
            &RdbEvent::LargeBegin { key, value_type, expire_at_ms } => {
                let wanted =
                    Wanted { db: copied.db, key, value_type, expire_at_ms, grace: copied.grace };
                self.begin_building(&wanted, attached, copied, building, workers).await?;
            }
            RdbEvent::LargePart(part) => build_part(part, copied, building, workers).await?,
            RdbEvent::LargeEnd => end_building(keys, copied, building, workers).await?,
            other => return Ok(copied.take(other, &attached.capabilities)?),
        }
        Ok(Step::Next)
    }

    async fn begin_building(
        &self,
        wanted: &Wanted<'_>,
        attached: &Attached,
        copied: &mut Copied,
        building: &mut Option<Building>,
        workers: &mut Workers,
    ) -> Result<(), CopyStop> {
        let target = &attached.capabilities;
        // A type that the target lacks is refused before anything of it is written.
        let begun = match way(wanted.value_type, target) {
            Ok(_) => {
                workers.send(&mut copied.batch).await?;
                Building::begin(wanted, &self.link.names.record, target, &mut copied.batch)
            }
            Err(refusal) => Err(refusal),
        };
        match begun {
            Ok(begun) => *building = Some(begun),
            Err(refusal) => copied.leave_out(wanted.key, wanted.value_type, refusal.into())?,
        }
        Ok(())
    }
}

/// Bytes of the value under construction; those of a value that was left out are passed over.
async fn build_part(
    part: &[u8],
    copied: &mut Copied,
    building: &mut Option<Building>,
    workers: &mut Workers,
) -> Result<(), CopyStop> {
    let Some(mut value) = building.take() else { return Ok(()) };
    match value.part(part, &mut copied.batch, workers).await {
        Ok(()) => *building = Some(value),
        Err(stop) => return leave_out(value, stop, copied, workers).await,
    }
    Ok(())
}

async fn end_building(
    keys: &mut KeySetBuilder,
    copied: &mut Copied,
    building: &mut Option<Building>,
    workers: &mut Workers,
) -> Result<(), CopyStop> {
    let Some(mut value) = building.take() else { return Ok(()) };
    match value.end(&mut copied.batch, workers).await {
        Ok(()) => Ok(copied.count(&value.key, keys)?),
        Err(stop) => leave_out(value, stop, copied, workers).await,
    }
}

async fn leave_out(
    value: Building,
    stop: BuildStop,
    copied: &mut Copied,
    workers: &mut Workers,
) -> Result<(), CopyStop> {
    let refusal: EntryRefusal = match stop {
        BuildStop::Stop(stop) => return Err(stop.into()),
        BuildStop::Refused(refusal) => refusal,
    };
    value.give_up(&mut copied.batch, workers).await?;
    Ok(copied.leave_out(&value.key, value.value_type, refusal)?)
}
