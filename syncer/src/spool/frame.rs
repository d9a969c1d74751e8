//! The frame: how a piece of a log lies in a segment, and how frames are read back.
//!
//! `[u32 len][u32 crc][u64 position][payload]`, little endian. The checksum starts from the
//! segment's random salt and covers length, position and payload. Without the salt, bytes that a
//! client chose could pass for a frame once a cut or a failed write has left a piece of a payload
//! behind the end. A length of 0 is no frame, so a tail that reads as zeros ends the log.

use std::{fs::File, io, io::IoSlice, os::unix::fs::FileExt};

use crc_fast::{CrcAlgorithm, Digest};

/// Bytes in front of each payload.
pub(super) const FRAME_HEADER: usize = 16;

/// The longest payload. It bounds what a reader allocates on the word of a file; a longer append
/// is split, which costs 16 bytes per MiB.
pub(super) const FRAME_PAYLOAD_MAX: usize = 1 << 20;

/// What a reader asks the kernel for at once: enough that the call's cost vanishes, small enough
/// to stay in the processor's cache between the checksum and the copy out.
const READ_BYTES: usize = 256 << 10;

/// Builds the header of a frame.
pub(super) fn frame_header(salt: u32, position: u64, payload: &[u8]) -> [u8; FRAME_HEADER] {
    // An append is split by FRAME_PAYLOAD_MAX, so the length fits.
    let len = payload.len() as u32;
    let mut header = [0; FRAME_HEADER];
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[4..8].copy_from_slice(&frame_crc(salt, len, position, payload).to_le_bytes());
    header[8..].copy_from_slice(&position.to_le_bytes());
    header
}

fn frame_crc(salt: u32, len: u32, position: u64, payload: &[u8]) -> u32 {
    let mut head = [0; 12];
    head[..4].copy_from_slice(&len.to_le_bytes());
    head[4..].copy_from_slice(&position.to_le_bytes());
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32IsoHdlc, u64::from(salt));
    digest.update(&head);
    digest.update(payload);
    digest.finalize() as u32
}

/// Writes a frame at `offset` of the file without copying the payload.
pub(super) fn write_frame(
    file: &File,
    header: &[u8; FRAME_HEADER],
    payload: &[u8],
    offset: u64,
) -> io::Result<()> {
    let total = FRAME_HEADER + payload.len();
    let mut done = 0;
    while done < total {
        let at = offset + done as u64;
        let written = if done < FRAME_HEADER {
            let pieces = [IoSlice::new(&header[done..]), IoSlice::new(payload)];
            rustix::io::pwritev(file, &pieces, at)
        } else {
            rustix::io::pwrite(file, &payload[done - FRAME_HEADER..], at)
        };
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
    Ok(())
}

/// What [`FrameReader::fill`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// At least one whole frame more is there to be taken.
    Verified,
    /// The end that the caller named is reached, with no frame broken off before it.
    End,
    /// The next frame is not whole, or not what was written.
    Bad(&'static str),
}

/// One frame, checked.
pub(super) struct Frame<'a> {
    /// Where its header lies in the file.
    pub(super) offset: u64,
    /// The position of its first byte in the log.
    pub(super) position: u64,
    pub(super) payload: &'a [u8],
}

/// Reads the frames of one segment in order, in big pieces, and yields only those that are
/// proved whole. Shared by readers, recovery and cuts.
pub(super) struct FrameReader {
    file: File,
    salt: u32,
    /// The file offset of what will be read into `raw[filled]`.
    offset: u64,
    /// The position that the next unverified frame must have.
    next_position: u64,
    raw: Vec<u8>,
    filled: usize,
    verified: usize,
    taken: usize,
}

impl FrameReader {
    pub(super) fn new(file: File, salt: u32, offset: u64, position: u64, raw: Vec<u8>) -> Self {
        Self { file, salt, offset, next_position: position, raw, filled: 0, verified: 0, taken: 0 }
    }

    /// Gives the buffer back for the next segment's reader.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.raw
    }

    /// Where in the file the frames end that were found whole, and at which position of the log.
    pub(super) fn verified_end(&self) -> (u64, u64) {
        (self.offset - (self.filled - self.verified) as u64, self.next_position)
    }

    /// The frame at the front, if one is verified.
    pub(super) fn peek(&self) -> Option<Frame<'_>> {
        if self.taken >= self.verified {
            return None;
        }
        let header = Header::parse(&self.raw[self.taken..self.verified])?;
        let payload = self.taken + FRAME_HEADER;
        Some(Frame {
            offset: self.offset - (self.filled - self.taken) as u64,
            position: header.position,
            payload: self.raw.get(payload..payload + header.len)?,
        })
    }

    /// Steps over the frame at the front.
    pub(super) fn advance(&mut self) {
        if let Some(frame) = self.peek() {
            self.taken += FRAME_HEADER + frame.payload.len();
        }
    }

    /// Reads on, up to `data_end` of the file. To be called when `peek` has nothing.
    pub(super) fn fill(&mut self, data_end: u64) -> io::Result<Fill> {
        self.raw.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.verified -= self.taken;
        self.taken = 0;
        let mut want = READ_BYTES;
        loop {
            let start = self.verified;
            if let Some(bad) = self.verify() {
                // What was whole before the bad frame is still good to take.
                return Ok(if self.verified > start { Fill::Verified } else { Fill::Bad(bad) });
            }
            if self.verified > start {
                return Ok(Fill::Verified);
            }
            if let Some(header) = Header::parse(&self.raw[self.verified..self.filled]) {
                want = want.max(FRAME_HEADER + header.len);
            }
            let left = data_end.saturating_sub(self.offset);
            if left == 0 {
                let is_whole = self.filled == self.verified;
                return Ok(if is_whole { Fill::End } else { Fill::Bad("a frame is broken off") });
            }
            if self.raw.len() < want {
                self.raw.resize(want, 0);
            }
            let room = self.raw.len() - self.filled;
            let count = usize::try_from(left).map_or(room, |left| left.min(room));
            let piece = &mut self.raw[self.filled..self.filled + count];
            match self.file.read_at(piece, self.offset) {
                Ok(0) => return Ok(Fill::Bad("the file is shorter than it was")),
                Ok(count) => {
                    self.filled += count;
                    self.offset += count as u64;
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// Checks the frames that are whole in the buffer; says what is wrong with the next one.
    fn verify(&mut self) -> Option<&'static str> {
        loop {
            let rest = &self.raw[self.verified..self.filled];
            let header = Header::parse(rest)?;
            if header.len == 0 || header.len > FRAME_PAYLOAD_MAX {
                return Some("a frame's length is impossible");
            }
            if header.position != self.next_position {
                return Some("a frame's position does not follow the one before it");
            }
            let payload = rest.get(FRAME_HEADER..FRAME_HEADER + header.len)?;
            let crc = frame_crc(self.salt, header.len as u32, header.position, payload);
            if crc != header.crc {
                return Some("a frame's checksum does not match");
            }
            self.verified += FRAME_HEADER + header.len;
            self.next_position += header.len as u64;
        }
    }
}

struct Header {
    len: usize,
    crc: u32,
    position: u64,
}

impl Header {
    /// None while fewer bytes than a header are there. Nothing in it can be trusted yet.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (position, _) = rest.split_first_chunk()?;
        Some(Self {
            len: u32::from_le_bytes(*len) as usize,
            crc: u32::from_le_bytes(*crc),
            position: u64::from_le_bytes(*position),
        })
    }
}
