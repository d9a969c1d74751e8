//! From the spool to batches: read, decode, filter, route, gather. Never waits; what is not there yet is not there.

use crate::{
    batch::{Assembler, Batch, UnitRefusal},
    decode::UnitDecoder,
    position::Offset,
    record::StreamPosition,
    spool::{Spool, SpoolError, StreamReader},
};

/// A batch that holds so many bytes goes: EXEC of one blocks the target for about 2 ms.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// A batch of so many units goes: each costs the target a queued command at least.
const BATCH_UNITS_MAX: usize = 8192;
/// Read from the spool at once.
const READ_BYTES: usize = 256 << 10;

/// What a look for more units found.
#[derive(Debug)]
pub(super) enum Filled {
    /// The batch is full.
    Full,
    /// The spool has no more now.
    CaughtUp,
    /// The next unit cannot be applied; what is before it is in the batch.
    Refused(Offset, UnitRefusal),
}

/// The stream from one position on.
pub(super) struct Flow {
    reader: StreamReader,
    decoder: UnitDecoder,
    assembler: Assembler,
    /// The unit that a human told to skip ends here.
    skip: Option<Offset>,
    /// The unit that cannot be applied. It is given again at each look: nothing behind it may be applied.
    refused: Option<(Offset, UnitRefusal)>,
}

impl Flow {
    /// `None` if the spool does not cover the position.
    pub(super) fn open(spool: &Spool, from: StreamPosition, skip: Option<Offset>) -> Option<Self> {
        Some(Self {
            reader: spool.reader_at(from.position)?,
            decoder: UnitDecoder::new(from.position.offset),
            assembler: Assembler::new(from.db),
            skip,
            refused: None,
        })
    }

    /// Adds units until the batch is full or no more are there. `SpoolError::Stale`: the spool was cut, and nothing
    /// that was gathered may be sent.
    pub(super) fn fill(&mut self, batch: &mut Batch) -> Result<Filled, SpoolError> {
        loop {
            if let Some((end, refusal)) = &self.refused {
                return Ok(Filled::Refused(*end, refusal.clone()));
            }
            while let Some(unit) = match self.decoder.next_unit() {
                Ok(unit) => unit,
                Err(error) => return Ok(self.refuse(self.decoder.offset(), error.into())),
            } {
                let buf = self.decoder.buffer();
                let added = match self.skip == Some(unit.end) {
                    true => self.assembler.skip(batch, buf, &unit),
                    false => self.assembler.add(batch, buf, &unit),
                };
                if let Err(refusal) = added {
                    return Ok(self.refuse(unit.end, refusal));
                }
                if batch.bytes.len() >= BATCH_BYTES_MAX || batch.units.len() >= BATCH_UNITS_MAX {
                    return Ok(Filled::Full);
                }
            }
            if self.reader.read(self.decoder.input(), READ_BYTES)? == 0 {
                return Ok(Filled::CaughtUp);
            }
        }
    }

    fn refuse(&mut self, end: Offset, refusal: UnitRefusal) -> Filled {
        self.refused = Some((end, refusal.clone()));
        Filled::Refused(end, refusal)
    }
}
