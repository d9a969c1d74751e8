//! The syncer's pod and process go away, and nothing is lost, repeated or copied again.

use anyhow::{Result, ensure};
use redissync_e2e::{
    cluster::{Kind, Pair},
    wait_until,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::suite::{PATIENCE, SOME, with_pair};

#[test]
fn a_deleted_syncer_pod_costs_nothing() {
    with_pair("deleted-pod", |_, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        let before = uid(&pair.sync.pod()?);
        pair.cluster.delete(Kind::Pod, &pair.namespace, &pair.sync.pod_name(), None)?;
        wait_until("another pod", PATIENCE, || {
            Ok((uid(&pair.sync.pod()?) != before).then_some(()))
        })?;
        goes_on_without_a_copy(pair, &copy)?;
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.compare(traffic, false)?;
        ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
        // An orderly end leaves a clean record: each reply was seen.
        let verified = pair.sync.condition("DataVerified")?;
        ensure!(verified.status == "True", "DataVerified is {verified:?}");
        Ok(())
    });
}

#[test]
fn a_syncer_that_is_killed_goes_on_in_its_pod() {
    with_pair("killed", |_, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        let pod = pair.sync.pod_name();
        for round in 1..=2 {
            // Twice, since the second start reads a spool that a killed process left.
            pair.cluster.signal(
                &pair.namespace,
                &pod,
                "syncer",
                "redissync-syncer",
                Signal::KILL,
            )?;
            wait_until("the container's restart", PATIENCE, || {
                let pod = pair.sync.pod()?;
                let status = &pod["status"]["containerStatuses"][0];
                Ok((status["restartCount"] == round && status["ready"] == true).then_some(()))
            })?;
            traffic.wait_for_more(SOME, PATIENCE)?;
        }
        goes_on_without_a_copy(pair, &copy)?;
        pair.compare(traffic, false)?;
        ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
        Ok(())
    });
}

#[test]
fn a_pause_holds_the_target_still_and_costs_nothing() {
    with_pair("paused", |_, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        pair.sync.patch_spec(&json!({"paused": true}))?;
        pair.sync.wait_for_reason("Paused", PATIENCE)?;
        let held = pair.sync.record(&pair.target)?;
        traffic.wait_for_more(2 * SOME, PATIENCE)?;
        let now = pair.sync.record(&pair.target)?;
        ensure!(
            held.get("offset") == now.get("offset"),
            "the record moved from {held:?} to {now:?}"
        );
        let status = pair.sync.wait_for("the spool to fill", PATIENCE, |status| {
            let offsets = &status["links"][0]["offsets"];
            let gap = offsets["spooled"].as_i64()? - offsets["checkpoint"].as_i64()?;
            (gap > 10_000).then(|| status.clone())
        })?;
        println!("paused: {}", status["links"][0]["offsets"]);
        let ready = pair.sync.condition("Ready")?;
        ensure!(ready.status == "False" && ready.reason == "Paused", "{ready:?}");
        let generation = pair.sync.pod()?["metadata"]["uid"].clone();
        pair.sync.patch_spec(&json!({"paused": false}))?;
        goes_on_without_a_copy(pair, &copy)?;
        ensure!(pair.sync.pod()?["metadata"]["uid"] == generation, "the pod was replaced");
        pair.compare(traffic, false)?;
        Ok(())
    });
}

fn goes_on_without_a_copy(pair: &Pair, copy: &str) -> Result<()> {
    pair.sync.wait_until_ready(PATIENCE)?;
    let now = pair.sync.copy_id(&pair.target)?;
    ensure!(now == copy, "the full copy {now} was made after {copy}");
    Ok(())
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
