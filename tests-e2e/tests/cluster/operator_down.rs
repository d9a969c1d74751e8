//! The operator is away: the syncer follows by itself, the status stays as old as it is, and catches up.

use anyhow::{Result, bail, ensure};
use redissync_e2e::wait_until;

use crate::{
    sites::wait_for_switch_event,
    suite::{PATIENCE, SOME, send_operator_away, with_pair},
};

#[test]
fn a_failover_is_followed_while_no_operator_runs() {
    with_pair("operator-down", |suite, pair, traffic| {
        let away = send_operator_away(&suite.cluster)?;
        let last = pair.sync.status()?;
        let old = pair.source.force_delete_master()?;
        let new = pair.source.wait_until_switched(&old, PATIENCE)?;
        traffic.wait_for_more(SOME, PATIENCE)?;
        wait_until("the record to move on under the new master", PATIENCE, || {
            let seen =
                redissync_e2e::info::info(&mut pair.source.connect_master()?, "replication")?;
            let replid = seen.get("master_replid").cloned().unwrap_or_default();
            let record = pair.sync.record(&pair.target)?;
            if record.get("replid") == Some(&replid) {
                return Ok(Some(()));
            }
            bail!("the source is at {replid}, the record says {record:?}")
        })?;
        println!("followed without an operator: {} to {}", old.announced, new.announced);
        let now = pair.sync.status()?;
        ensure!(now == last, "somebody wrote the status");
        let printed = pair.cluster.kubectl(&["get", "redissync", "-n", &pair.namespace])?;
        print!("{printed}");
        let observed = observed(&printed)?;
        ensure!(observed >= 5, "OBSERVED is {observed} s while no operator runs");
        drop(away);
        pair.sync.wait_for("the status to catch up", PATIENCE, |status| {
            (status["links"][0]["source"]["address"] == *new.announced
                && status["observedAt"] != last["observedAt"])
                .then_some(())
        })?;
        wait_for_switch_event(pair, "main", &old, &new)?;
        pair.sync.wait_until_ready(PATIENCE)?;
        pair.compare(traffic, true)?;
        Ok(())
    });
}

/// The column OBSERVED in seconds (`12s`, `1m5s`).
fn observed(printed: &str) -> Result<u64> {
    let row: Vec<&str> = printed.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    let Some(text) = row.get(8) else { bail!("no column OBSERVED in {printed}") };
    let mut seconds = 0;
    let mut number = 0;
    for letter in text.chars() {
        match letter {
            '0'..='9' => number = number * 10 + u64::from(letter as u32 - '0' as u32),
            'm' => seconds += std::mem::take(&mut number) * 60,
            's' => seconds += std::mem::take(&mut number),
            _ => bail!("OBSERVED is {text}"),
        }
    }
    Ok(seconds)
}
