//! Both masters are killed at once, and the target's record rolls back.

use std::thread;

use anyhow::{Result, ensure};
use redissync_e2e::servers::ServerVersion;

use super::{
    LOAD_TIME, heal, set_options, target::roll_back, two_sets::TwoSets, wait_for_new_master,
    watch_pairs,
};
use crate::bed::scale;

#[test]
fn both_masters_killed_at_once_lose_nothing_that_the_source_kept() -> Result<()> {
    let rounds = scale(1, 3);
    let mut bed = TwoSets::start(ServerVersion::Redis70, &set_options(), &set_options())?;
    let load = bed.load(21_000)?;
    for round in 0..rounds {
        thread::sleep(LOAD_TIME);
        let copies = bed.full_copies()?;
        let address = bed.target.master_address()?;
        let (outcome, pairs) = watch_pairs(&address, None, |watcher| {
            let mut connection = bed.source.connect_master()?;
            let mut killed = None;
            let source = &mut bed.source;
            let rollback =
                roll_back(&mut bed.target, &mut bed.syncer, &mut connection, round, || {
                    killed = Some(source.kill_master9()?);
                    Ok(())
                })?;
            watcher.set_address(&bed.target.node(rollback.new)?.address());
            let killed = killed.unwrap_or_default();
            let (_, history) = wait_for_new_master(&bed.source, killed, || {})?;
            bed.wait_for_all()?;
            Ok((killed, history, rollback))
        })?;
        let (killed, history, rollback) = outcome;
        let report = bed.syncer.report()?;
        let copied = bed.full_copies()? - copies;
        println!(
            "round {round}: the record went back from {} to {}, the source's histories part at {}, full copies {copied}, pairs read {}",
            rollback.before.offset, rollback.after.offset, history.shared, pairs.read
        );
        if copied == 0 {
            ensure!(pairs.torn == 0, "{pairs:?}");
        } else {
            // Only what was applied between our last look and the kill can be more than the source kept.
            ensure!(history.shared < rollback.before.offset + (1 << 20), "a copy without need");
            ensure!(
                copied == 1 && report.last_full_copy_reason() == "SourceRollback",
                "{}",
                report.0
            );
        }
        heal(&mut bed.source, killed)?;
        heal(&mut bed.target, rollback.killed)?;
    }
    bed.finish(load)
}
