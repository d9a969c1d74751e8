//! One Redis or Valkey server, or one Sentinel, as a child process on a loopback port with a directory of its own.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use redis::Connection;
use tempfile::TempDir;

use crate::{
    connection::connect,
    info::info,
    port::free_port,
    process::Process,
    servers::ServerVersion,
    tls::{self, TlsFiles},
    wait::wait_until,
};

/// A server answers within tens of milliseconds; one that loads a file, under a busy machine, takes longer.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// What clients must give (`requirepass`); a replica gives the same to its master (`masterauth`).
    pub password: Option<String>,
    /// The `host:port` of the master, for a replica.
    pub replica_of: Option<String>,
    /// TLS at its port, for clients, replicas and sentinels; without it there is none.
    pub tls: Option<TlsFiles>,
    /// More lines of the configuration, as key and value. They win over what the harness sets.
    pub lines: Vec<(String, String)>,
}

impl NodeOptions {
    /// A master without a password.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks clients for a password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_string());
        self
    }

    /// Speaks TLS only, and asks everybody for a certificate of the same authority.
    pub fn tls(mut self, files: &TlsFiles) -> Self {
        self.tls = Some(files.clone());
        self
    }

    /// Starts as a replica of `host:port`.
    pub fn replica_of(mut self, master: &str) -> Self {
        self.replica_of = Some(master.to_string());
        self
    }

    /// Adds a line to the configuration, such as `repl-backlog-size 1mb`.
    pub fn option(mut self, key: &str, value: impl ToString) -> Self {
        self.set(key, &value.to_string());
        self
    }

    /// Adds or replaces a line.
    fn set(&mut self, key: &str, value: &str) {
        self.lines.retain(|(known, _)| known != key);
        self.lines.push((key.to_string(), value.to_string()));
    }
}

/// Which of the two a server's program runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Sentinel,
}

/// A running server, or one that was killed and can be restarted. It ends when this is dropped.
#[derive(Debug)]
pub struct Node {
    version: ServerVersion,
    kind: Kind,
    options: NodeOptions,
    port: u16,
    process: Process,
    // Declared after the process, so that it is removed when nobody writes into it any more.
    directory: TempDir,
}

impl Node {
    /// Starts a server that keeps nothing on disk, and waits until it answers.
    pub fn start(version: ServerVersion, options: &NodeOptions) -> Result<Self> {
        Self::start_kind(version, Kind::Data, options)
    }

    /// Starts a Sentinel; `options.lines` say what it monitors.
    pub fn start_sentinel(version: ServerVersion, options: &NodeOptions) -> Result<Self> {
        Self::start_kind(version, Kind::Sentinel, options)
    }

    fn start_kind(version: ServerVersion, kind: Kind, options: &NodeOptions) -> Result<Self> {
        // Between our look at the port and the server's bind another process may take it.
        let mut last = None;
        for _ in 0..5 {
            let port = free_port()?;
            tls::register(port, options.tls.as_ref());
            let directory = tempfile::Builder::new()
                .prefix("redissync-node-")
                .tempdir()
                .context("failed to make a directory for a server")?;
            write_config(version, kind, options, port, directory.path())?;
            let process = spawn(version, kind, port, directory.path())?;
            let options = options.clone();
            let mut node = Self { version, kind, options, port, process, directory };
            match node.wait_until_ready() {
                Ok(()) => return Ok(node),
                Err(err) if node.log_tail(20).contains("Address already in use") => {
                    last = Some(err);
                }
                Err(err) => return Err(err),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port was tried")))
            .with_context(|| format!("{version} lost five ports in a row to other processes"))
    }

    /// `127.0.0.1:port`, the same for life.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the running server, or of the last one.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it runs.
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// Its password, for a client.
    pub fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    /// Its certificates, if it speaks TLS.
    pub fn tls(&self) -> Option<&TlsFiles> {
        self.options.tls.as_ref()
    }

    /// Where it works: an RDB file that it got or sent by replication lies there too.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A new connection of a client, with the password if there is one.
    pub fn connect(&self) -> Result<Connection> {
        connect(&self.address(), self.password())
    }

    /// Whether the process lives. A frozen one does.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.exit(), Ok(None))
    }

    /// Kills the server as a crash would, and waits until it is gone.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// Freezes it (SIGSTOP): connections stay open, nobody answers.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }

    /// Ends a [`stop`](Self::stop).
    pub fn cont(&mut self) -> Result<()> {
        self.process.cont()
    }

    /// Starts it again on its port and in its directory, after killing it if it lives.
    ///
    /// A server that took part in replication may have left an RDB file, which it now loads: an old state, as after a
    /// real crash. The configuration is the one of the options again, whatever Sentinel wrote into it meanwhile; a
    /// Sentinel keeps its own, which is its memory.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        if self.kind == Kind::Data {
            write_config(self.version, self.kind, &self.options, self.port, self.directory.path())?;
        }
        self.process = spawn(self.version, self.kind, self.port, self.directory.path())?;
        self.wait_until_ready()
    }

    /// Starts it again without any key: every file of data is removed first.
    pub fn restart_empty(&mut self) -> Result<()> {
        self.kill9()?;
        let directory = self.directory.path();
        let entries = fs::read_dir(directory)
            .with_context(|| format!("failed to list {}", directory.display()))?;
        for entry in entries {
            let path = entry.context("failed to list a server's directory")?.path();
            let is_data = path.extension().is_some_and(|extension| extension == "rdb");
            if path.is_dir() {
                fs::remove_dir_all(&path)
            } else if is_data {
                fs::remove_file(&path)
            } else {
                Ok(())
            }
            .with_context(|| format!("failed to remove {}", path.display()))?;
        }
        self.restart()
    }

    /// Whose replica it is from the next restart on; `None` makes it a master.
    pub fn set_replica_of(&mut self, master: Option<&str>) {
        self.options.replica_of = master.map(str::to_string);
    }

    /// Changes an option of the running server, and for later restarts.
    pub fn config_set(&mut self, key: &str, value: &str) -> Result<()> {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg(key)
            .arg(value)
            .exec(&mut self.connect()?)
            .with_context(|| format!("{} refused CONFIG SET {key} {value}", self.name()))?;
        self.options.set(key, value);
        Ok(())
    }

    /// Changes an option for later restarts only.
    pub fn set_option(&mut self, key: &str, value: &str) {
        self.options.set(key, value);
    }

    /// The last lines that the server logged.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = fs::read(self.directory.path().join("server.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn name(&self) -> String {
        name(self.version, self.kind, self.port)
    }

    /// Waits until this very process answers: another server may have had the port first.
    fn wait_until_ready(&mut self) -> Result<()> {
        let name = self.name();
        let (address, pid) = (self.address(), self.pid().to_string());
        let password = self.options.password.clone();
        let ended = wait_until(&format!("{name} to answer"), START_TIMEOUT, || {
            if let Some(exit) = self.process.exit()? {
                return Ok(Some(Some(exit)));
            }
            let mut connection = connect(&address, password.as_deref())?;
            if info(&mut connection, "server")?.get("process_id") != Some(&pid) {
                bail!("another process answers at {address}");
            }
            // Fails with LOADING until a file is read.
            let _: String = redis::cmd("PING").query(&mut connection)?;
            Ok(Some(None))
        })
        .with_context(|| format!("{name} logged:\n{}", self.log_tail(20)))?;
        match ended {
            Some(exit) => bail!("{name} ended at its start ({exit}):\n{}", self.log_tail(20)),
            None => Ok(()),
        }
    }
}

fn name(version: ServerVersion, kind: Kind, port: u16) -> String {
    match kind {
        Kind::Data => format!("{version} at port {port}"),
        Kind::Sentinel => format!("sentinel of {version} at port {port}"),
    }
}

fn spawn(version: ServerVersion, kind: Kind, port: u16, directory: &Path) -> Result<Process> {
    let log_path = directory.join("server.log");
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("failed to open {}", log_path.display()))?;
    let mut command = Command::new(version.program()?);
    command.arg(directory.join("server.conf"));
    if kind == Kind::Sentinel {
        command.arg("--sentinel");
    }
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("failed to share a server's log")?)
        .stderr(log);
    Process::spawn(&name(version, kind, port), &mut command)
}

fn write_config(
    version: ServerVersion,
    kind: Kind,
    options: &NodeOptions,
    port: u16,
    directory: &Path,
) -> Result<()> {
    let ports = match &options.tls {
        None => format!("port {port}"),
        Some(tls) => format!("port 0\ntls-port {port}\ntls-replication yes\n{}", tls.lines()),
    };
    let mut config = format!("{ports}\nbind 127.0.0.1\ndir {}\n", directory.display());
    let mut line = |key: &str, value: &str| config.push_str(&format!("{key} {value}\n"));
    if let Some(password) = &options.password {
        line("requirepass", password);
    }
    if kind == Kind::Data {
        if let Some(password) = &options.password {
            line("masterauth", password);
        }
        if let Some(master) = &options.replica_of {
            let word = if version.is_modern() { "replicaof" } else { "slaveof" };
            line(word, &master.replace(':', " "));
        }
        let mut defaults = vec![
            ("save", "\"\""),
            ("appendonly", "no"),
            // From 7.0 on a full copy would wait five seconds for more replicas to come.
            ("repl-diskless-sync-delay", "0"),
        ];
        if version.locks_debug_command() {
            defaults.push(("enable-debug-command", "local"));
        }
        for (key, value) in defaults {
            if !options.lines.iter().any(|(known, _)| known == key) {
                line(key, value);
            }
        }
    }
    for (key, value) in &options.lines {
        line(key, value);
    }
    let path = directory.join("server.conf");
    fs::write(&path, config).with_context(|| format!("failed to write {}", path.display()))
}
