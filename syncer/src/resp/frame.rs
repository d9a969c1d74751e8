//! Whole values, for control connections: replies that are small and wanted.

use super::{ARGUMENT_COUNT_MAX, BULK_BYTES_MAX, RespError, line, number};

/// No reply that we ask for nests deeper (`CLUSTER SHARDS` has 5 levels).
const DEPTH_MAX: usize = 8;

/// One RESP2 value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// `+OK`
    Simple(Vec<u8>),
    /// `-ERR …`, without the minus sign.
    Error(String),
    /// `:42`
    Integer(i64),
    /// `$3\r\nabc`
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`
    Null,
    /// `*2…`
    Array(Vec<Frame>),
}

impl Frame {
    /// The value as bytes, if it is a string of either kind.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value as text, if it is a string of valid UTF-8.
    pub fn text(&self) -> Option<&str> {
        self.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The value as a number: an integer, or a string of digits.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            other => other.text().and_then(|text| text.parse().ok()),
        }
    }

    /// The elements, if it is an array.
    pub fn array(&self) -> Option<&[Frame]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }
}

/// Decodes the value at the start of `buf`; `None` until all of it is there. The second element is its length.
pub fn decode(buf: &[u8]) -> Result<Option<(Frame, usize)>, RespError> {
    decode_at(buf, 0, DEPTH_MAX)
}

fn decode_at(buf: &[u8], from: usize, depth: usize) -> Result<Option<(Frame, usize)>, RespError> {
    let Some(&kind) = buf.get(from) else { return Ok(None) };
    if !b"+-:$*".contains(&kind) {
        return Err(RespError::UnknownType(kind));
    }
    let Some((text, next)) = line(buf, from + 1)? else { return Ok(None) };
    let frame = match kind {
        b'+' => Frame::Simple(text.to_vec()),
        b'-' => Frame::Error(String::from_utf8_lossy(text).into_owned()),
        b':' => Frame::Integer(number(text)?),
        b'$' => return bulk_at(buf, next, number(text)?),
        _ => return array_at(buf, next, number(text)?, depth),
    };
    Ok(Some((frame, next)))
}

fn bulk_at(buf: &[u8], from: usize, length: i64) -> Result<Option<(Frame, usize)>, RespError> {
    let Some(length) = checked(length, BULK_BYTES_MAX)? else {
        return Ok(Some((Frame::Null, from)));
    };
    let end = from + length;
    if buf.len() < end + 2 {
        return Ok(None);
    }
    if &buf[end..end + 2] != b"\r\n" {
        return Err(RespError::MissingCrLf);
    }
    Ok(Some((Frame::Bulk(buf[from..end].to_vec()), end + 2)))
}

fn array_at(
    buf: &[u8],
    from: usize,
    count: i64,
    depth: usize,
) -> Result<Option<(Frame, usize)>, RespError> {
    let Some(count) = checked(count, ARGUMENT_COUNT_MAX)? else {
        return Ok(Some((Frame::Null, from)));
    };
    if depth == 0 {
        return Err(RespError::TooDeep(DEPTH_MAX));
    }
    // Not allocated from the count: it is the peer's word only.
    let mut elements = Vec::new();
    let mut next = from;
    for _ in 0..count {
        let Some((element, end)) = decode_at(buf, next, depth - 1)? else { return Ok(None) };
        elements.push(element);
        next = end;
    }
    Ok(Some((Frame::Array(elements), next)))
}

/// A length within the limit, or `None` for the null value's −1.
pub(super) fn checked(length: i64, limit: u64) -> Result<Option<usize>, RespError> {
    match u64::try_from(length) {
        Ok(length) if length <= limit => Ok(Some(length as usize)),
        Ok(length) => Err(RespError::TooLong { length, limit }),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(RespError::InvalidNumber(length.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[u8] = b"*6\r\n+OK\r\n-ERR no\r\n:-3\r\n$2\r\nab\r\n$-1\r\n*1\r\n$0\r\n\r\n";

    #[test]
    fn every_kind_is_decoded_and_every_prefix_is_incomplete() {
        let expected = Frame::Array(vec![
            Frame::Simple(b"OK".to_vec()),
            Frame::Error("ERR no".into()),
            Frame::Integer(-3),
            Frame::Bulk(b"ab".to_vec()),
            Frame::Null,
            Frame::Array(vec![Frame::Bulk(Vec::new())]),
        ]);
        assert_eq!(decode(ALL), Ok(Some((expected, ALL.len()))));
        for end in 0..ALL.len() {
            assert_eq!(decode(&ALL[..end]), Ok(None), "prefix of {end} bytes");
        }
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        assert_eq!(decode(b"!x\r\n"), Err(RespError::UnknownType(b'!')));
        assert_eq!(decode(b"$3\r\nabcd\r\n"), Err(RespError::MissingCrLf));
        assert!(matches!(decode(b"$x\r\n"), Err(RespError::InvalidNumber(_))));
        assert!(matches!(decode(b"$-2\r\n"), Err(RespError::InvalidNumber(_))));
        assert!(matches!(decode(b"$99999999999\r\n"), Err(RespError::TooLong { .. })));
        assert!(matches!(decode(&b"*1\r\n".repeat(9)), Err(RespError::TooDeep(_))));
    }
}
