//! Keep, drop or refuse: what becomes of one command of the stream, or of one key of a full copy. Pure.
//!
//! After decode, before route. Nothing is dropped but what carries no data and what is our own
//! (Invariant 16): housekeeping of the link, the Sentinels' hello, and keys under [`RESERVED_PREFIX`].

use std::sync::LazyLock;

use memchr::memmem;

use crate::{
    keys::{Keys, keys},
    position::DbIndex,
    resp::command::Command,
};

/// Keys of ours in a Redis. Those of a source belong to other pairs and are never copied; a sweep spares them.
pub const RESERVED_PREFIX: &[u8] = b"redissync:";

static RESERVED_FINDER: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new(RESERVED_PREFIX));

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes to the target as it arrived.
    Forward,
    /// Goes to the target without the arguments at these indexes.
    ForwardWithout(Vec<usize>),
    /// Moves the offset and carries no data: PING, REPLCONF, the Sentinels' hello, an empty line.
    Housekeeping,
    /// MULTI or EXEC: the batch has its own.
    Bracket,
    /// Selects a database for what follows.
    Select(DbIndex),
    /// Writes only our own keys of another pair.
    Reserved,
    /// Cannot be applied; the link halts at its unit.
    Refuse {
        /// What it is.
        what: &'static str,
        /// What a human can do.
        remedy: &'static str,
    },
}

const REMEDY_SKIP: &str =
    "check what this command means for your data, then skip the unit or copy again";

/// Judges one command of the stream. `bytes` are the command's own, a part of `buf`.
pub fn judge(command: &Command, buf: &[u8], bytes: &[u8]) -> Verdict {
    let name = command.name(buf);
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    let special = match name.len() {
        0 => Some(Verdict::Housekeeping),
        4 if is(b"PING") => Some(Verdict::Housekeeping),
        4 if is(b"EXEC") => Some(Verdict::Bracket),
        5 if is(b"MULTI") => Some(Verdict::Bracket),
        6 if is(b"SELECT") => Some(select(command, buf)),
        6 if is(b"SWAPDB") => swapdb(command, buf),
        7 if is(b"PUBLISH") && command.argument(buf, 1) == Some(b"__sentinel__:hello") => {
            // It would confuse the target's own Sentinels if the masters have the same name.
            Some(Verdict::Housekeeping)
        }
        8 if is(b"REPLCONF") => Some(Verdict::Housekeeping),
        _ => None,
    };
    special.unwrap_or_else(|| match RESERVED_FINDER.find(bytes) {
        None => Verdict::Forward,
        Some(_) => reserved(command, buf),
    })
}

fn db_argument(command: &Command, buf: &[u8], index: usize) -> Option<DbIndex> {
    let text = std::str::from_utf8(command.argument(buf, index)?).ok()?;
    text.parse().ok().map(DbIndex)
}

fn select(command: &Command, buf: &[u8]) -> Verdict {
    match db_argument(command, buf, 1) {
        Some(db) => Verdict::Select(db),
        None => Verdict::Refuse { what: "SELECT without a database number", remedy: REMEDY_SKIP },
    }
}

/// The record lives in database 0 and would change its place with it.
fn swapdb(command: &Command, buf: &[u8]) -> Option<Verdict> {
    let databases = [1, 2].map(|index| db_argument(command, buf, index));
    (databases.contains(&Some(DbIndex(0))) || databases.contains(&None)).then_some(
        Verdict::Refuse {
            what: "SWAPDB with database 0, where the record lives",
            remedy: "copy again, which brings the target to the swapped state",
        },
    )
}

fn reserved(command: &Command, buf: &[u8]) -> Verdict {
    let is_reserved = |index: &usize| {
        command.argument(buf, *index).is_some_and(|key| key.starts_with(RESERVED_PREFIX))
    };
    let keys = match keys(command, buf) {
        Keys::At(keys) => keys,
        // Nearly every command has its key first.
        Keys::Unknown => vec![1],
    };
    let ours: Vec<usize> = keys.iter().copied().filter(is_reserved).collect();
    let name = command.name(buf);
    match ours.len() {
        0 => Verdict::Forward,
        all if all == keys.len() => Verdict::Reserved,
        _ if name.eq_ignore_ascii_case(b"DEL") || name.eq_ignore_ascii_case(b"UNLINK") => {
            Verdict::ForwardWithout(ours)
        }
        _ => Verdict::Refuse {
            what: "a command on keys of the application together with keys under redissync:",
            remedy: "keep applications away from keys under redissync:, then skip the unit or copy again",
        },
    }
}

/// Whether a key of a full copy is our own.
pub fn is_reserved_key(key: &[u8]) -> bool {
    key.starts_with(RESERVED_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::encode;

    fn verdict(arguments: &[&str]) -> Verdict {
        let mut buf = Vec::new();
        encode::command(&mut buf, arguments);
        let mut command = Command::default();
        command.parse(&buf, 0).unwrap().unwrap();
        judge(&command, &buf, &buf)
    }

    #[test]
    fn only_housekeeping_and_our_own_keys_are_dropped() {
        assert_eq!(verdict(&["SET", "k", "v"]), Verdict::Forward);
        assert_eq!(verdict(&["SET", "k", "redissync:x"]), Verdict::Forward);
        assert_eq!(verdict(&["ping"]), Verdict::Housekeeping);
        assert_eq!(verdict(&["REPLCONF", "GETACK", "*"]), Verdict::Housekeeping);
        assert_eq!(verdict(&["PUBLISH", "__sentinel__:hello", "x"]), Verdict::Housekeeping);
        assert_eq!(verdict(&["PUBLISH", "news", "x"]), Verdict::Forward);
        assert_eq!(verdict(&["select", "7"]), Verdict::Select(DbIndex(7)));
        assert_eq!(verdict(&["HSET", "redissync:default:0", "offset", "7"]), Verdict::Reserved);
        assert_eq!(verdict(&["DEL", "redissync:a", "redissync:b"]), Verdict::Reserved);
        assert_eq!(verdict(&["DEL", "a", "redissync:b"]), Verdict::ForwardWithout(vec![2]));
        assert!(matches!(verdict(&["RENAME", "a", "redissync:b"]), Verdict::Refuse { .. }));
        assert_eq!(verdict(&["NEW.CMD", "redissync:b"]), Verdict::Reserved);
    }

    #[test]
    fn a_swap_of_the_records_database_is_refused_and_no_other() {
        assert!(matches!(verdict(&["SWAPDB", "0", "3"]), Verdict::Refuse { .. }));
        assert!(matches!(verdict(&["SWAPDB", "3", "0"]), Verdict::Refuse { .. }));
        assert!(matches!(verdict(&["SWAPDB", "x", "3"]), Verdict::Refuse { .. }));
        assert_eq!(verdict(&["SWAPDB", "1", "3"]), Verdict::Forward);
    }
}
