//! A value that goes whole, within one EXEC and under its own name: as a payload, or built by commands. Pure. Used for the
//! small values of a full copy, and for those that a client's RESTORE brought into the stream.

use super::{
    commands::ValueWriter,
    examine::Capabilities,
    restore::{EntryRefusal, RestoreBatch, has_known_backlens},
    way::{UNCERTAIN_BACKLENS, Way, by_commands, way},
};
use crate::{
    grace::Grace,
    position::DbIndex,
    rdb::{elements::ValueDecoder, event::RdbEntry, support::Unsupported},
};

/// The largest element that is held whole; the most that a server's default lets a command carry.
pub const ELEMENT_BYTES_MAX: u64 = 512 << 20;

/// Of a value that must be decoded, and that nobody here can read.
pub const NOT_DECODED: Unsupported = Unsupported {
    reason: "values of this type go as they are or not at all, and this one is too large for that",
    remedy: "raise proto-max-bulk-len at the target, or make the value smaller at the source",
};

/// The cheapest way that the target takes, by what the value holds; its size is another matter.
pub fn way_of(
    entry: &RdbEntry<'_>,
    target: &Capabilities,
    scratch: &mut Vec<u8>,
) -> Result<Way, EntryRefusal> {
    let way = way(entry.value_type, target)?;
    if let Some(module) = entry.module() {
        target.missing_modules.check(module)?;
    }
    if way == Way::Verbatim && !has_known_backlens(entry, target, scratch)? {
        return by_commands(entry.value_type, target)
            .map_err(|found| found.unwrap_or(UNCERTAIN_BACKLENS).into());
    }
    Ok(way)
}

/// Builds a small value under its own name, in the batch's one EXEC.
pub fn build_whole(
    batch: &mut RestoreBatch,
    db: DbIndex,
    entry: &RdbEntry<'_>,
    target: &Capabilities,
    grace: Grace,
) -> Result<(), EntryRefusal> {
    let mut decoder = ValueDecoder::new(entry.value_type, ELEMENT_BYTES_MAX).ok_or(NOT_DECODED)?;
    let name = entry.value_type.name();
    let mut writer = ValueWriter::new(entry.key, name, *target, grace);
    batch.select(db);
    batch.remove(entry.key, target, name);
    decoder.push(entry.value);
    while let Some(element) = decoder.next().map_err(EntryRefusal::Value)? {
        writer.add(&element, batch)?;
    }
    decoder.finish().map_err(EntryRefusal::Value)?;
    writer.flush(batch);
    writer.close(batch);
    if let Some(at) = entry.expire_at_ms {
        // When the key expires at the target (Promise 6).
        batch.expire(entry.key, grace.shift_millis(at).unwrap_or(at), name);
    }
    Ok(())
}
