//! A load with exact accounts: what was written, what may have been, and whether a server holds just that.
//!
//! A load writes into counter keys whose values tell how often each write was applied. For each of them the ledger
//! knows how many writes were acknowledged, and how many were sent but never answered, since the connection broke.
//! Every element carries a number of its own, so that a write that was applied twice shows as such even where a lost
//! one would make up for it.

mod fill;
mod load;
mod mix;
mod torn_pair_watcher;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use redis::{Connection, Pipeline, Value};

pub use fill::fill;
pub use load::{FindMaster, Load, LoadCounts, LoadEndpoint, LoadOptions, Login};
pub use torn_pair_watcher::{TornPairWatcher, TornPairs};

/// How a counter key tells how often it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CounterKind {
    /// `INCR`: the value.
    Increment,
    /// `RPUSH` of numbers: the elements.
    Push,
    /// `APPEND` of numbers with a fixed width: the parts.
    Append,
    /// `XADD` of numbers: the entries.
    Stream,
}

/// `APPEND` writes numbers of nine digits and a semicolon.
pub(crate) const APPEND_WIDTH: usize = 10;

/// A key whose value counts the writes to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// The database.
    pub db: u32,
    /// The key.
    pub key: String,
    /// How to read it.
    pub kind: CounterKind,
}

/// What a load knows about one counter key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Writes that were answered well.
    pub acknowledged: u64,
    /// Writes that were sent and never answered: each may or may not have been applied, once.
    pub unknown: u64,
}

/// The accounts of a load that has ended.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The seed of the load.
    pub seed: u64,
    /// How long it ran.
    pub elapsed: Duration,
    /// All commands, those of transactions and the counted ones included.
    pub counts: LoadCounts,
    /// The first errors that the load met, bounded.
    pub errors: Vec<String>,
    /// One account for each counter key that was not retired.
    pub accounts: BTreeMap<CounterKey, Account>,
}

/// What [`Ledger::verify_exact`] found in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Counter keys that were read.
    pub keys: u64,
    /// The writes that their accounts hold for certain.
    pub acknowledged: u64,
    /// The writes that their accounts hold for possible.
    pub unknown: u64,
    /// The writes that the server holds.
    pub applied: u64,
}

/// Counter keys that are read in one round trip. Lists and streams hold up to a few thousand elements each.
const READ_BATCH: usize = 100;

/// More would hide the first ones.
const VIOLATIONS_SHOWN: usize = 20;

impl Ledger {
    /// Reads every counter key and compares: `acknowledged ≤ applied ≤ acknowledged + unknown`, and no single write
    /// applied twice. Right for any server that has all the writes that the load's server acknowledged, so not after
    /// a failover of the load's own server, which may lose some.
    pub fn verify_exact(&self, connection: &mut Connection) -> Result<Verified> {
        self.verify(connection, |account| account.acknowledged)
    }

    /// The half of it that holds after a failover of the load's own server too: `applied ≤ acknowledged + unknown`, and
    /// no single write applied twice. What that failover lost must show by a comparison with the source.
    pub fn verify_not_repeated(&self, connection: &mut Connection) -> Result<Verified> {
        self.verify(connection, |_| 0)
    }

    fn verify(
        &self,
        connection: &mut Connection,
        least: impl Fn(&Account) -> u64,
    ) -> Result<Verified> {
        let mut verified = Verified::default();
        let mut violations = Vec::new();
        let accounts: Vec<_> = self.accounts.iter().collect();
        for batch in accounts.chunks(READ_BATCH) {
            for ((key, account), value) in batch.iter().zip(read(connection, batch)?) {
                let numbers = count(key, &value)?;
                verified.keys += 1;
                verified.acknowledged += account.acknowledged;
                verified.unknown += account.unknown;
                verified.applied += numbers.applied;
                let least = least(account);
                let most = account.acknowledged + account.unknown;
                if numbers.applied < least || numbers.applied > most || numbers.repeated > 0 {
                    violations.push(format!(
                        "db {} {}: {} applied, {} of them twice, expected {least} to {most}",
                        key.db, key.key, numbers.applied, numbers.repeated
                    ));
                }
            }
        }
        // The connection came in database 0 and leaves in it.
        redis::cmd("SELECT").arg(0).exec(connection).context("failed to select database 0")?;
        if violations.is_empty() {
            return Ok(verified);
        }
        let shown = violations.len().min(VIOLATIONS_SHOWN);
        bail!(
            "{} of {} counter keys are not as the ledger says (seed {}):\n{}",
            violations.len(),
            accounts.len(),
            self.seed,
            violations[..shown].join("\n")
        )
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} in {:.1} s, {} counter keys",
            self.seed,
            self.counts,
            self.elapsed.as_secs_f64(),
            self.accounts.len()
        )
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} counter keys exact: {} writes applied, {} acknowledged, {} unknown",
            self.keys, self.applied, self.acknowledged, self.unknown
        )
    }
}

fn read(connection: &mut Connection, batch: &[(&CounterKey, &Account)]) -> Result<Vec<Value>> {
    let mut pipeline = Pipeline::new();
    for (key, _) in batch {
        pipeline.cmd("SELECT").arg(key.db).ignore();
        match key.kind {
            CounterKind::Increment | CounterKind::Append => {
                pipeline.cmd("GET").arg(&key.key);
            }
            CounterKind::Push => {
                pipeline.cmd("LRANGE").arg(&key.key).arg(0).arg(-1);
            }
            CounterKind::Stream => {
                pipeline.cmd("XRANGE").arg(&key.key).arg("-").arg("+");
            }
        }
    }
    pipeline.query(connection).context("failed to read the counter keys")
}

struct Count {
    applied: u64,
    repeated: u64,
}

fn count(key: &CounterKey, value: &Value) -> Result<Count> {
    let unexpected = || format!("db {} {} holds something else than a counter", key.db, key.key);
    let numbers: Vec<Vec<u8>> = match (key.kind, value) {
        (_, Value::Nil) => Vec::new(),
        (CounterKind::Increment, Value::BulkString(text)) => {
            let text = String::from_utf8_lossy(text);
            return Ok(Count { applied: text.parse().with_context(unexpected)?, repeated: 0 });
        }
        (CounterKind::Append, Value::BulkString(text)) => {
            if text.len() % APPEND_WIDTH != 0 {
                bail!("db {} {} was appended to in part: {} bytes", key.db, key.key, text.len());
            }
            text.chunks(APPEND_WIDTH).map(<[u8]>::to_vec).collect()
        }
        (CounterKind::Push, value) => {
            redis::from_redis_value(value.clone()).with_context(unexpected)?
        }
        (CounterKind::Stream, value) => {
            // Of each entry the id and its one field.
            type Entry = (Vec<u8>, (Vec<u8>, Vec<u8>));
            let entries: Vec<Entry> =
                redis::from_redis_value(value.clone()).with_context(unexpected)?;
            entries.into_iter().map(|(_, (_, number))| number).collect()
        }
        _ => bail!(unexpected()),
    };
    let applied = numbers.len() as u64;
    let distinct = numbers.into_iter().collect::<HashSet<_>>().len() as u64;
    Ok(Count { applied, repeated: applied - distinct })
}
