//! `redissync-syncer dead-letters`: the file for people, or as commands to apply by hand.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};

use super::{
    file::{FILE_NAME, read},
    letter::Letter,
};
use crate::{
    contract::Timestamp,
    resp::{command::Command, encode},
};

/// How much of one word is shown.
const WORD_BYTES_MAX: usize = 200;

/// The arguments of `redissync-syncer dead-letters`.
#[derive(Clone, Debug, clap::Args)]
pub struct DeadLettersArgs {
    /// The spool's directory (`spool.dir`)
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Print the commands alone, with the SELECTs that they need, in RESP: for `redis-cli --pipe`
    #[arg(long)]
    pub resp: bool,
}

/// Prints the letters; how many there are.
pub fn run(args: &DeadLettersArgs, out: &mut impl Write) -> Result<u64> {
    let path = args.dir.join(FILE_NAME);
    let bytes = match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && args.dir.is_dir() => Vec::new(),
        other => other.with_context(|| format!("failed to read {}", path.display()))?,
    };
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        match Letter::parse(&bytes, at) {
            Ok(Some((letter, next))) => {
                print(&letter, args.resp, out)?;
                (at, count) = (next, count + 1);
            }
            // The writer is in the middle of one.
            Ok(None) => break,
            Err(_) => bail!("{} cannot be read from byte {at} on", path.display()),
        }
    }
    Ok(count)
}

fn print(letter: &Letter, is_resp: bool, out: &mut impl Write) -> io::Result<()> {
    if is_resp {
        let mut select = Vec::new();
        encode::command(&mut select, &["SELECT", &letter.db.to_string()]);
        out.write_all(&select)?;
        return out.write_all(&letter.commands);
    }
    let Letter { end, db, cause, error, copy_id, at_ms, .. } = letter;
    let at = Timestamp::from_millis(*at_ms);
    writeln!(out, "offset {end} database {db} at {at} copy {copy_id}")?;
    writeln!(out, "  {}: {}", cause.as_str(), error.escape_debug())?;
    let mut command = Command::default();
    let mut from = 0;
    while let Ok(Some(next)) = command.parse(&letter.commands, from) {
        let words =
            (0..command.argument_count()).filter_map(|i| command.argument(&letter.commands, i));
        write!(out, "   ")?;
        for word in words {
            let shown = &word[..word.len().min(WORD_BYTES_MAX)];
            write!(out, " \"{}\"", shown.escape_ascii())?;
            if shown.len() < word.len() {
                write!(out, "({} bytes)", word.len())?;
            }
        }
        writeln!(out)?;
        from = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{file::DeadLetterFile, letter::tests::letter},
        *,
    };

    #[test]
    fn letters_are_shown_to_people_and_given_as_commands() {
        let dir = tempfile::tempdir().unwrap();
        let shown = |resp| {
            let mut out = Vec::new();
            let args = DeadLettersArgs { dir: dir.path().to_owned(), resp };
            let count = run(&args, &mut out).unwrap();
            (count, String::from_utf8(out).unwrap())
        };
        assert_eq!(shown(false), (0, String::new()));
        DeadLetterFile::new(dir.path()).append(&letter(9)).unwrap();
        let (count, text) = shown(false);
        assert!(count == 1 && text.starts_with("offset 9 database 3 at 1970-01-01T00:00:00.007Z"));
        assert!(text.ends_with("  Refused: ERR no\n    \"FOO\" \"\\r\\n\"\n"), "{text}");
        let expected = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nFOO\r\n$2\r\n\r\n\r\n";
        assert_eq!(shown(true).1, expected);
    }
}
