//! How the elements of each type are written: one table. What is not in it is carried verbatim or not at all.

use crate::rdb::{
    packed::Packed,
    value::{Family, Kind, ValueType},
};

/// How a value's elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One string.
    Text,
    /// A count, then strings; of a hash two for each.
    Strings(Kind),
    /// A count, then members with their scores.
    Scores { is_text: bool },
    /// A count, then fields with their values and expiries.
    Expiring(Expiry),
    /// One packed string; of a hash whose fields expire with a time behind each value, and perhaps the least of the times
    /// before all of it.
    Packed { kind: Kind, format: Packed, has_expiry: bool, has_least: bool },
    /// A count, then ziplists.
    Nodes,
    /// A count, then containers, each with one element or a listpack.
    TaggedNodes,
    /// A stream in one of its five versions.
    Stream(u8),
}

/// How the expiry of a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Before the field; 0 for none.
    Absolute,
    /// Before the field, less what stands at the value's head, plus one; 0 for none.
    Relative,
    /// Behind the value; -1 for none.
    Behind,
}

impl Shape {
    pub(super) fn of(value_type: ValueType) -> Option<Self> {
        let packed =
            |kind, format| Self::Packed { kind, format, has_expiry: false, has_least: false };
        Some(match (value_type.byte, value_type.family) {
            (0, _) => Self::Text,
            (1, _) => Self::Strings(Kind::List),
            (2, _) => Self::Strings(Kind::Set),
            (3, _) => Self::Scores { is_text: true },
            (4, _) => Self::Strings(Kind::Hash),
            (5, _) => Self::Scores { is_text: false },
            (9, _) => packed(Kind::Hash, Packed::Zipmap),
            (10, _) => packed(Kind::List, Packed::Ziplist),
            (11, _) => packed(Kind::Set, Packed::Intset),
            (12, _) => packed(Kind::SortedSet, Packed::Ziplist),
            (13, _) => packed(Kind::Hash, Packed::Ziplist),
            (14, _) => Self::Nodes,
            (15, _) => Self::Stream(1),
            (16, _) => packed(Kind::Hash, Packed::Listpack),
            (17, _) => packed(Kind::SortedSet, Packed::Listpack),
            (18, _) => Self::TaggedNodes,
            (19, _) => Self::Stream(2),
            (20, _) => packed(Kind::Set, Packed::Listpack),
            (21, _) => Self::Stream(3),
            (22, Family::Redis) => Self::Expiring(Expiry::Absolute),
            (22, Family::Valkey) => Self::Expiring(Expiry::Behind),
            (24, Family::Redis) => Self::Expiring(Expiry::Relative),
            (byte @ (23 | 25), Family::Redis) => Self::Packed {
                kind: Kind::Hash,
                format: Packed::Listpack,
                has_expiry: true,
                has_least: byte == 25,
            },
            (26, Family::Redis) => Self::Stream(4),
            (27, Family::Redis) => Self::Stream(5),
            _ => return None,
        })
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Text => Kind::String,
            Self::Strings(kind) | Self::Packed { kind, .. } => kind,
            Self::Scores { .. } => Kind::SortedSet,
            Self::Expiring(_) => Kind::Hash,
            Self::Nodes | Self::TaggedNodes => Kind::List,
            Self::Stream(_) => Kind::Stream,
        }
    }
}
