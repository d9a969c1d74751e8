//! The RDB on the wire: its header, and where it ends. Sans-io.

use crate::resp::RespError;

/// A header line is `$<length>` or `$EOF:` and 40 bytes.
const HEADER_BYTES_MAX: usize = 64;
const MARK_BYTES: usize = 40;

/// Where the RDB ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    /// So many bytes are to come (a save to disk).
    Length(u64),
    /// Before this mark (diskless), of which a part may have been seen.
    Mark([u8; MARK_BYTES]),
}

/// What the bytes so far give.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many bytes from the buffer's start belong to the RDB.
    pub rdb: usize,
    /// How many bytes are done with, mark and header included.
    pub used: usize,
    /// The RDB has ended; what follows is the stream.
    pub is_complete: bool,
}

/// Follows one transfer.
#[derive(Debug, Default)]
pub struct RdbTransfer {
    bound: Option<Bound>,
}

impl RdbTransfer {
    /// Reads the header at the buffer's start: its length, or `None` until it is whole. Line feeds before it keep the
    /// connection alive while the source saves.
    pub fn header(&mut self, buf: &[u8]) -> Result<Option<usize>, RespError> {
        let start = buf.iter().take_while(|byte| **byte == b'\n').count();
        let rest = &buf[start..];
        let Some(end) = memchr::memchr(b'\n', &rest[..rest.len().min(HEADER_BYTES_MAX)]) else {
            return match rest.len() >= HEADER_BYTES_MAX {
                true => Err(RespError::MissingCrLf),
                false => Ok(None),
            };
        };
        let line = rest[..end].strip_suffix(b"\r").ok_or(RespError::MissingCrLf)?;
        self.bound = Some(match line.strip_prefix(b"$") {
            None if line.first() == Some(&b'-') => {
                return Err(RespError::InvalidNumber(String::from_utf8_lossy(line).into_owned()));
            }
            None => return Err(RespError::UnknownType(line.first().copied().unwrap_or(0))),
            Some(text) => match text.strip_prefix(b"EOF:") {
                Some(mark) => Bound::Mark(mark.try_into().map_err(|_| RespError::MissingCrLf)?),
                None => Bound::Length(u64::try_from(crate::resp::number(text)?).map_err(|_| {
                    RespError::InvalidNumber(String::from_utf8_lossy(text).into_owned())
                })?),
            },
        });
        Ok(Some(start + end + 1))
    }

    /// Its length, if the source told.
    pub fn length(&self) -> Option<u64> {
        match self.bound {
            Some(Bound::Length(length)) => Some(length),
            _ => None,
        }
    }

    /// Takes what the buffer has. The end of the buffer may be held back: it may be the start of the mark.
    pub fn take(&mut self, buf: &[u8]) -> Taken {
        match &mut self.bound {
            None => Taken { rdb: 0, used: 0, is_complete: false },
            Some(Bound::Length(left)) => {
                let rdb = (*left).min(buf.len() as u64) as usize;
                *left -= rdb as u64;
                Taken { rdb, used: rdb, is_complete: *left == 0 }
            }
            Some(Bound::Mark(mark)) => match memchr::memmem::find(buf, mark) {
                Some(rdb) => Taken { rdb, used: rdb + MARK_BYTES, is_complete: true },
                None => {
                    let rdb = buf.len().saturating_sub(MARK_BYTES - 1);
                    Taken { rdb, used: rdb, is_complete: false }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(wire: &[u8], chunk: usize) -> (Vec<u8>, Vec<u8>) {
        let mut transfer = RdbTransfer::default();
        let (mut buf, mut rdb) = (Vec::new(), Vec::new());
        let mut is_header = true;
        for (index, part) in wire.chunks(chunk).enumerate() {
            buf.extend_from_slice(part);
            if is_header {
                let Some(length) = transfer.header(&buf).unwrap() else { continue };
                buf.drain(..length);
                is_header = false;
            }
            let taken = transfer.take(&buf);
            rdb.extend_from_slice(&buf[..taken.rdb]);
            buf.drain(..taken.used);
            if taken.is_complete {
                let rest = wire.chunks(chunk).skip(index + 1).flatten();
                buf.extend(rest);
                return (rdb, buf);
            }
        }
        panic!("the transfer did not end");
    }

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_split() {
        let mark = [b'7'; 40];
        let rdb = b"REDIS0011\n777777777 and so on $EOF:";
        let diskless =
            [b"\n\n$EOF:", &mark[..], b"\r\n", rdb, &mark, b"*1\r\n$4\r\nPING\r\n"].concat();
        let disk = ["$35\r\n".to_string().as_bytes(), rdb, b"*1\r\n$4\r\nPING\r\n"].concat();
        assert_eq!(rdb.len(), 35);
        for wire in [diskless, disk] {
            for chunk in 1..wire.len() {
                let (got, rest) = transfer(&wire, chunk);
                assert_eq!(got, rdb, "chunks of {chunk}");
                assert_eq!(rest, b"*1\r\n$4\r\nPING\r\n");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for wire in
            [&b"+OK\r\n"[..], b"$x\r\n", b"$-1\r\n", b"$EOF:abc\r\n", b"-ERR x\r\n", &[b'x'; 64]]
        {
            assert!(RdbTransfer::default().header(wire).is_err(), "{wire:?}");
        }
        assert_eq!(RdbTransfer::default().header(b"\n\n$EO"), Ok(None));
    }
}
