//! Strings: the options of SET, and the commands that are a SET with something.

use super::{Form, Output, Words, is, number};
use crate::{rdb::support::Unsupported, target::examine::Since};

const KEEPTTL: Since = Since::redis(6, 0);
const ABSOLUTE: Since = Since::redis(6, 2);
const EQUALS: Since = Since::both((8, 4, 0), (8, 1, 0));
const DIGESTS: Since = Since::both((8, 4, 0), Since::NEVER);

/// Nothing but reading it keeps a time of expiry where SET cannot. PTTL and PEXPIRE count from the same moment.
const SET_KEEPING: &str = "\
local left = redis.call('PTTL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
if left >= 0 then redis.call('PEXPIRE', KEYS[1], math.max(left, 1)) end";

/// What follows key and value in a SET.
#[derive(Default)]
struct Options<'a> {
    keeps_expiry: bool,
    /// EX, PX, EXAT or PXAT, and its number.
    expiry: Option<(&'a [u8], &'a [u8])>,
    /// Something that the target does not take, or that needs another form there.
    is_foreign: bool,
}

pub(super) fn set(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let [_, key, value, rest @ ..] = words else { return Ok(Form::Same) };
    if rest.is_empty() {
        return Ok(Form::Same);
    }
    match options(rest, out) {
        Some(options) if options.is_foreign => write(key, value, &options, out),
        // An option of a later version: the target says whether it takes it.
        _ => return Ok(Form::Same),
    }
    Ok(Form::Written)
}

/// `None` if there is a word that is not known here.
fn options<'a>(rest: &Words<'a>, out: &Output<'_>) -> Option<Options<'a>> {
    let mut options = Options::default();
    let mut words = rest.iter().copied();
    while let Some(word) = words.next() {
        if ["EX", "PX", "EXAT", "PXAT"].iter().any(|name| is(word, name)) {
            options.expiry = Some((word, words.next()?));
            options.is_foreign |= word.len() == 4 && !out.target.has(ABSOLUTE);
        } else if is(word, "KEEPTTL") {
            options.keeps_expiry = true;
            options.is_foreign |= !out.target.has(KEEPTTL);
        } else if is(word, "IFEQ") {
            words.next()?;
            options.is_foreign |= !out.target.has(EQUALS);
        } else if ["IFNE", "IFDEQ", "IFDNE"].iter().any(|name| is(word, name)) {
            words.next()?;
            options.is_foreign |= !out.target.has(DIGESTS);
        } else if is(word, "GET") {
            options.is_foreign |= !out.target.has(ABSOLUTE);
        } else if !is(word, "NX") && !is(word, "XX") {
            return None;
        }
    }
    Some(options)
}

/// Without its conditions: it has succeeded.
fn write(key: &[u8], value: &[u8], options: &Options<'_>, out: &mut Output<'_>) {
    match options.expiry {
        None if options.keeps_expiry && out.target.has(KEEPTTL) => {
            out.command(&[b"SET", key, value, b"KEEPTTL"]);
        }
        None if options.keeps_expiry => out.script(SET_KEEPING, &[key], &[value]),
        None => out.command(&[b"SET", key, value]),
        Some((unit, at)) if unit.len() == 2 || out.target.has(ABSOLUTE) => {
            out.command(&[b"SET", key, value, unit, at]);
        }
        Some((unit, at)) => {
            let verb: &[u8] = if is(unit, "EXAT") { b"EXPIREAT" } else { b"PEXPIREAT" };
            out.command(&[b"SET", key, value]);
            out.command(&[verb, key, at]);
        }
    }
}

/// `MSETEX n key value … options`: each pair is a SET of its own.
pub(super) fn msetex(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let split = words
        .get(1)
        .and_then(|count| number(count))
        .and_then(|count| words.get(2..)?.split_at_checked(count.checked_mul(2)?));
    let Some((pairs, rest)) = split else { return Ok(Form::Same) };
    let Some(options) = options(rest, out) else { return Ok(Form::Same) };
    for pair in pairs.chunks_exact(2) {
        write(pair[0], pair[1], &options, out);
    }
    Ok(Form::Written)
}

/// A deletion with a condition, which held.
pub(super) fn delete(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let Some(key) = words.get(1) else { return Ok(Form::Same) };
    out.command(&[b"DEL", key]);
    Ok(Form::Written)
}
