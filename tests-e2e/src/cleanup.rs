//! A program that starts servers and leaves nothing behind, also when it is interrupted.
//!
//! Every server lives in a temporary directory and dies with its value; a signal would end the program before any value
//! is dropped. So the work runs in a thread of its own, and who waits for it here kills and removes what is left.

use std::{fs, process::ExitCode, thread, time::Duration};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, getpid, kill_process};
use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// What a shell gives for a program that SIGINT has ended.
const INTERRUPTED: u8 = 130;

/// A killed server is gone, and its directory at rest, long before.
const DEATH: Duration = Duration::from_millis(100);

/// Runs `work` with a directory of its own for everything temporary, and removes it after the work or on SIGINT, SIGTERM
/// and SIGHUP, with all children. `work` says whether all was well.
pub fn run_and_clean(work: impl FnOnce() -> Result<bool> + Send + 'static) -> ExitCode {
    match run(work) {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::FAILURE,
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(work: impl FnOnce() -> Result<bool> + Send + 'static) -> Result<Option<bool>> {
    let root = tempfile::Builder::new()
        .prefix("redissync-run-")
        .tempdir()
        .context("failed to make a temporary directory")?;
    if tempfile::env::override_temp_dir(root.path()).is_err() {
        return Err(anyhow!("the directory for temporary files was set before"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("failed to prepare for signals")?;
    let (done, ended) = oneshot::channel();
    let ended = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to await SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("failed to await SIGTERM")?;
        let mut hangup = signal(SignalKind::hangup()).context("failed to await SIGHUP")?;
        let worker = thread::Builder::new()
            .name("work".to_string())
            .spawn(move || {
                let _ = done.send(work());
            })
            .context("failed to start the work")?;
        tokio::select! {
            ended = ended => {
                let _ = worker.join();
                ended.map_err(|_| anyhow!("the work panicked"))?.map(Some)
            }
            _ = interrupt.recv() => Ok(None),
            _ = terminate.recv() => Ok(None),
            _ = hangup.recv() => Ok(None),
        }
    });
    if matches!(ended, Ok(None)) {
        eprintln!("\ninterrupted: ending all servers");
        kill_children();
    }
    remove(root);
    ended
}

/// The work may be starting another server just now, so this looks until none is left.
fn kill_children() {
    for _ in 0..20 {
        let children = children();
        if children.is_empty() {
            return;
        }
        for pid in children {
            // One that has ended meanwhile is not an error: it has not been waited for, so its id is nobody else's.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(DEATH);
    }
}

/// The children of this process that are not dead.
fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero().to_string();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may hold anything; the state and the parent follow it.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let is_dead = fields.next()? == "Z";
            (fields.next()? == own && !is_dead).then(|| Pid::from_raw(pid))?
        })
        .collect()
}

fn remove(root: TempDir) {
    let path = root.path().to_path_buf();
    // A server that has just been killed may have a child that still writes a file.
    for _ in 0..10 {
        if !path.exists() || fs::remove_dir_all(&path).is_ok() {
            return;
        }
        thread::sleep(DEATH);
    }
    eprintln!("could not remove {}", path.display());
}
