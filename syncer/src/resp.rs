//! RESP2 without sockets: bytes in, frames, commands and replies out.
//!
//! Three readers, by what is done with the bytes: [`frame`] builds whole values (control connections, where a
//! reply is small and wanted), [`command`] finds a command's borders and arguments in place (the source's
//! stream, forwarded as it arrived), [`reply`] counts replies and finds errors (the target's answers, where
//! only the errors matter). Nothing here allocates from a length that it read.

pub mod command;
pub mod encode;
pub mod frame;
pub mod reply;

/// Why bytes are not RESP2. The connection that they came from is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// The first byte of a value is none that RESP2 knows.
    #[error("unknown RESP type byte 0x{0:02x}")]
    UnknownType(u8),
    /// A length or an integer is not a decimal number that fits.
    #[error("invalid RESP number {0:?}")]
    InvalidNumber(String),
    /// A line or a bulk does not end in CR LF.
    #[error("a RESP value does not end in CR LF")]
    MissingCrLf,
    /// A length is above what any server sends.
    #[error("RESP length {length} is above the limit of {limit}")]
    TooLong {
        /// The length as read.
        length: u64,
        /// What is allowed here.
        limit: u64,
    },
    /// Arrays in arrays, deeper than any reply.
    #[error("RESP arrays nested deeper than {0}")]
    TooDeep(usize),
}

/// A bulk string's greatest length: `proto-max-bulk-len` can be raised, but not above what fits an `i32`
/// comfortably; 512 MiB is its default, and we accept four times that from a source.
pub(crate) const BULK_BYTES_MAX: u64 = 2 << 30;
/// Most arguments of one command: Redis takes up to INT_MAX from 7.0 on, no client sends that many.
pub(crate) const ARGUMENT_COUNT_MAX: u64 = 16 << 20;
/// A line (status, error, integer, inline command) is at most 64 KiB (`PROTO_INLINE_MAX_SIZE`, `server.h`).
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;

/// The line that starts at `from`: its content without CR LF, and where the next value starts.
pub(crate) fn line(buf: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, RespError> {
    let rest = &buf[from.min(buf.len())..];
    match memchr::memchr(b'\n', rest) {
        Some(0) => Err(RespError::MissingCrLf),
        Some(at) if rest[at - 1] == b'\r' => Ok(Some((&rest[..at - 1], from + at + 1))),
        Some(_) => Err(RespError::MissingCrLf),
        None if rest.len() > LINE_BYTES_MAX => {
            Err(RespError::TooLong { length: rest.len() as u64, limit: LINE_BYTES_MAX as u64 })
        }
        None => Ok(None),
    }
}

/// Whether a line that is no RESP array is one that a master sends: nothing, or PING (up to 2.6 in this form). Anything else
/// in its place means that the stream was lost, and must not be taken for a command.
pub(crate) fn is_keep_alive(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.eq_ignore_ascii_case(b"PING")
}

/// A decimal number with an optional sign, as lengths and integer replies have it.
pub(crate) fn number(text: &[u8]) -> Result<i64, RespError> {
    let invalid = || {
        RespError::InvalidNumber(String::from_utf8_lossy(&text[..text.len().min(32)]).into_owned())
    };
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(invalid)
}
