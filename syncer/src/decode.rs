//! The stream's units: one command, or one MULTI … EXEC of the source (Promise 3). Sans-io: bytes in, borders out.
//!
//! Between the spool and the filter. Nothing is copied: a unit is a span of the buffer, and its commands are
//! forwarded as the bytes that arrived.

use std::ops::Range;

use crate::{
    position::Offset,
    resp::{RespError, command::Command},
};

/// Bytes at the buffer's start that are of no more use are moved away when there are this many.
const COMPACT_BYTES: usize = 1 << 20;

/// Where one unit lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSpan {
    /// In the decoder's buffer.
    pub bytes: Range<usize>,
    /// Behind its last byte, in the source's history.
    pub end: Offset,
    /// Whether it is a MULTI … EXEC.
    pub is_transaction: bool,
}

/// Cuts the stream into units.
#[derive(Debug)]
pub struct UnitDecoder {
    buf: Vec<u8>,
    /// Where the next unit starts in `buf`.
    at: usize,
    /// Where the next command of an unfinished unit starts: an open transaction is not scanned again.
    scanned: usize,
    in_transaction: bool,
    /// The offset of `buf[at]`.
    offset: u64,
    command: Command,
}

impl UnitDecoder {
    /// A decoder that stands at a unit's end.
    pub fn new(offset: Offset) -> Self {
        Self {
            buf: Vec::new(),
            at: 0,
            scanned: 0,
            in_transaction: false,
            offset: offset.0,
            command: Command::default(),
        }
    }

    /// The end of the last unit that was given out.
    pub fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    /// The buffer that spans point into; new bytes are appended to it. Spans given out before are void then.
    pub fn input(&mut self) -> &mut Vec<u8> {
        if self.at == self.buf.len() {
            self.buf.clear();
            // One huge unit must not keep its memory for ever.
            self.buf.shrink_to(2 * COMPACT_BYTES);
            self.scanned -= self.at;
            self.at = 0;
        } else if self.at >= COMPACT_BYTES {
            self.buf.drain(..self.at);
            self.scanned -= self.at;
            self.at = 0;
        }
        &mut self.buf
    }

    /// How many bytes of an unfinished unit are held.
    pub fn unfinished_bytes(&self) -> usize {
        self.buf.len() - self.at
    }

    /// What spans point into.
    pub fn buffer(&self) -> &[u8] {
        &self.buf
    }

    /// The next whole unit; `None` until all of it is there.
    pub fn next_unit(&mut self) -> Result<Option<UnitSpan>, RespError> {
        loop {
            let Some(end) = self.command.parse(&self.buf, self.scanned)? else { return Ok(None) };
            let name = self.command.name(&self.buf);
            if name.eq_ignore_ascii_case(b"MULTI") {
                self.in_transaction = true;
            }
            let is_exec = self.in_transaction && name.eq_ignore_ascii_case(b"EXEC");
            self.scanned = end;
            if !self.in_transaction || is_exec {
                let bytes = self.at..end;
                self.at = end;
                self.offset += bytes.len() as u64;
                self.in_transaction = false;
                return Ok(Some(UnitSpan {
                    bytes,
                    end: Offset(self.offset),
                    is_transaction: is_exec,
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::encode;

    #[test]
    fn a_transaction_is_one_unit_wherever_the_bytes_are_split() {
        let mut all = Vec::new();
        let mut ends = Vec::new();
        for command in [
            &["INCR", "a"][..],
            &["MULTI"],
            &["SET", "a", "1"],
            &["SET", "b", "1"],
            &["exec"],
            &["PING"],
        ] {
            encode::command(&mut all, command);
            if !["MULTI", "SET"].contains(&command[0]) {
                ends.push(Offset(50 + all.len() as u64));
            }
        }
        for split in 0..all.len() {
            let mut decoder = UnitDecoder::new(Offset(50));
            let mut found = Vec::new();
            for part in [&all[..split], &all[split..]] {
                decoder.input().extend_from_slice(part);
                while let Some(unit) = decoder.next_unit().unwrap() {
                    assert_eq!(unit.is_transaction, found.len() == 1);
                    found.push(unit.end);
                }
            }
            assert_eq!(found, ends, "split at {split}");
            assert_eq!(decoder.offset(), Offset(50 + all.len() as u64));
        }
    }
}
