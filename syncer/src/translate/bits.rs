//! BITOP's operations of Redis 8.2, said with those that every server has. What is in between stands under names of our own,
//! within the EXEC only: nobody sees them.

use super::{Form, Output, Words, is};
use crate::rdb::support::Unsupported;

const ANY: &[u8] = b"redissync:bitop:any";
const BOTH: &[u8] = b"redissync:bitop:both";
const TWICE: &[u8] = b"redissync:bitop:twice";

pub(super) fn bitop(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    let &[verb, operation, to, first, ref others @ ..] = words else { return Ok(Form::Same) };
    let is_new = ["DIFF", "DIFF1", "ANDOR", "ONE"].iter().any(|name| is(operation, name));
    if !is_new {
        return Ok(Form::Same);
    }
    if is(operation, "ONE") {
        // Bits that are somewhere, but not in two of them.
        out.command(&[verb, b"OR", ANY, first]);
        for &other in others {
            out.command(&[verb, b"AND", BOTH, ANY, other]);
            out.command(&[verb, b"OR", TWICE, TWICE, BOTH]);
            out.command(&[verb, b"OR", ANY, ANY, other]);
        }
        out.command(&[verb, b"XOR", to, ANY, TWICE]);
    } else {
        out.joined(&[&[verb, b"OR", ANY], others]);
        if is(operation, "ANDOR") {
            out.command(&[verb, b"AND", to, first, ANY]);
        } else {
            // NOT would be as long as its argument only; to take away what both have is not.
            out.command(&[verb, b"AND", BOTH, first, ANY]);
            let rest = if is(operation, "DIFF") { first } else { ANY };
            out.command(&[verb, b"XOR", to, rest, BOTH]);
        }
    }
    out.command(&[b"DEL", ANY, BOTH, TWICE]);
    Ok(Form::Written)
}
