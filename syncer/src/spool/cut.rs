//! Cutting a log's tail. Memory goes first, so that no reader yields another byte of it; then the
//! disk; and only then, by the caller, the index with the new lineage. A crash in between leaves
//! either the old tail or a shorter log, both under the old lineage, which is true of both.

use std::{fs::File, path::Path};

use super::{
    Shared, SpoolError, UnitMark,
    error::Act,
    frame::{FRAME_HEADER, Fill, FrameReader, frame_header},
    index::sync_dir,
    log::{CutPoint, PendingCut, Shortened},
    range::lineage_clamp,
    segment::{LogKey, SEGMENT_HEADER, Seal, Segment, delete, open_for_write},
};
use crate::position::Offset;

impl Shared {
    /// Cuts the live range to a unit's end. To be called with the writer's lock held.
    pub(super) fn cut(&self, unit: UnitMark) -> Result<(), SpoolError> {
        self.finish_live_cut()?;
        let (key, start, end) = {
            let state = self.state();
            let log = &state.ranges.last().ok_or(SpoolError::NoRange)?.log;
            (log.key, log.start(), log.end())
        };
        let to = unit.unit_end.0;
        if to < start || to > end {
            let (start, end) = (Offset(start), Offset(end));
            return Err(SpoolError::OutOfRange { offset: unit.unit_end, start, end });
        }
        let point = if to < end { Some(self.find_cut_point(key, to)?) } else { None };
        {
            let mut state = self.state();
            let range = state.ranges.last_mut().ok_or(SpoolError::NoRange)?;
            range.unit = unit;
            if let Some(point) = point {
                range.log.cut(to, point);
                lineage_clamp(&mut range.lineage, unit.unit_end);
                state.generation += 1;
                self.publish(&state);
            }
        }
        self.finish_cut(key)
    }

    pub(super) fn finish_live_cut(&self) -> Result<(), SpoolError> {
        let key = self.state().live_key();
        key.map_or(Ok(()), |key| self.finish_cut(key))
    }

    /// Brings the disk up to a cut that memory knows of. May be repeated until it succeeds.
    pub(super) fn finish_cut(&self, key: LogKey) -> Result<(), SpoolError> {
        let (tail, doomed, shortened) = {
            let state = self.state();
            let log = state.log(key).ok_or(SpoolError::Unknown)?;
            let Some(PendingCut { doomed, shortened }) = &log.pending_cut else {
                return Ok(());
            };
            let tail = log.segments.back().map(|tail| (tail.path.clone(), tail.data_end));
            (tail, doomed.clone(), *shortened)
        };
        if let Some((path, data_end)) = tail {
            cut_file(&path, data_end, shortened)?;
        }
        // Newest first: what a crash leaves is without a hole.
        doomed.iter().try_for_each(|path| delete(path))?;
        sync_dir(&self.options.dir)?;
        let mut state = self.state();
        if let Some(log) = state.log_mut(key) {
            log.pending_cut = None;
            if let Some(tail) = log.segments.back_mut() {
                // The room allocated ahead is gone with the tail.
                tail.allocated = 0;
            }
        }
        // Readers may have waited for the shortened frame.
        self.publish(&state);
        Ok(())
    }

    fn find_cut_point(&self, key: LogKey, to: u64) -> Result<CutPoint, SpoolError> {
        let (path, salt, start, data_end) = {
            let state = self.state();
            let log = state.log(key).ok_or(SpoolError::Unknown)?;
            let index = log.segments_below(to).saturating_sub(1);
            let segment: &Segment = log.segments.get(index).ok_or(SpoolError::Unknown)?;
            let head = segment.head;
            (segment.path.clone(), head.salt, head.start, segment.data_end)
        };
        let file = File::open(&path).act("open", &path)?;
        let mut frames = FrameReader::new(file, salt, SEGMENT_HEADER, start, Vec::new());
        loop {
            while let Some(frame) = frames.peek() {
                let below = to.saturating_sub(frame.position);
                if below == 0 {
                    return Ok(CutPoint { data_end: frame.offset, shortened: None });
                }
                let kept = usize::try_from(below).ok().and_then(|len| frame.payload.get(..len));
                if let Some(kept) = kept.filter(|kept| kept.len() < frame.payload.len()) {
                    let header = frame_header(salt, frame.position, kept);
                    let data_end = frame.offset + (FRAME_HEADER + kept.len()) as u64;
                    let (offset, position) = (frame.offset, frame.position);
                    let shortened = Some(Shortened { offset, position, header });
                    return Ok(CutPoint { data_end, shortened });
                }
                frames.advance();
            }
            match frames.fill(data_end).act("read", &path)? {
                Fill::Verified => {}
                Fill::End => {
                    let (data_end, end) = frames.verified_end();
                    if end == to {
                        return Ok(CutPoint { data_end, shortened: None });
                    }
                    return Err(SpoolError::corrupt(&path, "it ends before its end"));
                }
                Fill::Bad(what) => return Err(SpoolError::corrupt(&path, what)),
            }
        }
    }
}

/// The seal goes first and alone: one that outlived the cut would have recovery trust bytes that
/// are not there. The shorter frame's payload is in its place already, so its header makes it
/// whole; a crash before the file is shortened leaves a piece of payload behind it, which is no
/// frame.
fn cut_file(path: &Path, data_end: u64, shortened: Option<Shortened>) -> Result<(), SpoolError> {
    use std::os::unix::fs::FileExt;
    let file = open_for_write(path).act("open", path)?;
    Seal::erase(&file).act("unseal", path)?;
    file.sync_data().act("sync", path)?;
    if let Some(frame) = shortened {
        file.write_all_at(&frame.header, frame.offset).act("write to", path)?;
    }
    file.set_len(data_end).act("shorten", path)?;
    file.sync_all().act("sync", path)
}

pub(super) fn sync_file(path: &Path) -> Result<(), SpoolError> {
    File::open(path).and_then(|file| file.sync_all()).act("sync", path)
}
