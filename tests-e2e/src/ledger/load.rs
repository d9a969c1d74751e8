//! The load: threads that send a mix at a constant rate, follow the master, and keep accounts.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use redis::{Connection, Value};

use super::{
    Ledger,
    mix::{Batch, Mix},
};
use crate::{
    connection::connect_with_timeout,
    info::{info, knows_command},
    master::resolve_master,
};

/// A server that does not answer in this time is held for lost: a frozen one would stop the load.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two attempts to connect. Not less: during a failover there is nothing to reach for seconds.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// After a pause of the server the load goes on at its rate; it makes up for no more than this, since a burst would
/// test something else.
const CATCH_UP: Duration = Duration::from_millis(100);

/// The first errors tell what happened, thousands more would not.
const ERRORS_KEPT: usize = 20;

/// Where to log in, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The node's `host:port`, as it is reached from here.
    pub address: String,
    /// Its password.
    pub password: Option<String>,
}

/// Knows the master of the day, and how it is reached from here. Asked again before each connection.
pub trait FindMaster: fmt::Debug + Send + Sync {
    /// The master as it is now.
    fn find_master(&self) -> Result<Login>;
}

/// Where a load writes.
#[derive(Debug, Clone)]
pub enum LoadEndpoint {
    /// One server, or a proxy before it.
    Fixed {
        /// Its `host:port`.
        address: String,
        /// Its password.
        password: Option<String>,
    },
    /// The master of the day, as the sentinels name it.
    Sentinel {
        /// The sentinels.
        endpoints: Vec<String>,
        /// The name by which they know the master.
        master_name: String,
        /// The data nodes' password.
        password: Option<String>,
        /// The sentinels' password.
        sentinel_password: Option<String>,
    },
    /// The master of the day, found by other means: where the sentinels' names are none here, or passwords change.
    Found(Arc<dyn FindMaster>),
}

impl LoadEndpoint {
    /// One server without a password.
    pub fn fixed(address: &str) -> Self {
        Self::Fixed { address: address.to_string(), password: None }
    }

    /// Connects to the server, which may be no master any more.
    pub(super) fn dial(&self) -> Result<Connection> {
        let Login { address, password } = match self {
            Self::Fixed { address, password } => {
                Login { address: address.clone(), password: password.clone() }
            }
            Self::Found(finder) => finder.find_master()?,
            Self::Sentinel { endpoints, master_name, password, sentinel_password } => {
                let view = resolve_master(endpoints, master_name, sentinel_password.as_deref())?;
                Login { address: view.address, password: password.clone() }
            }
        };
        connect_with_timeout(&address, password.as_deref(), REPLY_TIMEOUT)
    }

    /// Connects to a server that takes writes.
    fn connect(&self) -> Result<Connection> {
        let mut connection = self.dial()?;
        let role = info(&mut connection, "replication")?.remove("role").unwrap_or_default();
        if role != "master" {
            bail!("the server is {role}, not master");
        }
        Ok(connection)
    }
}

/// What a load is started with.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where it writes.
    pub target: LoadEndpoint,
    /// Commands each second, over all connections.
    pub rate_per_second: u32,
    /// Decides every command. It is printed, so that a failed run can be told.
    pub seed: u64,
    /// Each has a thread.
    pub connections: usize,
    /// Commands that are sent before their replies are read.
    pub pipeline: usize,
    /// The databases that are written.
    pub databases: Vec<u32>,
}

impl LoadOptions {
    /// 20 000 commands each second over two connections into databases 0, 1 and 5.
    pub fn new(target: LoadEndpoint) -> Self {
        Self {
            target,
            rate_per_second: 20_000,
            seed: 1,
            connections: 2,
            pipeline: 150,
            databases: vec![0, 1, 5],
        }
    }

    /// Sets the rate over all connections.
    pub fn rate_per_second(mut self, rate: u32) -> Self {
        self.rate_per_second = rate;
        self
    }

    /// Sets the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of connections.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }
}

/// Commands by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Sent, answered or not.
    pub sent: u64,
    /// Answered well.
    pub acknowledged: u64,
    /// Answered by an error: not applied.
    pub refused: u64,
    /// Never answered.
    pub unknown: u64,
    /// Connections that were made, the first ones included.
    pub connections: u64,
}

impl fmt::Display for LoadCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} commands sent, {} acknowledged, {} refused, {} unknown, {} connections",
            self.sent, self.acknowledged, self.refused, self.unknown, self.connections
        )
    }
}

#[derive(Debug, Default)]
struct Shared {
    is_ended: AtomicBool,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    connections: AtomicU64,
    errors: Mutex<Vec<String>>,
}

impl Shared {
    fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }

    fn add_error(&self, err: &anyhow::Error) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < ERRORS_KEPT {
            errors.push(format!("{err:#}"));
        }
    }

    fn counts(&self) -> LoadCounts {
        LoadCounts {
            sent: self.sent.load(Ordering::Relaxed),
            acknowledged: self.acknowledged.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }
}

/// A running load. Dropping it ends its threads too, without its accounts.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Mix>>,
    begun: Instant,
    seed: u64,
}

impl Load {
    /// Starts to write. Fails if the server cannot be written to now; later errors are part of the run.
    pub fn start(options: LoadOptions) -> Result<Self> {
        if options.connections == 0 || options.rate_per_second == 0 || options.databases.is_empty()
        {
            bail!("a load needs connections, a rate and databases: {options:?}");
        }
        println!("load of {} commands/s, seed {}", options.rate_per_second, options.seed);
        let mut connection = options.target.connect().context("the load found no master")?;
        let has_streams = knows_command(&mut connection, "xadd")?;
        drop(connection);
        let mut load = Self {
            shared: Arc::default(),
            threads: Vec::new(),
            begun: Instant::now(),
            seed: options.seed,
        };
        for number in 0..options.connections {
            let mix = Mix::new(options.seed, number, &options.databases, has_streams);
            let mut worker =
                Worker { options: options.clone(), shared: Arc::clone(&load.shared), mix };
            let thread = thread::Builder::new()
                .name(format!("load-{number}"))
                .spawn(move || {
                    worker.run();
                    worker.mix
                })
                .context("failed to start a thread of the load")?;
            load.threads.push(thread);
        }
        Ok(load)
    }

    /// What happened so far.
    pub fn counts(&self) -> LoadCounts {
        self.shared.counts()
    }

    /// Ends the load after the replies that are under way, and returns its accounts.
    pub fn stop(mut self) -> Result<Ledger> {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        let mut accounts = BTreeMap::new();
        for thread in self.threads.drain(..) {
            let mix = thread.join().map_err(|_| anyhow!("a thread of the load panicked"))?;
            accounts.extend(mix.accounts());
        }
        Ok(Ledger {
            seed: self.seed,
            elapsed: self.begun.elapsed(),
            counts: self.counts(),
            errors: self.shared.errors.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            accounts,
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Worker {
    options: LoadOptions,
    shared: Arc<Shared>,
    mix: Mix,
}

impl Worker {
    fn run(&mut self) {
        while !self.shared.is_ended() {
            let written = self.options.target.connect().and_then(|mut connection| {
                self.shared.connections.fetch_add(1, Ordering::Relaxed);
                self.write(&mut connection)
            });
            if let Err(err) = written {
                self.shared.add_error(&err);
                thread::sleep(RECONNECT_INTERVAL);
            }
        }
    }

    /// Sends batches until the end or the first failure.
    fn write(&mut self, connection: &mut Connection) -> Result<()> {
        let rate = f64::from(self.options.rate_per_second) / self.options.connections as f64;
        let mut batch = Batch::default();
        let mut due = Instant::now();
        while !self.shared.is_ended() {
            self.mix.fill(&mut batch, self.options.pipeline);
            self.exchange(connection, &batch)?;
            due += Duration::from_secs_f64(batch.expected.len() as f64 / rate);
            let now = Instant::now();
            match due.checked_duration_since(now) {
                Some(early) => thread::sleep(early),
                None => due = due.max(now.checked_sub(CATCH_UP).unwrap_or(now)),
            }
        }
        Ok(())
    }

    /// Sends one batch and enters each reply. What got no reply is entered as unknown.
    fn exchange(&mut self, connection: &mut Connection, batch: &Batch) -> Result<()> {
        let count = |counter: &AtomicU64, count: usize| {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        };
        count(&self.shared.sent, batch.expected.len());
        let mut expected = batch.expected.iter();
        let mut refused = None;
        let mut broken = connection
            .send_packed_command(&batch.bytes)
            .context("the load failed to send commands")
            .err();
        while broken.is_none()
            && let Some(&next) = expected.as_slice().first()
        {
            match connection.recv_response() {
                Ok(value) => {
                    expected.next();
                    // An error among EXEC's replies does not undo the others.
                    if matches!(value, Value::Array(_)) && refusal(&value).is_some() {
                        self.mix.leave_unknown(next);
                    }
                    match refusal(&value) {
                        None => {
                            self.mix.acknowledge(next);
                            count(&self.shared.acknowledged, 1);
                        }
                        Some(message) => {
                            count(&self.shared.refused, 1);
                            refused.get_or_insert(message);
                        }
                    }
                }
                Err(err) => broken = Some(anyhow!(err).context("the load failed to read replies")),
            }
        }
        count(&self.shared.unknown, expected.len());
        for &next in expected {
            self.mix.leave_unknown(next);
        }
        match (broken, refused) {
            (Some(err), _) => Err(err),
            // A new connection, and maybe another master: READONLY, LOADING, NOREPLICAS and the like.
            (None, Some(message)) => bail!("the load was refused: {message}"),
            (None, None) => Ok(()),
        }
    }
}

/// The error of a reply. EXEC's is also nil, and any error among its replies.
fn refusal(value: &Value) -> Option<String> {
    match value {
        Value::ServerError(err) => Some(err.to_string()),
        Value::Nil => Some("a transaction was not run".to_string()),
        Value::Array(replies) => replies.iter().find_map(refusal),
        _ => None,
    }
}
