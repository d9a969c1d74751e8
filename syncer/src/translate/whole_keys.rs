//! Commands on keys of any type, and on all of them.

use super::{Form, Output, Words, is};
use crate::rdb::support::Unsupported;

/// A payload of the server's own, and a span counted from the same moment.
const COPY: &str = "\
local value = redis.call('DUMP', KEYS[1])
if not value then return end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 then left = math.max(left, 1) else left = 0 end
if ARGV[1] ~= '' then redis.call('SELECT', ARGV[1]) end
redis.call('DEL', KEYS[2])
redis.call('RESTORE', KEYS[2], left, value)";

/// Redis 2.8 forgets the time of expiry.
const MOVE: &str = "\
local left = redis.call('PTTL', KEYS[1])
if redis.call('MOVE', KEYS[1], ARGV[1]) == 1 and left >= 0 then
  redis.call('SELECT', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], math.max(left, 1))
end";

pub(super) fn unlink(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    out.joined(&[&[b"DEL"], &words[1..]]);
    Ok(Form::Written)
}

/// EXPIRE and its like with a condition (NX, XX, GT, LT), which has held.
pub(super) fn expire(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    if words.len() <= 3 {
        return Ok(Form::Same);
    }
    out.command(&words[..3]);
    Ok(Form::Written)
}

pub(super) fn to_another_database(
    words: &Words<'_>,
    out: &mut Output<'_>,
) -> Result<Form, Unsupported> {
    let &[_, key, db] = words else { return Ok(Form::Same) };
    out.script(MOVE, &[key], &[db]);
    Ok(Form::Written)
}

/// `COPY from to [DB n] [REPLACE]`
pub(super) fn copy(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let &[_, from, to, ref options @ ..] = words else { return Ok(Form::Same) };
    let db = options.iter().position(|word| is(word, "DB"));
    let db = db.and_then(|at| options.get(at + 1)).copied().unwrap_or_default();
    out.script(COPY, &[from, to], &[db]);
    Ok(Form::Written)
}

/// ASYNC came with 4.0, SYNC with 6.2. What is left is the same.
pub(super) fn flush(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    if words.len() <= 1 {
        return Ok(Form::Same);
    }
    out.command(&words[..1]);
    Ok(Form::Written)
}
