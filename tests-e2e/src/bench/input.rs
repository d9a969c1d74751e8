//! The data, as commands in a file: what fills a source, and what `redis-cli --pipe` is given to compare with.

use std::{
    fmt,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};

use crate::random::Random;

/// Values are not told apart, so that all rounds and machines have the same.
const SEED: u64 = 1;

/// What the data are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input {
    Strings {
        keys: u64,
        bytes: usize,
    },
    /// Hashes, lists, sets and sorted sets in turn.
    Containers {
        keys: u64,
        elements_each: u64,
    },
    Increments {
        commands: u64,
        keys: u64,
    },
}

impl Input {
    /// How many commands there are.
    pub(super) fn commands(&self) -> u64 {
        match *self {
            Self::Strings { keys, .. } | Self::Containers { keys, .. } => keys,
            Self::Increments { commands, .. } => commands,
        }
    }

    /// The one command of a stream, as INFO names it.
    pub(super) fn command_name(&self) -> &'static str {
        match self {
            Self::Strings { .. } => "set",
            Self::Containers { .. } => "several",
            Self::Increments { .. } => "incr",
        }
    }

    /// Writes the commands; with a block, so many of them in each MULTI/EXEC, with a record behind them as the syncer
    /// writes it.
    pub(super) fn write(&self, path: &Path, block: Option<u64>) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
            let mut random = Random::new(SEED);
            for number in 0..self.commands() {
                let place = block.map(|block| (number % block, block));
                if matches!(place, Some((0, _))) {
                    command(&mut out, &[b"MULTI"])?;
                }
                self.write_one(&mut out, &mut random, number)?;
                let is_last = number + 1 == self.commands();
                if place.is_some_and(|(at, block)| at + 1 == block || is_last) {
                    let offset = number.to_string();
                    let fields: [&[u8]; 6] =
                        [b"HSET", b"record", b"replid", &[b'a'; 40], b"offset", offset.as_bytes()];
                    command(&mut out, &fields)?;
                    command(&mut out, &[b"EXEC"])?;
                }
            }
            out.flush()
        };
        write().with_context(|| format!("failed to write {}", path.display()))
    }

    fn write_one(
        &self,
        out: &mut impl Write,
        random: &mut Random,
        number: u64,
    ) -> std::io::Result<()> {
        match *self {
            Self::Strings { bytes, .. } => {
                let key = format!("key:{number:09}");
                command(out, &[b"SET", key.as_bytes(), &random.text(bytes)])
            }
            Self::Increments { keys, .. } => {
                command(out, &[b"INCR", format!("counter:{:06}", random.below(keys)).as_bytes()])
            }
            Self::Containers { elements_each, .. } => {
                let size = 1 + random.below(2 * elements_each - 1);
                let key = format!("key:{number:09}");
                let (name, is_pair): (&str, bool) =
                    [("HSET", true), ("RPUSH", false), ("SADD", false), ("ZADD", true)]
                        [number as usize % 4];
                let mut words = vec![name.as_bytes().to_vec(), key.into_bytes()];
                for element in 0..size {
                    if is_pair {
                        words.push((element * 7).to_string().into_bytes());
                    }
                    words.push(random.text(12));
                }
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                command(out, &words)
            }
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strings { keys, bytes } => write!(f, "{keys} strings of {bytes} bytes"),
            Self::Containers { keys, elements_each } => {
                write!(
                    f,
                    "{keys} hashes, lists, sets and sorted sets of {elements_each} elements on average"
                )
            }
            Self::Increments { commands, keys } => write!(f, "{commands} INCRs of {keys} keys"),
        }
    }
}

fn command(out: &mut impl Write, words: &[&[u8]]) -> std::io::Result<()> {
    write!(out, "*{}\r\n", words.len())?;
    for word in words {
        write!(out, "${}\r\n", word.len())?;
        out.write_all(word)?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn blocks_hold_all_commands_and_the_last_one_is_closed() {
        let path = tempfile::NamedTempFile::new().unwrap();
        Input::Increments { commands: 10, keys: 3 }.write(path.path(), Some(4)).unwrap();
        let text = fs::read_to_string(path.path()).unwrap();
        let count = |word: &str| text.matches(word).count();
        assert_eq!([count("INCR"), count("MULTI"), count("HSET"), count("EXEC")], [10, 3, 3, 3]);
        assert!(text.ends_with("EXEC\r\n"), "{text}");
    }
}
