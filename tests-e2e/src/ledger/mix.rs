//! Which commands a load sends: pure, from a seed.

use std::collections::{BTreeMap, VecDeque};

use super::{Account, CounterKey, CounterKind};
use crate::random::Random;

/// A counter key is left for the next one of its slot after as many writes, so that no value grows for ever.
const GENERATION_WRITES: u64 = 1000;

/// A slot deletes its oldest counter keys beyond as many, and with them their accounts: a load that runs for hours
/// stays small.
const GENERATIONS_KEPT: usize = 30;

/// Plain keys of each kind in each database.
const PLAIN_KEYS: u64 = 10_000;

/// Hashes, sets and sorted sets of each kind in each database, with [`MEMBERS`] each.
const COLLECTIONS: u64 = 200;

/// Some cross the border between the compact encodings and the others (128), most of the time.
const MEMBERS: u64 = 200;

/// The pairs of each database.
pub(crate) const PAIRS: u64 = 32;

/// After as many commands the database changes.
const COMMANDS_PER_DB: usize = 50;

/// What the reply to one command decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing in the ledger.
    Plain,
    /// One write to the counter key of this slot.
    Counter(usize),
    /// Queued in a transaction; EXEC decides.
    Queued,
    /// The end of a transaction that writes once to the counter key of this slot.
    Exec(usize),
}

/// The commands of one flush, and what each reply means.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Vec<Expected>,
}

/// One counter key at a time, and those before it.
#[derive(Debug)]
struct Slot {
    db: u32,
    kind: CounterKind,
    name: String,
    generation: u64,
    /// The number that the next write carries.
    next_number: u64,
    account: Account,
    former: VecDeque<(u64, Account)>,
}

impl Slot {
    fn key(&self, generation: u64) -> String {
        format!("{}:{generation}", self.name)
    }
}

/// The commands of one connection.
#[derive(Debug)]
pub(crate) struct Mix {
    random: Random,
    worker: usize,
    databases: Vec<u32>,
    slots: Vec<Slot>,
    /// Slots by database and kind; streams are left out where the server does not know them.
    by_kind: BTreeMap<(u32, CounterKind), Vec<usize>>,
    pair_number: u64,
}

impl Mix {
    pub(crate) fn new(seed: u64, worker: usize, databases: &[u32], has_streams: bool) -> Self {
        let mut mix = Self {
            random: Random::new(seed.wrapping_add(worker as u64)),
            worker,
            databases: databases.to_vec(),
            slots: Vec::new(),
            by_kind: BTreeMap::new(),
            pair_number: 0,
        };
        for &db in databases {
            mix.add_slots(db, CounterKind::Increment, 50, "incr");
            mix.add_slots(db, CounterKind::Push, 3, "rpush");
            mix.add_slots(db, CounterKind::Append, 3, "append");
            if has_streams {
                mix.add_slots(db, CounterKind::Stream, 3, "xadd");
            }
        }
        mix
    }

    fn add_slots(&mut self, db: u32, kind: CounterKind, count: usize, word: &str) {
        for number in 0..count {
            self.by_kind.entry((db, kind)).or_default().push(self.slots.len());
            self.slots.push(Slot {
                db,
                kind,
                name: format!("ledger:{word}:{}:{number}", self.worker),
                generation: 0,
                next_number: 0,
                account: Account::default(),
                former: VecDeque::new(),
            });
        }
    }

    /// About `count` commands, in several databases.
    pub(crate) fn fill(&mut self, batch: &mut Batch, count: usize) {
        batch.bytes.clear();
        batch.expected.clear();
        while batch.expected.len() < count {
            let db = self.databases[self.random.below(self.databases.len() as u64) as usize];
            batch.push(Expected::Plain, &[b"SELECT", db.to_string().as_bytes()]);
            self.retire(db, batch);
            let end = (batch.expected.len() + COMMANDS_PER_DB).min(count);
            while batch.expected.len() < end {
                self.push_one(db, batch);
            }
        }
    }

    /// Closes counter keys that have grown enough, and deletes those that are too many.
    fn retire(&mut self, db: u32, batch: &mut Batch) {
        // A write that is in this batch already must find its account.
        if batch.expected.len() > 1 {
            return;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.db == db) {
            if slot.kind != CounterKind::Increment && slot.next_number >= GENERATION_WRITES {
                slot.former.push_back((slot.generation, slot.account));
                slot.generation += 1;
                slot.next_number = 0;
                slot.account = Account::default();
            }
            if slot.former.len() > GENERATIONS_KEPT
                && let Some((generation, _)) = slot.former.pop_front()
            {
                batch.push(Expected::Plain, &[b"DEL", slot.key(generation).as_bytes()]);
            }
        }
    }

    fn push_one(&mut self, db: u32, batch: &mut Batch) {
        let plain = format!("plain:{}", self.random.below(PLAIN_KEYS));
        let collection = self.random.below(COLLECTIONS);
        let member = format!("member:{}", self.random.below(MEMBERS));
        match self.random.below(100) {
            0..30 => {
                let value = self.random.text(100);
                batch.push(Expected::Plain, &[b"SET", plain.as_bytes(), &value]);
            }
            30..45 => self.push_counter(db, CounterKind::Increment, batch),
            45..53 => self.push_counter(db, CounterKind::Push, batch),
            53..60 => self.push_counter(db, CounterKind::Append, batch),
            60..67 => self.push_counter(db, CounterKind::Stream, batch),
            67..75 => {
                let key = format!("hash:{collection}");
                let value = self.random.text(20);
                batch.push(Expected::Plain, &[b"HSET", key.as_bytes(), member.as_bytes(), &value]);
            }
            75..81 => {
                let key = format!("zset:{collection}");
                let score = format!("{}.5", self.random.below(1000));
                batch.push(
                    Expected::Plain,
                    &[b"ZADD", key.as_bytes(), score.as_bytes(), member.as_bytes()],
                );
            }
            81..87 => {
                let key = format!("set:{collection}");
                batch.push(Expected::Plain, &[b"SADD", key.as_bytes(), member.as_bytes()]);
            }
            87..93 => {
                let key = match self.random.below(4) {
                    0 => format!("hash:{collection}"),
                    1 => format!("set:{collection}"),
                    _ => plain,
                };
                batch.push(Expected::Plain, &[b"DEL", key.as_bytes()]);
            }
            93..98 => {
                // An hour or more: no key expires while a test runs, unless something shortens its time.
                let seconds = (3600 + self.random.below(3600)).to_string();
                batch.push(Expected::Plain, &[b"EXPIRE", plain.as_bytes(), seconds.as_bytes()]);
            }
            _ => self.push_pair(db, batch),
        }
    }

    fn push_counter(&mut self, db: u32, kind: CounterKind, batch: &mut Batch) {
        let Some(slots) = self.by_kind.get(&(db, kind)) else {
            return self.push_counter(db, CounterKind::Increment, batch);
        };
        let index = slots[self.random.below(slots.len() as u64) as usize];
        self.push_write(index, Expected::Counter(index), batch);
    }

    fn push_write(&mut self, index: usize, expected: Expected, batch: &mut Batch) {
        let slot = &mut self.slots[index];
        let key = slot.key(slot.generation);
        let key = key.as_bytes();
        let number = format!("{:09};", slot.next_number);
        let number = number.as_bytes();
        slot.next_number += 1;
        match slot.kind {
            CounterKind::Increment => batch.push(expected, &[b"INCR", key]),
            CounterKind::Push => batch.push(expected, &[b"RPUSH", key, number]),
            CounterKind::Append => batch.push(expected, &[b"APPEND", key, number]),
            CounterKind::Stream => batch.push(expected, &[b"XADD", key, b"*", b"n", number]),
        }
    }

    /// Two strings and two lists that are equal outside of any transaction, and a counter.
    fn push_pair(&mut self, db: u32, batch: &mut Batch) {
        let Some(slots) = self.by_kind.get(&(db, CounterKind::Increment)) else { return };
        let counter = slots[self.random.below(slots.len() as u64) as usize];
        let number = self.random.below(PAIRS);
        let value = format!("{}-{}", self.worker, self.pair_number);
        self.pair_number += 1;
        batch.push(Expected::Queued, &[b"MULTI"]);
        for side in ["a", "b"] {
            let string = format!("pair:{side}:{number}");
            let list = format!("pair:list:{side}:{number}");
            batch.push(Expected::Queued, &[b"SET", string.as_bytes(), value.as_bytes()]);
            batch.push(Expected::Queued, &[b"RPUSH", list.as_bytes(), value.as_bytes()]);
            batch.push(Expected::Queued, &[b"LTRIM", list.as_bytes(), b"-20", b"-1"]);
        }
        self.push_write(counter, Expected::Queued, batch);
        batch.push(Expected::Exec(counter), &[b"EXEC"]);
    }

    /// Enters a write that was answered well.
    pub(crate) fn acknowledge(&mut self, expected: Expected) {
        if let Expected::Counter(index) | Expected::Exec(index) = expected {
            self.slots[index].account.acknowledged += 1;
        }
    }

    /// Enters a write that was not answered.
    pub(crate) fn leave_unknown(&mut self, expected: Expected) {
        if let Expected::Counter(index) | Expected::Exec(index) = expected {
            self.slots[index].account.unknown += 1;
        }
    }

    /// All accounts, at the end.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (CounterKey, Account)> + '_ {
        self.slots.iter().flat_map(|slot| {
            let now = (slot.generation, slot.account);
            slot.former.iter().copied().chain([now]).map(|(generation, account)| {
                let key = slot.key(generation);
                (CounterKey { db: slot.db, key, kind: slot.kind }, account)
            })
        })
    }
}

impl Batch {
    fn push(&mut self, expected: Expected, words: &[&[u8]]) {
        push_command(&mut self.bytes, words);
        self.expected.push(expected);
    }
}

/// Appends a command as the protocol wants it.
fn push_command(bytes: &mut Vec<u8>, words: &[&[u8]]) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_every_byte() {
        let bytes = |seed| {
            let mut batch = Batch::default();
            Mix::new(seed, 0, &[0, 1], true).fill(&mut batch, 500);
            batch.bytes
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }

    #[test]
    fn accounts_of_a_long_load_stay_few_and_hold_every_write_that_was_kept() {
        let mut mix = Mix::new(1, 0, &[0], true);
        let mut batch = Batch::default();
        for _ in 0..8_000 {
            mix.fill(&mut batch, 200);
            for expected in batch.expected.clone() {
                mix.acknowledge(expected);
            }
        }
        let accounts: Vec<_> = mix.accounts().collect();
        assert!(accounts.len() <= 50 + 9 * (GENERATIONS_KEPT + 1), "{}", accounts.len());
        let closed = accounts
            .iter()
            .filter(|(key, account)| {
                key.kind != CounterKind::Increment && account.acknowledged >= GENERATION_WRITES
            })
            .count();
        assert!(closed > 100, "{closed}");
    }
}
