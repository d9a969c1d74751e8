//! The target's answers: skipped and counted, not built. Only errors are looked at.

use super::{ARGUMENT_COUNT_MAX, BULK_BYTES_MAX, RespError, frame::checked, line, number};

const DEPTH_MAX: usize = 32;

/// What the reply at some place is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Any value that is not an error, and not a null array.
    Value,
    /// `*-1` or `$-1`. As the answer to EXEC: a watched key was changed.
    Null,
    /// An error, without its minus sign.
    Error(String),
    /// An array's header: this many elements follow, to be read one by one.
    Array(usize),
}

/// Reads the reply at `from`: what it is, and where the next one starts. An array's elements are skipped if
/// `skip_array`, else only its header is read. `None` until all of that is there.
pub fn read(
    buf: &[u8],
    from: usize,
    skip_array: bool,
) -> Result<Option<(Reply, usize)>, RespError> {
    // Nearly all replies are `+OK`, `+QUEUED` or a short integer.
    let Some(&kind) = buf.get(from) else { return Ok(None) };
    let Some((text, next)) = line(buf, from + 1)? else { return Ok(None) };
    match kind {
        b'+' | b':' => Ok(Some((Reply::Value, next))),
        b'-' => Ok(Some((Reply::Error(String::from_utf8_lossy(text).into_owned()), next))),
        b'$' => Ok(bulk_end(buf, next, number(text)?)?.map(|(null, end)| (value(null), end))),
        b'*' => match checked(number(text)?, ARGUMENT_COUNT_MAX)? {
            None => Ok(Some((Reply::Null, next))),
            Some(count) if !skip_array => Ok(Some((Reply::Array(count), next))),
            Some(count) => Ok(skip_elements(buf, next, count)?.map(|end| (Reply::Value, end))),
        },
        other => Err(RespError::UnknownType(other)),
    }
}

fn value(is_null: bool) -> Reply {
    match is_null {
        true => Reply::Null,
        false => Reply::Value,
    }
}

fn bulk_end(buf: &[u8], from: usize, length: i64) -> Result<Option<(bool, usize)>, RespError> {
    let Some(length) = checked(length, BULK_BYTES_MAX)? else { return Ok(Some((true, from))) };
    match buf.get(from + length..from + length + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((false, from + length + 2))),
        Some(_) => Err(RespError::MissingCrLf),
    }
}

/// Skips `count` elements with their own elements; a small fixed stack stands for the recursion.
fn skip_elements(buf: &[u8], from: usize, count: usize) -> Result<Option<usize>, RespError> {
    let mut open = [0_usize; DEPTH_MAX];
    let mut depth = 0;
    open[0] = count;
    let mut next = from;
    loop {
        while open[depth] == 0 {
            if depth == 0 {
                return Ok(Some(next));
            }
            depth -= 1;
        }
        open[depth] -= 1;
        let Some((reply, end)) = read(buf, next, false)? else { return Ok(None) };
        next = end;
        if let Reply::Array(count) = reply {
            depth += 1;
            if depth == DEPTH_MAX {
                return Err(RespError::TooDeep(DEPTH_MAX));
            }
            open[depth] = count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_skipped_whole_and_no_earlier() {
        let bytes = b"*3\r\n:1\r\n*2\r\n$2\r\nab\r\n*-1\r\n-ERR x\r\n";
        assert_eq!(read(bytes, 0, true), Ok(Some((Reply::Value, bytes.len()))));
        assert_eq!(read(bytes, 0, false), Ok(Some((Reply::Array(3), 4))));
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end], 0, true), Ok(None), "prefix of {end} bytes");
        }
    }

    #[test]
    fn errors_and_nulls_are_told_apart() {
        let error = Reply::Error("OOM command not allowed".into());
        assert_eq!(read(b"-OOM command not allowed\r\n", 0, true), Ok(Some((error, 26))));
        assert_eq!(read(b"*-1\r\n", 0, true), Ok(Some((Reply::Null, 5))));
        assert_eq!(read(b"$-1\r\n", 0, true), Ok(Some((Reply::Null, 5))));
        assert!(read(&b"*1\r\n".repeat(40), 0, true).is_err());
    }
}
