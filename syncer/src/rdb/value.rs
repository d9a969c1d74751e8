//! The value types and where each of them ends. A layout is a list of steps that the skipper walks
//! (`skip.rs`); it says nothing of what the bytes mean.

use std::fmt;

/// Who wrote the RDB. The magic decides, never INFO: from byte 22 on the two families give the same
/// numbers different meanings. Valkey writing a `REDIS0011` counts as Redis here: up to version 11
/// they are one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `REDIS` and four digits.
    Redis,
    /// `VALKEY` and three digits: Valkey 9.0 and newer.
    Valkey,
}

impl Family {
    /// The versions whose every byte is known here; a higher one may have moved any of them.
    pub(super) fn knows_version(self, version: u32) -> bool {
        match self {
            Self::Redis => (1..=15).contains(&version),
            Self::Valkey => (80..=81).contains(&version),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Valkey => "Valkey",
        })
    }
}

/// The type byte of a value, which means something only together with its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueType {
    /// From the magic of the RDB.
    pub family: Family,
    /// As it stands before the key, and first in a RESTORE payload.
    pub byte: u8,
}

/// What a value is to the commands that work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// SET, APPEND and the like.
    String,
    /// RPUSH and the like.
    List,
    /// SADD and the like.
    Set,
    /// ZADD and the like.
    SortedSet,
    /// HSET and the like.
    Hash,
    /// XADD and the like.
    Stream,
    /// The commands of a module.
    Module,
    /// ARSET and the like: Redis 8.8.
    Array,
}

impl ValueType {
    /// A string, the only type that has a plain form ([`super::event::RdbEntry::string_value`]).
    pub fn is_string(self) -> bool {
        self.byte == 0
    }

    /// What it is to commands; `None` for a type that the decoder refuses anyway.
    pub fn kind(self) -> Option<Kind> {
        Some(match (self.family, self.byte) {
            (_, 0) => Kind::String,
            (_, 1 | 10 | 14 | 18) => Kind::List,
            (_, 2 | 11 | 20) => Kind::Set,
            (_, 3 | 5 | 12 | 17) => Kind::SortedSet,
            (_, 4 | 9 | 13 | 16 | 22) | (Family::Redis, 23..=25) => Kind::Hash,
            (_, 15 | 19 | 21) | (Family::Redis, 26 | 27) => Kind::Stream,
            (_, 6 | 7) => Kind::Module,
            (Family::Redis, 28) => Kind::Array,
            _ => return None,
        })
    }

    /// The name in the server's rdb.h, without its prefix.
    pub fn name(self) -> &'static str {
        match (self.family, self.byte) {
            (_, 0) => "STRING",
            (_, 1) => "LIST",
            (_, 2) => "SET",
            (_, 3) => "ZSET",
            (_, 4) => "HASH",
            (_, 5) => "ZSET_2",
            (_, 6) => "MODULE_PRE_GA",
            (_, 7) => "MODULE_2",
            (_, 9) => "HASH_ZIPMAP",
            (_, 10) => "LIST_ZIPLIST",
            (_, 11) => "SET_INTSET",
            (_, 12) => "ZSET_ZIPLIST",
            (_, 13) => "HASH_ZIPLIST",
            (_, 14) => "LIST_QUICKLIST",
            (_, 15) => "STREAM_LISTPACKS",
            (_, 16) => "HASH_LISTPACK",
            (_, 17) => "ZSET_LISTPACK",
            (_, 18) => "LIST_QUICKLIST_2",
            (_, 19) => "STREAM_LISTPACKS_2",
            (_, 20) => "SET_LISTPACK",
            (_, 21) => "STREAM_LISTPACKS_3",
            (Family::Redis, 22) => "HASH_METADATA_PRE_GA",
            (Family::Redis, 23) => "HASH_LISTPACK_EX_PRE_GA",
            (Family::Redis, 24) => "HASH_METADATA",
            (Family::Redis, 25) => "HASH_LISTPACK_EX",
            (Family::Redis, 26) => "STREAM_LISTPACKS_4",
            (Family::Redis, 27) => "STREAM_LISTPACKS_5",
            (Family::Redis, 28) => "ARRAY",
            (Family::Redis, 29) => "HASH_TMPL_LP",
            (Family::Redis, 30) => "HASH_TMPL_LP_REF",
            (Family::Redis, 31) => "HASH_TMPL_ARRAY",
            (Family::Redis, 32) => "HASH_TMPL_ARRAY_REF",
            (Family::Redis, 33) => "GCRA",
            (Family::Valkey, 22) => "HASH_2",
            (Family::Valkey, 23) => "PATH_HASH",
            _ => "unknown",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} type {})", self.name(), self.family, self.byte)
    }
}

/// One part of a layout.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// So many bytes.
    Bytes(u8),
    /// A length that is a number of something that does not follow here.
    Number,
    /// A string.
    Str,
    /// A string that holds a listpack.
    Listpack,
    /// A score as text, its length in one byte; 253 to 255 stand for NaN and the infinities.
    TextScore,
    /// A score as eight bytes.
    Score,
    /// A list's node: its container, then one element or a listpack.
    ListNode,
    /// Opcodes of a module, up to and with the 0.
    ModuleBody,
    /// A count, then so many times this number of strings.
    Strings(u8),
    /// A count, then so many times the steps.
    Repeat(&'static [Step]),
    /// A count that the steps of `RepeatCounted` use later.
    Count,
    /// A flag; if it is 1 a number follows.
    OptionalNumber,
    /// As many times as the last `Count` said.
    RepeatCounted(&'static [Step]),
    /// A tag, then what it announces: an array's element.
    ArrayElement,
}

use Step::{
    ArrayElement, Bytes, Count, ListNode, Listpack, ModuleBody, Number, OptionalNumber, Repeat,
    RepeatCounted, Score, Str, Strings, TextScore,
};

/// The body of opcode 247, behind its head.
pub(super) static MODULE_BODY: &[Step] = &[ModuleBody];

/// Id and time of delivery, then the count of deliveries.
const PENDING: Step = Repeat(&[Bytes(24), Number]);
/// Name, seen time, pending ids.
const CONSUMERS_1: Step = Repeat(&[Str, Bytes(8), Repeat(&[Bytes(16)])]);
/// The same with the active time.
const CONSUMERS_3: Step = Repeat(&[Str, Bytes(16), Repeat(&[Bytes(16)])]);
/// First id, then the entries from it on.
const STREAM_NODES: Step = Repeat(&[Str, Listpack]);

static STREAM_1: &[Step] =
    &[STREAM_NODES, Number, Number, Number, Repeat(&[Str, Number, Number, PENDING, CONSUMERS_1])];

// The second version added the first id, the largest deleted id and the entries added, and to each
// group the entries read.
static STREAM_2: &[Step] = &[
    STREAM_NODES,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Repeat(&[Str, Number, Number, Number, PENDING, CONSUMERS_1]),
];

static STREAM_3: &[Step] = &[
    STREAM_NODES,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Repeat(&[Str, Number, Number, Number, PENDING, CONSUMERS_3]),
];

/// Redis 8.6: the ids of idempotent producers. Duration and bound, producers, two counters.
const PRODUCERS: Step = Repeat(&[Str, Repeat(&[Str, Number, Number])]);

static STREAM_4: &[Step] = &[
    STREAM_NODES,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Repeat(&[Str, Number, Number, Number, PENDING, CONSUMERS_3]),
    Number,
    Number,
    PRODUCERS,
    Number,
    Number,
];

// Redis 8.8: each group ends with the ids that were given back.
static STREAM_5: &[Step] = &[
    STREAM_NODES,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Number,
    Repeat(&[Str, Number, Number, Number, PENDING, CONSUMERS_3, Repeat(&[Bytes(16)])]),
    Number,
    Number,
    PRODUCERS,
    Number,
    Number,
];

/// Where a value ends; `None` where that is not certain. Types up to 21 are the same wherever they
/// occur; above, only what the version's own rdb.h has.
pub(super) fn layout(value_type: ValueType, version: u32) -> Option<&'static [Step]> {
    Some(match (value_type.byte, value_type.family) {
        (0 | 9..=13, _) => &[Str],
        (1 | 2 | 14, _) => &[Strings(1)],
        (3, _) => &[Repeat(&[Str, TextScore])],
        (4, _) => &[Strings(2)],
        (5, _) => &[Repeat(&[Str, Score])],
        (7, _) => &[Number, ModuleBody],
        (15, _) => STREAM_1,
        (16 | 17 | 20, _) => &[Listpack],
        (18, _) => &[Repeat(&[ListNode])],
        (19, _) => STREAM_2,
        (21, _) => STREAM_3,
        // Release candidates of 7.4 wrote it, and 7.4 to 8.2 still read it.
        (22, Family::Redis) if version >= 12 => &[Repeat(&[Number, Str, Str])],
        // They wrote this one too, and no release reads it: it goes as commands.
        (23, Family::Redis) if version >= 12 => &[Listpack],
        (24, Family::Redis) if version >= 12 => &[Bytes(8), Repeat(&[Number, Str, Str])],
        (25, Family::Redis) if version >= 12 => &[Bytes(8), Listpack],
        (26, Family::Redis) if version >= 13 => STREAM_4,
        (27, Family::Redis) if version >= 14 => STREAM_5,
        (28, Family::Redis) if version >= 14 => {
            &[Count, OptionalNumber, RepeatCounted(&[Number, ArrayElement])]
        }
        (22, Family::Valkey) if version >= 80 => &[Repeat(&[Str, Str, Bytes(8)])],
        _ => return None,
    })
}
