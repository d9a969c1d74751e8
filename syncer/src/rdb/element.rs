//! What a value consists of, whichever of the many encodings it is written in: the words between the decoder of
//! values (`elements.rs`) and whoever writes them as commands.

use std::fmt;

/// One part of a value, in the order in which a copy of it is built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Element<'a> {
    /// The next bytes of a string. An empty string is one empty piece.
    Piece {
        /// How long the whole string is.
        total: u64,
        /// These bytes of it.
        bytes: &'a [u8],
    },
    /// The next item of a list, from its head on.
    Item(&'a [u8]),
    /// A member of a set.
    Member(&'a [u8]),
    /// A member of a sorted set.
    Scored {
        /// Whose.
        member: &'a [u8],
        /// As ZADD takes it.
        score: &'a [u8],
    },
    /// A field of a hash.
    Field {
        /// Its name.
        field: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// Absolute, in milliseconds. May lie in the past.
        expire_at_ms: Option<i64>,
    },
    /// An entry of a stream, in the order of their ids.
    Entry {
        /// Its id.
        id: StreamId,
        /// Names and values in turn.
        words: Words<'a>,
    },
    /// What a stream remembers beside its entries. Comes behind them.
    Stream(StreamTotals),
    /// A group of a stream; its consumers follow.
    Group {
        /// Its name.
        name: &'a [u8],
        /// What it has delivered up to.
        last: StreamId,
        /// How many entries it has read, where that is known.
        entries_read: Option<u64>,
    },
    /// A consumer of the last group; what is pending for it follows.
    Consumer {
        /// The group's name.
        group: &'a [u8],
        /// Its own.
        name: &'a [u8],
    },
    /// An entry that was delivered to the last consumer and not acknowledged.
    Pending {
        /// The group's name.
        group: &'a [u8],
        /// The consumer's.
        consumer: &'a [u8],
        /// The entry.
        id: StreamId,
        /// When it was delivered last.
        delivered_at_ms: i64,
        /// How often it was.
        deliveries: u64,
    },
    /// Something that no command carries. What follows it is not told any more.
    Beyond(&'static str),
}

/// What a stream remembers beside its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamTotals {
    /// How many entries it has.
    pub length: u64,
    /// The highest id that it ever had.
    pub last: StreamId,
    /// The highest id that was deleted, and how many entries were ever added; not known up to Redis 6.2.
    pub history: Option<(StreamId, u64)>,
}

/// The id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// The number within them.
    pub seq: u64,
}

impl StreamId {
    /// Sixteen bytes, big-endian.
    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { ms: (both >> 64) as u64, seq: both as u64 }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// Texts in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<'a> {
    pub(super) bytes: &'a [u8],
    /// Where each ends.
    pub(super) ends: &'a [usize],
}

impl<'a> Words<'a> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let word = bytes.get(from..*end).unwrap_or_default();
            from = *end;
            word
        })
    }
}
