//! One segment file: its name, its header, its seal, and what the spool knows of it in memory.
//!
//! ```text
//! 0    magic, format version, kind and flags, copyId, range, start, unit end, db, salt, checksum
//! 128  seal: end position, file length, checksum (zeros while the segment is open)
//! 256  frames
//! ```

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use crc_fast::{CrcAlgorithm, checksum};

use super::{
    CopyId, RangeId, SpoolError, UnitMark,
    error::Act,
    frame::{FRAME_HEADER, FRAME_PAYLOAD_MAX},
};
use crate::position::{DbIndex, Offset};

const MAGIC: &[u8; 8] = b"RSYNCSEG";
const FORMAT_VERSION: u32 = 1;
const SEAL_AT: u64 = 128;
const SEAL_BYTES: usize = 20;

/// Where the frames begin.
pub(super) const SEGMENT_HEADER: u64 = 256;

/// How much disk is asked for ahead of the writes. Each step is a system call; a large one would
/// take room on the volume that the budget (`max_bytes`) does not count.
pub(super) const ALLOCATE_BYTES: u64 = 8 << 20;

/// Which log a segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LogKey {
    /// The RDB log of a copy.
    Rdb(CopyId),
    /// The stream log of a range.
    Stream(RangeId),
}

/// What a segment's file says about itself at its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) key: LogKey,
    pub(super) copy_id: CopyId,
    pub(super) start: u64,
    /// The scanner's state when the segment was begun. An RDB log has none.
    pub(super) mark: Option<UnitMark>,
    pub(super) salt: u32,
}

/// Why a segment's header was not accepted.
pub(super) enum BadHead {
    /// It was never written whole, or belongs to another file.
    Damaged,
    /// Another version of this program wrote it.
    Version(u32),
}

impl SegmentHead {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER as usize] {
        let (kind, range) = match self.key {
            LogKey::Stream(range) => (0, range.0),
            LogKey::Rdb(_) => (1, 0),
        };
        let mark = self.mark.unwrap_or_default();
        let flags = u8::from(self.mark.is_some()) | (u8::from(mark.db.is_some()) << 1);
        let mut bytes = [0; SEGMENT_HEADER as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12] = kind;
        bytes[13] = flags;
        bytes[16..24].copy_from_slice(&self.copy_id.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&range.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.start.to_le_bytes());
        bytes[40..48].copy_from_slice(&mark.unit_end.0.to_le_bytes());
        bytes[48..52].copy_from_slice(&mark.db.unwrap_or_default().0.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32(&bytes[..56]);
        bytes[56..60].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; SEGMENT_HEADER as usize]) -> Result<Self, BadHead> {
        let version = u32_at(bytes, 8);
        if &bytes[..8] != MAGIC {
            return Err(BadHead::Damaged);
        }
        if version != FORMAT_VERSION {
            return Err(BadHead::Version(version));
        }
        if crc32(&bytes[..56]) != u32_at(bytes, 56) {
            return Err(BadHead::Damaged);
        }
        let copy_id = CopyId(u64_at(bytes, 16));
        let key = match bytes[12] {
            0 => LogKey::Stream(RangeId(u64_at(bytes, 24))),
            _ => LogKey::Rdb(copy_id),
        };
        let db = (bytes[13] & 2 != 0).then(|| DbIndex(u32_at(bytes, 48)));
        let mark =
            (bytes[13] & 1 != 0).then(|| UnitMark { unit_end: Offset(u64_at(bytes, 40)), db });
        Ok(Self { key, copy_id, start: u64_at(bytes, 32), mark, salt: u32_at(bytes, 52) })
    }
}

/// Says that everything up to `data_end` was synced, so that recovery need not read it. Without
/// it a spool of many gigabytes would be read from end to end at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) end: u64,
    pub(super) data_end: u64,
}

impl Seal {
    /// Its checksum starts from the salt, so a seal that another file left behind does not count.
    fn encode(self, salt: u32) -> [u8; SEAL_BYTES] {
        let mut bytes = [0; SEAL_BYTES];
        bytes[..8].copy_from_slice(&self.end.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.data_end.to_le_bytes());
        let crc = crc32(&bytes[..16]) ^ salt;
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(header: &[u8; SEGMENT_HEADER as usize], salt: u32) -> Option<Self> {
        let at = SEAL_AT as usize;
        let seal = Self { end: u64_at(header, at), data_end: u64_at(header, at + 8) };
        let is_whole =
            seal.data_end > SEGMENT_HEADER && header[at..at + SEAL_BYTES] == seal.encode(salt);
        is_whole.then_some(seal)
    }

    pub(super) fn write(self, file: &File, salt: u32) -> std::io::Result<()> {
        file.write_all_at(&self.encode(salt), SEAL_AT)
    }

    pub(super) fn erase(file: &File) -> std::io::Result<()> {
        file.write_all_at(&[0; SEAL_BYTES], SEAL_AT)
    }
}

/// A segment as the spool holds it in memory.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) head: SegmentHead,
    pub(super) path: PathBuf,
    /// The position behind its last byte.
    pub(super) end: u64,
    /// Where its frames end in the file.
    pub(super) data_end: u64,
    /// When it was closed; none while it is appended to. Retention by age counts from here.
    pub(super) closed_at: Option<SystemTime>,
    pub(super) is_sealed: bool,
    /// Only a tail is kept open: a spool has more segments than a process may have files.
    pub(super) file: Option<Arc<File>>,
    pub(super) allocated: u64,
}

impl Segment {
    pub(super) fn create(dir: &Path, head: SegmentHead) -> Result<Self, SpoolError> {
        let path = dir.join(segment_name(head.key, head.start));
        // Truncating also takes the place of a file that a cut could not delete.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .act("create", &path)?;
        file.write_all_at(&head.encode(), 0).act("write the header of", &path)?;
        Ok(Self {
            head,
            path,
            end: head.start,
            data_end: SEGMENT_HEADER,
            closed_at: None,
            is_sealed: false,
            file: Some(Arc::new(file)),
            allocated: 0,
        })
    }

    /// The open file of a tail.
    pub(super) fn tail_file(&mut self) -> Result<Arc<File>, SpoolError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = open_for_write(&self.path).act("open", &self.path)?;
        Ok(Arc::clone(self.file.insert(Arc::new(file))))
    }
}

pub(super) fn open_for_write(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Deletes a segment's file; one that is gone already is as good.
pub(super) fn delete(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => Err(err).act("delete", path),
        _ => Ok(()),
    }
}

/// The longest payload that fits a frame of a segment of that size.
pub(super) fn payload_max(segment_bytes: u64) -> usize {
    let room = segment_bytes.saturating_sub(SEGMENT_HEADER + FRAME_HEADER as u64);
    usize::try_from(room).unwrap_or(FRAME_PAYLOAD_MAX).clamp(1, FRAME_PAYLOAD_MAX)
}

/// Numbers are padded, so that a listing of the directory is in order.
pub(super) fn segment_name(key: LogKey, start: u64) -> String {
    match key {
        LogKey::Stream(range) => format!("stream-{:08}-{start:020}.seg", range.0),
        LogKey::Rdb(copy_id) => format!("rdb-{copy_id}-{start:020}.seg"),
    }
}

/// The inverse of [`segment_name`]; none for a file that is not ours.
pub(super) fn parse_segment_name(name: &str) -> Option<(LogKey, u64)> {
    let mut parts = name.strip_suffix(".seg")?.split('-');
    let (kind, id, start) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
    let key = match kind {
        "stream" => LogKey::Stream(RangeId(id.parse().ok()?)),
        "rdb" => LogKey::Rdb(id.parse().ok()?),
        _ => return None,
    };
    (segment_name(key, start) == name).then_some((key, start))
}

fn crc32(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32IsoHdlc, bytes) as u32
}

fn u32_at(bytes: &[u8; SEGMENT_HEADER as usize], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8; SEGMENT_HEADER as usize], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(range) => write!(f, "range {}", range.0),
            Self::Rdb(copy_id) => write!(f, "the RDB of copy {copy_id}"),
        }
    }
}
