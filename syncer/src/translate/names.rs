//! Which rule a command's name has at one target: one look-up for each command of the stream, without an allocation.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{Presence, Rule, table::ROWS};
use crate::target::examine::Capabilities;

/// Names that streams hold all the time: whether the target knows them is asked at once. Every other is asked about when it
/// is met.
pub const CORE: &[&str] = &[
    "append",
    "bitfield",
    "bitop",
    "copy",
    "decr",
    "decrby",
    "del",
    "eval",
    "evalsha",
    "expire",
    "expireat",
    "flushall",
    "flushdb",
    "function",
    "geoadd",
    "geosearchstore",
    "hdel",
    "hincrby",
    "hincrbyfloat",
    "hmset",
    "hpersist",
    "hpexpireat",
    "hset",
    "hsetex",
    "hsetnx",
    "incr",
    "incrby",
    "incrbyfloat",
    "linsert",
    "lmove",
    "lpop",
    "lpush",
    "lpushx",
    "lrem",
    "lset",
    "ltrim",
    "move",
    "mset",
    "msetnx",
    "persist",
    "pexpire",
    "pexpireat",
    "pfadd",
    "pfcount",
    "pfmerge",
    "psetex",
    "publish",
    "rename",
    "renamenx",
    "rpop",
    "rpoplpush",
    "rpush",
    "rpushx",
    "sadd",
    "script",
    "sdiffstore",
    "set",
    "setbit",
    "setex",
    "setnx",
    "setrange",
    "sinterstore",
    "smove",
    "sort",
    "spublish",
    "srem",
    "sunionstore",
    "swapdb",
    "unlink",
    "xack",
    "xadd",
    "xclaim",
    "xdel",
    "xgroup",
    "xsetid",
    "xtrim",
    "zadd",
    "zdiffstore",
    "zincrby",
    "zinterstore",
    "zpopmax",
    "zpopmin",
    "zrangestore",
    "zrem",
    "zremrangebylex",
    "zremrangebyrank",
    "zremrangebyscore",
    "zunionstore",
];

/// Of names that were learned: more than this are not remembered, which costs a question each time.
const LEARNED_MAX: usize = 4096;
/// Names up to here fit into a number.
const SHORT_BYTES: usize = 16;

/// Spreads a number's bits: names differ in few of them.
#[derive(Default)]
pub(super) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn write_u128(&mut self, number: u128) {
        let folded = (number as u64) ^ ((number >> 64) as u64).rotate_left(29);
        self.0 = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What is known of the target's commands.
#[derive(Clone, Debug)]
pub struct Known {
    short: HashMap<u128, Rule, BuildHasherDefault<NameHasher>>,
    long: HashMap<Vec<u8>, Rule>,
    /// Of a name that is not in the maps. Where the target cannot be asked every name is believed to be known there.
    otherwise: Presence,
}

impl Known {
    /// What the versions alone tell; `can_ask` if the target answers COMMAND INFO.
    pub fn new(target: &Capabilities, can_ask: bool) -> Self {
        let otherwise = if can_ask { Presence::Unasked } else { Presence::Known };
        let mut known = Self { short: HashMap::default(), long: HashMap::new(), otherwise };
        for &(name, whole, from, translator) in ROWS {
            if !target.has(whole) {
                let translator = Some((from, translator));
                known.insert(name.as_bytes(), Rule { translator, presence: otherwise });
            }
        }
        known
    }

    /// The rule of a command's name.
    pub fn rule(&self, name: &[u8]) -> Rule {
        let found = match short_name(name) {
            Some(number) => self.short.get(&number),
            None => self.long.get(&name.to_ascii_lowercase()),
        };
        found.copied().unwrap_or(Rule { translator: None, presence: self.otherwise })
    }

    /// The target has told whether it knows a name.
    pub fn learn(&mut self, name: &[u8], is_known: bool) {
        if self.short.len() + self.long.len() >= LEARNED_MAX {
            self.long.clear();
            self.short.retain(|_, rule| rule.translator.is_some());
        }
        let presence = if is_known { Presence::Known } else { Presence::Missing };
        let rule = Rule { presence, ..self.rule(name) };
        self.insert(name, rule);
    }

    /// The target does not answer: every name is believed to be known.
    pub fn stop_asking(&mut self) {
        self.otherwise = Presence::Known;
        for rule in self.short.values_mut().chain(self.long.values_mut()) {
            if rule.presence == Presence::Unasked {
                rule.presence = Presence::Known;
            }
        }
    }

    fn insert(&mut self, name: &[u8], rule: Rule) {
        match short_name(name) {
            Some(number) => self.short.insert(number, rule),
            None => self.long.insert(name.to_ascii_lowercase(), rule),
        };
    }
}

/// A name as a number, in lower case; `None` if it is too long.
fn short_name(name: &[u8]) -> Option<u128> {
    let mut bytes = [0; SHORT_BYTES];
    let part = bytes.get_mut(..name.len())?;
    part.copy_from_slice(name);
    part.make_ascii_lowercase();
    Some(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::value::Family;

    #[test]
    fn a_name_is_asked_about_once_in_any_case_and_of_any_length() {
        let target = Capabilities::for_tests(Family::Redis, 12);
        let mut known = Known::new(&target, true);
        let presence = |known: &Known, name: &[u8]| known.rule(name).presence;
        for name in ["json.set", "georadiusbymember_and_more", "zremrangebyscore", "restore"] {
            assert_eq!(presence(&known, name.as_bytes()), Presence::Unasked, "{name}");
            known.learn(name.to_ascii_uppercase().as_bytes(), true);
            assert_eq!(presence(&known, name.as_bytes()), Presence::Known, "{name}");
        }
        known.learn(b"BF.ADD", false);
        assert_eq!(presence(&known, b"bf.add"), Presence::Missing);
        assert_eq!(presence(&known, b"bf.ad"), Presence::Unasked);
        assert!(known.rule(b"RESTORE").translator.is_some());
        known.stop_asking();
        for name in [&b"bf.ad"[..], b"function"] {
            assert_eq!(presence(&known, name), Presence::Known);
        }
        assert_eq!(presence(&known, b"bf.add"), Presence::Missing);
    }

    #[test]
    fn what_is_learned_is_bounded_and_translations_stay() {
        let mut known = Known::new(&Capabilities::for_tests(Family::Redis, 6), true);
        for number in 0..3 * LEARNED_MAX {
            known.learn(format!("x{number}").as_bytes(), true);
            assert!(known.short.len() <= LEARNED_MAX);
        }
        assert!(known.rule(b"Unlink").translator.is_some());
    }
}
