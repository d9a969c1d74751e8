//! From the spool to batches: read, decode, filter, route, gather. Never waits; what is not there yet is not there.

use crate::{
    batch::{Assembler, Batch, UnitRefusal},
    decode::{UnitDecoder, UnitSpan},
    position::{DbIndex, Offset},
    record::StreamPosition,
    spool::{CopyId, RangeId, Spool, SpoolError, StreamReader},
    terms::{Question, Terms},
};

/// A batch that holds so many bytes goes: EXEC of one blocks the target for about 2 ms.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// A batch of so many units goes: each costs the target a queued command at least.
const BATCH_UNITS_MAX: usize = 8192;
/// The largest unit that is held in memory: a value of 512 MiB, the most that servers take by default, with its key.
const UNIT_BYTES_MAX: usize = 544 << 20;
/// Read from the spool at once.
const READ_BYTES: usize = 256 << 10;

/// What a look for more units found.
#[derive(Debug)]
pub(super) enum Filled {
    /// The batch is full.
    Full,
    /// The spool has no more now.
    CaughtUp,
    /// The next unit waits for an answer of the target; what is before it is in the batch.
    Asks(Question),
    /// The next unit cannot be applied; what is before it is in the batch.
    Refused(Offset, UnitRefusal),
}

/// A unit that cannot be applied.
struct Refused {
    end: Offset,
    refusal: UnitRefusal,
    /// Where it lies in the decoder's buffer, if all of it is there.
    unit: Option<UnitSpan>,
}

/// The stream from one position on.
pub(super) struct Flow {
    reader: StreamReader,
    decoder: UnitDecoder,
    assembler: Assembler,
    /// The unit that a human told to skip ends here.
    skip: Option<Offset>,
    /// A unit that was decoded and not added.
    pending: Option<UnitSpan>,
    /// The range that is read.
    range: RangeId,
    /// The unit that cannot be applied. It is given again at each look: nothing behind it may be applied.
    refused: Option<Refused>,
    /// The unit that the target refused ends here; its words.
    rejected: Option<(Offset, String)>,
}

impl Flow {
    /// `None` if the spool does not cover the position in the data of this copy.
    pub(super) fn open(
        spool: &Spool,
        from: StreamPosition,
        copy_id: CopyId,
        terms: Terms,
        skip: Option<Offset>,
        rejected: Option<(Offset, String)>,
    ) -> Option<Self> {
        let range = spool.find_range(from.position).filter(|range| range.copy_id == copy_id)?;
        Some(Self {
            reader: spool.reader_at(from.position)?,
            decoder: UnitDecoder::new(from.position.offset),
            assembler: Assembler::new(from.db, terms),
            skip,
            pending: None,
            range: range.id,
            refused: None,
            rejected,
        })
    }

    /// Whether what is read is still what the source appends to.
    pub(super) fn is_live(&self, spool: &Spool) -> bool {
        spool.live_range().is_some_and(|range| range.id == self.range)
    }

    /// What is known of the target; answers are put here.
    pub(super) fn terms(&mut self) -> &mut Terms {
        self.assembler.terms()
    }

    /// Adds units until the batch is full or no more are there. `SpoolError::Stale`: the spool was cut, and nothing
    /// that was gathered may be sent.
    pub(super) fn fill(&mut self, batch: &mut Batch) -> Result<Filled, SpoolError> {
        loop {
            if let Some(Refused { end, refusal, .. }) = &self.refused {
                return Ok(Filled::Refused(*end, refusal.clone()));
            }
            while let Some(unit) = match self.pending.take() {
                Some(unit) => Some(unit),
                None => match self.decoder.next_unit() {
                    Ok(unit) => unit,
                    Err(error) => {
                        return Ok(self.refuse(self.decoder.offset(), error.into(), None));
                    }
                },
            } {
                if let Some((end, error)) = self.rejected.take_if(|(end, _)| *end <= unit.end)
                    && end == unit.end
                {
                    let refusal = UnitRefusal::Rejected { error };
                    return Ok(self.refuse(unit.end, refusal, Some(unit)));
                }
                let buf = self.decoder.buffer();
                let added = match self.skip == Some(unit.end) {
                    true => self.assembler.skip(batch, buf, &unit),
                    false => self.assembler.add(batch, buf, &unit),
                };
                match added {
                    Ok(()) => {}
                    Err(UnitRefusal::Unasked(question)) => {
                        self.pending = Some(unit);
                        return Ok(Filled::Asks(question));
                    }
                    Err(refusal) => return Ok(self.refuse(unit.end, refusal, Some(unit))),
                }
                if batch.bytes.len() >= BATCH_BYTES_MAX || batch.units.len() >= BATCH_UNITS_MAX {
                    return Ok(Filled::Full);
                }
            }
            if self.decoder.unfinished_bytes() > UNIT_BYTES_MAX {
                let refusal = UnitRefusal::TooLarge(UNIT_BYTES_MAX);
                return Ok(self.refuse(self.decoder.offset(), refusal, None));
            }
            if self.reader.read(self.decoder.input(), READ_BYTES)? == 0 {
                return Ok(Filled::CaughtUp);
            }
        }
    }

    /// Nothing behind this unit is given out.
    fn refuse(&mut self, end: Offset, refusal: UnitRefusal, unit: Option<UnitSpan>) -> Filled {
        self.refused = Some(Refused { end, refusal: refusal.clone(), unit });
        Filled::Refused(end, refusal)
    }

    /// The bytes of the unit that cannot be applied, and the database before it.
    pub(super) fn refused_unit(&self) -> Option<(&[u8], DbIndex)> {
        let unit = self.refused.as_ref()?.unit.as_ref()?;
        let bytes = self.decoder.buffer().get(unit.bytes.clone())?;
        Some((bytes, self.assembler.db().unwrap_or_default()))
    }

    /// That unit went to the dead letters: the stream goes on behind it.
    pub(super) fn reject(&mut self, batch: &mut Batch) {
        if let Some(Refused { end, unit: Some(unit), .. }) = self.refused.take()
            && let Err(refusal) = self.assembler.reject(batch, self.decoder.buffer(), &unit)
        {
            self.refuse(end, refusal, None);
        }
    }

    /// The same for the unit that waits for an answer.
    pub(super) fn refuse_pending(&mut self, refusal: UnitRefusal) {
        if let Some(unit) = self.pending.take() {
            self.refuse(unit.end, refusal, Some(unit));
        }
    }
}
