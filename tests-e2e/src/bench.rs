//! The benchmark: full copies and streams, the syncer against what the servers themselves can do.
//!
//! Figures of one run compare, figures of two runs do not: each round measures all ways one after the other, every
//! other round in the opposite order, and the table gives the medians of the rounds with their spread.
//!
//! | module | what it gives |
//! |---|---|
//! | `input` | the data, as commands in a file |
//! | `pipe` | `redis-cli --pipe` of such a file |
//! | `full_copy` | a source that stands still, copied into an empty target |
//! | `stream` | commands that the syncer holds in its spool, drained into the target |
//! | `table` | medians and spreads as markdown, and the machine they come from |

mod full_copy;
mod input;
mod pipe;
mod stream;
mod table;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};

use self::{input::Input, table::machine};
use crate::{NodeOptions, ServerVersion};

/// Nothing that is measured takes as long, on any machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// A full copy of small strings.
    SmallStrings,
    /// A full copy of large strings.
    LargeStrings,
    /// A full copy of hashes, lists, sets and sorted sets.
    Containers,
    /// A stream of SETs.
    Sets,
    /// A stream of INCRs.
    Increments,
}

impl Case {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::SmallStrings, Self::LargeStrings, Self::Containers, Self::Sets, Self::Increments];

    /// The name by which a user asks for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SmallStrings => "small-strings",
            Self::LargeStrings => "large-strings",
            Self::Containers => "containers",
            Self::Sets => "sets",
            Self::Increments => "increments",
        }
    }

    /// The case of that name.
    pub fn parse(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|case| case.name() == name) {
            Some(case) => Ok(case),
            None => {
                bail!("there is no case {name}; there are {}", Self::ALL.map(Self::name).join(", "))
            }
        }
    }

    fn input(self, scale: f64) -> Input {
        let count = |full: f64| ((full * scale) as u64).max(1000);
        match self {
            Self::SmallStrings => Input::Strings { keys: count(2e6), bytes: 100 },
            Self::LargeStrings => Input::Strings { keys: count(2e5), bytes: 5000 },
            Self::Containers => Input::Containers { keys: count(1.5e5), elements_each: 40 },
            Self::Sets => Input::Strings { keys: count(1e6), bytes: 100 },
            Self::Increments => Input::Increments { commands: count(1e6), keys: 10_000 },
        }
    }
}

/// What the benchmark is started with.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// The syncer's program.
    pub syncer: PathBuf,
    /// Rounds.
    pub pairs: u32,
    /// What is measured.
    pub cases: Vec<Case>,
    /// The part of the data.
    pub scale: f64,
    /// The servers.
    pub version: ServerVersion,
    /// Where the tables go too.
    pub write: Option<PathBuf>,
}

/// Measures, prints as it goes, and returns all of what belongs into a document.
pub fn run(options: &BenchOptions) -> Result<String> {
    // The syncer works in a directory of its own.
    let syncer = options
        .syncer
        .canonicalize()
        .with_context(|| format!("there is no syncer at {}", options.syncer.display()))?;
    let options = BenchOptions { syncer, ..options.clone() };
    let mut text = machine(&options)?;
    println!("{text}");
    for &case in &options.cases {
        let input = case.input(options.scale);
        eprintln!("{}: {input}", case.name());
        let table = match case {
            Case::SmallStrings | Case::LargeStrings | Case::Containers => {
                full_copy::measure(&options, &input)?
            }
            Case::Sets | Case::Increments => stream::measure(&options, &input)?,
        };
        let part = format!("\n### {}: {input}\n\n{table}", case.name());
        println!("{part}");
        text.push_str(&part);
    }
    if let Some(path) = &options.write {
        fs::write(path, &text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(text)
}

/// The same for every server: nothing on disk, and a copy begins at once and goes over the socket.
fn server() -> NodeOptions {
    NodeOptions::new()
        .option("repl-diskless-sync", "yes")
        .option("repl-diskless-sync-delay", 0)
        // A burst is to be limited by who takes it, not cut off by the source.
        .option("client-output-buffer-limit", "replica 0 0 0")
}
