//! Where a command of the stream states a time of expiry. Pure: who forwards the command adds the grace there (Promise 6).
//!
//! Sources of 7.0 and newer send absolute times only; up to 6.2 EXPIRE, SETEX and SET EX come as the client sent them, with a
//! span from the command's execution.

use crate::{grace::TimeUnit, resp::command::Command};

/// Where a command states when a key, or a field of it, expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryArgument {
    /// Which argument the number is; the command's name is 0.
    pub index: usize,
    /// What it counts.
    pub unit: TimeUnit,
}

/// The time of expiry in a command of the stream, if it has one. No command has two.
pub fn expiry(command: &Command, buf: &[u8]) -> Option<ExpiryArgument> {
    use TimeUnit::{Millis, Seconds};
    let name = command.name(buf);
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    let second = |unit| Some(ExpiryArgument { index: 2, unit });
    match name.len() {
        3 if is(b"SET") => option(command, buf, 3),
        5 if is(b"SETEX") => second(Seconds),
        5 if is(b"GETEX") => option(command, buf, 2),
        6 if is(b"EXPIRE") => second(Seconds),
        6 if is(b"PSETEX") => second(Millis),
        6 if is(b"HSETEX") || is(b"HGETEX") => option(command, buf, 2),
        6 if is(b"MSETEX") => option(command, buf, behind_pairs(command, buf)?),
        7 if is(b"PEXPIRE") => second(Millis),
        7 if is(b"HEXPIRE") => second(Seconds),
        7 if is(b"RESTORE") => restore(command, buf),
        8 if is(b"HPEXPIRE") => second(Millis),
        8 if is(b"EXPIREAT") => second(Seconds),
        9 if is(b"PEXPIREAT") => second(Millis),
        9 if is(b"HEXPIREAT") => second(Seconds),
        10 if is(b"HPEXPIREAT") => second(Millis),
        14 if is(b"RESTORE-ASKING") => restore(command, buf),
        _ => None,
    }
}

/// The first EX, PX, EXAT or PXAT among the options. Fields and their values, which may be such words, come behind FIELDS.
fn option(command: &Command, buf: &[u8], from: usize) -> Option<ExpiryArgument> {
    for index in from..command.argument_count() {
        let argument = command.argument(buf, index)?;
        let is = |word: &[u8]| argument.eq_ignore_ascii_case(word);
        let unit = match argument.len() {
            2 if is(b"EX") => TimeUnit::Seconds,
            2 if is(b"PX") => TimeUnit::Millis,
            4 if is(b"EXAT") => TimeUnit::Seconds,
            4 if is(b"PXAT") => TimeUnit::Millis,
            6 if is(b"FIELDS") => return None,
            _ => continue,
        };
        return (index + 1 < command.argument_count())
            .then_some(ExpiryArgument { index: index + 1, unit });
    }
    None
}

/// The options of MSETEX stand behind its pairs of keys and values.
fn behind_pairs(command: &Command, buf: &[u8]) -> Option<usize> {
    let pairs: usize = std::str::from_utf8(command.argument(buf, 1)?).ok()?.parse().ok()?;
    pairs.checked_mul(2)?.checked_add(2)
}

fn restore(command: &Command, buf: &[u8]) -> Option<ExpiryArgument> {
    let has_none = command.argument(buf, 2)? == b"0";
    (!has_none).then_some(ExpiryArgument { index: 2, unit: TimeUnit::Millis })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::encode;

    #[test]
    fn every_form_of_expiry_is_known() {
        use TimeUnit::{Millis, Seconds};
        let table: &[(&str, Option<(usize, TimeUnit)>)] = &[
            ("SET k v", None),
            ("SET k EX", None),
            ("SET EX v", None),
            ("SET k v EX", None),
            ("set k v PXAT 9", Some((4, Millis))),
            ("SET k v EXAT 9", Some((4, Seconds))),
            ("SET k v xx px 9", Some((5, Millis))),
            ("SET k EX EX 9", Some((4, Seconds))),
            ("SETEX k 9 v", Some((2, Seconds))),
            ("PSETEX k 9 v", Some((2, Millis))),
            ("GETEX k EX 9", Some((3, Seconds))),
            ("GETEX k PERSIST", None),
            ("EXPIRE k 9", Some((2, Seconds))),
            ("PEXPIRE k 9", Some((2, Millis))),
            ("EXPIREAT k 9", Some((2, Seconds))),
            ("PEXPIREAT k 9 GT", Some((2, Millis))),
            ("HEXPIRE k 9 FIELDS 1 f", Some((2, Seconds))),
            ("HPEXPIREAT k 9 FIELDS 1 f", Some((2, Millis))),
            ("HSETEX k PXAT 9 FIELDS 1 f v", Some((3, Millis))),
            ("HSETEX k FIELDS 1 PX 9", None),
            ("HSETEX k FNX KEEPTTL FIELDS 2 EX v PX v", None),
            ("MSETEX 2 EX PX a b PXAT 9", Some((7, Millis))),
            ("MSETEX 2 EX PX a b", None),
            ("MSETEX 99999999999999999999 a b", None),
            ("RESTORE k 0 x", None),
            ("RESTORE k 9 x ABSTTL", Some((2, Millis))),
            ("RESTORE k 9 x REPLACE", Some((2, Millis))),
            ("INCR k", None),
            ("EXPIRE", Some((2, Seconds))),
        ];
        for (text, expected) in table {
            let mut buf = Vec::new();
            encode::command(&mut buf, &text.split(' ').collect::<Vec<_>>());
            let mut command = Command::default();
            command.parse(&buf, 0).unwrap().unwrap();
            let found = expiry(&command, &buf).map(|found| (found.index, found.unit));
            assert_eq!(found, *expected, "{text}");
        }
    }
}
