//! From a manifest to data, and what the user sees of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redissync_e2e::cluster::{Pair, Ready, redis_sync::condition_of};
use serde_json::{Value, json};

use crate::suite::{PATIENCE, RATE, SOME, in_namespace, options};

/// On an idle machine it is some ten; here two cores carry everything.
const LAG_MILLISECONDS_MAX: i64 = 5000;

#[test]
fn a_manifest_becomes_data_and_a_status_that_tells() {
    in_namespace("bootstrap", |suite, namespace| {
        let options = options(namespace, json!({}));
        let pair = Pair::prepare(&suite.cluster, &options)?;
        let run = || {
            pair.apply(&options.spec)?;
            pair.sync.wait_until_ready(PATIENCE)?;
            let traffic = pair.start_traffic(RATE)?;
            traffic.wait_for_more(3 * SOME, PATIENCE)?;
            let status = pair.sync.wait_until_ready(PATIENCE)?;
            check_status(&pair, &status)?;
            check_columns(&pair)?;
            pair.compare(traffic, false)?;
            // At rest there is no lag in time. The sentinels go on greeting each other through the source, so a few bytes may
            // be under way at any moment.
            pair.sync.wait_for("no lag at rest", Duration::from_secs(20), |status| {
                let link = &status["links"][0];
                let bytes = link["lagBytes"].as_i64()?;
                (link["lagMilliseconds"] == 0 && bytes < 4096).then_some(())
            })
        };
        run().map_err(|err: anyhow::Error| err.context(pair.describe()))
    });
}

fn check_status(pair: &Pair, status: &Value) -> Result<()> {
    let (source, target) = (pair.source.master()?, pair.target.master()?);
    let ends = &status["links"][0];
    ensure!(ends["source"]["address"] == *source.announced, "{} is not {source:?}", ends["source"]);
    ensure!(ends["target"]["address"] == *target.announced, "{} is not {target:?}", ends["target"]);
    ensure!(status["flow"] == json!({"source": "main", "target": "backup"}), "{}", status["flow"]);
    let copies = &status["fullCopies"];
    ensure!(copies["count"] == 1, "the full copies are {copies}");
    let link = &status["links"][0];
    let lag = link["lagMilliseconds"].as_i64().context("the status tells no lag")?;
    ensure!(lag < LAG_MILLISECONDS_MAX, "the lag is {lag} ms");
    let rungs = ["received", "spooled", "written", "checkpoint", "confirmed", "durable"];
    let ladder: Vec<i64> = rungs.iter().filter_map(|rung| link["offsets"][rung].as_i64()).collect();
    ensure!(ladder.len() == rungs.len(), "a rung is missing: {}", link["offsets"]);
    ensure!(ladder.is_sorted_by(|one, next| one >= next), "the ladder is {}", link["offsets"]);
    for (type_, wanted) in [
        ("Ready", "True"),
        ("Stalled", "False"),
        ("SourceReachable", "True"),
        ("TargetReachable", "True"),
        ("DataVerified", "True"),
    ] {
        let Ready { status, reason, message } = condition_of(status, type_);
        ensure!(status == wanted, "{type_} is {status} {reason}: {message}");
    }
    println!("lag {lag} ms, {} bytes behind", link["lagBytes"]);
    Ok(())
}

/// What `kubectl get redissync` prints: the columns and their words.
fn check_columns(pair: &Pair) -> Result<()> {
    let printed = pair.cluster.kubectl(&["get", "redissync", "-n", &pair.namespace])?;
    print!("{printed}");
    let mut lines = printed.lines();
    let words = |line: Option<&str>| -> Vec<String> {
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let (header, row) = (words(lines.next()), words(lines.next()));
    let columns = [
        "NAME", "PRIMARY", "PHASE", "MASTER", "STANDBY", "LAG", "BEHIND", "READY", "OBSERVED",
        "AGE",
    ];
    ensure!(header == columns, "the columns are {header:?}");
    let phase = row.get(2).map_or("", String::as_str);
    ensure!(
        row.len() == columns.len() && row[0] == "cart" && row[1] == "main" && row[7] == "True",
        "the row is {row:?}"
    );
    ensure!(["Replicating", "CatchingUp"].contains(&phase), "the phase is {phase}");
    // For people a name is as short as it can be.
    let (source, target) = (pair.source.master()?.pod, pair.target.master()?.pod);
    ensure!(row[3] == format!("{source}:6379"), "the master is {}", row[3]);
    ensure!(row[4] == format!("{target}:6379"), "the standby is {}", row[4]);
    Ok(())
}
