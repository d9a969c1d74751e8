//! A client's RESTORE in the stream goes the way of a value in a full copy: the label that the target takes, and commands
//! where it does not know the encoding. `RESTORE-ASKING` is what a cluster's import sends.

use super::{Form, Output, Words, is};
use crate::{
    position::DbIndex,
    rdb::{
        dump::TRAILER_LEN,
        event::RdbEntry,
        support::Unsupported,
        value::{Family, ValueType},
    },
    target::{
        restore::{EntryRefusal, RestoreBatch},
        way::Way,
        whole::{ELEMENT_BYTES_MAX, build_whole, way_of},
    },
};

/// The first RDB version of a Valkey that parted from Redis.
const VALKEY_FROM: u16 = 80;

const UNREADABLE: Unsupported = Unsupported {
    reason: "the payload of a RESTORE cannot be read",
    remedy: "look at the key at the source, and copy it by hand",
};

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s] [FREQ n]`. It has succeeded, so whatever is there goes.
pub(super) fn restore(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let &[_, key, ttl, payload, ref options @ ..] = words else { return Ok(Form::Same) };
    let (&byte, value, version) = parts(payload).ok_or(UNREADABLE)?;
    let family = if version >= VALKEY_FROM { Family::Valkey } else { Family::Redis };
    let entry = RdbEntry {
        key,
        value_type: ValueType { family, byte },
        value,
        // Stated below, behind the value: the words have the grace already.
        expire_at_ms: None,
        idle_seconds: option(options, "IDLETIME"),
        freq: option(options, "FREQ"),
        has_large_listpack: true,
        value_bytes_max: ELEMENT_BYTES_MAX,
    };
    let mut batch = RestoreBatch::default();
    write(&entry, &mut batch, out).map_err(|refusal| match refusal {
        EntryRefusal::Unsupported(unsupported) => unsupported,
        EntryRefusal::Corrupt(_) | EntryRefusal::Value(_) => UNREADABLE,
    })?;
    out.encoded(&batch.bytes, batch.command_count);
    if ttl != b"0" {
        let is_absolute = options.iter().any(|word| is(word, "ABSTTL"));
        let verb: &[u8] = if is_absolute { b"PEXPIREAT" } else { b"PEXPIRE" };
        out.command(&[verb, key, ttl]);
    }
    Ok(Form::Written)
}

fn write(
    entry: &RdbEntry<'_>,
    batch: &mut RestoreBatch,
    out: &Output<'_>,
) -> Result<(), EntryRefusal> {
    let (mut scratch, mut shifted) = (Vec::new(), Vec::new());
    // The database that is selected is the right one; the encoder's own begins with 0 and selects none.
    let here = DbIndex(0);
    match way_of(entry, out.target, &mut scratch)? {
        Way::Verbatim => {
            let later = entry.with_grace(out.grace, &mut shifted)?;
            batch.add(here, &later, out.target, &mut scratch)
        }
        Way::Commands => build_whole(batch, here, entry, out.target, out.grace),
    }
}

/// Type, value and the RDB version of a payload.
fn parts(payload: &[u8]) -> Option<(&u8, &[u8], u16)> {
    let (body, trailer) = payload.split_at_checked(payload.len().checked_sub(TRAILER_LEN)?)?;
    let (byte, value) = body.split_first()?;
    Some((byte, value, u16::from_le_bytes([trailer[0], trailer[1]])))
}

fn option<N: std::str::FromStr>(options: &Words<'_>, name: &str) -> Option<N> {
    let at = options.iter().position(|word| is(word, name))?;
    std::str::from_utf8(options.get(at + 1)?).ok()?.parse().ok()
}
