//! Streams: a burst is written to the source while applying is paused, and waits in the spool; then it is drained into
//! the target while the source stands still. Against it, the same commands by `redis-cli --pipe`, plain and in the same
//! MULTI/EXEC blocks.

use std::{path::Path, thread, time::Duration, time::Instant};

use anyhow::{Context, Result, ensure};
use redis::Connection;

use super::{BenchOptions, PATIENCE, input::Input, pipe::pipe, server, table::Table};
use crate::{
    Node, Syncer, SyncerOptions,
    info::info,
    syncer::SyncerSite,
    usage::{cpu_seconds, peak_mib},
};

/// The drain of a small burst takes tens of milliseconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// The syncer's own commands (its sign of life is a SET) do not begin a drain.
const NOISE: u64 = 10;

/// What a drain took.
struct Drained {
    per_second: f64,
    commands_per_batch: u64,
}

pub(super) fn measure(options: &BenchOptions, input: &Input) -> Result<Table> {
    let directory = tempfile::tempdir().context("failed to make a directory for the commands")?;
    let plain = directory.path().join("plain");
    let blocks = directory.path().join("blocks");
    input.write(&plain, None)?;
    let mut table = Table::default();
    let mut block = None;
    for round in 0..options.pairs {
        // The first round tells how large the blocks are; the others alternate in their order.
        let is_syncer_first = round % 2 == 0;
        let mut drained = None;
        if is_syncer_first {
            drained = Some(drain(options, input, &plain, &mut table)?);
        }
        if block.is_none() {
            block = drained.as_ref().map(|drained| drained.commands_per_batch.max(1));
            input.write(&blocks, block)?;
        }
        let of_plain = by_pipe(options, input, &plain, "redis-cli --pipe, plain", &mut table)?;
        let of_blocks =
            by_pipe(options, input, &blocks, "redis-cli --pipe, MULTI/EXEC", &mut table)?;
        let drained = match drained {
            Some(drained) => drained,
            None => drain(options, input, &plain, &mut table)?,
        };
        table.add("syncer ÷ plain pipe", "×", drained.per_second / of_plain);
        table.add("syncer ÷ MULTI/EXEC pipe", "×", drained.per_second / of_blocks);
        eprintln!(
            "  round {}: syncer {:.0}/s, pipe {of_plain:.0}/s plain, {of_blocks:.0}/s in blocks of {}",
            round + 1,
            drained.per_second,
            block.unwrap_or_default()
        );
    }
    Ok(table)
}

fn drain(
    options: &BenchOptions,
    input: &Input,
    commands: &Path,
    table: &mut Table,
) -> Result<Drained> {
    let source = Node::start(options.version, &server())?;
    let target = Node::start(options.version, &server())?;
    let sites = SyncerOptions::new(
        "bench",
        SyncerSite::node("source", &source),
        SyncerSite::node("target", &target),
    );
    let mut syncer = Syncer::start(&options.syncer, &sites)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    syncer.rewrite_config(|options| options.paused = true)?;
    syncer.wait_for("the pause", PATIENCE, |report| {
        report.waiting_for().is_some_and(|waiting| waiting["reason"] == "Paused")
    })?;
    let cpu_before = cpu_seconds(syncer.pid())?;
    pipe(&source, commands)?;
    let seen = info(&mut source.connect()?, "replication")?;
    let end: u64 = seen.get("master_repl_offset").context("the source tells no offset")?.parse()?;
    let held = syncer.wait_for("the spool to hold the burst", PATIENCE, |report| {
        report.offset("spooled") >= Some(end)
    })?;

    let cpu_spooled = cpu_seconds(syncer.pid())?;
    let target_cpu = cpu_seconds(target.pid())?;
    let mut connection = target.connect()?;
    let name = input.command_name();
    let base = calls(&mut connection, name)?;
    syncer.rewrite_config(|options| options.paused = false)?;
    let begun = wait_for_calls(&mut connection, name, base + NOISE)?;
    let ended = wait_for_calls(&mut connection, name, base + input.commands())?;
    let after = syncer
        .wait_for("the end of the drain", PATIENCE, |report| report.checkpoint() >= Some(end))?;
    let millions = input.commands() as f64 / 1e6;
    let cpu_after = cpu_seconds(syncer.pid())?;
    let per_second = input.commands() as f64 / ended.duration_since(begun).as_secs_f64();
    table.add("syncer: drain", "commands/s", per_second);
    table.add(
        "syncer: its CPU, receive and spool",
        "s per million",
        (cpu_spooled - cpu_before) / millions,
    );
    table.add("syncer: its CPU, drain", "s per million", (cpu_after - cpu_spooled) / millions);
    table.add("syncer: its CPU, all", "s per million", (cpu_after - cpu_before) / millions);
    table.add(
        "syncer: target CPU",
        "s per million",
        (cpu_seconds(target.pid())? - target_cpu) / millions,
    );
    table.add("syncer: VmHWM", "MiB", peak_mib(syncer.pid())?);
    let count = |name: &str| {
        let of = |report: &crate::syncer::Report| report.counter(name).unwrap_or_default();
        of(&after) - of(&held)
    };
    let (applied, batches) = (count("commandsApplied"), count("batches").max(1));
    ensure!(applied >= input.commands(), "{applied} commands were applied");
    table.add("syncer: commands per EXEC", "", applied as f64 / batches as f64);
    Ok(Drained { per_second, commands_per_batch: applied / batches })
}

fn by_pipe(
    options: &BenchOptions,
    input: &Input,
    commands: &Path,
    way: &str,
    table: &mut Table,
) -> Result<f64> {
    let target = Node::start(options.version, &server())?;
    let piped = pipe(&target, commands)?;
    let millions = input.commands() as f64 / 1e6;
    let per_second = input.commands() as f64 / piped.seconds;
    table.add(way, "commands/s", per_second);
    table.add(&format!("{way}: target CPU"), "s per million", piped.server_cpu / millions);
    table.add(&format!("{way}: its CPU"), "s per million", piped.client_cpu / millions);
    Ok(per_second)
}

/// How often a server has run a command.
fn calls(connection: &mut Connection, name: &str) -> Result<u64> {
    let stats = info(connection, "commandstats")?;
    let Some(line) = stats.get(&format!("cmdstat_{name}")) else { return Ok(0) };
    let calls = line.split(',').find_map(|part| part.strip_prefix("calls="));
    calls.context("INFO commandstats tells no calls")?.parse().context("calls is no number")
}

/// When the server had run so many. Looks more closely than a wait for a state does.
fn wait_for_calls(connection: &mut Connection, name: &str, count: u64) -> Result<Instant> {
    let limit = Instant::now() + PATIENCE;
    while calls(connection, name)? < count {
        ensure!(Instant::now() < limit, "the target did not run {count} {name}");
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(Instant::now())
}
