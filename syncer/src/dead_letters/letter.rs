//! One dead letter, and its form in the file: a RESP array of eleven strings, the last of which are the commands themselves
//! in RESP. Pure.

use crate::{
    position::{DbIndex, Offset},
    rdb::crc64::Crc64,
    resp::{RespError, command::Command, encode},
    spool::CopyId,
};

/// The first word of each letter, and the version of its form.
const HEAD: [&str; 2] = ["redissync-dead-letter", "1"];
/// How much of a server's words is kept.
const ERROR_CHARS_MAX: usize = 500;

/// Why a command did not get to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing that the target knows says the same: the whole unit is here, nothing of it was applied.
    Unsupported,
    /// The target refused one of its commands when it was queued: the whole unit is here, nothing of it was applied.
    Refused,
    /// It failed within its transaction: it alone is here, as it was sent. The rest of its unit was applied.
    Failed,
}

impl Cause {
    const ALL: [Self; 3] = [Self::Unsupported, Self::Refused, Self::Failed];

    /// Its word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "Unsupported",
            Self::Refused => "Refused",
            Self::Failed => "Failed",
        }
    }
}

/// What the target could not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The full copy whose stream it came in: offsets mean something within it only.
    pub copy_id: CopyId,
    /// The source's replid then.
    pub replid: String,
    /// The end of the unit.
    pub end: Offset,
    /// The database that its first command was for.
    pub db: DbIndex,
    /// How many equal commands of its unit failed before it.
    pub twins: u64,
    /// Why.
    pub cause: Cause,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The server's words, or ours.
    pub error: String,
    /// The commands, as RESP.
    pub commands: Vec<u8>,
}

/// What makes two letters the same: a unit that is met again after a restart is not kept twice.
pub(super) type Key = (CopyId, u64, u32, u64, u64);

impl Letter {
    pub(super) fn key(&self) -> Key {
        let mut crc = Crc64::default();
        crc.update(&self.commands);
        (self.copy_id, self.end.0, self.db.0, self.twins, crc.value())
    }

    /// Appends it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let error: String = self.error.chars().take(ERROR_CHARS_MAX).collect();
        encode::array_header(out, 11);
        HEAD.iter().for_each(|word| encode::bulk(out, word.as_bytes()));
        encode::bulk(out, self.copy_id.to_string().as_bytes());
        encode::bulk(out, self.replid.as_bytes());
        encode::bulk_number(out, self.end.0);
        encode::bulk_number(out, self.db.0);
        encode::bulk_number(out, self.twins);
        encode::bulk(out, self.cause.as_str().as_bytes());
        encode::bulk_number(out, self.at_ms);
        encode::bulk(out, error.as_bytes());
        encode::bulk(out, &self.commands);
    }

    /// Reads the letter at `from`, and where it ends; `None` if it is cut short.
    pub(super) fn parse(buf: &[u8], from: usize) -> Result<Option<(Self, usize)>, RespError> {
        if buf.get(from).is_some_and(|byte| *byte != b'*') {
            // A lone line would be one too.
            return Err(RespError::UnknownType(buf[from]));
        }
        let mut command = Command::default();
        let Some(next) = command.parse(buf, from)? else { return Ok(None) };
        let wrong = || RespError::InvalidNumber("a dead letter".into());
        let word = |index| command.argument(buf, index).ok_or_else(wrong);
        let text = |index| std::str::from_utf8(word(index)?).map_err(|_| wrong());
        if text(0)? != HEAD[0] || text(1)? != HEAD[1] {
            return Err(wrong());
        }
        let cause = text(7)?;
        let letter = Self {
            copy_id: text(2)?.parse().map_err(|_| wrong())?,
            replid: text(3)?.to_owned(),
            end: Offset(text(4)?.parse().map_err(|_| wrong())?),
            db: DbIndex(text(5)?.parse().map_err(|_| wrong())?),
            twins: text(6)?.parse().map_err(|_| wrong())?,
            cause: Cause::ALL.into_iter().find(|one| one.as_str() == cause).ok_or_else(wrong)?,
            at_ms: text(8)?.parse().map_err(|_| wrong())?,
            error: text(9)?.to_owned(),
            commands: word(10)?.to_vec(),
        };
        Ok(Some((letter, next)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::dead_letters) fn letter(end: u64) -> Letter {
        Letter {
            copy_id: "00000000000000ab".parse().unwrap(),
            replid: "a".repeat(40),
            end: Offset(end),
            db: DbIndex(3),
            twins: 0,
            cause: Cause::Refused,
            at_ms: 7,
            error: "ERR no".into(),
            commands: b"*2\r\n$3\r\nFOO\r\n$2\r\n\r\n\r\n".to_vec(),
        }
    }

    #[test]
    fn a_letter_is_read_back_and_one_cut_short_is_not() {
        let mut bytes = Vec::new();
        letter(9).encode(&mut bytes);
        assert_eq!(Letter::parse(&bytes, 0), Ok(Some((letter(9), bytes.len()))));
        for end in 0..bytes.len() {
            assert_eq!(Letter::parse(&bytes[..end], 0), Ok(None), "{end}");
        }
        assert!(Letter::parse(b"*1\r\n$3\r\nFOO\r\n", 0).is_err());
    }
}
