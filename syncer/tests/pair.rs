//! Two servers with a syncer between them, and what an operator of them does by hand.

#![allow(dead_code, reason = "each module uses its part")]

use std::{
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use redis::Connection;
use redissync_e2e::{
    info::info,
    node::{Node, NodeOptions},
    servers::ServerVersion,
    syncer::{Report, Syncer, SyncerOptions, SyncerSite},
};

use crate::bed::{PATIENCE, assert_nodes_equal, binary, wait_for_all};

/// The pair's name, and so the record's key.
pub(crate) const PAIR_ID: &str = "tools/cart";

/// The record of the pair's only link.
pub(crate) const RECORD: &str = "redissync:tools/cart:0";

/// A wait is told within this time (the figure).
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// A source, a target, and the syncer from one to the other.
pub(crate) struct Pair {
    /// Declared first: it ends before the servers do.
    pub(crate) syncer: Syncer,
    /// The source.
    pub(crate) source: Node,
    /// The target.
    pub(crate) target: Node,
}

/// From one node to the other, without anything between them.
pub(crate) fn options(source: &Node, target: &Node) -> SyncerOptions {
    SyncerOptions::new(PAIR_ID, SyncerSite::node("a", source), SyncerSite::node("b", target))
}

impl Pair {
    /// Two servers of 7.0, the source filled, copied and followed.
    pub(crate) fn streaming(keys: u64) -> Result<Self> {
        Self::streaming_with(keys, &NodeOptions::new(), &NodeOptions::new())
    }

    /// The same with servers set up in some way.
    pub(crate) fn streaming_with(
        keys: u64,
        source: &NodeOptions,
        target: &NodeOptions,
    ) -> Result<Self> {
        let source = Node::start(ServerVersion::Redis70, source)?;
        let target = Node::start(ServerVersion::Redis70, target)?;
        redissync_e2e::fill(&mut source.connect()?, keys, crate::bed::seed())?;
        let options = options(&source, &target);
        let mut pair = Self::start(source, target, &options)?;
        pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
        Ok(pair)
    }

    /// Starts the syncer; waits for nothing.
    pub(crate) fn start(source: Node, target: Node, options: &SyncerOptions) -> Result<Self> {
        let syncer = Syncer::start(&binary(), options)?;
        Ok(Self { syncer, source, target })
    }

    /// Waits until the target has all that the source has.
    pub(crate) fn settle(&mut self) -> Result<()> {
        wait_for_all(&mut self.syncer, &mut self.source.connect()?)
    }

    /// Everything arrives, and both sides are equal.
    pub(crate) fn settle_equal(&mut self) -> Result<u64> {
        self.settle()?;
        assert_nodes_equal(&self.source, &self.target)
    }

    /// What a human decides about a halt.
    pub(crate) fn release(&self, decision: &[&str]) -> Result<Output> {
        Command::new(binary())
            .args(["release", "--config"])
            .arg(self.syncer.config_path())
            .args(decision)
            .output()
            .context("failed to run `release`")
    }

    /// The same, and it is accepted.
    pub(crate) fn release_well(&self, decision: &[&str]) -> Result<()> {
        let output = self.release(decision)?;
        ensure!(output.status.success(), "`release` {decision:?}: {output:?}");
        Ok(())
    }

    /// The same, and it is refused; gives what it said.
    pub(crate) fn release_refused(&self, decision: &[&str]) -> Result<String> {
        let output = self.release(decision)?;
        ensure!(!output.status.success(), "`release` {decision:?} was taken: {output:?}");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Waits for a halt of this reason; gives the report.
    pub(crate) fn wait_for_halt(&mut self, reason: &str) -> Result<Report> {
        self.syncer.wait_for(&format!("halt {reason}"), PATIENCE, |report| {
            report.phase() == "Halted" && halt_text(report, "reason") == reason
        })
    }

    /// Applying stands still.
    pub(crate) fn pause(&mut self) -> Result<()> {
        self.syncer.rewrite_config(|options| options.paused = true)?;
        self.wait_for_reason(&["Paused"], PATIENCE)?;
        Ok(())
    }

    /// Ends a [`pause`](Self::pause).
    pub(crate) fn unpause(&mut self) -> Result<()> {
        self.syncer.rewrite_config(|options| options.paused = false)
    }

    /// Waits until it says that it waits for one of these.
    pub(crate) fn wait_for_reason(&mut self, reasons: &[&str], within: Duration) -> Result<Report> {
        self.syncer.wait_for(&format!("a wait for {reasons:?}"), within, |report| {
            reasons.contains(&waiting_reason(report))
        })
    }
}

/// What the report waits for, empty for nothing.
pub(crate) fn waiting_reason(report: &Report) -> &str {
    report.waiting_for().and_then(|wait| wait["reason"].as_str()).unwrap_or_default()
}

/// A text of the halt, empty if there is none.
pub(crate) fn halt_text<'a>(report: &'a Report, field: &str) -> &'a str {
    report.halt().and_then(|halt| halt[field].as_str()).unwrap_or_default()
}

/// The offset that it halted at.
pub(crate) fn halt_offset(report: &Report) -> Result<u64> {
    report
        .number("/halt/offset")
        .with_context(|| format!("a halt without an offset: {:?}", report.0))
}

/// A string of a database 0, empty if it is not there.
pub(crate) fn get(node: &Node, key: &str) -> Result<String> {
    let value: Option<String> = redis::cmd("GET").arg(key).query(&mut node.connect()?)?;
    Ok(value.unwrap_or_default())
}

/// Runs one command given as words.
pub(crate) fn run(node: &Node, words: &str) -> Result<()> {
    run_on(&mut node.connect()?, words).with_context(|| format!("{words} at {}", node.address()))
}

/// The same on a connection.
pub(crate) fn run_on(connection: &mut Connection, words: &str) -> Result<()> {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        command.arg(word);
    });
    command.exec(connection).context("a command was refused")
}

/// Writes that show loss and repetition, `count` of each.
pub(crate) fn write_some(node: &Node, count: u64) -> Result<()> {
    write_some_on(&mut node.connect()?, count)
}

/// The same on a connection.
pub(crate) fn write_some_on(connection: &mut Connection, count: u64) -> Result<()> {
    for _ in 0..count {
        redis::pipe()
            .cmd("INCR")
            .arg("some:counter")
            .cmd("RPUSH")
            .arg("some:list")
            .arg("x")
            .cmd("APPEND")
            .arg("some:text")
            .arg("x")
            .exec(connection)
            .context("failed to write")?;
    }
    Ok(())
}

/// Forks of a server so far, for a full copy or a save.
pub(crate) fn forks(node: &Node) -> Result<(u64, u64)> {
    let stats = info(&mut node.connect()?, "stats")?;
    let number = |field: &str| -> Result<u64> {
        stats
            .get(field)
            .with_context(|| format!("INFO stats has no {field}"))?
            .parse()
            .context("no number")
    };
    Ok((number("total_forks")?, number("sync_full")?))
}

/// A digest of everything that a server holds.
pub(crate) fn digest(node: &Node) -> Result<String> {
    redis::cmd("DEBUG").arg("DIGEST").query(&mut node.connect()?).context("no DEBUG DIGEST")
}
