//! A stream: nodes of entries, then what it remembers, then its groups with their consumers and what is pending.
//!
//! What is pending stands twice: with the group (when, how often) and with the consumer (whose). Only both together
//! make a command, so a group's is held in memory until its consumers have come: bounded.

use super::{Found, Outcome, Phase, ValueDecoder, arrived, shape::Shape};
use crate::rdb::{
    element::{StreamId, StreamTotals},
    error::Fault,
    length::{decode_text, read_array, read_number, read_text},
    packed::{Item, Packed, Walk},
};

/// Pending entries of one group that are held, 32 bytes each. More are an application that acknowledges nothing.
const PENDING_MAX: u64 = 4 << 20;

const CUT: Fault = Fault::Corrupt("a stream's node that is cut short");
const NOT_A_NUMBER: Fault = Fault::Corrupt("a text where a stream's node has a number");

/// Where in the stream the next byte lies; the numbers count what is still to come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Nodes(u64),
    /// In a node, behind its head.
    Node {
        walk: Walk,
        nodes: u64,
    },
    Totals,
    Groups(u64),
    GroupPending {
        groups: u64,
        left: u64,
    },
    Consumers {
        groups: u64,
        left: u64,
    },
    ConsumerPending {
        groups: u64,
        consumers: u64,
        left: u64,
    },
}

/// What is known of the stream, its node and its group.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The id that those of the node's entries count from.
    node_id: Option<StreamId>,
    /// The names that most entries of the node have.
    names: WordBuffer,
    /// The entry that is given out.
    pub(super) words: WordBuffer,
    pub(super) group: Vec<u8>,
    pub(super) consumer: Vec<u8>,
    pending: Vec<Pending>,
}

/// Texts in a row.
#[derive(Debug, Default)]
pub(super) struct WordBuffer {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    id: StreamId,
    delivered_at_ms: i64,
    deliveries: u64,
}

impl WordBuffer {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, packed: &[u8], item: Item) {
        match item {
            Item::Text { from, to } => self.bytes.extend_from_slice(&packed[from..to]),
            Item::Number(number) => {
                self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
        }
        self.ends.push(self.bytes.len());
    }

    fn push_word(&mut self, other: &Self, index: usize) {
        let from = index.checked_sub(1).map_or(0, |before| other.ends[before]);
        self.bytes.extend_from_slice(&other.bytes[from..other.ends[index]]);
        self.ends.push(self.bytes.len());
    }
}

impl ValueDecoder {
    fn stream_version(&self) -> u8 {
        match self.shape {
            Shape::Stream(version) => version,
            _ => 1,
        }
    }

    pub(super) fn stream_step(&mut self, place: Place) -> Result<Outcome, Fault> {
        match place {
            Place::Nodes(0) => {
                self.phase = Phase::Stream(Place::Totals);
                Ok(Outcome::Taken)
            }
            Place::Nodes(left) => self.node(left - 1),
            Place::Node { walk, nodes } => self.entry(walk, nodes),
            Place::Totals => self.totals(),
            Place::Groups(0) if self.stream_version() >= 4 => self.producers(),
            Place::Groups(0) => self.end(),
            Place::Groups(left) => self.group(left - 1),
            Place::GroupPending { groups, left } => self.group_pending(groups, left),
            Place::Consumers { groups, left: 0 } if self.stream_version() >= 5 => {
                self.given_back(groups)
            }
            Place::Consumers { groups, left: 0 } => {
                self.phase = Phase::Stream(Place::Groups(groups));
                Ok(Outcome::Taken)
            }
            Place::Consumers { groups, left } => self.consumer(groups, left - 1),
            Place::ConsumerPending { groups, consumers, left } => {
                self.consumer_pending(groups, consumers, left)
            }
        }
    }

    fn end(&mut self) -> Result<Outcome, Fault> {
        self.phase = Phase::Ended;
        Ok(Outcome::Taken)
    }

    /// The next number without moving on: the caller takes several at once or none.
    fn number(&self, at: &mut usize) -> Result<Option<u64>, Fault> {
        read_number(&self.buffer, at)
    }

    fn id(&self, at: &mut usize) -> Result<Option<StreamId>, Fault> {
        let Some(ms) = self.number(at)? else { return Ok(None) };
        let Some(seq) = self.number(at)? else { return Ok(None) };
        Ok(Some(StreamId { ms, seq }))
    }

    fn raw_id(&self, at: &mut usize) -> Option<StreamId> {
        let id = StreamId::from_bytes(read_array(&self.buffer, *at)?);
        *at += 16;
        Some(id)
    }

    /// A node's id and listpack, and the listpack's head: counts and the names of most entries.
    fn node(&mut self, nodes: u64) -> Result<Outcome, Fault> {
        let mut at = self.at;
        let id = arrived!(read_text(&self.buffer, &mut at, self.element_bytes_max)?);
        let mut scratch = std::mem::take(&mut self.scratch[0]);
        let id = decode_text(&self.buffer, id, &mut scratch)
            .and_then(|id| <[u8; 16]>::try_from(id).map_err(|_| CUT));
        self.scratch[0] = scratch;
        let id = StreamId::from_bytes(id?);
        arrived!(self.unpack(at)?);
        let mut walk = Walk::new(Packed::Listpack, &self.packed)?;
        let _count = node_number(&mut walk, &self.packed)?;
        let _deleted = node_number(&mut walk, &self.packed)?;
        let names = node_number(&mut walk, &self.packed)?;
        self.stream.node_id = Some(id);
        self.stream.names.clear();
        for _ in 0..names {
            let item = walk.next(&self.packed)?.ok_or(CUT)?;
            self.stream.names.push(&self.packed, item);
        }
        let _end = node_number(&mut walk, &self.packed)?;
        self.phase = Phase::Stream(Place::Node { walk, nodes });
        Ok(Outcome::Taken)
    }

    /// An entry: flags, its distance to the node's id, names if they are others, values, how many items that was.
    fn entry(&mut self, mut walk: Walk, nodes: u64) -> Result<Outcome, Fault> {
        const DELETED: i64 = 1;
        const SAME_NAMES: i64 = 2;
        let packed = &self.packed[..];
        let stream = &mut self.stream;
        let flags = match walk.next(packed)? {
            None => {
                self.phase = Phase::Stream(Place::Nodes(nodes));
                return Ok(Outcome::Taken);
            }
            Some(Item::Number(flags)) => flags,
            Some(Item::Text { .. }) => return Err(NOT_A_NUMBER),
        };
        let base = stream.node_id.ok_or(CUT)?;
        let id = StreamId {
            ms: base.ms.wrapping_add_signed(node_number(&mut walk, packed)?),
            seq: base.seq.wrapping_add_signed(node_number(&mut walk, packed)?),
        };
        stream.words.clear();
        if flags & SAME_NAMES != 0 {
            for index in 0..stream.names.ends.len() {
                stream.words.push_word(&stream.names, index);
                let value = walk.next(packed)?.ok_or(CUT)?;
                stream.words.push(packed, value);
            }
        } else {
            for _ in 0..node_number(&mut walk, packed)? {
                for _ in 0..2 {
                    let word = walk.next(packed)?.ok_or(CUT)?;
                    stream.words.push(packed, word);
                }
            }
        }
        let _items = node_number(&mut walk, packed)?;
        self.phase = Phase::Stream(Place::Node { walk, nodes });
        if flags & DELETED != 0 {
            return Ok(Outcome::Taken);
        }
        Ok(Outcome::Found(Found::Entry(id)))
    }

    fn totals(&mut self) -> Result<Outcome, Fault> {
        let mut at = self.at;
        let length = arrived!(self.number(&mut at)?);
        let last = arrived!(self.id(&mut at)?);
        let mut history = None;
        if self.stream_version() >= 2 {
            let _first = arrived!(self.id(&mut at)?);
            let deleted = arrived!(self.id(&mut at)?);
            history = Some((deleted, arrived!(self.number(&mut at)?)));
        }
        let groups = arrived!(self.number(&mut at)?);
        self.at = at;
        self.phase = Phase::Stream(Place::Groups(groups));
        Ok(Outcome::Found(Found::Stream(StreamTotals { length, last, history })))
    }

    fn group(&mut self, groups: u64) -> Result<Outcome, Fault> {
        let mut at = self.at;
        let name = arrived!(read_text(&self.buffer, &mut at, self.element_bytes_max)?);
        let last = arrived!(self.id(&mut at)?);
        let mut entries_read = None;
        if self.stream_version() >= 2 {
            // All ones: not known.
            entries_read = Some(arrived!(self.number(&mut at)?)).filter(|read| *read != u64::MAX);
        }
        let pending = arrived!(self.number(&mut at)?);
        if pending > PENDING_MAX {
            return Err(Fault::TooLarge);
        }
        let mut group = std::mem::take(&mut self.stream.group);
        group.clear();
        group.extend_from_slice(decode_text(&self.buffer, name, &mut self.scratch[0])?);
        self.stream.group = group;
        self.stream.pending.clear();
        self.at = at;
        self.phase = Phase::Stream(Place::GroupPending { groups, left: pending });
        Ok(Outcome::Found(Found::Group { last, entries_read }))
    }

    fn group_pending(&mut self, groups: u64, left: u64) -> Result<Outcome, Fault> {
        let mut at = self.at;
        let mut left = left;
        while left > 0 {
            let mut next = at;
            let head = self.raw_id(&mut next).and_then(|id| {
                let time = read_array(&self.buffer, next).map(i64::from_le_bytes)?;
                next += 8;
                Some((id, time))
            });
            let Some((id, delivered_at_ms)) = head else { break };
            let Some(deliveries) = self.number(&mut next)? else { break };
            if self.stream.pending.last().is_some_and(|before| before.id >= id) {
                return Err(Fault::Corrupt("pending entries that are not in order"));
            }
            self.stream.pending.push(Pending { id, delivered_at_ms, deliveries });
            at = next;
            left -= 1;
        }
        self.at = at;
        self.phase = Phase::Stream(Place::GroupPending { groups, left });
        if left > 0 {
            return Ok(Outcome::NeedsBytes);
        }
        let consumers = arrived!(self.number(&mut at)?);
        self.at = at;
        self.phase = Phase::Stream(Place::Consumers { groups, left: consumers });
        Ok(Outcome::Taken)
    }

    fn consumer(&mut self, groups: u64, consumers: u64) -> Result<Outcome, Fault> {
        let mut at = self.at;
        let name = arrived!(read_text(&self.buffer, &mut at, self.element_bytes_max)?);
        // When it was seen, and from the third version on when it was active: no command sets either.
        let times = if self.stream_version() >= 3 { 16 } else { 8 };
        if self.buffer.len() < at + times {
            return Ok(Outcome::NeedsBytes);
        }
        at += times;
        let left = arrived!(self.number(&mut at)?);
        let mut consumer = std::mem::take(&mut self.stream.consumer);
        consumer.clear();
        consumer.extend_from_slice(decode_text(&self.buffer, name, &mut self.scratch[0])?);
        self.stream.consumer = consumer;
        self.at = at;
        self.phase = Phase::Stream(Place::ConsumerPending { groups, consumers, left });
        Ok(Outcome::Found(Found::Consumer))
    }

    fn consumer_pending(
        &mut self,
        groups: u64,
        consumers: u64,
        left: u64,
    ) -> Result<Outcome, Fault> {
        if left == 0 {
            self.phase = Phase::Stream(Place::Consumers { groups, left: consumers });
            return Ok(Outcome::Taken);
        }
        let mut at = self.at;
        let id = arrived!(self.raw_id(&mut at));
        self.at = at;
        self.phase = Phase::Stream(Place::ConsumerPending { groups, consumers, left: left - 1 });
        let pending = &self.stream.pending;
        let index = pending
            .binary_search_by_key(&id, |pending| pending.id)
            .map_err(|_| Fault::Corrupt("a consumer's pending entry that its group lacks"))?;
        let Pending { id, delivered_at_ms, deliveries } = pending[index];
        Ok(Outcome::Found(Found::Pending { id, delivered_at_ms, deliveries }))
    }

    /// Redis 8.8: entries that consumers gave back. Of no consumer, so no XCLAIM makes them.
    fn given_back(&mut self, groups: u64) -> Result<Outcome, Fault> {
        let mut at = self.at;
        let count = arrived!(self.number(&mut at)?);
        self.at = at;
        if count > 0 {
            return self.beyond("entries that consumers gave back");
        }
        self.phase = Phase::Stream(Place::Groups(groups));
        Ok(Outcome::Taken)
    }

    /// Redis 8.6: the ids by which producers are kept from adding twice.
    fn producers(&mut self) -> Result<Outcome, Fault> {
        let mut at = self.at;
        let _duration = arrived!(self.number(&mut at)?);
        let _most = arrived!(self.number(&mut at)?);
        if arrived!(self.number(&mut at)?) > 0 {
            self.at = at;
            return self.beyond("ids of idempotent producers");
        }
        let _added = arrived!(self.number(&mut at)?);
        let _duplicates = arrived!(self.number(&mut at)?);
        self.at = at;
        self.end()
    }

    /// Nothing of the value is told behind this.
    fn beyond(&mut self, what: &'static str) -> Result<Outcome, Fault> {
        self.phase = Phase::Ended;
        Ok(Outcome::Found(Found::Beyond(what)))
    }
}

fn node_number(walk: &mut Walk, packed: &[u8]) -> Result<i64, Fault> {
    match walk.next(packed)?.ok_or(CUT)? {
        Item::Number(number) => Ok(number),
        Item::Text { .. } => Err(NOT_A_NUMBER),
    }
}
