//! Sorted sets: conditions of ZADD, pops, and results that are stored.

use super::{Form, Output, Words, is, number};
use crate::{rdb::support::Unsupported, target::examine::Since};

/// Of NX, XX, CH and INCR.
const OPTIONS: Since = Since { redis: (3, 0, 2), valkey: (0, 0, 0) };

/// The conditions hold for each member by itself. GT and LT let new members in.
const ADD: &str = "\
local has = {}
for word in string.gmatch(ARGV[1], '%u+') do has[word] = true end
for i = 2, #ARGV, 2 do
  local old = redis.call('ZSCORE', KEYS[1], ARGV[i + 1])
  local goes
  if old then
    local new, was = tonumber(ARGV[i]), tonumber(old)
    goes = not has.NX and (not has.GT or new > was) and (not has.LT or new < was)
  else
    goes = not has.XX
  end
  if goes then redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1]) end
end";

const STORE_RANGE: &str = "\
local question = {ARGV[1], KEYS[2]}
for i = 3, #ARGV do question[#question + 1] = ARGV[i] end
local found = redis.call(unpack(question))
local pairs_found = {}
if ARGV[2] == 'members' then
  for _, member in ipairs(found) do
    pairs_found[#pairs_found + 1] = {redis.call('ZSCORE', KEYS[2], member), member}
  end
else
  for i = 1, #found, 2 do pairs_found[#pairs_found + 1] = {found[i + 1], found[i]} end
end
redis.call('DEL', KEYS[1])
for _, one in ipairs(pairs_found) do redis.call('ZADD', KEYS[1], one[1], one[2]) end";

/// A plain set counts as one whose members have the score 1.
const STORE_DIFFERENCE: &str = "\
local function read(key)
  local scores = {}
  if redis.call('TYPE', key).ok == 'set' then
    for _, member in ipairs(redis.call('SMEMBERS', key)) do scores[member] = '1' end
  else
    local found = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #found, 2 do scores[found[i]] = found[i + 1] end
  end
  return scores
end
local left = read(KEYS[2])
for i = 3, #KEYS do
  for member in pairs(read(KEYS[i])) do left[member] = nil end
end
redis.call('DEL', KEYS[1])
for member, score in pairs(left) do redis.call('ZADD', KEYS[1], score, member) end";

pub(super) fn zadd(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let [_, key, rest @ ..] = words else { return Ok(Form::Same) };
    let is_option =
        |word: &&[u8]| ["NX", "XX", "GT", "LT", "CH", "INCR"].iter().any(|name| is(word, name));
    let (options, pairs) = rest.split_at(rest.iter().take_while(|word| is_option(word)).count());
    let has = |name| options.iter().any(|word| is(word, name));
    if options.is_empty() || (out.target.has(OPTIONS) && !has("GT") && !has("LT")) {
        return Ok(Form::Same);
    }
    if let ([by, member], true) = (pairs, has("INCR")) {
        out.command(&[b"ZINCRBY", key, by, member]);
        return Ok(Form::Written);
    }
    let names = options.join(&b' ').to_ascii_uppercase();
    let arguments: Vec<&[u8]> = [&names[..]].into_iter().chain(pairs.iter().copied()).collect();
    out.script(ADD, &[key], &arguments);
    Ok(Form::Written)
}

pub(super) fn zpopmin(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let Some((key, count)) = popped(words) else { return Ok(Form::Same) };
    let last = (count - 1).to_string();
    out.command(&[b"ZREMRANGEBYRANK", key, b"0", last.as_bytes()]);
    Ok(Form::Written)
}

pub(super) fn zpopmax(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let Some((key, count)) = popped(words) else { return Ok(Form::Same) };
    out.command(&[b"ZREMRANGEBYRANK", key, format!("-{count}").as_bytes(), b"-1"]);
    Ok(Form::Written)
}

/// The key and how many members, at least one.
fn popped<'a>(words: &Words<'a>) -> Option<(&'a [u8], usize)> {
    match *words {
        [_, key] => Some((key, 1)),
        [_, key, count] => number(count).filter(|count| *count > 0).map(|count| (key, count)),
        _ => None,
    }
}

/// `ZRANGESTORE to from min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]`
pub(super) fn zrangestore(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let &[_, to, from, min, max, ref options @ ..] = words else { return Ok(Form::Same) };
    let has = |name| options.iter().any(|word| is(word, name));
    let limit = options.iter().position(|word| is(word, "LIMIT"));
    let limit = limit.and_then(|at| options.get(at..at + 3)).unwrap_or_default();
    let verb: &[u8] = match (has("BYSCORE"), has("BYLEX"), has("REV")) {
        (true, _, true) => b"ZREVRANGEBYSCORE",
        (true, _, false) => b"ZRANGEBYSCORE",
        (_, true, true) => b"ZREVRANGEBYLEX",
        (_, true, false) => b"ZRANGEBYLEX",
        (_, _, true) => b"ZREVRANGE",
        (_, _, false) => b"ZRANGE",
    };
    let mut arguments: Vec<&[u8]> = vec![verb];
    match has("BYLEX") {
        true => arguments.extend([b"members".as_slice(), min, max]),
        false => arguments.extend([b"scored".as_slice(), min, max, b"WITHSCORES"]),
    }
    arguments.extend(limit);
    out.script(STORE_RANGE, &[to, from], &arguments);
    Ok(Form::Written)
}

/// `ZDIFFSTORE to n key …`
pub(super) fn zdiffstore(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let [_, to, _, from @ ..] = words else { return Ok(Form::Same) };
    let keys: Vec<&[u8]> = [*to].into_iter().chain(from.iter().copied()).collect();
    out.script(STORE_DIFFERENCE, &keys, &[]);
    Ok(Form::Written)
}
