//! Lists: several elements at once, and moves between any two ends.

use super::{Form, Output, Words, is, number};
use crate::rdb::support::Unsupported;

/// A list of one element that is turned in place keeps its time of expiry: it is never empty.
const MOVE: &str = "\
if KEYS[1] == KEYS[2] and redis.call('LLEN', KEYS[1]) < 2 then return end
local moved = redis.call(ARGV[1], KEYS[1])
if moved then redis.call(ARGV[2], KEYS[2], moved) end";

pub(super) fn lpop(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let &[_, key, count] = words else { return Ok(Form::Same) };
    // However many there are: one command.
    out.command(&[b"LTRIM", key, count, b"-1"]);
    Ok(Form::Written)
}

pub(super) fn rpop(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let &[_, key, count] = words else { return Ok(Form::Same) };
    let Some(count) = number(count).and_then(|count| count.checked_add(1)) else {
        return Ok(Form::Same);
    };
    out.command(&[b"LTRIM", key, b"0", format!("-{count}").as_bytes()]);
    Ok(Form::Written)
}

pub(super) fn lmove(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let &[_, from, to, from_end, to_end] = words else { return Ok(Form::Same) };
    let (from_left, to_left) = (is(from_end, "LEFT"), is(to_end, "LEFT"));
    if !from_left && to_left {
        out.command(&[b"RPOPLPUSH", from, to]);
    } else {
        let pop: &[u8] = if from_left { b"LPOP" } else { b"RPOP" };
        let push: &[u8] = if to_left { b"LPUSH" } else { b"RPUSH" };
        out.script(MOVE, &[from, to], &[pop, push]);
    }
    Ok(Form::Written)
}

/// LPUSHX and RPUSHX with more than one element.
pub(super) fn pushx(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let [verb, key, first @ .., _] = words else { return Ok(Form::Same) };
    if first.is_empty() {
        return Ok(Form::Same);
    }
    for element in &words[2..] {
        out.command(&[verb, key, element]);
    }
    Ok(Form::Written)
}
