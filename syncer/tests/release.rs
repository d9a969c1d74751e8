//! A human's decision about a halt, given in the configuration of a running syncer: it counts for the halt that it
//! names, once, and what is left standing in the file does nothing, through restarts too.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use redissync_e2e::{
    node::{Node, NodeOptions},
    servers::ServerVersion,
    syncer::Report,
};
use serde_json::{Value, json};

use crate::{
    bed::PATIENCE,
    pair::{Pair, get, halt_offset, halt_text, options, run, write_some},
};

const KEYS: u64 = 1500;

/// Longer than the file and the halt are looked at.
const A_WHILE: Duration = Duration::from_secs(4);

/// Puts a release into the file, or takes it out.
fn set_release(pair: &mut Pair, release: Option<Value>) -> Result<()> {
    pair.syncer.rewrite_config(|options| {
        options.extra = match release {
            Some(release) => json!({ "release": release }),
            None => json!({}),
        };
    })
}

/// Waits until the report says why the release does not count.
fn wait_until_ignored(pair: &mut Pair, why: &str) -> Result<Report> {
    pair.syncer.wait_for(&format!("a release ignored for {why:?}"), PATIENCE, |report| {
        halt_text(report, "ignoredRelease").contains(why)
    })
}

fn wait_until_released(pair: &mut Pair) -> Result<()> {
    pair.syncer.wait_for("the halt's end", PATIENCE, |report| report.halt().is_none())?;
    Ok(())
}

#[test]
fn a_release_in_the_file_counts_once_and_for_the_halt_that_it_names() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    write_some(&pair.source, 20)?;
    pair.settle_equal()?;
    run(&pair.target, "ACL SETUSER default -incr")?;
    run(&pair.source, "INCR first")?;
    let first = halt_offset(&pair.wait_for_halt("CommandRejected")?)?;

    set_release(&mut pair, Some(json!({ "action": "SkipUnit", "offset": first + 1 })))?;
    wait_until_ignored(&mut pair, "does not halt at offset")?;

    // Tried again with nothing put right: it halts again, and the same words are not taken for an answer to that.
    let retry = json!({ "action": "RetryUnit", "offset": first });
    set_release(&mut pair, Some(retry.clone()))?;
    wait_until_ignored(&mut pair, "stood in the configuration before")?;
    let releases = |pair: &Pair| pair.syncer.logs().matches(": released consent=").count();
    ensure!(releases(&pair) == 1, "{}", pair.syncer.log_tail(20));
    thread::sleep(A_WHILE);
    ensure!(releases(&pair) == 1, "released again: {}", pair.syncer.log_tail(20));
    let warnings = pair.syncer.logs().matches("a release is ignored").count();
    ensure!(warnings == 2, "told {warnings} times");
    pair.syncer.restart()?;
    wait_until_ignored(&mut pair, "stood in the configuration before")?;
    ensure!(halt_offset(&pair.wait_for_halt("CommandRejected")?)? == first);

    run(&pair.target, "ACL SETUSER default +incr")?;
    set_release(&mut pair, None)?;
    pair.syncer.wait_for("the file to be read", PATIENCE, |report| {
        report.halt().is_some() && halt_text(report, "ignoredRelease").is_empty()
    })?;
    set_release(&mut pair, Some(retry))?;
    wait_until_released(&mut pair)?;
    pair.settle_equal()?;
    ensure!(get(&pair.target, "first")? == "1", "not applied once");

    // Left standing, it is nothing for the next halt.
    run(&pair.target, "ACL SETUSER default -incr")?;
    run(&pair.source, "INCR second")?;
    let second = halt_offset(&pair.wait_for_halt("CommandRejected")?)?;
    ensure!(second > first);
    pair.syncer.restart()?;
    wait_until_ignored(&mut pair, "stood in the configuration before")?;
    thread::sleep(A_WHILE);
    ensure!(halt_offset(&pair.wait_for_halt("CommandRejected")?)? == second);

    set_release(&mut pair, Some(json!({ "action": "SkipUnit", "offset": second })))?;
    wait_until_released(&mut pair)?;
    run(&pair.target, "ACL SETUSER default +incr")?;
    run(&pair.target, "INCR second")?;
    write_some(&pair.source, 20)?;
    pair.settle_equal()?;
    ensure!(pair.syncer.report()?.full_copy_count() == Some(0), "copied again");
    Ok(())
}

#[test]
fn a_copy_and_a_sweep_are_released_by_the_file_for_the_copy_that_halts() -> Result<()> {
    let source = Node::start(ServerVersion::Redis82, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    run(&source, "DEBUG POPULATE 1000 many")?;
    run(&source, "HSET hash a 1 b 2")?;
    run(&source, "HEXPIRE hash 3600 FIELDS 1 a")?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    let report = pair.wait_for_halt("UnsupportedValue")?;
    let copy_id = halt_text(&report, "copyId").to_owned();
    ensure!(halt_text(&report, "remedy").contains(&format!("CopyAgain, copyID {copy_id}")));
    set_release(&mut pair, Some(json!({ "action": "CopyAgain", "offset": 7 })))?;
    wait_until_ignored(&mut pair, "does not halt at offset 7")?;
    run(&pair.source, "DEL hash")?;
    set_release(&mut pair, Some(json!({ "action": "CopyAgain", "copyID": copy_id })))?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.last_full_copy_reason() == "Requested", "{:?}", report.0);
    pair.settle_equal()?;
    pair.syncer.restart()?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    thread::sleep(A_WHILE);
    ensure!(pair.syncer.report()?.full_copy_count() == Some(0), "copied again after a restart");

    // The source comes back with far less.
    pair.source.restart_empty()?;
    run(&pair.source, "SET only 1")?;
    let report = pair.wait_for_halt("SweepBrake")?;
    let copy_id = halt_text(&report, "copyId").to_owned();
    set_release(&mut pair, Some(json!({ "action": "AllowSweep", "copyID": "0123456789abcdef" })))?;
    wait_until_ignored(&mut pair, "no sweep of the copy 0123456789abcdef")?;
    set_release(&mut pair, Some(json!({ "action": "AllowSweep", "copyID": copy_id })))?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(pair.settle_equal()? == 1);
    Ok(())
}

#[test]
fn who_asks_for_another_copy_sees_no_streaming_before_it() -> Result<()> {
    let version = ServerVersion::Redis70;
    let source = Node::start(version, &NodeOptions::new())?;
    let target = Node::start(version, &NodeOptions::new())?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    run(&pair.target, "SET basket foreign")?;
    run(&pair.source, "RPUSH basket apple")?;
    let offset = halt_offset(&pair.wait_for_halt("CommandRejected")?)?;
    // The source takes its time before it forks.
    run(&pair.source, "CONFIG SET repl-diskless-sync yes")?;
    run(&pair.source, "CONFIG SET repl-diskless-sync-delay 2")?;
    set_release(&mut pair, Some(json!({ "action": "CopyAgain", "offset": offset })))?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.last_full_copy_reason() == "Requested", "{:?}", report.0);
    pair.settle_equal()?;
    Ok(())
}
