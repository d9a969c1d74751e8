//! Full copies of a source that stands still into an empty target: by `REPLICAOF`, by the syncer, and, as a limit of
//! another kind, its commands by `redis-cli --pipe`.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result, ensure};

use super::{BenchOptions, PATIENCE, input::Input, pipe::pipe, server, table::Table};
use crate::{
    Node, Syncer, SyncerOptions,
    info::{databases, info},
    syncer::SyncerSite,
    usage::{cpu_seconds, peak_mib},
    wait_until,
};

pub(super) fn measure(options: &BenchOptions, input: &Input) -> Result<Table> {
    let directory = tempfile::tempdir().context("failed to make a directory for the commands")?;
    let commands = directory.path().join("commands");
    input.write(&commands, None)?;
    let source = Node::start(options.version, &server())?;
    pipe(&source, &commands)?;
    let mut table = Table::default();
    for round in 0..options.pairs {
        let mut native = 0.0;
        let mut syncer = 0.0;
        let mut ways = [0, 1, 2];
        if round % 2 == 1 {
            ways.reverse();
        }
        for way in ways {
            match way {
                0 => native = copy_natively(options, &source, &mut table)?,
                1 => syncer = copy_by_syncer(options, &source, &mut table)?,
                _ => copy_by_pipe(options, &source, &commands, &mut table)?,
            }
        }
        table.add("syncer ÷ REPLICAOF", "×", syncer / native);
        eprintln!("  round {}: REPLICAOF {native:.2} s, syncer {syncer:.2} s", round + 1);
    }
    Ok(table)
}

fn copy_natively(options: &BenchOptions, source: &Node, table: &mut Table) -> Result<f64> {
    let target = Node::start(options.version, &server())?;
    let end = source_offset(source)?;
    let mut connection = target.connect()?;
    let cpu = cpu_seconds(target.pid())?;
    let begun = Instant::now();
    redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(source.port())
        .exec(&mut connection)
        .context("the target refused REPLICAOF")?;
    wait_until("the replica to have everything", PATIENCE, || {
        let seen = info(&mut connection, "replication")?;
        let is_up = seen.get("master_link_status").is_some_and(|status| status == "up");
        let offset = seen.get("slave_repl_offset").and_then(|offset| offset.parse::<u64>().ok());
        Ok((is_up && offset >= Some(end)).then_some(()))
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    check_keys(source, &target)?;
    table.add("REPLICAOF: wall", "s", seconds);
    table.add("REPLICAOF: target CPU", "s", cpu_seconds(target.pid())? - cpu);
    Ok(seconds)
}

fn copy_by_syncer(options: &BenchOptions, source: &Node, table: &mut Table) -> Result<f64> {
    let target = Node::start(options.version, &server())?;
    let end = source_offset(source)?;
    let sites = SyncerOptions::new(
        "bench",
        SyncerSite::node("source", source),
        SyncerSite::node("target", &target),
    );
    let target_cpu = cpu_seconds(target.pid())?;
    let begun = Instant::now();
    let mut syncer = Syncer::start(&options.syncer, &sites)?;
    syncer.wait_for("the target to have everything", PATIENCE, |report| {
        report.phase() == "Streaming" && report.checkpoint() >= Some(end)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    check_keys(source, &target)?;
    table.add("syncer: wall", "s", seconds);
    table.add("syncer: its CPU", "s", cpu_seconds(syncer.pid())?);
    table.add("syncer: target CPU", "s", cpu_seconds(target.pid())? - target_cpu);
    table.add("syncer: VmHWM", "MiB", peak_mib(syncer.pid())?);
    Ok(seconds)
}

fn copy_by_pipe(
    options: &BenchOptions,
    source: &Node,
    commands: &Path,
    table: &mut Table,
) -> Result<()> {
    let target = Node::start(options.version, &server())?;
    let piped = pipe(&target, commands)?;
    check_keys(source, &target)?;
    table.add("redis-cli --pipe: wall", "s", piped.seconds);
    table.add("redis-cli --pipe: target CPU", "s", piped.server_cpu);
    table.add("redis-cli --pipe: its CPU", "s", piped.client_cpu);
    Ok(())
}

/// A quick look only: the tests compare key by key.
fn check_keys(source: &Node, target: &Node) -> Result<()> {
    let count =
        |node: &Node| -> Result<u64> { Ok(databases(&mut node.connect()?)?.values().sum()) };
    let (at_source, at_target) = (count(source)?, count(target)?);
    // The syncer has a few keys of its own there.
    ensure!(
        (at_source..=at_source + 2).contains(&at_target),
        "the target has {at_target} keys, the source {at_source}"
    );
    Ok(())
}

fn source_offset(source: &Node) -> Result<u64> {
    let seen = info(&mut source.connect()?, "replication")?;
    let offset = seen.get("master_repl_offset").context("the source tells no offset")?;
    offset.parse().with_context(|| format!("{offset} is no offset"))
}
