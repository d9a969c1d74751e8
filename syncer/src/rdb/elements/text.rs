//! A string in pieces as its bytes arrive. Compressed ones are decompressed on the way: LZF looks back 8 KiB at most,
//! so that is all that has to be kept.

use super::{Found, Outcome, Place};
use crate::rdb::{
    error::Fault,
    length::{StringForm, decode_into, read_string_head},
    lzf,
};

/// A piece is given out at so many bytes.
const PIECE_BYTES: usize = 256 << 10;

/// A string whose pieces are being given out.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    place: Where,
    /// The end of what was decompressed, and what LZF may look back at.
    window: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Where {
    #[default]
    Head,
    Raw {
        total: u64,
        left: u64,
    },
    Lzf {
        total: u64,
        compressed_left: u64,
        decoded_left: u64,
    },
    /// The last piece was given out of the window.
    End,
}

impl Pieces {
    /// The next piece, and whether it is the last.
    pub(super) fn next(&mut self, buffer: &[u8], at: &mut usize) -> Result<(Outcome, bool), Fault> {
        match self.place {
            Where::Head => self.head(buffer, at),
            Where::Raw { total, left } => {
                let here = left.min((buffer.len() - *at) as u64);
                if here == 0 && left > 0 {
                    return Ok((Outcome::NeedsBytes, false));
                }
                let from = *at;
                *at += here as usize;
                self.place = Where::Raw { total, left: left - here };
                let bytes = Place::Input(from, *at);
                Ok((Outcome::Found(Found::Piece { total, bytes }), left == here))
            }
            Where::Lzf { total, compressed_left, decoded_left } => {
                self.decompress(buffer, at, total, compressed_left, decoded_left)
            }
            Where::End => Ok((Outcome::Taken, true)),
        }
    }

    /// What was decompressed.
    pub(super) fn window(&self, from: usize, to: usize) -> &[u8] {
        &self.window[from..to]
    }

    fn head(&mut self, buffer: &[u8], at: &mut usize) -> Result<(Outcome, bool), Fault> {
        let Some(head) = read_string_head(buffer, *at)? else {
            return Ok((Outcome::NeedsBytes, false));
        };
        self.place = match head.form {
            StringForm::Raw => Where::Raw { total: head.body_len, left: head.body_len },
            StringForm::Lzf { decoded_len } => Where::Lzf {
                total: decoded_len,
                compressed_left: head.body_len,
                decoded_left: decoded_len,
            },
            StringForm::Integer => {
                let Some(body) = buffer.get(head.from..head.from + head.body_len as usize) else {
                    return Ok((Outcome::NeedsBytes, false));
                };
                decode_into(body, head.form, &mut self.window)?;
                *at = head.from + body.len();
                let total = self.window.len() as u64;
                self.place = Where::End;
                let bytes = Place::Packed(0, self.window.len());
                return Ok((Outcome::Found(Found::Piece { total, bytes }), false));
            }
        };
        *at = head.from;
        Ok((Outcome::Taken, false))
    }

    fn decompress(
        &mut self,
        buffer: &[u8],
        at: &mut usize,
        total: u64,
        mut compressed_left: u64,
        mut decoded_left: u64,
    ) -> Result<(Outcome, bool), Fault> {
        let keep = self.window.len().min(lzf::DISTANCE_MAX);
        self.window.drain(..self.window.len() - keep);
        while self.window.len() - keep < PIECE_BYTES && compressed_left > 0 {
            let here = &buffer[*at..];
            let here = &here[..compressed_left.min(here.len() as u64) as usize];
            let before = self.window.len();
            let Some(taken) = lzf::step(here, &mut self.window, 0)? else {
                if here.len() as u64 == compressed_left {
                    return Err(lzf::CORRUPT);
                }
                break;
            };
            *at += taken;
            compressed_left -= taken as u64;
            let gained = (self.window.len() - before) as u64;
            decoded_left = decoded_left.checked_sub(gained).ok_or(lzf::CORRUPT)?;
        }
        self.place = Where::Lzf { total, compressed_left, decoded_left };
        if compressed_left == 0 && decoded_left > 0 {
            return Err(lzf::CORRUPT);
        }
        if self.window.len() == keep && compressed_left > 0 {
            return Ok((Outcome::NeedsBytes, false));
        }
        if compressed_left == 0 {
            self.place = Where::End;
        }
        let bytes = Place::Packed(keep, self.window.len());
        Ok((Outcome::Found(Found::Piece { total, bytes }), false))
    }
}
