//! Failovers of both sites: a master's pod goes, Sentinel promotes another, the syncer follows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redissync_e2e::{
    cluster::{Pair, redis_set::SetMaster},
    wait_until,
};

use crate::suite::{PATIENCE, SOME, with_pair};

/// From the switch at the sentinels to a status that says so.
const STATUS_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn a_source_master_whose_pod_is_deleted_is_followed() {
    with_pair("source", |_, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        let begun = Instant::now();
        let old = pair.source.force_delete_master()?;
        let new = pair.source.wait_until_switched(&old, PATIENCE)?;
        let promoted = begun.elapsed();
        pair.sync.wait_for("the new master in the status", STATUS_TIMEOUT, |status| {
            (status["links"][0]["source"]["address"] == *new.announced).then_some(())
        })?;
        let told = begun.elapsed();
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.sync.wait_until_ready(PATIENCE)?;
        println!("promoted after {promoted:.1?}, in the status after {told:.1?}");
        wait_for_switch_event(pair, "main", &old, &new)?;
        pair.compare(traffic, true)?;
        let now = pair.sync.copy_id(&pair.target)?;
        if now != copy {
            // Right only where the promoted node lacked what the target had.
            let status = pair.sync.status()?;
            let reason = &status["fullCopies"]["lastReason"];
            ensure!(reason == "SourceRollback", "a full copy was made for the reason {reason}");
            println!("the old master took writes with it: one full copy, {reason}");
        }
        Ok(())
    });
}

#[test]
fn a_target_master_whose_pod_is_deleted_costs_no_full_copy() {
    with_pair("target", |_, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        let begun = Instant::now();
        let old = pair.target.force_delete_master()?;
        let new = pair.target.wait_until_switched(&old, PATIENCE)?;
        let promoted = begun.elapsed();
        pair.sync.wait_for("the new standby in the status", STATUS_TIMEOUT, |status| {
            (status["links"][0]["target"]["address"] == *new.announced).then_some(())
        })?;
        println!("promoted after {promoted:.1?}, in the status after {:.1?}", begun.elapsed());
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.sync.wait_until_ready(PATIENCE)?;
        wait_for_switch_event(pair, "backup", &old, &new)?;
        pair.compare(traffic, false)?;
        ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
        Ok(())
    });
}

/// The event comes behind the status.
pub(crate) fn wait_for_switch_event(
    pair: &Pair,
    site: &str,
    old: &SetMaster,
    new: &SetMaster,
) -> Result<()> {
    wait_until("the event of the switch", PATIENCE, || {
        check_switched(&pair.sync.events("MasterSwitched")?, site, old, new).map(Some)
    })
}

/// An event that tells the old master, the new one and the epoch.
fn check_switched(
    events: &[serde_json::Value],
    site: &str,
    old: &SetMaster,
    new: &SetMaster,
) -> Result<()> {
    let notes: Vec<&str> = events.iter().filter_map(|event| event["note"].as_str()).collect();
    let tells = |note: &&str| {
        note.contains(site)
            && note.contains(&old.announced)
            && note.contains(&new.announced)
            && note.contains(&format!("epoch {}", new.epoch))
    };
    ensure!(
        notes.iter().any(tells),
        "no MasterSwitched tells {site}, {} to {} at epoch {}: {notes:?}",
        old.announced,
        new.announced,
        new.epoch
    );
    println!("{}", notes.join("; "));
    Ok(())
}
