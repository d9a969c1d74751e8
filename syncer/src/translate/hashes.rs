//! Hashes, and the fields of them that expire.

use super::{Form, Output, Words, is};
use crate::{
    rdb::support::Unsupported,
    target::{examine::Since, way::NO_FIELD_EXPIRY},
};

const HSETEX: Since = Since::both((8, 0, 0), (9, 0, 0));
/// Conditions on the key, which only Valkey has.
const KEY_CONDITIONS: Since = Since::both(Since::NEVER, (9, 1, 0));

/// Redis 7.4 has no command that sets a field and keeps its time.
const SET_KEEPING: &str = "\
for i = 1, #ARGV, 2 do
  local at = redis.call('HPEXPIRETIME', KEYS[1], 'FIELDS', 1, ARGV[i])
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  if type(at) == 'table' and type(at[1]) == 'number' and at[1] > 0 then
    redis.call('HPEXPIREAT', KEYS[1], at[1], 'FIELDS', 1, ARGV[i])
  end
end";

pub(super) fn hset(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    if words.len() <= 4 {
        return Ok(Form::Same);
    }
    out.joined(&[&[b"HMSET"], &words[1..]]);
    Ok(Form::Written)
}

/// `HGETDEL key FIELDS n field …`
pub(super) fn hgetdel(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let [_, key, _, _, fields @ ..] = words else { return Ok(Form::Same) };
    out.joined(&[&[b"HDEL", key], fields]);
    Ok(Form::Written)
}

/// `HSETEX key [NX|XX] [FNX|FXX] [KEEPTTL | EX s | PX ms | EXAT s | PXAT ms] FIELDS n field value …`. Its conditions hold
/// for all of it, and have held.
pub(super) fn hsetex(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let [_, key, rest @ ..] = words else { return Ok(Form::Same) };
    let mut keeps_expiry = false;
    let mut expiry: Option<[&[u8]; 2]> = None;
    let mut has_key_condition = false;
    let mut at = 0;
    let pairs = loop {
        let Some(word) = rest.get(at) else { return Ok(Form::Same) };
        if is(word, "FIELDS") {
            let Some(pairs) = rest.get(at + 2..) else { return Ok(Form::Same) };
            break pairs;
        }
        if is(word, "KEEPTTL") {
            keeps_expiry = true;
        } else if ["EX", "PX", "EXAT", "PXAT"].iter().any(|name| is(word, name)) {
            let Some(number) = rest.get(at + 1) else { return Ok(Form::Same) };
            expiry = Some([word, number]);
            at += 1;
        } else if is(word, "NX") || is(word, "XX") {
            has_key_condition = true;
        } else if !is(word, "FNX") && !is(word, "FXX") {
            return Ok(Form::Same);
        }
        at += 1;
    };
    if out.target.has(HSETEX) {
        if !has_key_condition || out.target.has(KEY_CONDITIONS) {
            return Ok(Form::Same);
        }
        let expiry: &Words<'_> = match &expiry {
            Some(expiry) => expiry,
            None if keeps_expiry => &[b"KEEPTTL"],
            None => &[],
        };
        let count = (pairs.len() / 2).to_string();
        out.joined(&[&[b"HSETEX", key], expiry, &[b"FIELDS", count.as_bytes()], pairs]);
        return Ok(Form::Written);
    }
    if !out.target.has_field_expiry() {
        if expiry.is_some() {
            return Err(NO_FIELD_EXPIRY);
        }
        // No field has a time there: to keep it is to set it.
        set_fields(key, pairs, out);
        return Ok(Form::Written);
    }
    if keeps_expiry {
        out.script(SET_KEEPING, &[key], pairs);
        return Ok(Form::Written);
    }
    set_fields(key, pairs, out);
    if let Some([unit, number]) = expiry {
        let verb: &[u8] = match unit.to_ascii_uppercase().as_slice() {
            b"EX" => b"HEXPIRE",
            b"PX" => b"HPEXPIRE",
            b"EXAT" => b"HEXPIREAT",
            _ => b"HPEXPIREAT",
        };
        let fields: Vec<&[u8]> = pairs.iter().step_by(2).copied().collect();
        let count = fields.len().to_string();
        out.joined(&[&[verb, key, number, b"FIELDS", count.as_bytes()], &fields]);
    }
    Ok(Form::Written)
}

fn set_fields(key: &[u8], pairs: &Words<'_>, out: &mut Output<'_>) {
    // HMSET takes several fields everywhere.
    out.joined(&[&[b"HMSET", key], pairs]);
}

/// HPEXPIREAT and its like, where no field can expire.
pub(super) fn expire(_: &Words<'_>, _: &mut Output<'_>) -> Result<Form, Unsupported> {
    Err(NO_FIELD_EXPIRY)
}

/// HPERSIST where no field has a time.
pub(super) fn persist(_: &Words<'_>, _: &mut Output<'_>) -> Result<Form, Unsupported> {
    Ok(Form::Dropped)
}

/// `HSETC key field … value …`: all fields, then all values; what the hash was before is gone. Servers send it to
/// replicas only and take it from nobody else.
pub(super) fn hsetc(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    const ODD: Unsupported = Unsupported {
        reason: "HSETC with another number of fields than of values",
        remedy: "report it with the source's version",
    };
    let [_, key, rest @ ..] = words else { return Err(ODD) };
    if rest.is_empty() || !rest.len().is_multiple_of(2) {
        return Err(ODD);
    }
    let (fields, values) = rest.split_at(rest.len() / 2);
    let pairs: Vec<&[u8]> = fields.iter().zip(values).flat_map(|(f, v)| [*f, *v]).collect();
    out.command(&[b"DEL", key]);
    set_fields(key, &pairs, out);
    Ok(Form::Written)
}
