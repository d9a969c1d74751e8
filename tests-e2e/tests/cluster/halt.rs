//! What only a human can decide: the object says so, and `spec.release` answers.

use anyhow::{Context, Result, ensure};
use redissync_e2e::cluster::{Kind, Pair, redis_sync::condition_of};
use serde_json::{Value, json};

use crate::suite::{PATIENCE, SOME, send_operator_away, with_pair};

/// Much more than a fifth of all keys.
const BRAKE_KEYS: usize = 20_000;
/// A backlog that the load overruns within a second.
const SMALLEST_BACKLOG: u64 = 16_384;

#[test]
fn a_rejected_command_halts_until_the_object_releases_it() {
    with_pair("halt", |_, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        // Somebody writes to the standby, so that a command of the source is refused there.
        at(pair.target.connect_master()?, "SET halt:list foreign")?;
        at(pair.source.connect_master()?, "RPUSH halt:list a")?;
        let status = pair.sync.wait_for_reason("CommandRejected", PATIENCE)?;
        let halt = halt_of(&status)?;
        let offset = halt["offset"].as_i64().context("the halt has no offset")?;
        ensure!(condition_of(&status, "Stalled").status == "True", "not Stalled: {status:#}");
        ensure!(condition_of(&status, "Ready").message.contains("WRONGTYPE"), "{status:#}");
        pair.sync.wait_for_event("Halted", PATIENCE)?;
        // A restart changes nothing, and an answer to another halt neither.
        pair.cluster.delete(Kind::Pod, &pair.namespace, &pair.sync.pod_name(), None)?;
        pair.sync.patch_spec(&json!({"release": {"action": "SkipUnit", "offset": offset + 1}}))?;
        let status = pair.sync.wait_for("the halt, and why it stays", PATIENCE, |status| {
            let ready = condition_of(status, "Ready");
            (ready.reason == "CommandRejected" && ready.message.contains("does not count"))
                .then(|| status.clone())
        })?;
        ensure!(halt_of(&status)?["offset"] == offset, "the halt moved: {status:#}");
        println!("{}", condition_of(&status, "Ready").message);
        pair.sync.patch_spec(&json!({"release": {"action": "SkipUnit", "offset": offset}}))?;
        pair.sync.wait_until_ready(PATIENCE)?;
        pair.sync.wait_for_event("Released", PATIENCE)?;
        // What was skipped is put right by hand.
        at(pair.source.connect_master()?, "DEL halt:list")?;
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.compare(traffic, false)?;
        ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
        Ok(())
    });
}

#[test]
fn a_source_that_shrank_unseen_does_not_shrink_the_target_unasked() {
    with_pair("brake", |suite, pair, traffic| {
        let names: Vec<String> = (0..BRAKE_KEYS).map(|number| format!("brake:{number}")).collect();
        let mut write = redis::cmd("MSET");
        for name in &names {
            write.arg(name).arg("value");
        }
        write.exec(&mut pair.source.connect_master()?)?;
        pair.wait_until_level(PATIENCE)?;
        let copy = pair.sync.copy_id(&pair.target)?;
        let away = send_operator_away(&suite.cluster)?;
        scale_syncer(pair, 0)?;
        let mut source = pair.source.connect_master()?;
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("repl-backlog-size")
            .arg(SMALLEST_BACKLOG)
            .exec(&mut source)?;
        redis::cmd("DEL").arg(&names).exec(&mut source)?;
        traffic.wait_for_more(5 * SOME, PATIENCE)?;
        scale_syncer(pair, 1)?;
        drop(away);
        let status = pair.sync.wait_for_reason("SweepBrake", PATIENCE)?;
        let halt = halt_of(&status)?;
        println!("{}", condition_of(&status, "Ready").message);
        ensure!(at(pair.target.connect_master()?, "EXISTS brake:0")? == 1, "it was swept unasked");
        let id = halt["copyID"].as_str().context("the halt has no copyID")?;
        pair.sync.patch_spec(&json!({"release": {"action": "AllowSweep", "copyID": id}}))?;
        pair.sync.wait_until_ready(PATIENCE)?;
        ensure!(at(pair.target.connect_master()?, "EXISTS brake:0")? == 0, "it was not swept");
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.compare(traffic, false)?;
        let now = pair.sync.copy_id(&pair.target)?;
        ensure!(now == id && now != copy, "the copies are {copy}, {id}, {now}");
        let copies = pair.sync.status()?["fullCopies"].take();
        ensure!(copies["count"] == 1, "{copies}");
        println!("one full copy: {}", copies["lastReason"]);
        Ok(())
    });
}

fn halt_of(status: &Value) -> Result<&Value> {
    let halt = &status["links"][0]["halt"];
    ensure!(halt.is_object(), "the status tells no halt: {status:#}");
    Ok(halt)
}

fn scale_syncer(pair: &Pair, replicas: u32) -> Result<()> {
    let patch = json!({"spec": {"replicas": replicas}});
    pair.cluster.patch(Kind::StatefulSet, &pair.namespace, "cart-redissync", &patch)?;
    redissync_e2e::wait_until("the syncer's pods", PATIENCE, || {
        let pod = pair.cluster.find(Kind::Pod, &pair.namespace, &pair.sync.pod_name())?;
        Ok((pod.is_some() == (replicas > 0)).then_some(()))
    })
}

/// One command, whose answer is a number or does not count.
fn at(mut connection: redis::Connection, words: &str) -> Result<i64> {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    for word in words {
        command.arg(word);
    }
    let answer: redis::Value = command.query(&mut connection)?;
    Ok(redis::from_redis_value(answer).unwrap_or_default())
}
