//! Lengths and strings, the two atoms of the format (`rdbSaveLen` and `rdbSaveRawString` of
//! rdb.c). `None` means that more bytes are needed; nothing is consumed then.

use super::{error::Fault, lzf};

/// A length, or the mark of a special string encoding in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Number(u64),
    Encoded(u8),
}

/// How the bytes of a string are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StringForm {
    Raw,
    /// A little-endian signed integer that stands for its decimal text.
    Integer,
    Lzf {
        decoded_len: u64,
    },
}

/// A string of which the head has been read; its body may not have arrived yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StringHead {
    pub(super) form: StringForm,
    /// Where the string begins in the bytes that were read.
    pub(super) start: usize,
    /// Where its body does.
    pub(super) from: usize,
    pub(super) body_len: u64,
}

impl StringHead {
    /// How long the string is once decoded; an integer's text has at most 11 characters.
    pub(super) fn decoded_len(&self) -> u64 {
        match self.form {
            StringForm::Raw => self.body_len,
            StringForm::Integer => 11,
            StringForm::Lzf { decoded_len } => decoded_len,
        }
    }
}

/// A string that lies wholly in the bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) form: StringForm,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Reads a length at `at` and moves `at` behind it.
#[inline]
pub(super) fn read_length(bytes: &[u8], at: &mut usize) -> Result<Option<Length>, Fault> {
    let Some(&first) = bytes.get(*at) else { return Ok(None) };
    let (number, width) = match first >> 6 {
        0 => (u64::from(first & 0x3f), 1),
        1 => {
            let Some(&second) = bytes.get(*at + 1) else { return Ok(None) };
            ((u64::from(first & 0x3f) << 8) | u64::from(second), 2)
        }
        2 => match first {
            0x80 => {
                let Some(raw) = read_array(bytes, *at + 1) else { return Ok(None) };
                (u64::from(u32::from_be_bytes(raw)), 5)
            }
            0x81 => {
                let Some(raw) = read_array(bytes, *at + 1) else { return Ok(None) };
                (u64::from_be_bytes(raw), 9)
            }
            _ => return Err(Fault::Corrupt("a length of an unknown form")),
        },
        _ => {
            *at += 1;
            return Ok(Some(Length::Encoded(first & 0x3f)));
        }
    };
    *at += width;
    Ok(Some(Length::Number(number)))
}

/// Reads a length where only a number can stand.
#[inline]
pub(super) fn read_number(bytes: &[u8], at: &mut usize) -> Result<Option<u64>, Fault> {
    match read_length(bytes, at)? {
        None => Ok(None),
        Some(Length::Number(number)) => Ok(Some(number)),
        Some(Length::Encoded(_)) => Err(Fault::Corrupt("a string encoding in place of a number")),
    }
}

/// Reads what precedes a string's body.
#[inline]
pub(super) fn read_string_head(bytes: &[u8], at: usize) -> Result<Option<StringHead>, Fault> {
    let start = at;
    let mut at = at;
    let encoding = match read_length(bytes, &mut at)? {
        None => return Ok(None),
        Some(Length::Number(body_len)) => {
            return Ok(Some(StringHead { form: StringForm::Raw, start, from: at, body_len }));
        }
        Some(Length::Encoded(encoding)) => encoding,
    };
    let (form, body_len) = match encoding {
        0 => (StringForm::Integer, 1),
        1 => (StringForm::Integer, 2),
        2 => (StringForm::Integer, 4),
        3 => {
            let Some(body_len) = read_number(bytes, &mut at)? else { return Ok(None) };
            let Some(decoded_len) = read_number(bytes, &mut at)? else { return Ok(None) };
            (StringForm::Lzf { decoded_len }, body_len)
        }
        _ => return Err(Fault::Corrupt("a string of an unknown encoding")),
    };
    Ok(Some(StringHead { form, start, from: at, body_len }))
}

/// Reads a whole string and moves `at` behind it. `limit` bounds its body and its decoded form.
pub(super) fn read_text(bytes: &[u8], at: &mut usize, limit: u64) -> Result<Option<Text>, Fault> {
    let Some(head) = read_string_head(bytes, *at)? else { return Ok(None) };
    if head.body_len > limit || head.decoded_len() > limit.max(11) {
        return Err(Fault::TooLarge);
    }
    if head.body_len > (bytes.len() - head.from) as u64 {
        return Ok(None);
    }
    let to = head.from + head.body_len as usize;
    *at = to;
    Ok(Some(Text { form: head.form, from: head.from, to }))
}

/// The plain bytes of a string: a part of `bytes`, or written into `scratch`.
#[inline]
pub(super) fn decode_text<'a>(
    bytes: &'a [u8],
    text: Text,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], Fault> {
    let body = &bytes[text.from..text.to];
    if text.form == StringForm::Raw {
        return Ok(body);
    }
    decode_into(body, text.form, scratch)?;
    Ok(scratch)
}

/// Writes the plain bytes of an encoded string over what `scratch` holds.
pub(super) fn decode_into(
    body: &[u8],
    form: StringForm,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    scratch.clear();
    match form {
        StringForm::Raw => scratch.extend_from_slice(body),
        StringForm::Integer => {
            let number = match *body {
                [a] => i32::from(a as i8),
                [a, b] => i32::from(i16::from_le_bytes([a, b])),
                [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
                _ => return Err(Fault::Corrupt("an integer of an unknown width")),
            };
            scratch.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        StringForm::Lzf { decoded_len } => lzf::decompress(body, decoded_len, scratch)?,
    }
    Ok(())
}

/// `N` bytes at `at`, if they are there.
#[inline]
pub(super) fn read_array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(bytes: &[u8]) -> Result<Option<(Length, usize)>, Fault> {
        let mut at = 0;
        Ok(read_length(bytes, &mut at)?.map(|length| (length, at)))
    }

    #[test]
    fn every_form_of_a_length_is_read() {
        assert_eq!(length(&[0x3f]), Ok(Some((Length::Number(63), 1))));
        assert_eq!(length(&[0x7f, 0xff]), Ok(Some((Length::Number(16383), 2))));
        assert_eq!(length(&[0x80, 0, 1, 0, 0]), Ok(Some((Length::Number(65536), 5))));
        let unknown = [0x81, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(length(&unknown), Ok(Some((Length::Number(u64::MAX), 9))));
        assert_eq!(length(&[0xc3]), Ok(Some((Length::Encoded(3), 1))));
        assert!(length(&[0x82]).is_err());
        assert_eq!(length(&unknown[..8]), Ok(None));
    }

    #[test]
    fn integers_stand_for_their_decimal_text() {
        for (bytes, text) in [
            (&[0xc0, 0x80][..], &b"-128"[..]),
            (&[0xc1, 0x39, 0x30], b"12345"),
            (&[0xc2, 0, 0, 0, 0x80], b"-2147483648"),
        ] {
            let found = read_text(bytes, &mut 0, 0xff).unwrap().unwrap();
            assert_eq!(decode_text(bytes, found, &mut Vec::new()).unwrap(), text);
        }
        assert!(read_string_head(&[0xc4], 0).is_err());
    }
}
