//! Which commands carry a time of expiry. For now it is only counted: the times are applied as they come, and
//! Promise 6 (the grace) begins when they are rewritten here.

use crate::resp::command::Command;

/// How a command states a time of expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// A moment: what a source of 7.0 and newer sends.
    Absolute,
    /// A span from the command's execution: what sources up to 6.2 send for EXPIRE, SETEX and SET EX.
    Relative,
}

/// The form of expiry in a command of the stream, if it has any.
pub fn expiry(command: &Command, buf: &[u8]) -> Option<Expiry> {
    let name = command.name(buf);
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    match name.len() {
        3 if is(b"SET") => option(command, buf, 3),
        5 if is(b"SETEX") || is(b"GETEX") => Some(Expiry::Relative),
        6 if is(b"EXPIRE") || is(b"PSETEX") => Some(Expiry::Relative),
        6 if is(b"HSETEX") || is(b"HGETEX") || is(b"MSETEX") => option(command, buf, 2),
        7 if is(b"PEXPIRE") || is(b"HEXPIRE") => Some(Expiry::Relative),
        7 if is(b"RESTORE") => restore(command, buf),
        8 if is(b"HPEXPIRE") => Some(Expiry::Relative),
        8 if is(b"EXPIREAT") => Some(Expiry::Absolute),
        9 if is(b"PEXPIREAT") || is(b"HEXPIREAT") => Some(Expiry::Absolute),
        10 if is(b"HPEXPIREAT") => Some(Expiry::Absolute),
        14 if is(b"RESTORE-ASKING") => restore(command, buf),
        _ => None,
    }
}

fn option(command: &Command, buf: &[u8], from: usize) -> Option<Expiry> {
    (from..command.argument_count()).find_map(|index| {
        let argument = command.argument(buf, index)?;
        let is = |word: &[u8]| argument.eq_ignore_ascii_case(word);
        match argument.len() {
            2 if is(b"EX") || is(b"PX") => Some(Expiry::Relative),
            4 if is(b"EXAT") || is(b"PXAT") => Some(Expiry::Absolute),
            _ => None,
        }
    })
}

fn restore(command: &Command, buf: &[u8]) -> Option<Expiry> {
    if command.argument(buf, 2)? == b"0" {
        return None;
    }
    let is_absolute = (4..command.argument_count())
        .any(|i| command.argument(buf, i).is_some_and(|a| a.eq_ignore_ascii_case(b"ABSTTL")));
    Some(if is_absolute { Expiry::Absolute } else { Expiry::Relative })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::encode;

    #[test]
    fn every_form_of_expiry_is_known() {
        use Expiry::{Absolute, Relative};
        let table: &[(&[&str], Option<Expiry>)] = &[
            (&["SET", "k", "v"], None),
            (&["SET", "k", "EX"], None),
            (&["set", "k", "v", "PXAT", "9"], Some(Absolute)),
            (&["SET", "k", "v", "xx", "px", "9"], Some(Relative)),
            (&["SETEX", "k", "9", "v"], Some(Relative)),
            (&["EXPIRE", "k", "9"], Some(Relative)),
            (&["PEXPIREAT", "k", "9", "GT"], Some(Absolute)),
            (&["HPEXPIREAT", "k", "9", "FIELDS", "1", "f"], Some(Absolute)),
            (&["HSETEX", "k", "PXAT", "9", "FIELDS", "1", "f", "v"], Some(Absolute)),
            (&["RESTORE", "k", "0", "x"], None),
            (&["RESTORE", "k", "9", "x", "ABSTTL"], Some(Absolute)),
            (&["RESTORE", "k", "9", "x", "REPLACE"], Some(Relative)),
            (&["INCR", "k"], None),
        ];
        for (arguments, expected) in table {
            let mut buf = Vec::new();
            encode::command(&mut buf, arguments);
            let mut command = Command::default();
            command.parse(&buf, 0).unwrap().unwrap();
            assert_eq!(expiry(&command, &buf), *expected, "{arguments:?}");
        }
    }
}
