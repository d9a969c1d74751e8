//! Promise 6: what the source has renewed or still has is not expired by the target, however late it arrives, and what the
//! source has deleted is deleted.

use std::{thread::sleep, time::Duration};

use anyhow::{Result, bail, ensure};
use redis::{Connection, Pipeline};
use redissync_e2e::{
    compare::{CompareOptions, compare},
    node::{Node, NodeOptions},
    servers::ServerVersion::{self, Redis62, Redis70, Redis74, Valkey91},
    syncer::Syncer,
};
use serde_json::json;

use crate::{
    bed::{PATIENCE, binary},
    pair::{Pair, forks, options, run},
};

/// Keys of each kind.
const KEYS: usize = 1000;
/// How long they live before they are renewed.
const LIFE_MS: usize = 3000;
/// Behind this nothing of the first life is left.
const PAST_LIFE: Duration = Duration::from_millis(LIFE_MS as u64 + 1500);

fn each(connection: &mut Connection, words: impl Fn(usize) -> String) -> Result<()> {
    let mut pipeline = Pipeline::new();
    for number in 0..KEYS {
        let command = words(number);
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            cmd.arg(word);
        });
        pipeline.add_command(cmd).ignore();
    }
    pipeline.exec(connection)?;
    Ok(())
}

/// Waits until each of these hashes has only so many fields left.
fn fields_run_out(source: &mut Connection, hash: &str, stay: usize) -> Result<()> {
    let mut pipeline = Pipeline::new();
    for number in 0..KEYS {
        pipeline.cmd("HLEN").arg(format!("{hash}:{number}"));
    }
    for _ in 0..100 {
        let fields: Vec<usize> = pipeline.query(source)?;
        if fields.iter().all(|fields| *fields == stay) {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    bail!("some {hash} has fields that should have run out")
}

/// Keys that are renewed, that are deleted, that run out, and hashes with fields of each kind where the server has them.
struct Lives {
    with_fields: bool,
}

impl Lives {
    fn begin(&self, source: &mut Connection) -> Result<()> {
        for kind in ["renewed", "deleted", "ends"] {
            each(source, |number| format!("SET {kind}:{number} 1 PX {LIFE_MS}"))?;
        }
        each(source, |number| format!("RPUSH list:{number} a b"))?;
        each(source, |number| format!("PEXPIRE list:{number} {LIFE_MS}"))?;
        if self.with_fields {
            each(source, |number| format!("HSET hash:{number} renewed 1 ends 2 stays 3"))?;
            each(source, |number| {
                format!("HPEXPIRE hash:{number} {LIFE_MS} FIELDS 2 renewed ends")
            })?;
            // As a table, not as a listpack.
            let long = "x".repeat(100);
            each(source, |number| format!("HSET table:{number} renewed {long} ends 2"))?;
            each(source, |number| {
                format!("HPEXPIRE table:{number} {LIFE_MS} FIELDS 2 renewed ends")
            })?;
        }
        Ok(())
    }

    /// Shortly before their end.
    fn renew(&self, source: &mut Connection) -> Result<()> {
        each(source, |number| format!("EXPIRE renewed:{number} 7200"))?;
        each(source, |number| format!("INCR renewed:{number}"))?;
        each(source, |number| format!("PERSIST list:{number}"))?;
        each(source, |number| format!("DEL deleted:{number}"))?;
        if self.with_fields {
            for hash in ["hash", "table"] {
                each(source, |number| format!("HEXPIRE {hash}:{number} 7200 FIELDS 1 renewed"))?;
            }
        }
        Ok(())
    }

    /// Nothing of the first life is left at the source; each end is told to its replicas.
    fn end(&self, source: &mut Connection) -> Result<()> {
        sleep(PAST_LIFE);
        // Looked at, so that the end does not wait for the server's own round.
        each(source, |number| format!("EXISTS ends:{number}"))?;
        if self.with_fields {
            // Of a hash two fields stay, of a table one.
            fields_run_out(source, "hash", 2)?;
            fields_run_out(source, "table", 1)?;
        }
        Ok(())
    }

    fn expected(&self) -> usize {
        KEYS * if self.with_fields { 4 } else { 2 }
    }

    /// Nothing is lost and nothing is left over.
    fn check(&self, pair: &Pair, options: &CompareOptions) -> Result<()> {
        let (mut source, mut target) = (pair.source.connect()?, pair.target.connect()?);
        let found = compare(&mut source, &mut target, options)?;
        ensure!(found.is_equal() && found.keys as usize == self.expected(), "{found}");
        let value: String = redis::cmd("GET").arg("renewed:7").query(&mut target)?;
        ensure!(value == "2", "renewed:7 is {value}");
        Ok(())
    }
}

fn start(
    source: ServerVersion,
    target: ServerVersion,
    grace: &str,
) -> Result<(Node, Node, Syncer)> {
    let source = Node::start(source, &NodeOptions::new())?;
    let target = Node::start(target, &NodeOptions::new())?;
    let options = options(&source, &target).extra(json!({"expiry": {"grace": grace}}));
    let syncer = Syncer::start(&binary(), &options)?;
    Ok((source, target, syncer))
}

/// The stream reaches the target after the first life's end.
fn in_the_stream(
    source: ServerVersion,
    target: ServerVersion,
    options: &CompareOptions,
) -> Result<()> {
    let lives = Lives { with_fields: matches!(source, Redis74 | Valkey91) };
    let (source, target, syncer) = start(source, target, "1h")?;
    let mut pair = Pair { syncer, source, target };
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    let mut source = pair.source.connect()?;
    lives.begin(&mut source)?;
    pair.settle()?;
    pair.pause()?;
    lives.renew(&mut source)?;
    lives.end(&mut source)?;
    pair.unpause()?;
    pair.settle()?;
    lives.check(&pair, options)
}

/// The RDB was taken in the first life, and is restored after its end.
fn in_a_full_copy(
    source: ServerVersion,
    target: ServerVersion,
    options: &CompareOptions,
) -> Result<()> {
    let lives = Lives { with_fields: matches!(source, Redis74 | Valkey91) };
    let (source, target, mut syncer) = start(source, target, "1h")?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    let mut pair = Pair { syncer, source, target };
    pair.pause()?;
    // Another history: a full copy, of which nothing is applied yet.
    pair.source.restart_empty()?;
    let mut source = pair.source.connect()?;
    lives.begin(&mut source)?;
    pair.syncer.restart()?;
    pair.syncer.wait_for("the source's RDB", PATIENCE, |report| {
        report.full_copy_count().is_some_and(|count| count > 0)
    })?;
    ensure!(forks(&pair.source)? != (0, 0), "the new source was not copied");
    lives.renew(&mut source)?;
    lives.end(&mut source)?;
    pair.unpause()?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle()?;
    lives.check(&pair, options)
}

#[test]
fn keys_renewed_before_their_end_outlive_a_stream_that_is_late() -> Result<()> {
    for (source, target) in [(Redis70, Redis70), (Redis74, Redis74), (Valkey91, Valkey91)] {
        println!("{source} to {target}");
        in_the_stream(source, target, &CompareOptions::synced())?;
    }
    // It sends spans, which count from their arrival.
    let late = CompareOptions { expiry_late_ms: 60_000, ..CompareOptions::synced() };
    in_the_stream(Redis62, Redis70, &late)
}

#[test]
fn keys_renewed_before_their_end_outlive_a_copy_that_is_late() -> Result<()> {
    for (source, target) in [(Redis70, Redis70), (Redis74, Redis74), (Valkey91, Valkey91)] {
        println!("{source} to {target}");
        in_a_full_copy(source, target, &CompareOptions::synced())?;
    }
    Ok(())
}

/// Promise 6 in the report: whoever sizes the grace too small is told.
#[test]
fn a_delay_beyond_the_grace_is_told_and_a_copy_in_time_ends_it() -> Result<()> {
    let (source, target, syncer) = start(Redis70, Redis70, "3s")?;
    let mut pair = Pair { syncer, source, target };
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    let told = |pair: &mut Pair, risk: &str| {
        pair.syncer.wait_for(&format!("the risk {risk}"), PATIENCE, |report| {
            report.0["links"][0]["expiry"]["risk"] == risk
        })
    };
    let report = told(&mut pair, "WithinGrace")?;
    let skew = report.0["links"][0]["expiry"]["clockSkewMilliseconds"].as_i64();
    ensure!(skew.is_some_and(|skew| skew.abs() < 500), "one clock, and a skew of {skew:?}");
    pair.pause()?;
    run(&pair.source, "SET key 1 PX 60000")?;
    let report = told(&mut pair, "Exceeded")?;
    ensure!(report.0["links"][0]["expiry"]["message"].to_string().contains("expiry.grace (3 s)"));
    pair.unpause()?;
    pair.settle()?;
    // What may be missing is there again after a copy only.
    sleep(Duration::from_secs(6));
    told(&mut pair, "Exceeded")?;
    run(&pair.source, "DEBUG CHANGE-REPL-ID")?;
    run(&pair.source, "CLIENT KILL TYPE replica")?;
    told(&mut pair, "WithinGrace")?;
    Ok(())
}

#[test]
fn without_a_grace_times_are_applied_as_they_come() -> Result<()> {
    let (source, target, syncer) = start(Redis74, Redis74, "0s")?;
    let mut pair = Pair { syncer, source, target };
    for words in ["SET copied 1 PX 900000", "HSET hash f 1", "HPEXPIRE hash 900000 FIELDS 1 f"] {
        run(&pair.source, words)?;
    }
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    run(&pair.source, "SET streamed 1 PX 900000")?;
    pair.settle()?;
    let (mut source, mut target) = (pair.source.connect()?, pair.target.connect()?);
    let found = compare(&mut source, &mut target, &CompareOptions::default())?;
    ensure!(found.is_equal() && found.keys == 3, "{found}");
    Ok(())
}
