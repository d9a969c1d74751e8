//! The table of commands, and what of it two servers know.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use redis::Value;
use redissync_e2e::{
    node::Node,
    servers::ServerVersion::{self, Redis28},
};

const TABLE: &str = include_str!("commands.txt");

/// Writes that no line of the table runs.
const EXEMPT: [(&str, &str); 2] = [
    ("migrate", "its effect arrives as DEL; at its other end as RESTORE-ASKING"),
    ("cluster|flushslot", "works in a cluster only"),
];

/// Lines that are left away for some pairs: those that begin with one of these words.
struct LeftAway {
    lines: &'static [&'static str],
    applies: fn(ServerVersion, ServerVersion) -> bool,
}

/// What the source itself loses on its way to any replica.
const LOST_AT_THE_SOURCE: &[LeftAway] = &[
    // It is sent as a SET, which takes the time of expiry away at every replica.
    LeftAway { lines: &["INCRBYFLOAT float:expiring"], applies: |source, _| source == Redis28 },
];

/// One command of the table.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its words as they stand in the table.
    pub(super) words: Vec<Vec<u8>>,
    /// As COMMAND calls it, with the subcommand: `xgroup|create`.
    pub(super) name: String,
    /// Not allowed in scripts.
    pub(super) is_noscript: bool,
    /// It is for the end.
    pub(super) is_last: bool,
}

/// The lines that both ends know.
pub(super) struct Table {
    pub(super) lines: Vec<Line>,
}

/// What COMMAND tells of a server's commands: the flags of each.
type Known = BTreeMap<String, BTreeSet<String>>;

impl Table {
    /// The lines for a pair. Every write that both ends know must be there or exempt.
    pub(super) fn of(source: &Node, target: &Node) -> Result<Self> {
        let (at_source, at_target) = (known(source)?, known(target)?);
        let versions = (source.version(), target.version());
        let mut lines = Vec::new();
        let mut covered = BTreeSet::new();
        let mut section = Section::default();
        for text in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(head) = text.strip_prefix('[') {
                section = Section::parse(head.trim_end_matches(']'))?;
                continue;
            }
            if !section.knows(versions.0) || !section.knows(versions.1) {
                continue;
            }
            let words: Vec<Vec<u8>> = text.split(' ').map(word).collect::<Result<_>>()?;
            let name = name(&words, &at_source);
            let flags =
                at_source.get(&name).with_context(|| format!("{text}: unknown to the source"))?;
            // A container of 6.2 has no subcommands of its own.
            let is_known = at_target.contains_key(&name)
                || name.split('|').next().is_some_and(|first| at_target.contains_key(first));
            ensure!(is_known, "{text}: unknown to the target");
            covered.insert(name.clone());
            let is_left_away = LOST_AT_THE_SOURCE.iter().any(|one| {
                (one.applies)(versions.0, versions.1)
                    && one.lines.iter().any(|line| text.starts_with(line))
            });
            if !is_left_away {
                let is_noscript = flags.contains("noscript");
                lines.push(Line { words, name, is_noscript, is_last: section.is_last });
            }
        }
        let missing: Vec<&String> = at_source
            .iter()
            .filter(|(name, flags)| flags.contains("write") && at_target.contains_key(*name))
            .map(|(name, _)| name)
            .filter(|name| !covered.contains(*name))
            .filter(|name| EXEMPT.iter().all(|(exempt, _)| exempt != name))
            .collect();
        ensure!(missing.is_empty(), "writes that the table lacks: {missing:?}");
        Ok(Self { lines })
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}

/// From which versions on a section's lines are known.
#[derive(Default)]
struct Section {
    redis: Option<String>,
    valkey: Option<String>,
    is_last: bool,
}

impl Section {
    fn parse(head: &str) -> Result<Self> {
        let mut section = Self::default();
        for part in head.split(", ") {
            match part.split_once(' ') {
                Some(("redis", version)) => section.redis = Some(version.to_owned()),
                Some(("valkey", version)) => section.valkey = Some(version.to_owned()),
                _ => {
                    ensure!(part == "last", "a section's head: {head}");
                    section.is_last = true;
                }
            }
        }
        Ok(section)
    }

    /// All versions here have a major and a minor number of one digit.
    fn knows(&self, version: ServerVersion) -> bool {
        let from = if version.product() == "redis" { &self.redis } else { &self.valkey };
        from.as_ref().is_some_and(|from| version.number() >= from.as_str())
    }
}

/// A word without its escapes.
fn word(text: &str) -> Result<Vec<u8>> {
    if text == "\"\"" {
        return Ok(Vec::new());
    }
    Ok(text.replace("\\x20", " ").replace("\\n", "\n").into_bytes())
}

fn name(words: &[Vec<u8>], known: &Known) -> String {
    let lower = |at: usize| {
        words.get(at).map(|word| String::from_utf8_lossy(word).to_lowercase()).unwrap_or_default()
    };
    let with_subcommand = format!("{}|{}", lower(0), lower(1));
    if known.contains_key(&with_subcommand) { with_subcommand } else { lower(0) }
}

fn known(node: &Node) -> Result<Known> {
    let commands: Vec<Value> =
        redis::cmd("COMMAND").query(&mut node.connect()?).context("COMMAND")?;
    let mut known = Known::new();
    commands.iter().for_each(|command| note(command, &mut known));
    Ok(known)
}

/// Name, arity, flags, and from 7.0 on, tenth, the subcommands.
fn note(command: &Value, known: &mut Known) {
    let Value::Array(parts) = command else { return };
    let text = |value: &Value| match value {
        Value::BulkString(text) => String::from_utf8_lossy(text).to_lowercase(),
        Value::SimpleString(text) => text.to_lowercase(),
        _ => String::new(),
    };
    let (Some(name), Some(Value::Array(flags) | Value::Set(flags))) = (parts.first(), parts.get(2))
    else {
        return;
    };
    known.insert(text(name), flags.iter().map(text).collect());
    if let Some(Value::Array(subcommands)) = parts.get(9) {
        subcommands.iter().for_each(|subcommand| note(subcommand, known));
    }
}
