//! The source's stream: where a command begins and ends, and where its arguments lie in the buffer.
//!
//! Nothing is copied: a command is forwarded as the bytes that arrived. One [`Command`] is reused for all of
//! them, so the stream costs no allocation per command.

use std::ops::Range;

use super::{
    ARGUMENT_COUNT_MAX, BULK_BYTES_MAX, RespError, frame::checked, is_keep_alive, line, number,
};

/// The borders of one command in a buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    arguments: Vec<Range<usize>>,
}

impl Command {
    /// How many arguments there are, the name included; 0 for an empty line.
    pub fn argument_count(&self) -> usize {
        self.arguments.len()
    }

    /// Argument `index` (0 is the name), in the buffer that was parsed.
    pub fn argument<'a>(&self, buf: &'a [u8], index: usize) -> Option<&'a [u8]> {
        self.arguments.get(index).map(|range| &buf[range.clone()])
    }

    /// The command's name, empty for an empty line.
    pub fn name<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.argument(buf, 0).unwrap_or_default()
    }

    /// Parses the command that starts at `from` in `buf`. `None` until all of it is there, else where it ends.
    /// Of inline commands an empty line and PING are accepted: a master may send them as keep-alive, and their bytes count.
    pub fn parse(&mut self, buf: &[u8], from: usize) -> Result<Option<usize>, RespError> {
        self.arguments.clear();
        match buf.get(from) {
            None => Ok(None),
            Some(b'*') => self.parse_array(buf, from),
            Some(_) => self.parse_inline(buf, from),
        }
    }

    fn parse_array(&mut self, buf: &[u8], from: usize) -> Result<Option<usize>, RespError> {
        let Some((count, mut next)) = short_number(buf, from + 1)? else { return Ok(None) };
        let count = checked(count, ARGUMENT_COUNT_MAX)?.unwrap_or(0);
        for _ in 0..count {
            match buf.get(next) {
                None => return Ok(None),
                Some(b'$') => {}
                Some(&other) => return Err(RespError::UnknownType(other)),
            }
            let Some((length, start)) = short_number(buf, next + 1)? else { return Ok(None) };
            let Some(length) = checked(length, BULK_BYTES_MAX)? else {
                return Err(RespError::InvalidNumber("-1".into()));
            };
            let end = start + length;
            match buf.get(end..end + 2) {
                None => return Ok(None),
                Some(b"\r\n") => {}
                Some(_) => return Err(RespError::MissingCrLf),
            }
            self.arguments.push(start..end);
            next = end + 2;
        }
        Ok(Some(next))
    }

    fn parse_inline(&mut self, buf: &[u8], from: usize) -> Result<Option<usize>, RespError> {
        // A bare LF is a keep-alive; a line may also end in CR LF.
        let Some(length) = memchr::memchr(b'\n', &buf[from..]) else {
            return match buf.len() - from > super::LINE_BYTES_MAX {
                true => Err(RespError::UnknownType(buf[from])),
                false => Ok(None),
            };
        };
        if !is_keep_alive(&buf[from..from + length]) {
            return Err(RespError::UnknownType(buf[from]));
        }
        let mut at = from;
        for word in buf[from..from + length].split(|byte| byte.is_ascii_whitespace()) {
            if !word.is_empty() {
                self.arguments.push(at..at + word.len());
            }
            at += word.len() + 1;
        }
        Ok(Some(from + length + 1))
    }
}

/// A length and its CR LF. They have one to three digits nearly always, so a plain loop beats a search.
fn short_number(buf: &[u8], from: usize) -> Result<Option<(i64, usize)>, RespError> {
    let mut value: i64 = 0;
    let mut at = from;
    loop {
        match buf.get(at) {
            None => return Ok(None),
            Some(digit @ b'0'..=b'9') if at < from + 12 => {
                value = value * 10 + i64::from(digit - b'0');
            }
            Some(b'\r') if at > from => break,
            // A sign, or too many digits: rare enough for the general reader, which also knows the errors.
            Some(_) => {
                return line(buf, from)?
                    .map(|(text, next)| number(text).map(|n| (n, next)))
                    .transpose();
            }
        }
        at += 1;
    }
    match buf.get(at + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((value, at + 2))),
        Some(_) => Err(RespError::MissingCrLf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parsed = Option<(Vec<Vec<u8>>, usize)>;

    fn parse(buf: &[u8]) -> Result<Parsed, RespError> {
        let mut command = Command::default();
        let end = command.parse(buf, 0)?;
        let arguments = (0..command.argument_count())
            .map(|i| command.argument(buf, i).unwrap().to_vec())
            .collect();
        Ok(end.map(|end| (arguments, end)))
    }

    #[test]
    fn a_command_is_found_at_its_end_and_no_earlier() {
        let bytes = b"*2\r\n$3\r\nDEL\r\n$12\r\nab\r\ncdefghij\r\n";
        assert_eq!(
            parse(bytes).unwrap(),
            Some((vec![b"DEL".to_vec(), b"ab\r\ncdefghij".to_vec()], bytes.len()))
        );
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "prefix of {end} bytes");
        }
    }

    #[test]
    fn inline_commands_and_keep_alives_are_counted() {
        assert_eq!(parse(b"\n"), Ok(Some((vec![], 1))));
        assert_eq!(parse(b"\r\n"), Ok(Some((vec![], 2))));
        assert_eq!(parse(b" ping \r\n"), Ok(Some((vec![b"ping".to_vec()], 8))));
        assert!(parse(b"SET a b\r\n").is_err());
    }

    #[test]
    fn what_is_no_command_is_refused() {
        assert!(parse(b"*1\r\n+OK\r\n").is_err());
        assert!(parse(b"*1\r\n$2\r\nabc\r\n").is_err());
        assert!(parse(b"*1\r\n$-1\r\n").is_err());
        assert!(parse(b"*99999999999999\r\n").is_err());
        assert!(parse(b"*1x\r\n").is_err());
    }
}
