//! Values far larger than what is held in memory: streamed as commands under a temporary name, renamed into place.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use redis::Connection;
use redissync_e2e::{
    node::{Node, NodeOptions},
    servers::ServerVersion,
    usage::peak_mib,
};

use crate::{
    bed::{PATIENCE, is_long, scale},
    pair::{PAIR_ID, Pair, RECORD, get, halt_text, options, run},
};

/// What the syncer may take, whatever the values' sizes: the bound of a value that is held whole, three times, and what
/// it takes without any (11 MiB).
const PEAK_MIB_MAX: f64 = 64.0;

/// A name under which something is built.
const PART: &str = "redissync:*:part:*";

fn script(connection: &mut Connection, body: &str, count: usize) -> Result<()> {
    redis::cmd("EVAL")
        .arg(body)
        .arg(0)
        .arg(count)
        .exec(connection)
        .context("a script of the test failed")
}

/// One value of each kind, tens of MB each.
fn fill(node: &Node) -> Result<()> {
    let connection = &mut node.connect()?;
    let count = scale(300_000, 20_000_000);
    for body in [
        "for i = 1, ARGV[1] do redis.call('ZADD', 'zset', i / 3, 'some member of the set, number ' .. i) end",
        "for i = 1, ARGV[1] / 4 do
            local text = redis.sha1hex(i) .. redis.sha1hex(-i) .. redis.sha1hex(i / 3) .. redis.sha1hex(i / 7)
            redis.call('HSET', 'hash', 'field ' .. i, text)
            redis.call('RPUSH', 'list', text)
            redis.call('SADD', 'set', text)
            redis.call('XADD', 'stream', i .. '-1', 'field', text)
            redis.call('APPEND', 'string', text)
         end",
        "redis.call('SET', 'compressible', string.rep('abcdefg ', ARGV[1] * 16))
         redis.call('PEXPIREAT', 'compressible', 4102444800123)
         redis.call('PEXPIREAT', 'list', 4102444800456)",
    ] {
        script(connection, body, count)?;
    }
    if is_long() {
        redis::cmd("SETRANGE").arg("gib").arg((1_u64 << 30) - 1).arg("x").exec(connection)?;
    }
    Ok(())
}

fn keys(node: &Node, pattern: &str) -> Result<Vec<String>> {
    redis::cmd("KEYS").arg(pattern).query(&mut node.connect()?).context("KEYS")
}

#[test]
fn values_of_any_size_are_copied_in_bounded_memory_and_never_seen_in_part() -> Result<()> {
    let roomy = if is_long() {
        NodeOptions::new().option("proto-max-bulk-len", 2_u64 << 30)
    } else {
        NodeOptions::new()
    };
    let source = Node::start(ServerVersion::Redis70, &roomy)?;
    let target = Node::start(ServerVersion::Redis70, &roomy)?;
    fill(&source)?;
    // Old values, which readers see until the new ones are whole.
    run(&target, "RPUSH list old")?;
    run(&target, "SET compressible old")?;
    let options = options(&source, &target).on_existing_data("Sweep");
    let expected: (u64, u64) = redis::pipe()
        .cmd("LLEN")
        .arg("list")
        .cmd("STRLEN")
        .arg("compressible")
        .query(&mut source.connect()?)?;
    let has_ended = Arc::new(AtomicBool::new(false));
    let reader = {
        let (mut connection, has_ended) = (target.connect()?, Arc::clone(&has_ended));
        thread::spawn(move || -> Result<u64> {
            let mut reads = 0;
            while !has_ended.load(Ordering::Relaxed) {
                let (list, text): (u64, u64) = redis::pipe()
                    .cmd("LLEN")
                    .arg("list")
                    .cmd("STRLEN")
                    .arg("compressible")
                    .query(&mut connection)?;
                ensure!(list == 1 || list == expected.0, "a list of {list}");
                ensure!(text == 3 || text == expected.1, "a string of {text}");
                reads += 1;
                thread::sleep(Duration::from_millis(2));
            }
            Ok(reads)
        })
    };
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE * scale(2, 30) as u32)?;
    has_ended.store(true, Ordering::Relaxed);
    let reads = reader.join().expect("the reader does not panic")?;
    let peak = peak_mib(pair.syncer.pid())?;
    println!("peak {peak:.1} MiB, {reads} reads meanwhile");
    ensure!(peak < PEAK_MIB_MAX, "{peak} MiB");
    ensure!(reads > 50, "only {reads} reads");
    pair.settle_equal()?;
    ensure!(keys(&pair.target, PART)?.is_empty());
    ensure!(keys(&pair.target, &format!("{RECORD}:parts"))?.is_empty());
    Ok(())
}

#[test]
fn what_a_killed_copy_was_building_is_removed() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    script(
        &mut source.connect()?,
        "for i = 1, ARGV[1] do redis.call('RPUSH', 'list', redis.sha1hex(i) .. redis.sha1hex(-i)) end",
        200_000,
    )?;
    // Keep: no sweep comes by.
    let options = options(&source, &target).on_existing_data("Keep");
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    // Another copy, cut short in the middle of the value.
    pair.syncer.kill9()?;
    run(&pair.target, &format!("DEL {RECORD}"))?;
    run(&pair.target, "DEL list")?;
    pair.syncer.restart_with_failpoint(Some("InRestore:20"))?;
    pair.syncer.wait_exit(PATIENCE)?;
    ensure!(keys(&pair.target, PART)?.len() == 1, "nothing was being built");
    ensure!(keys(&pair.target, "list")?.is_empty(), "a part of the value is seen");
    // The source no longer has it: nobody would build it again.
    run(&pair.source, "DEL list")?;
    run(&pair.source, "SET other 1")?;
    pair.syncer.remove_spool()?;
    pair.syncer.restart_with_failpoint(None)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;
    ensure!(keys(&pair.target, PART)?.is_empty(), "{:?}", keys(&pair.target, PART)?);
    ensure!(keys(&pair.target, &format!("redissync:{PAIR_ID}:*"))?.len() <= 2);
    Ok(())
}

#[test]
fn a_targets_own_limits_are_kept_or_named() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let narrow = NodeOptions::new()
        .option("proto-max-bulk-len", 1 << 20)
        .option("client-query-buffer-limit", 4 << 20);
    let target = Node::start(ServerVersion::Redis70, &narrow)?;
    // As a RESTORE each of these is longer than the target takes.
    script(
        &mut source.connect()?,
        "for i = 1, ARGV[1] do
            redis.call('HSET', 'hash', i, string.rep(i .. ',', 30))
            redis.call('RPUSH', 'list', redis.sha1hex(i) .. redis.sha1hex(i + 1))
         end
         redis.call('SET', 'small', 1)",
        30_000,
    )?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;
    // This one cannot be there at all.
    pair.syncer.kill9()?;
    run(&pair.target, "FLUSHALL")?;
    script(
        &mut pair.source.connect()?,
        "redis.call('SET', 'string', string.rep('x', ARGV[1]))",
        3 << 20,
    )?;
    pair.syncer.remove_spool()?;
    pair.syncer.restart_with_failpoint(None)?;
    let report = pair.wait_for_halt("UnsupportedValue")?;
    let remedy = halt_text(&report, "remedy");
    ensure!(remedy.contains("proto-max-bulk-len"), "{:?}", report.halt());
    ensure!(get(&pair.target, "string")?.is_empty());
    Ok(())
}

/// As eviction does: the first half of a value is gone, and what comes behind makes a new one.
#[test]
fn a_value_that_is_dropped_while_it_is_built_is_whole_at_the_end() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    script(
        &mut source.connect()?,
        "for i = 1, ARGV[1] do
            local text = redis.sha1hex(i) .. redis.sha1hex(-i) .. redis.sha1hex(i / 3)
            redis.call('RPUSH', 'list', text)
            redis.call('HSET', 'hash', i, text)
            redis.call('ZADD', 'zset', i, text)
            redis.call('APPEND', 'string', text)
         end",
        150_000,
    )?;
    let has_ended = Arc::new(AtomicBool::new(false));
    let dropper = {
        let (mut connection, has_ended) = (target.connect()?, Arc::clone(&has_ended));
        thread::spawn(move || -> Result<BTreeSet<String>> {
            let mut dropped = BTreeSet::new();
            while !has_ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                let parts: Vec<String> = redis::cmd("KEYS").arg(PART).query(&mut connection)?;
                for part in parts {
                    if dropped.contains(&part) {
                        continue;
                    }
                    redis::cmd("DEL").arg(&part).exec(&mut connection)?;
                    thread::sleep(Duration::from_millis(10));
                    // Only what goes on behind it makes a part of a value.
                    let goes_on: bool = redis::cmd("EXISTS").arg(&part).query(&mut connection)?;
                    if goes_on {
                        dropped.insert(part);
                    }
                }
            }
            Ok(dropped)
        })
    };
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    has_ended.store(true, Ordering::Relaxed);
    let dropped = dropper.join().expect("the thread does not panic")?;
    println!("{} values were dropped in the middle", dropped.len());
    ensure!(dropped.len() >= 2, "{dropped:?}");
    pair.settle_equal()?;
    ensure!(pair.syncer.report()?.full_copy_count() == Some(1));
    ensure!(keys(&pair.target, PART)?.is_empty());
    Ok(())
}
