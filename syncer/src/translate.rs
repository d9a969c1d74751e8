//! What a command of the stream becomes where the target's version, or its family, does not take it as it is. Pure: the
//! command's words and what the target can take in, commands out. After filter and grace, before batch.
//!
//! Only exact forms are here: run behind the same commands on the same data, what is sent leaves what the source's
//! command left. Commands of the stream have succeeded at the source, so a condition (NX, IFEQ, …) that holds for a
//! whole command is simply left out. Where there is no exact form the command is refused (Invariant 16), never sent in
//! the hope that nothing is lost.

mod bits;
mod hashes;
mod lists;
mod names;
mod restore;
mod server;
mod sorted_sets;
mod streams;
mod strings;
mod table;
mod whole_keys;

pub use names::{CORE, Known};

use crate::{
    grace::Grace,
    rdb::support::Unsupported,
    resp::encode,
    target::examine::{Capabilities, Since},
};

/// A command's words, its name first.
pub type Words<'a> = [&'a [u8]];

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It goes as it is; nothing was written.
    Same,
    /// It is in the output, as so many commands.
    Written,
    /// It goes nowhere, and nothing is lost by that.
    Dropped,
}

/// How commands of one name are translated.
pub type Translator = fn(&Words<'_>, &mut Output<'_>) -> Result<Form, Unsupported>;

/// How commands of one name go to the target.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// From so many words on they decide; with fewer it goes as it is.
    pub translator: Option<(usize, Translator)>,
    /// Whether the name is known there: what goes as it is needs that.
    pub presence: Presence,
}

/// Whether the target knows a command by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does, or is believed to.
    Known,
    /// It does not.
    Missing,
    /// It was not asked yet.
    Unasked,
}

/// Why a command of an unknown name cannot be sent.
pub const MISSING: Unsupported = Unsupported {
    reason: "the target does not know this command",
    remedy: "use a target of the source's version (with its modules), or keep applications from using the command",
};

/// Where translated commands are written.
pub struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    /// How many were written.
    pub count: usize,
    /// What the target can take.
    pub target: &'a Capabilities,
    /// How much later what a value holds expires; the words have it already (Promise 6).
    pub grace: Grace,
}

impl<'a> Output<'a> {
    /// Appends to these bytes.
    pub fn new(bytes: &'a mut Vec<u8>, target: &'a Capabilities, grace: Grace) -> Self {
        Self { bytes, count: 0, target, grace }
    }

    fn command(&mut self, words: &Words<'_>) {
        encode::command(self.bytes, words);
        self.count += 1;
    }

    /// A command made of parts.
    fn joined(&mut self, parts: &[&Words<'_>]) {
        encode::array_header(self.bytes, parts.iter().map(|part| part.len()).sum());
        for word in parts.iter().copied().flatten() {
            encode::bulk(self.bytes, word);
        }
        self.count += 1;
    }

    /// A script of our own. It runs whole within our EXEC, reads what it needs there, and names its keys.
    fn script(&mut self, body: &str, keys: &Words<'_>, arguments: &Words<'_>) {
        let count = keys.len().to_string();
        // Up to 6.2 with `lua-replicate-commands no` a script that has read a time may not write.
        let body = match self.target.has(Since::redis(7, 0)) {
            true => body.to_owned(),
            false => {
                ["if redis.replicate_commands then redis.replicate_commands() end\n", body].concat()
            }
        };
        self.joined(&[&[b"EVAL", body.as_bytes(), count.as_bytes()], keys, arguments]);
    }

    /// Whole commands that another encoder has written.
    fn encoded(&mut self, bytes: &[u8], count: usize) {
        self.bytes.extend_from_slice(bytes);
        self.count += count;
    }
}

/// Whether a word is this one, in any case.
fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// A word as a number.
fn number(word: &[u8]) -> Option<usize> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
