//! One child process: its signals, its exit, and its end when the value is dropped.

use std::{
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::wait_until;

/// A child that never outlives this value.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts the command. `name` stands in error messages.
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("failed to start {name} ({:?})", command.get_program()))?;
        Ok(Self { name: name.to_string(), child, exit: None })
    }

    /// The process id, also after the end.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or nothing while it runs (or is stopped).
    pub fn exit(&mut self) -> Result<Option<ExitStatus>> {
        if self.exit.is_none() {
            self.exit = self
                .child
                .try_wait()
                .with_context(|| format!("failed to ask after the exit of {}", self.name))?;
        }
        Ok(self.exit)
    }

    /// Sends a signal. To a process that has ended it is an error, since its id may be another's by now.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(exit) = self.exit()? {
            bail!("{} has ended already: {exit}", self.name);
        }
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("failed to signal {}", self.name))
    }

    /// Kills it at once and waits until it is gone. One that has ended stays as it is.
    pub fn kill9(&mut self) -> Result<()> {
        if self.exit()?.is_none() {
            self.child.kill().with_context(|| format!("failed to kill {}", self.name))?;
            self.exit = Some(
                self.child.wait().with_context(|| format!("failed to wait for {}", self.name))?,
            );
        }
        Ok(())
    }

    /// Asks it to end.
    pub fn sigterm(&mut self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Freezes it: its sockets stay open and the kernel goes on accepting for it.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Ends a [`stop`](Self::stop).
    pub fn cont(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits for its end.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        wait_until(&format!("the end of {}", self.name.clone()), timeout, || self.exit())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(err) = self.kill9() {
            eprintln!("{err:#}");
        }
    }
}
