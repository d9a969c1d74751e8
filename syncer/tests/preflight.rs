//! What is told of the conditions that a pair works under, and the one that is waited for: a target that evicts keys.

use std::{fs, process::Command, thread, thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    node::{Node, NodeOptions},
    servers::ServerVersion::{self, Redis28, Redis62, Redis70},
    syncer::{Report, SyncerSite},
};
use serde_json::{Value, json};

use crate::{
    bed::{PATIENCE, binary},
    pair::{Pair, TOLD_WITHIN, forks, options, run, write_some},
};

/// `Result` of a check in the report; empty where it was not made.
fn result<'a>(report: &'a Report, check: &str) -> &'a str {
    let checks = report.0["preflight"].as_array();
    let found = checks.and_then(|checks| checks.iter().find(|it| it["check"] == check));
    found.and_then(|check| check["result"].as_str()).unwrap_or_default()
}

fn keys(node: &Node) -> Result<u64> {
    redis::cmd("DBSIZE").query(&mut node.connect()?).context("no DBSIZE")
}

/// The command's checks and whether it said that nothing failed.
fn ask(source: &str, target: &str) -> Result<(Vec<Value>, bool)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("config.yaml");
    fs::write(
        &path,
        format!(
            "source: {{name: a, {source}}}\ntarget: {{name: b, {target}}}\nspool: {{dir: /unused}}\n"
        ),
    )?;
    let output =
        Command::new(binary()).args(["preflight", "--json", "--config"]).arg(&path).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let checks = serde_json::from_str(&text).with_context(|| format!("{output:?}"))?;
    Ok((checks, output.status.success()))
}

fn at(node: &Node) -> String {
    format!("standalone: {{address: '{}'}}", node.address())
}

#[test]
fn a_target_that_evicts_is_waited_for_and_nothing_is_written_to_it() -> Result<()> {
    let evicting =
        NodeOptions::new().option("maxmemory", "100mb").option("maxmemory-policy", "allkeys-lru");
    let source = Node::start(Redis70, &NodeOptions::new())?;
    let target = Node::start(Redis70, &evicting)?;
    redissync_e2e::fill(&mut source.connect()?, 1000, 1)?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    let report = pair.wait_for_reason(&["TargetEvicts"], TOLD_WITHIN)?;
    let message = report.waiting_for().map(ToString::to_string).unwrap_or_default();
    ensure!(message.contains("CONFIG SET maxmemory-policy noeviction"), "no remedy: {message}");
    ensure!(keys(&pair.target)? == 0, "something was written to it");
    ensure!(forks(&pair.source)? == (0, 0), "the source was made to fork in vain");

    run(&pair.target, "CONFIG SET maxmemory-policy noeviction")?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;

    // It may turn at any time.
    run(&pair.target, "CONFIG SET maxmemory-policy volatile-lru")?;
    let report = pair.wait_for_reason(&["TargetEvicts"], TOLD_WITHIN)?;
    ensure!(report.halt().is_none(), "it halts");
    write_some(&pair.source, 10)?;
    pair.syncer.wait_for("the check to say so too", TOLD_WITHIN, |report| {
        result(report, "Eviction") == "Failed"
    })?;
    ensure!(crate::pair::get(&pair.target, "some:counter")?.is_empty(), "it was written to");
    run(&pair.target, "CONFIG SET maxmemory-policy noeviction")?;
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn where_eviction_is_allowed_each_evicted_key_is_counted_and_told() -> Result<()> {
    let evicting = NodeOptions::new().option("maxmemory-policy", "volatile-random");
    let source = Node::start(Redis70, &NodeOptions::new())?;
    let target = Node::start(Redis70, &evicting)?;
    run(&target, "CONFIG SET maxmemory 4mb")?;
    let options =
        options(&source, &target).extra(json!({"preflight": {"evictingTarget": "Allow"}}));
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    // Looked at once: evictions count from then on.
    pair.syncer
        .wait_for("the first checks", PATIENCE, |report| result(report, "Eviction") == "Warning")?;
    let mut connection = pair.source.connect()?;
    let value = "x".repeat(1000);
    for chunk in 0..8 {
        let mut pipeline = redis::Pipeline::new();
        for number in 0..1000 {
            let key = format!("key:{}", chunk * 1000 + number);
            pipeline.cmd("SET").arg(key).arg(&value).arg("PX").arg(7_200_000).ignore();
        }
        pipeline.exec(&mut connection)?;
    }
    pair.settle()?;
    let lost = 8000 - keys(&pair.target)?;
    ensure!(lost > 0, "nothing was evicted");
    let report = pair.syncer.wait_for("the evictions to be told", TOLD_WITHIN, |report| {
        result(report, "Eviction") == "Failed"
    })?;
    let counted = report.counter("keysEvicted").unwrap_or_default();
    ensure!(counted >= lost, "{lost} keys are missing, {counted} were counted");
    ensure!(report.number("/links/0/evictedSinceCopy") == Some(counted), "{:?}", report.0);
    Ok(())
}

#[test]
fn a_backlog_that_bridges_nothing_is_told_before_the_source_forks() -> Result<()> {
    let mut pair = Pair::streaming(100)?;
    let logs = pair.syncer.logs();
    let told = logs.find("Backlog").context("the backlog is not in the log")?;
    let copy = logs.find("full copy").context("no full copy in the log")?;
    ensure!(told < copy, "it was told after the copy was asked for:\n{logs}");
    let report = pair.syncer.report()?;
    ensure!(result(&report, "Backlog") == "Warning", "{:?}", report.0["preflight"]);

    // 1 MiB, written over several times a second.
    let mut connection = pair.source.connect()?;
    let value = "x".repeat(100_000);
    for _ in 0..150 {
        let mut pipeline = redis::Pipeline::new();
        for _ in 0..5 {
            pipeline.cmd("SET").arg("key").arg(&value).ignore();
        }
        pipeline.exec(&mut connection)?;
        sleep(Duration::from_millis(20));
    }
    let report =
        pair.syncer.wait_for("the backlog to be called too small", PATIENCE, |report| {
            report.0["links"][0]["backlog"]["health"] == "TooSmall"
        })?;
    let backlog = &report.0["links"][0]["backlog"];
    ensure!(backlog["seconds"].as_u64().is_some_and(|seconds| seconds < 60), "{backlog}");
    ensure!(backlog["bytes"] == 1 << 20, "{backlog}");
    let metrics = pair.syncer.http_get("/metrics")?.body;
    for name in ["redissync_source_backlog_seconds ", "redissync_clock_skew_milliseconds "] {
        ensure!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    ensure!(metrics.contains("redissync_preflight{check=\"Backlog\",end=\"Source\",result="));
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn the_command_asks_servers_of_every_version_and_writes_nothing() -> Result<()> {
    thread::scope(|scope| {
        let asked = ServerVersion::ALL.map(|version| (version, scope.spawn(move || one(version))));
        for (version, asked) in asked {
            asked
                .join()
                .map_err(|_| anyhow::anyhow!("a panic"))?
                .with_context(|| version.to_string())?;
        }
        Ok(())
    })
}

fn one(version: ServerVersion) -> Result<()> {
    let source = Node::start(version, &NodeOptions::new())?;
    let target = Node::start(version, &NodeOptions::new())?;
    run(&source, "SET key value")?;
    let (checks, is_well) = ask(&at(&source), &at(&target))?;
    ensure!(is_well, "something failed: {checks:#?}");
    for check in &checks {
        // Whether PSYNC is allowed cannot be asked for in 6.x.
        let is_known = version == Redis62 && check["check"] == "Rights";
        ensure!(is_known || check["result"] != "Unknown", "{check}");
    }
    ensure!(checks.len() >= 17, "{} checks: {checks:#?}", checks.len());
    ensure!(keys(&target)? == 0, "something was written");
    ensure!(version == Redis28 || forks(&source)? == (0, 0), "the source has forked");
    run(&target, "CONFIG SET maxmemory 100000000")?;
    run(&target, "CONFIG SET maxmemory-policy allkeys-lru")?;
    let (checks, is_well) = ask(&at(&source), &at(&target))?;
    ensure!(!is_well, "an evicting target passed: {checks:#?}");
    Ok(())
}

#[test]
fn a_right_that_is_missing_is_named_before_anything_is_written() -> Result<()> {
    let source = Node::start(Redis70, &NodeOptions::new())?;
    let target = Node::start(Redis70, &NodeOptions::new())?;
    // As docs/operations.md has them.
    let reads = "-@all +psync +replconf +role +info +exists +client|setname +time +config|get +acl|dryrun ~redissync:*";
    let writes = "~* &* -@all +@write +@transaction +@scripting +pfcount +publish +spublish +role +info +select +scan \
        +get +hmget +hgetall +client|setname +client|id +client|list +client|kill +time +config|get";
    run(&source, &format!("ACL SETUSER sync on >secret {reads}"))?;
    run(&target, &format!("ACL SETUSER sync on >secret {}", writes.replace("        ", "")))?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("password");
    fs::write(&file, "secret")?;
    let auth = format!("auth: {{username: sync, passwordFile: '{}'}}", file.display());
    let ask = || ask(&format!("{}, {auth}", at(&source)), &format!("{}, {auth}", at(&target)));
    let (checks, is_well) = ask()?;
    ensure!(is_well && checks.iter().all(|check| check["result"] != "Unknown"), "{checks:#?}");

    for (node, rule, right) in [
        (&source, "-psync", "+psync"),
        (&target, "-restore", "+restore"),
        (&target, "-@scripting", "+@scripting"),
        (&target, "-client|kill", "+client|kill"),
        (&target, "resetkeys", "~*"),
        (&target, "-@transaction", "+@transaction"),
    ] {
        run(node, &format!("ACL SETUSER sync {rule}"))?;
        let (checks, is_well) = ask()?;
        let named = checks.iter().any(|check| {
            check["check"] == "Rights"
                && check["result"] == "Failed"
                && check["advice"].as_str().is_some_and(|advice| advice.contains(right))
        });
        ensure!(named && !is_well, "{right} is not named: {checks:#?}");
    }
    // A syncer of that user says the same.
    let site = |name: &str, node: &Node| SyncerSite {
        username: Some("sync".to_owned()),
        password: Some("secret".to_owned()),
        ..SyncerSite::node(name, node)
    };
    let mut options = options(&source, &target);
    (options.source, options.target) = (site("a", &source), site("b", &target));
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for("the missing rights", TOLD_WITHIN, |report| {
        result(report, "Rights") == "Failed"
    })?;
    Ok(())
}
