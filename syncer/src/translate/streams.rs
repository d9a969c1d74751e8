//! Streams: what later versions remember of them is left out where the target has no place for it.

use super::{Form, Output, Words, is, number};
use crate::{
    rdb::support::Unsupported,
    target::{examine::Since, way::NO_STREAMS},
};

const SINCE_6_2: Since = Since::redis(6, 2);
const REFERENCES: Since = Since::both((8, 2, 0), Since::NEVER);

const NO_MINID: Unsupported = Unsupported {
    reason: "the target cannot trim a stream by id (MINID came with Redis 6.2)",
    remedy: "use a target of Redis 6.2 or newer, or trim by MAXLEN at the source",
};
const NO_ACKED: Unsupported = Unsupported {
    reason: "the target does not know ACKED or DELREF of a stream's trimming (Redis 8.2)",
    remedy: "use a target of Redis 8.2 or newer, or trim without ACKED and DELREF at the source",
};

/// What groups have pending of it stays.
const DELETE: &str = "\
local function delete(id) redis.call('XDEL', KEYS[1], id) end
";

/// In each group the entry is pending no more; then it goes.
const DELETE_EVERYWHERE: &str = "\
local function delete(id)
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    redis.call('XACK', KEYS[1], group[2], id)
  end
  redis.call('XDEL', KEYS[1], id)
end
";

/// All that are named.
const EACH: &str = "for _, id in ipairs(ARGV) do delete(id) end";

/// Those that the group had pending: the others stay as they are.
const EACH_PENDING: &str = "\
for i = 2, #ARGV do
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[i]) == 1 then delete(ARGV[i]) end
end";

/// An entry goes where no group has it pending and every group has come by it.
const DELETE_ACKED: &str = "\
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return ms or id, seq or '0'
end
local function before(a, b)
  local am, as = parts(a)
  local bm, bs = parts(b)
  if #am ~= #bm then return #am < #bm end
  if am ~= bm then return am < bm end
  if #as ~= #bs then return #as < #bs end
  return as < bs
end
local function delete(id)
  local goes = true
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    if before(fields['last-delivered-id'], id) then goes = false end
    if #redis.call('XPENDING', KEYS[1], fields['name'], id, id, 1) > 0 then goes = false end
  end
  if goes then redis.call('XDEL', KEYS[1], id) end
end
";

pub(super) fn xadd(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    // The options end at the id.
    let mut at = 2;
    while let Some(word) = words.get(at) {
        let sign = words.get(at + 1).filter(|sign| matches!(**sign, b"=" | b"~"));
        at += match word {
            word if is(word, "MAXLEN") || is(word, "MINID") => 2 + usize::from(sign.is_some()),
            word if is(word, "LIMIT") => 2,
            word if ["NOMKSTREAM", "KEEPREF", "DELREF", "ACKED"]
                .iter()
                .any(|name| is(word, name)) =>
            {
                1
            }
            _ => break,
        };
    }
    trim(words, at, out)
}

pub(super) fn xtrim(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    trim(words, words.len(), out)
}

/// A target without streams has none of their commands.
fn check(out: &Output<'_>) -> Result<(), Unsupported> {
    if out.target.has_streams() { Ok(()) } else { Err(NO_STREAMS) }
}

/// Takes out of the words from the key to `end` what the target does not know.
fn trim(words: &Words<'_>, end: usize, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    check(out)?;
    let mut left_out = None;
    for (index, word) in words.iter().enumerate().take(end).skip(2) {
        if is(word, "MINID") && !out.target.has(SINCE_6_2) {
            return Err(NO_MINID);
        }
        if (is(word, "ACKED") || is(word, "DELREF")) && !out.target.has(REFERENCES) {
            return Err(NO_ACKED);
        }
        let is_default = is(word, "KEEPREF") && !out.target.has(REFERENCES);
        if is_default || (is(word, "NOMKSTREAM") && !out.target.has(SINCE_6_2)) {
            left_out.get_or_insert_with(Vec::new).push(index);
        }
        // The source says `MAXLEN = <what was left> LIMIT n` (t_stream.c, streamRewriteApproxSpecifier), which it takes
        // from a master only. The number is the result, so the limit says nothing more.
        if is(word, "LIMIT") && index + 1 < end {
            left_out.get_or_insert_with(Vec::new).extend([index, index + 1]);
        }
    }
    let Some(left_out) = left_out else { return Ok(Form::Same) };
    let kept = words.iter().enumerate().filter(|(index, _)| !left_out.contains(index));
    out.command(&kept.map(|(_, word)| *word).collect::<Vec<_>>());
    Ok(Form::Written)
}

/// Below 7.0: a group's count of entries read has no place; below 6.2 a consumer comes into being with its first entry.
pub(super) fn xgroup(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    check(out)?;
    if words.get(1).is_some_and(|word| is(word, "CREATECONSUMER")) && !out.target.has(SINCE_6_2) {
        return Ok(Form::Dropped);
    }
    let Some(at) = words.iter().skip(5).position(|word| is(word, "ENTRIESREAD")) else {
        return Ok(Form::Same);
    };
    let (head, rest) = words.split_at(5 + at);
    out.joined(&[head, rest.get(2..).unwrap_or_default()]);
    Ok(Form::Written)
}

/// `XSETID key id [ENTRIESADDED n] [MAXDELETEDID id]`
pub(super) fn xsetid(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    check(out)?;
    if words.len() <= 3 {
        return Ok(Form::Same);
    }
    out.command(&words[..3]);
    Ok(Form::Written)
}

/// What becomes of what groups have pending of a deleted entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum References {
    Keep,
    Delete,
    Acked,
}

impl References {
    /// The function `delete(id)` of a script.
    fn deletion(self) -> &'static str {
        match self {
            Self::Keep => DELETE,
            Self::Delete => DELETE_EVERYWHERE,
            Self::Acked => DELETE_ACKED,
        }
    }
}

/// `[KEEPREF | DELREF | ACKED] IDS n id …`
fn references<'w, 'a>(words: &'w Words<'a>) -> Option<(References, &'w Words<'a>)> {
    let at = words.iter().position(|word| is(word, "IDS"))?;
    let references = match words[..at] {
        [] => References::Keep,
        [word] if is(word, "KEEPREF") => References::Keep,
        [word] if is(word, "DELREF") => References::Delete,
        [word] if is(word, "ACKED") => References::Acked,
        _ => return None,
    };
    let ids = words.get(at + 2..)?;
    (number(words[at + 1]) == Some(ids.len())).then_some((references, ids))
}

pub(super) fn xdelex(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    check(out)?;
    let [_, key, rest @ ..] = words else { return Ok(Form::Same) };
    let Some((references, ids)) = references(rest) else { return Ok(Form::Same) };
    match references {
        References::Keep => out.joined(&[&[b"XDEL", key], ids]),
        _ => out.script(&[references.deletion(), EACH].concat(), &[key], ids),
    }
    Ok(Form::Written)
}

/// `XACKDEL key group [KEEPREF | DELREF | ACKED] IDS n id …`
pub(super) fn xackdel(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    check(out)?;
    let [_, key, group, rest @ ..] = words else { return Ok(Form::Same) };
    let Some((references, ids)) = references(rest) else { return Ok(Form::Same) };
    let arguments = [&[*group], ids].concat();
    out.script(&[references.deletion(), EACH_PENDING].concat(), &[key], &arguments);
    Ok(Form::Written)
}
