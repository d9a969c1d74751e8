//! A value of the RDB as its elements, from bytes as they arrive: what is held is one element, or one packed string,
//! never the value. For what a target cannot take as a RESTORE payload: too new a type, too large a value.
//!
//! Sans-io, behind the decoder of the RDB, which has found where the value ends. It trusts nothing: a value that
//! passed the walk over its boundaries may still hold nonsense.

mod shape;
mod stream;
mod text;
#[cfg(test)]
mod tests;

use self::{
    shape::{Expiry, Shape},
    stream::Stream,
    text::Pieces,
};
use super::{
    element::{Element, StreamId, StreamTotals, Words},
    error::Fault,
    length::{StringForm, Text, decode_into, read_array, read_number, read_text},
    packed::{Item, Packed, Walk},
    value::{Kind, ValueType},
};

/// What the buffers keep of their size once a large element has passed.
const BYTES_KEPT: usize = 1 << 20;

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Bytes that no server writes.
    #[error("the value is corrupt: {0}")]
    Corrupt(&'static str),
    /// One element alone is above the bound.
    #[error("an element of the value is larger than {0} bytes")]
    TooLarge(u64),
}

/// Decodes one value.
#[derive(Debug)]
pub struct ValueDecoder {
    shape: Shape,
    element_bytes_max: u64,
    buffer: Vec<u8>,
    at: usize,
    phase: Phase,
    /// What expiries of fields count from.
    expiry_base_ms: i64,
    scratch: [Vec<u8>; 2],
    /// The packed string that is walked.
    packed: Vec<u8>,
    stream: Stream,
}

/// Where in the value the next byte lies.
#[derive(Debug)]
enum Phase {
    Start,
    Text(Pieces),
    /// So many units are still to come.
    Counted(u64),
    /// In the packed string; so many units are to come behind it.
    Packed(Walk, u64),
    Stream(stream::Place),
    Ended,
}

/// A text that was found, by its place.
#[derive(Clone, Copy, Debug)]
enum Place {
    Input(usize, usize),
    Packed(usize, usize),
    Scratch(usize),
}

/// An element, by its places.
#[derive(Clone, Copy, Debug)]
enum Found {
    Piece { total: u64, bytes: Place },
    One(Place),
    Two(Place, Place, Option<i64>),
    Entry(StreamId),
    Stream(StreamTotals),
    Group { last: StreamId, entries_read: Option<u64> },
    Consumer,
    Pending { id: StreamId, delivered_at_ms: i64, deliveries: u64 },
    Beyond(&'static str),
}

/// How one look at the buffer ended.
enum Outcome {
    Found(Found),
    /// Something that is no element was taken: look again.
    Taken,
    NeedsBytes,
}

/// What was read, or the wish for more bytes.
macro_rules! arrived {
    ($read:expr) => {
        match $read {
            Some(read) => read,
            None => return Ok($crate::rdb::elements::Outcome::NeedsBytes),
        }
    };
}
use arrived;

impl ValueDecoder {
    /// Whether values of this type can be decoded.
    pub fn knows(value_type: ValueType) -> bool {
        Shape::of(value_type).is_some()
    }

    /// A decoder at the first byte of a value; `None` for a type whose content is not known here.
    pub fn new(value_type: ValueType, element_bytes_max: u64) -> Option<Self> {
        Some(Self {
            shape: Shape::of(value_type)?,
            element_bytes_max,
            buffer: Vec::new(),
            at: 0,
            phase: Phase::Start,
            expiry_base_ms: 0,
            scratch: [Vec::new(), Vec::new()],
            packed: Vec::new(),
            stream: Stream::default(),
        })
    }

    /// Appends bytes. Take all elements before the next push, else the buffer grows.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.len() + bytes.len() <= BYTES_KEPT {
            self.buffer.shrink_to(BYTES_KEPT);
            for scratch in &mut self.scratch {
                scratch.clear();
                scratch.shrink_to(BYTES_KEPT);
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next element, `None` if more bytes are needed or the value has ended.
    #[expect(clippy::should_implement_trait, reason = "the item borrows from the decoder")]
    pub fn next(&mut self) -> Result<Option<Element<'_>>, ValueError> {
        let found = loop {
            match self.look() {
                Ok(Outcome::Found(found)) => break found,
                Ok(Outcome::Taken) => {}
                Ok(Outcome::NeedsBytes) => return Ok(None),
                Err(fault) => return Err(self.error(fault)),
            }
        };
        Ok(Some(self.element(found)))
    }

    /// The value's last byte was pushed: an error if it has not ended there.
    pub fn finish(&self) -> Result<(), ValueError> {
        if matches!(self.phase, Phase::Ended) && self.at == self.buffer.len() {
            Ok(())
        } else {
            Err(ValueError::Corrupt("it ends elsewhere than its elements do"))
        }
    }

    fn error(&self, fault: Fault) -> ValueError {
        match fault {
            Fault::Corrupt(what) => ValueError::Corrupt(what),
            Fault::TooLarge => ValueError::TooLarge(self.element_bytes_max),
        }
    }

    fn look(&mut self) -> Result<Outcome, Fault> {
        match &mut self.phase {
            Phase::Start => self.start(),
            Phase::Text(pieces) => {
                let (outcome, has_ended) = pieces.next(&self.buffer, &mut self.at)?;
                if has_ended {
                    self.phase = Phase::Ended;
                }
                Ok(outcome)
            }
            Phase::Counted(0) => {
                self.phase = Phase::Ended;
                Ok(Outcome::Taken)
            }
            Phase::Counted(left) => {
                let left = *left - 1;
                self.unit(left)
            }
            Phase::Packed(..) => self.packed_unit(),
            Phase::Stream(place) => {
                let place = *place;
                self.stream_step(place)
            }
            Phase::Ended => Ok(Outcome::NeedsBytes),
        }
    }

    fn start(&mut self) -> Result<Outcome, Fault> {
        let mut at = self.at;
        match self.shape {
            Shape::Text => self.phase = Phase::Text(Pieces::default()),
            Shape::Packed { format, has_least, .. } => {
                if has_least {
                    // The least of the expiries; stale where one was taken off, so not used.
                    let _: [u8; 8] = arrived!(read_array(&self.buffer, at));
                    at += 8;
                }
                return self.begin_packed(at, format, 0);
            }
            Shape::Stream(_) => {
                let nodes = arrived!(read_number(&self.buffer, &mut at)?);
                self.at = at;
                self.phase = Phase::Stream(stream::Place::Nodes(nodes));
            }
            Shape::Strings(_) | Shape::Scores { .. } | Shape::Nodes | Shape::TaggedNodes => {
                let count = arrived!(read_number(&self.buffer, &mut at)?);
                self.at = at;
                self.phase = Phase::Counted(count);
            }
            Shape::Expiring(expiry) => {
                if expiry == Expiry::Relative {
                    self.expiry_base_ms =
                        i64::from_le_bytes(arrived!(read_array(&self.buffer, at)));
                    at += 8;
                }
                let count = arrived!(read_number(&self.buffer, &mut at)?);
                self.at = at;
                self.phase = Phase::Counted(count);
            }
        }
        Ok(Outcome::Taken)
    }

    /// One of the units that a count announced; `left` follow it.
    fn unit(&mut self, left: u64) -> Result<Outcome, Fault> {
        let mut at = self.at;
        let limit = self.element_bytes_max;
        let buffer = &self.buffer[..];
        let found = match self.shape {
            Shape::Strings(Kind::Hash) => {
                let field = arrived!(read_text(buffer, &mut at, limit)?);
                let value = arrived!(read_text(buffer, &mut at, limit)?);
                Found::Two(self.plain(field, 0)?, self.plain(value, 1)?, None)
            }
            Shape::Strings(_) => {
                let text = arrived!(read_text(buffer, &mut at, limit)?);
                Found::One(self.plain(text, 0)?)
            }
            Shape::Scores { is_text } => {
                let member = arrived!(read_text(buffer, &mut at, limit)?);
                let score = if is_text {
                    arrived!(self.text_score(&mut at)?)
                } else {
                    let score = f64::from_le_bytes(arrived!(read_array(buffer, at)));
                    at += 8;
                    self.score(score)?
                };
                Found::Two(self.plain(member, 0)?, score, None)
            }
            Shape::Expiring(expiry) => {
                let mut expire_at_ms = None;
                if expiry != Expiry::Behind {
                    let raw = arrived!(read_number(buffer, &mut at)?);
                    if raw != 0 {
                        let base = if expiry == Expiry::Relative {
                            self.expiry_base_ms.saturating_sub(1)
                        } else {
                            0
                        };
                        expire_at_ms = Some(base.saturating_add_unsigned(raw));
                    }
                }
                let field = arrived!(read_text(buffer, &mut at, limit)?);
                let value = arrived!(read_text(buffer, &mut at, limit)?);
                if expiry == Expiry::Behind {
                    let raw = i64::from_le_bytes(arrived!(read_array(buffer, at)));
                    at += 8;
                    expire_at_ms = (raw != -1).then_some(raw);
                }
                Found::Two(self.plain(field, 0)?, self.plain(value, 1)?, expire_at_ms)
            }
            Shape::Nodes => return self.begin_packed(at, Packed::Ziplist, left),
            Shape::TaggedNodes => match arrived!(read_number(buffer, &mut at)?) {
                1 => {
                    let text = arrived!(read_text(buffer, &mut at, limit)?);
                    Found::One(self.plain(text, 0)?)
                }
                2 => return self.begin_packed(at, Packed::Listpack, left),
                _ => return Err(Fault::Corrupt("a list node of an unknown container")),
            },
            Shape::Text | Shape::Packed { .. } | Shape::Stream(_) => {
                return Err(Fault::Corrupt("a count where none belongs"));
            }
        };
        self.at = at;
        self.phase = Phase::Counted(left);
        Ok(Outcome::Found(found))
    }

    /// Unpacks the string at `at` and stands before its first item.
    fn begin_packed(&mut self, at: usize, format: Packed, left: u64) -> Result<Outcome, Fault> {
        arrived!(self.unpack(at)?);
        self.phase = Phase::Packed(Walk::new(format, &self.packed)?, left);
        Ok(Outcome::Taken)
    }

    /// Writes the string at `at` into `packed` and takes it.
    fn unpack(&mut self, at: usize) -> Result<Option<()>, Fault> {
        let mut at = at;
        let Some(text) = read_text(&self.buffer, &mut at, self.element_bytes_max)? else {
            return Ok(None);
        };
        self.packed.shrink_to(BYTES_KEPT);
        decode_into(&self.buffer[text.from..text.to], text.form, &mut self.packed)?;
        self.at = at;
        Ok(Some(()))
    }

    /// What one element takes of the packed string.
    fn packed_unit(&mut self) -> Result<Outcome, Fault> {
        const CUT: Fault = Fault::Corrupt("a packed string whose items do not come in pairs");
        let Phase::Packed(mut walk, left) = self.phase else { return Ok(Outcome::Taken) };
        let Some(first) = walk.next(&self.packed)? else {
            self.phase = Phase::Counted(left);
            return Ok(Outcome::Taken);
        };
        let first = self.unpacked(first, 0);
        let found = match self.shape {
            Shape::Packed { kind: Kind::Hash | Kind::SortedSet, has_expiry, .. } => {
                let second = walk.next(&self.packed)?.ok_or(CUT)?;
                let second = self.unpacked(second, 1);
                let expire_at_ms = match has_expiry.then(|| walk.next(&self.packed)) {
                    None => None,
                    Some(Ok(Some(Item::Number(0)))) => None,
                    Some(Ok(Some(Item::Number(at)))) => Some(at),
                    Some(_) => return Err(CUT),
                };
                Found::Two(first, second, expire_at_ms)
            }
            _ => Found::One(first),
        };
        self.phase = Phase::Packed(walk, left);
        Ok(Outcome::Found(found))
    }

    /// An item's text; a number's is written into the scratch.
    fn unpacked(&mut self, item: Item, slot: usize) -> Place {
        match item {
            Item::Text { from, to } => Place::Packed(from, to),
            Item::Number(number) => {
                self.scratch[slot].clear();
                self.scratch[slot].extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                Place::Scratch(slot)
            }
        }
    }

    /// A text's plain bytes; what is encoded is written into the scratch.
    fn plain(&mut self, text: Text, slot: usize) -> Result<Place, Fault> {
        if text.form == StringForm::Raw {
            return Ok(Place::Input(text.from, text.to));
        }
        decode_into(&self.buffer[text.from..text.to], text.form, &mut self.scratch[slot])?;
        Ok(Place::Scratch(slot))
    }

    fn text_score(&mut self, at: &mut usize) -> Result<Option<Place>, Fault> {
        let Some(&len) = self.buffer.get(*at) else { return Ok(None) };
        let score = match len {
            253 => return Err(Fault::Corrupt("a score that is not a number")),
            254 => self.score(f64::INFINITY)?,
            255 => self.score(f64::NEG_INFINITY)?,
            len => {
                let (from, to) = (*at + 1, *at + 1 + usize::from(len));
                if to > self.buffer.len() {
                    return Ok(None);
                }
                *at = to;
                return Ok(Some(Place::Input(from, to)));
            }
        };
        *at += 1;
        Ok(Some(score))
    }

    /// A score as ZADD takes it, with as many digits as tell it from every other.
    fn score(&mut self, score: f64) -> Result<Place, Fault> {
        if score.is_nan() {
            return Err(Fault::Corrupt("a score that is not a number"));
        }
        self.scratch[1].clear();
        self.scratch[1].extend_from_slice(format!("{score:?}").as_bytes());
        Ok(Place::Scratch(1))
    }

    fn at(&self, place: Place) -> &[u8] {
        match place {
            Place::Input(from, to) => &self.buffer[from..to],
            Place::Packed(from, to) => &self.packed[from..to],
            Place::Scratch(slot) => &self.scratch[slot],
        }
    }

    fn element(&self, found: Found) -> Element<'_> {
        let stream = &self.stream;
        match found {
            Found::Piece { total, bytes } => {
                let bytes = match (&self.phase, bytes) {
                    // Decompressed.
                    (Phase::Text(pieces), Place::Packed(from, to)) => pieces.window(from, to),
                    (_, place) => self.at(place),
                };
                Element::Piece { total, bytes }
            }
            Found::One(place) => match self.shape.kind() {
                Kind::Set => Element::Member(self.at(place)),
                _ => Element::Item(self.at(place)),
            },
            Found::Two(first, second, expire_at_ms) => match self.shape.kind() {
                Kind::SortedSet => {
                    Element::Scored { member: self.at(first), score: self.at(second) }
                }
                _ => Element::Field { field: self.at(first), value: self.at(second), expire_at_ms },
            },
            Found::Entry(id) => Element::Entry {
                id,
                words: Words { bytes: &stream.words.bytes, ends: &stream.words.ends },
            },
            Found::Stream(totals) => Element::Stream(totals),
            Found::Group { last, entries_read } => {
                Element::Group { name: &stream.group, last, entries_read }
            }
            Found::Consumer => Element::Consumer { group: &stream.group, name: &stream.consumer },
            Found::Pending { id, delivered_at_ms, deliveries } => Element::Pending {
                group: &stream.group,
                consumer: &stream.consumer,
                id,
                delivered_at_ms,
                deliveries,
            },
            Found::Beyond(what) => Element::Beyond(what),
        }
    }
}
