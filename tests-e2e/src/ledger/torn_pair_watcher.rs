//! Reads at the target the pairs that the load writes in transactions, and counts those that are half written.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use redis::{Connection, Pipeline};

use super::{LoadEndpoint, mix::PAIRS};

/// Between two rounds over all pairs: the watcher must not be a load of its own.
const ROUND_INTERVAL: Duration = Duration::from_millis(5);

/// Between two attempts to connect: whoever is asked for the master has other things to do as well.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// Enough to see a pattern.
const EXAMPLES_KEPT: usize = 10;

/// What a watcher saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TornPairs {
    /// Pairs that were read and held something.
    pub read: u64,
    /// Pairs whose halves differed.
    pub torn: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

/// A running watcher. Start it when the full copy has ended: a full copy restores keys one by one, and promises no
/// more than that.
#[derive(Debug)]
pub struct TornPairWatcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The server that is watched now; the number tells it from the one before.
#[derive(Debug, Clone)]
struct Watched {
    number: u64,
    endpoint: LoadEndpoint,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<Watched>,
    databases: Vec<u32>,
    is_ended: AtomicBool,
    read: AtomicU64,
    torn: AtomicU64,
    examples: Mutex<Vec<String>>,
}

impl TornPairWatcher {
    /// Watches the server at `address`, in the databases of the load.
    pub fn start(address: &str, password: Option<&str>, databases: &[u32]) -> Result<Self> {
        let endpoint = LoadEndpoint::Fixed {
            address: address.to_string(),
            password: password.map(str::to_string),
        };
        Self::follow(endpoint, databases)
    }

    /// The same at an endpoint whose master may change.
    pub fn follow(endpoint: LoadEndpoint, databases: &[u32]) -> Result<Self> {
        let shared = Arc::new(Shared {
            target: Mutex::new(Watched { number: 0, endpoint }),
            databases: databases.to_vec(),
            is_ended: AtomicBool::new(false),
            read: AtomicU64::new(0),
            torn: AtomicU64::new(0),
            examples: Mutex::new(Vec::new()),
        });
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("torn-pair-watcher".to_string())
            .spawn(move || own.run())
            .context("failed to start the torn pair watcher")?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Watches another server from the next round on, as after a failover of the target.
    pub fn set_address(&self, address: &str) {
        let mut target = self.shared.target.lock().unwrap_or_else(PoisonError::into_inner);
        let password = match &target.endpoint {
            LoadEndpoint::Fixed { password, .. } | LoadEndpoint::Sentinel { password, .. } => {
                password.clone()
            }
            LoadEndpoint::Found(_) => None,
        };
        target.number += 1;
        target.endpoint = LoadEndpoint::Fixed { address: address.to_string(), password };
    }

    /// What it saw so far.
    pub fn seen(&self) -> TornPairs {
        TornPairs {
            read: self.shared.read.load(Ordering::Relaxed),
            torn: self.shared.torn.load(Ordering::Relaxed),
            examples: self.shared.examples.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Ends it and returns what it saw. It must have read something to prove anything.
    pub fn stop(mut self) -> Result<TornPairs> {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("the torn pair watcher panicked"))?;
        }
        Ok(self.seen())
    }
}

impl Drop for TornPairWatcher {
    fn drop(&mut self) {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while !self.is_ended.load(Ordering::Relaxed) {
            // Errors are the faults that tests make; the next attempt finds the server again, or another.
            let _ = self.watch();
            thread::sleep(RECONNECT_INTERVAL);
        }
    }

    fn current(&self) -> Watched {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn watch(&self) -> Result<()> {
        let target = self.current();
        let mut connection = target.endpoint.dial()?;
        while !self.is_ended.load(Ordering::Relaxed) && self.current().number == target.number {
            for &db in &self.databases {
                self.look(&mut connection, db)?;
            }
            thread::sleep(ROUND_INTERVAL);
        }
        Ok(())
    }

    /// One read of every pair; each is read in one command or one transaction, so that the server cannot write between
    /// its halves.
    fn look(&self, connection: &mut Connection, db: u32) -> Result<()> {
        let mut strings = Pipeline::new();
        strings.cmd("SELECT").arg(db).ignore();
        for number in 0..PAIRS {
            strings.cmd("MGET").arg(format!("pair:a:{number}")).arg(format!("pair:b:{number}"));
        }
        let read: Vec<[Option<String>; 2]> = strings.query(connection)?;
        for (number, [a, b]) in read.into_iter().enumerate() {
            self.enter(db, "pair", number as u64, a, b);
        }
        let mut lists = Pipeline::new();
        lists.atomic();
        for side in ["a", "b"] {
            for number in 0..PAIRS {
                lists.cmd("LRANGE").arg(format!("pair:list:{side}:{number}")).arg(0).arg(-1);
            }
        }
        let mut read: Vec<Vec<String>> = lists.query(connection)?;
        let others = read.split_off(PAIRS as usize);
        for (number, (a, b)) in read.into_iter().zip(others).enumerate() {
            let text = |list: Vec<String>| (!list.is_empty()).then(|| list.join(" "));
            self.enter(db, "pair:list", number as u64, text(a), text(b));
        }
        Ok(())
    }

    fn enter(&self, db: u32, name: &str, number: u64, a: Option<String>, b: Option<String>) {
        if a.is_none() && b.is_none() {
            return;
        }
        self.read.fetch_add(1, Ordering::Relaxed);
        if a != b {
            self.torn.fetch_add(1, Ordering::Relaxed);
            let mut examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
            if examples.len() < EXAMPLES_KEPT {
                examples.push(format!("db {db} {name} {number}: {a:?} and {b:?}"));
            }
        }
    }
}
