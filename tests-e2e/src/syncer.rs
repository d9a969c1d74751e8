//! The program under test: started with a configuration of its own, watched through its report, and killed at will.

mod config;
pub mod http;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

pub use self::config::{SpoolOptions, SyncerOptions, SyncerSite, SyncerTls, Topology};
pub use self::http::HttpResponse;
use crate::{port::free_port, process::Process, wait::wait_until};

/// What a failed test prints of the log.
const LOG_LINES_ON_PANIC: usize = 40;

/// The variable that arms a failpoint: `name` or `name:count`.
const FAILPOINT: &str = "REDISSYNC_FAILPOINT";

/// A running syncer, or one that has ended and can be restarted. It ends when this is dropped.
#[derive(Debug)]
pub struct Syncer {
    binary: PathBuf,
    options: SyncerOptions,
    environment: BTreeMap<String, String>,
    listen: String,
    process: Process,
    // Declared after the process, so that it is removed when nobody writes into it any more.
    directory: TempDir,
}

impl Syncer {
    /// Writes the configuration and starts `<binary> run --config FILE`. It does not wait for anything: a syncer that
    /// cannot reach its ends is up all the same.
    pub fn start(binary: &Path, options: &SyncerOptions) -> Result<Self> {
        Self::start_with_failpoint(binary, options, None)
    }

    /// The same with a failpoint armed: `name`, or `name:count` for the count-th time.
    pub fn start_with_failpoint(
        binary: &Path,
        options: &SyncerOptions,
        failpoint: Option<&str>,
    ) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("redissync-syncer-")
            .tempdir()
            .context("failed to make a directory for the syncer")?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        config::write(options, &listen, directory.path())?;
        let mut environment = options.environment.clone();
        environment.extend(failpoint.map(|name| (FAILPOINT.to_string(), name.to_string())));
        let process = spawn(binary, directory.path(), &environment)?;
        Ok(Self {
            binary: binary.to_path_buf(),
            options: options.clone(),
            environment,
            listen,
            process,
            directory,
        })
    }

    /// Where it answers HTTP.
    pub fn listen_address(&self) -> &str {
        &self.listen
    }

    /// The process id of the running syncer, or of the last one.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its configuration's file.
    pub fn config_path(&self) -> PathBuf {
        config::path(self.directory.path())
    }

    /// Where it keeps its spool.
    pub fn spool_directory(&self) -> PathBuf {
        config::spool_directory(self.directory.path())
    }

    /// Whether the process lives. A frozen one does.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.exit(), Ok(None))
    }

    /// Changes the options and puts the new configuration in the place of the old one, in one step.
    pub fn rewrite_config(&mut self, change: impl FnOnce(&mut SyncerOptions)) -> Result<()> {
        change(&mut self.options);
        config::write(&self.options, &self.listen, self.directory.path())
    }

    /// Kills it at once.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// Asks it to drain and end; see [`wait_exit`](Self::wait_exit).
    pub fn sigterm(&mut self) -> Result<()> {
        self.process.sigterm()
    }

    /// Freezes it (SIGSTOP).
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }

    /// Ends a [`stop`](Self::stop).
    pub fn cont(&mut self) -> Result<()> {
        self.process.cont()
    }

    /// Waits for its end.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.process
            .wait_exit(timeout)
            .with_context(|| format!("the syncer logged:\n{}", self.log_tail(LOG_LINES_ON_PANIC)))
    }

    /// Starts it again with its configuration, spool and log, without a failpoint, after killing it if it lives.
    pub fn restart(&mut self) -> Result<()> {
        self.restart_with_failpoint(None)
    }

    /// The same with a failpoint armed.
    pub fn restart_with_failpoint(&mut self, failpoint: Option<&str>) -> Result<()> {
        self.kill9()?;
        match failpoint {
            Some(name) => self.environment.insert(FAILPOINT.to_string(), name.to_string()),
            None => self.environment.remove(FAILPOINT),
        };
        self.process = spawn(&self.binary, self.directory.path(), &self.environment)?;
        Ok(())
    }

    /// Removes the spool of a syncer that has ended, as a lost volume would.
    pub fn remove_spool(&mut self) -> Result<()> {
        if self.is_running() {
            bail!("the spool of a running syncer cannot be removed");
        }
        let spool = self.spool_directory();
        fs::remove_dir_all(&spool)
            .and_then(|()| fs::create_dir(&spool))
            .with_context(|| format!("failed to empty {}", spool.display()))
    }

    /// Everything that it logged, over all restarts.
    pub fn logs(&self) -> String {
        let log = fs::read(self.directory.path().join("syncer.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The last lines that it logged.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.logs();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Asks its HTTP server.
    pub fn http_get(&self, path: &str) -> Result<HttpResponse> {
        http::get(&self.listen, path)
    }

    /// What it says of itself now.
    pub fn report(&self) -> Result<Report> {
        let response = self.http_get("/report")?;
        if response.status != 200 {
            bail!("GET /report answered {}: {}", response.status, response.body);
        }
        serde_json::from_str(&response.body)
            .map(Report)
            .with_context(|| format!("the report is no JSON: {}", response.body))
    }

    /// Waits for a report that `is_reached` accepts, and returns it. If the time is up, or the process has ended, the
    /// error shows the last report and the log.
    pub fn wait_for(
        &mut self,
        what: &str,
        timeout: Duration,
        mut is_reached: impl FnMut(&Report) -> bool,
    ) -> Result<Report> {
        let mut last = None;
        let waited = wait_until(what, timeout, || {
            if let Some(exit) = self.process.exit()? {
                return Ok(Some(Err(exit)));
            }
            let report = self.report()?;
            let reached = is_reached(&report);
            last = Some(report.clone());
            Ok(reached.then_some(Ok(report)))
        });
        let told = match waited {
            Ok(Ok(report)) => return Ok(report),
            Ok(Err(exit)) => anyhow::anyhow!("the syncer ended ({exit}) before {what}"),
            Err(err) => err,
        };
        let report = last.map_or("none".to_string(), |report| report.0.to_string());
        Err(told).with_context(|| {
            format!(
                "the last report: {report}\nthe syncer logged:\n{}",
                self.log_tail(LOG_LINES_ON_PANIC)
            )
        })
    }

    /// Waits until the phase is this one.
    pub fn wait_for_phase(&mut self, phase: &str, timeout: Duration) -> Result<Report> {
        self.wait_for(&format!("phase {phase}"), timeout, |report| report.phase() == phase)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the syncer logged:\n{}", self.log_tail(LOG_LINES_ON_PANIC));
        }
    }
}

fn spawn(
    binary: &Path,
    directory: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Process> {
    let log_path = directory.join("syncer.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_path)
        .with_context(|| format!("failed to open {}", log_path.display()))?;
    let mut command = Command::new(binary);
    command
        .arg("run")
        .arg("--config")
        .arg(config::path(directory))
        .current_dir(directory)
        // What the test's own environment arms is not meant for every syncer.
        .env_remove(FAILPOINT)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("failed to share the syncer's log")?)
        .stderr(log);
    Process::spawn("the syncer", &mut command)
}

/// What a syncer said of itself. The getters give what a test asks for most; the rest is in the JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Report(pub Value);

impl Report {
    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number, or nothing where it is absent, null or something else.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer).and_then(Value::as_u64)
    }

    /// The phase, empty if it tells none.
    pub fn phase(&self) -> &str {
        self.text("/phase")
    }

    /// What it waits for, as it is in the JSON; nothing while it waits for nothing.
    pub fn waiting_for(&self) -> Option<&Value> {
        self.0.get("waitingFor").filter(|value| !value.is_null())
    }

    /// Why it halted, as it is in the JSON; nothing while it is not halted.
    pub fn halt(&self) -> Option<&Value> {
        self.0.get("halt").filter(|value| !value.is_null())
    }

    /// Whether what was written is known to be right, as it is in the JSON.
    pub fn data_verified(&self) -> Option<&Value> {
        self.0.get("dataVerified").filter(|value| !value.is_null())
    }

    /// The source node of the link.
    pub fn source_address(&self) -> &str {
        self.text("/links/0/source/address")
    }

    /// The target node of the link.
    pub fn target_address(&self) -> &str {
        self.text("/links/0/target/address")
    }

    /// The replid of the link's position.
    pub fn replid(&self) -> &str {
        self.text("/links/0/position/replid")
    }

    /// The offset of the link's position.
    pub fn position_offset(&self) -> Option<u64> {
        self.number("/links/0/position/offset")
    }

    /// One rung of the offset ladder: `source`, `received`, `spooled`, `written`, `checkpoint`, `confirmed`, `durable`.
    pub fn offset(&self, rung: &str) -> Option<u64> {
        self.number(&format!("/links/0/offsets/{rung}"))
    }

    /// The offset that the target holds.
    pub fn checkpoint(&self) -> Option<u64> {
        self.offset("checkpoint")
    }

    /// How far the target is behind, in bytes.
    pub fn lag_bytes(&self) -> Option<u64> {
        self.number("/links/0/lag/bytes")
    }

    /// How far the target is behind, in milliseconds.
    pub fn lag_milliseconds(&self) -> Option<u64> {
        self.number("/links/0/lag/milliseconds")
    }

    /// How many full copies there were.
    pub fn full_copy_count(&self) -> Option<u64> {
        self.number("/links/0/fullCopies/count")
    }

    /// Why the last full copy was made, empty if there was none.
    pub fn last_full_copy_reason(&self) -> &str {
        self.text("/links/0/fullCopies/lastReason")
    }

    /// One of the link's counters.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.number(&format!("/links/0/counters/{name}"))
    }
}
