//! Both sides key by key: type, value and time to live, in both directions, over all databases.
//!
//! For two servers that stand still. Most keys are settled by their serialised form, which is quick; where the two
//! sides store a value in different encodings, or are of different versions, the values themselves are read.

mod hyperloglog;
mod value;

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use redis::{Connection, Pipeline, Value};

use self::value::Reader;
use crate::info::databases;

/// Keys that are read in one round trip of each side.
const BATCH: usize = 500;

/// More would hide the first ones; all are counted.
const DIFFERENCES_KEPT: usize = 50;

/// The syncer's own keys, which a target has and a source has not.
const OWN_PREFIX: &[u8] = b"redissync:";

/// The end of a serialised value: two bytes of RDB version and eight of checksum, which differ between versions.
const DUMP_FOOTER_BYTES: usize = 10;

/// What counts as equal.
#[derive(Debug, Clone, Copy)]
pub struct CompareOptions {
    /// How far the two times of expiry may lie apart: the two sides are not read at one instant.
    pub ttl_tolerance_ms: i64,
    /// How much later than at the source a key, or a field of a hash, expires at the target (`expiry.grace`).
    pub expiry_grace_ms: i64,
    /// How much later still: a span that the source sends counts from when the target has it.
    pub expiry_late_ms: i64,
}

impl CompareOptions {
    /// Both sides of a syncer that adds the grace of its default.
    pub fn synced() -> Self {
        Self { expiry_grace_ms: 3_600_000, ..Self::default() }
    }
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self { ttl_tolerance_ms: 1000, expiry_grace_ms: 0, expiry_late_ms: 0 }
    }
}

/// How a key differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The target does not have it.
    Missing,
    /// The source does not have it.
    Surplus,
    /// The types of source and target.
    Type(String, String),
    /// The type, and what is unlike.
    Value(String, String),
    /// The milliseconds left at source and target; -1 is without end.
    Ttl(i64, i64),
}

/// One key that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The database.
    pub db: u32,
    /// The key.
    pub key: Vec<u8>,
    /// How it differs.
    pub kind: DifferenceKind,
}

/// What a comparison found.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// Keys of the source that were compared.
    pub keys: u64,
    /// Those of them whose values had to be read, since the serialised forms differ.
    pub read_in_full: u64,
    /// How many differences there are.
    pub difference_count: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Comparison {
    /// Whether both sides hold the same. Two empty sides do: look at `keys` too.
    pub fn is_equal(&self) -> bool {
        self.difference_count == 0
    }

    fn add(&mut self, db: u32, key: &[u8], kind: DifferenceKind) {
        self.difference_count += 1;
        if self.differences.len() < DIFFERENCES_KEPT {
            self.differences.push(Difference { db, key: key.to_vec(), kind });
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "db {} {}: ", self.db, self.key.escape_ascii())?;
        match &self.kind {
            DifferenceKind::Missing => write!(f, "missing at the target"),
            DifferenceKind::Surplus => write!(f, "only at the target"),
            DifferenceKind::Type(source, target) => {
                write!(f, "a {source} at the source, a {target} at the target")
            }
            DifferenceKind::Value(kind, what) => write!(f, "{kind}: {what}"),
            DifferenceKind::Ttl(source, target) => {
                write!(f, "lives {source} ms at the source, {target} ms at the target")
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} keys compared in {:.1} s ({} read in full), {} differences",
            self.keys,
            self.elapsed.as_secs_f64(),
            self.read_in_full,
            self.difference_count
        )?;
        for difference in &self.differences {
            write!(f, "\n  {difference}")?;
        }
        let hidden = self.difference_count - self.differences.len() as u64;
        if hidden > 0 {
            write!(f, "\n  and {hidden} more")?;
        }
        Ok(())
    }
}

/// Compares all databases. Both connections come and leave in database 0.
pub fn compare(
    source: &mut Connection,
    target: &mut Connection,
    options: &CompareOptions,
) -> Result<Comparison> {
    let mut dbs: BTreeSet<u32> = databases(source)?.into_keys().collect();
    dbs.extend(databases(target)?.into_keys());
    let reader = Reader::new(source, target)?;
    let result = Comparison::default();
    let mut comparer = Comparer { source, target, options, reader, db: 0, result };
    let begun = Instant::now();
    for db in dbs {
        comparer.compare_database(db)?;
    }
    comparer.select(0)?;
    comparer.result.elapsed = begun.elapsed();
    Ok(comparer.result)
}

struct Comparer<'a> {
    source: &'a mut Connection,
    target: &'a mut Connection,
    options: &'a CompareOptions,
    reader: Reader,
    db: u32,
    result: Comparison,
}

/// What one round trip tells about a key.
struct Seen {
    dump: Option<Vec<u8>>,
    /// Milliseconds left at `read_at`, -1 without end.
    ttl: i64,
    read_at: Instant,
}

impl Comparer<'_> {
    fn select(&mut self, db: u32) -> Result<()> {
        for (side, connection) in [("source", &mut *self.source), ("target", &mut *self.target)] {
            redis::cmd("SELECT")
                .arg(db)
                .exec(connection)
                .with_context(|| format!("failed to select database {db} at the {side}"))?;
        }
        self.db = db;
        Ok(())
    }

    fn compare_database(&mut self, db: u32) -> Result<()> {
        self.select(db)?;
        // SCAN may name a key twice.
        let mut known = HashSet::new();
        let mut cursor = 0;
        loop {
            let (next, mut keys) = scan(self.source, cursor).context("at the source")?;
            keys.retain(|key| !key.starts_with(OWN_PREFIX) && known.insert(key.clone()));
            for batch in keys.chunks(BATCH) {
                self.compare_batch(batch)?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let mut surplus = HashSet::new();
        loop {
            let (next, keys) = scan(self.target, cursor).context("at the target")?;
            surplus.extend(
                keys.into_iter().filter(|key| !key.starts_with(OWN_PREFIX) && !known.contains(key)),
            );
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        for key in surplus {
            self.result.add(db, &key, DifferenceKind::Surplus);
        }
        Ok(())
    }

    fn compare_batch(&mut self, keys: &[Vec<u8>]) -> Result<()> {
        let at_source = look(self.source, keys).context("at the source")?;
        let at_target = look(self.target, keys).context("at the target")?;
        let mut unsettled = Vec::new();
        for ((key, source), target) in keys.iter().zip(at_source).zip(at_target) {
            let Some(source_dump) = source.dump else {
                // It expired since SCAN named it; whether the target still has it is the target's clock's affair.
                continue;
            };
            self.result.keys += 1;
            let Some(target_dump) = target.dump else {
                self.result.add(self.db, key, DifferenceKind::Missing);
                continue;
            };
            if without_footer(&source_dump) != without_footer(&target_dump) {
                unsettled.push(key.clone());
            }
            if !self.is_ttl_equal((source.ttl, source.read_at), (target.ttl, target.read_at)) {
                self.result.add(self.db, key, DifferenceKind::Ttl(source.ttl, target.ttl));
            }
        }
        if unsettled.is_empty() {
            return Ok(());
        }
        self.result.read_in_full += unsettled.len() as u64;
        let at_source = self.reader.read(self.source, &unsettled).context("at the source")?;
        let at_target = self.reader.read(self.target, &unsettled).context("at the target")?;
        for ((key, source), target) in unsettled.iter().zip(at_source).zip(at_target) {
            if let Some(kind) = source.difference(&target, self.options) {
                self.result.add(self.db, key, kind);
            }
        }
        Ok(())
    }

    fn is_ttl_equal(&self, source: (i64, Instant), target: (i64, Instant)) -> bool {
        if source.0 < 0 || target.0 < 0 {
            return source.0 == target.0;
        }
        // Between the two looks both have grown older.
        let between = target.1.duration_since(source.1).as_millis() as i64;
        let late = target.0 + between - source.0 - self.options.expiry_grace_ms;
        let tolerance = self.options.ttl_tolerance_ms;
        (-tolerance..=tolerance + self.options.expiry_late_ms).contains(&late)
    }
}

fn scan(connection: &mut Connection, cursor: u64) -> Result<(u64, Vec<Vec<u8>>)> {
    redis::cmd("SCAN")
        .arg(cursor)
        .arg("COUNT")
        .arg(BATCH)
        .query(connection)
        .context("failed to scan the keys")
}

fn look(connection: &mut Connection, keys: &[Vec<u8>]) -> Result<Vec<Seen>> {
    let mut pipeline = Pipeline::new();
    for key in keys {
        pipeline.cmd("DUMP").arg(key).cmd("PTTL").arg(key);
    }
    let replies: Vec<Value> = pipeline.query(connection).context("failed to read keys")?;
    let read_at = Instant::now();
    let mut seen = Vec::with_capacity(keys.len());
    let mut replies = replies.into_iter();
    while let (Some(dump), Some(ttl)) = (replies.next(), replies.next()) {
        let dump = match dump {
            Value::BulkString(dump) => Some(dump),
            _ => None,
        };
        let ttl = redis::from_redis_value(ttl).context("PTTL answered no number")?;
        seen.push(Seen { dump, ttl, read_at });
    }
    Ok(seen)
}

fn without_footer(dump: &[u8]) -> &[u8] {
    &dump[..dump.len().saturating_sub(DUMP_FOOTER_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_names_keys_and_bounds_itself() {
        let mut comparison = Comparison { keys: 70, ..Comparison::default() };
        for number in 0..60 {
            comparison.add(5, format!("key\n{number}").as_bytes(), DifferenceKind::Missing);
        }
        let text = comparison.to_string();
        assert!(text.contains("60 differences"), "{text}");
        assert!(text.contains("db 5 key\\n0: missing at the target"), "{text}");
        assert!(text.ends_with("and 10 more"), "{text}");
    }
}
