//! What the syncer refuses to do to a target or a source, until a human agrees (Promise 5).

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use redissync_e2e::{
    compare::{CompareOptions, DifferenceKind, compare},
    info::databases,
    node::{Node, NodeOptions},
    servers::ServerVersion,
    syncer::{Report, Syncer, SyncerOptions, SyncerSite},
};

use crate::{
    bed::{PATIENCE, binary},
    pair::{
        PAIR_ID, Pair, RECORD, TOLD_WITHIN, digest, forks, get, halt_text, options, run,
        waiting_reason, write_some,
    },
};

/// A source with `fill:…` keys, and a target with foreign keys in two databases.
fn foreign_pair() -> Result<(Node, Node)> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    redissync_e2e::fill(&mut source.connect()?, 3000, 1)?;
    let mut connection = target.connect()?;
    for number in 0..40 {
        redis::cmd("SET").arg(format!("foreign:{number}")).arg(number).exec(&mut connection)?;
    }
    redis::pipe().cmd("SELECT").arg(3).cmd("SET").arg("foreign").arg("x").exec(&mut connection)?;
    Ok((source, target))
}

/// Keys per database, without those of the pair itself.
fn held(node: &Node) -> Result<BTreeMap<u32, u64>> {
    let mut connection = node.connect()?;
    let mut held = databases(&mut connection)?;
    let own: u64 =
        redis::cmd("EXISTS").arg(RECORD).arg(format!("{RECORD}:alive")).query(&mut connection)?;
    if let Some(count) = held.get_mut(&0) {
        *count -= own;
    }
    held.retain(|_, count| *count > 0);
    Ok(held)
}

#[test]
fn a_target_with_foreign_keys_is_refused_and_neither_end_is_touched() -> Result<()> {
    let (source, target) = foreign_pair()?;
    let before = (digest(&target)?, databases(&mut target.connect()?)?, forks(&source)?);
    ensure!(before.2 == (0, 0), "the source has forked already: {:?}", before.2);
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    let report = pair.wait_for_reason(&["TargetNotEmpty"], TOLD_WITHIN)?;
    let message = report.waiting_for().map(ToString::to_string).unwrap_or_default();
    ensure!(message.contains("db0: 40 keys, db3: 1 keys"), "{message}");
    ensure!(message.contains("onExistingData"), "no remedy: {message}");

    // It is refused for as long as it stays so, also by a new process: no fork now and then.
    std::thread::sleep(Duration::from_secs(3));
    pair.syncer.restart()?;
    pair.wait_for_reason(&["TargetNotEmpty"], TOLD_WITHIN)?;
    std::thread::sleep(Duration::from_secs(3));
    let after =
        (digest(&pair.target)?, databases(&mut pair.target.connect()?)?, forks(&pair.source)?);
    ensure!(after == before, "before {before:?}, after {after:?}");
    ensure!(pair.syncer.report()?.full_copy_count() == Some(0));

    // Emptied by a human, it is taken without a restart.
    run(&pair.target, "FLUSHALL")?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn with_sweep_the_first_copy_removes_what_was_there_without_a_brake() -> Result<()> {
    let (source, target) = foreign_pair()?;
    // More than a brake would let go, and keys of ours at both ends.
    redis::cmd("DEBUG").arg("POPULATE").arg(20_000).arg("old").exec(&mut target.connect()?)?;
    run(&target, "SET redissync:other/pair:0 spared")?;
    run(&source, "SET redissync:other/pair:9 not-copied")?;
    let options = options(&source, &target).on_existing_data("Sweep");
    let mut pair = Pair::start(source, target, &options)?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.counter("keysSwept") == Some(20_041), "{:?}", report.0);
    run(&pair.source, "SET redissync:other/pair:8 not-streamed")?;
    pair.settle()?;
    ensure!(get(&pair.target, "redissync:other/pair:0")? == "spared");
    ensure!(get(&pair.target, "redissync:other/pair:9")?.is_empty(), "copied");
    ensure!(get(&pair.target, "redissync:other/pair:8")?.is_empty(), "streamed");
    // The comparison leaves out what begins with redissync: on both sides alike.
    run(&pair.source, "DEL redissync:other/pair:9 redissync:other/pair:8")?;
    pair.settle_equal()?;
    ensure!(get(&pair.target, "redissync:other/pair:0")? == "spared", "deleted by the stream");
    Ok(())
}

/// Promise 5. `Sweep` stays in the configuration when its copy has ended. It must not count for what comes to that address
/// later.
#[test]
fn the_consent_for_the_first_copy_does_not_come_back_with_a_lost_record() -> Result<()> {
    let (source, target) = foreign_pair()?;
    let options = options(&source, &target).on_existing_data("Sweep");
    let mut pair = Pair::start(source, target, &options)?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.counter("keysSwept") == Some(41), "{:?}", report.0);
    write_some(&pair.source, 50)?;
    pair.settle_equal()?;
    pair.syncer.sigterm()?;
    pair.syncer.wait_exit(PATIENCE)?;

    // As another server would be, with more of its own than a brake lets go.
    run(&pair.target, "FLUSHALL")?;
    redis::cmd("DEBUG").arg("POPULATE").arg(500).arg("else").exec(&mut pair.target.connect()?)?;
    pair.syncer.restart()?;
    let report = pair.wait_for_halt("SweepBrake")?;
    ensure!(report.last_full_copy_reason() == "NoRecord", "{:?}", report.0);
    let copy_id = halt_text(&report, "copyId").to_owned();
    let of_others = || -> Result<usize> {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("else:*").query(&mut pair.target.connect()?)?;
        Ok(keys.len())
    };
    ensure!(of_others()? == 500, "{} of 500 keys are left", of_others()?);

    pair.release_well(&["--allow-sweep", &copy_id])?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn with_keep_what_was_there_stays() -> Result<()> {
    let (source, target) = foreign_pair()?;
    let options = options(&source, &target).on_existing_data("Keep");
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    write_some(&pair.source, 100)?;
    pair.settle()?;
    for number in 0..40 {
        ensure!(get(&pair.target, &format!("foreign:{number}"))? == number.to_string());
    }
    // They alone make the difference.
    let options = CompareOptions::synced();
    let found = compare(&mut pair.source.connect()?, &mut pair.target.connect()?, &options)?;
    let is_all_surplus = found.differences.iter().all(|one| one.kind == DifferenceKind::Surplus);
    ensure!(found.difference_count == 41 && is_all_surplus && found.keys > 3000, "{found}");
    Ok(())
}

#[test]
fn a_source_that_is_this_pairs_target_is_refused() -> Result<()> {
    let mut pair = Pair::streaming(2000)?;
    write_some(&pair.source, 50)?;
    pair.settle()?;
    pair.syncer.sigterm()?;
    pair.syncer.wait_exit(PATIENCE)?;
    let before = (digest(&pair.source)?, digest(&pair.target)?, forks(&pair.target)?);
    let swapped = SyncerOptions::new(
        PAIR_ID,
        SyncerSite::node("a", &pair.target),
        SyncerSite::node("b", &pair.source),
    )
    .on_existing_data("Sweep");
    let mut wrong = Syncer::start(&binary(), &swapped)?;
    let report = wrong.wait_for("a refusal of the roles", TOLD_WITHIN, |report| {
        waiting_reason(report) == "RoleConflict"
    })?;
    let message = report.waiting_for().map(ToString::to_string).unwrap_or_default();
    ensure!(message.contains(&pair.target.address()), "{message}");
    std::thread::sleep(Duration::from_secs(3));
    let after = (digest(&pair.source)?, digest(&pair.target)?, forks(&pair.target)?);
    ensure!(after == before, "before {before:?}, after {after:?}");
    drop(wrong);
    pair.syncer.restart()?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn a_source_that_comes_back_empty_does_not_empty_the_target() -> Result<()> {
    let mut pair = Pair::streaming(3000)?;
    write_some(&pair.source, 50)?;
    let keys = pair.settle_equal()?;
    ensure!(
        pair.release_refused(&["--copy-again"])?.contains("nothing to release"),
        "a release of nothing"
    );
    let before = held(&pair.target)?;
    let some = get(&pair.target, "some:counter")?;
    pair.source.restart_empty()?;
    let report = pair.wait_for_halt("SweepBrake")?;
    let copy_id = halt_text(&report, "copyId").to_owned();
    ensure!(
        halt_text(&report, "remedy").contains(&format!("--allow-sweep {copy_id}")),
        "{:?}",
        report.halt()
    );
    ensure!(report.last_full_copy_reason() == "HistoryReset", "{:?}", report.0);
    ensure!(
        held(&pair.target)? == before,
        "the target has lost keys of {before:?}: {:?}",
        held(&pair.target)?
    );

    // The brake outlives the process, however it ends.
    pair.syncer.restart()?;
    pair.wait_for_halt("SweepBrake")?;
    pair.syncer.sigterm()?;
    pair.syncer.wait_exit(PATIENCE)?;
    pair.syncer.restart()?;
    let report = pair.wait_for_halt("SweepBrake")?;
    ensure!(halt_text(&report, "copyId") == copy_id, "another copy: {:?}", report.halt());
    ensure!(
        held(&pair.target)? == before,
        "the target has lost keys of {before:?}: {:?}",
        held(&pair.target)?
    );
    ensure!(get(&pair.target, "some:counter")? == some);

    // A consent to something else is none.
    let told = pair.release_refused(&["--allow-sweep", "0123456789abcdef"])?;
    ensure!(told.contains("no sweep of the copy 0123456789abcdef"), "{told}");
    let told = pair.release_refused(&["--skip-unit", "7"])?;
    ensure!(told.contains("does not halt at offset 7"), "{told}");
    std::thread::sleep(Duration::from_secs(2));
    ensure!(pair.syncer.report()?.phase() == "Halted");
    ensure!(
        held(&pair.target)? == before,
        "the target has lost keys of {before:?}: {:?}",
        held(&pair.target)?
    );

    pair.release_well(&["--allow-sweep", &copy_id])?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.counter("keysSwept") == Some(keys), "{:?}", report.0);
    run(&pair.source, "SET alive again")?;
    pair.settle_equal()?;
    ensure!(get(&pair.target, "alive")? == "again");
    // The consent was for that copy.
    let field: String =
        redis::cmd("HGET").arg(RECORD).arg("sweepAllowed").query(&mut pair.target.connect()?)?;
    ensure!(field == "0", "the consent still counts: {field}");
    Ok(())
}

#[test]
fn a_brake_over_several_databases_is_told_as_nothing_but_a_brake() -> Result<()> {
    let mut pair = Pair::streaming(1000)?;
    let mut source = pair.source.connect()?;
    for db in [5, 9] {
        redis::pipe().cmd("SELECT").arg(db).cmd("SET").arg("there").arg(db).exec(&mut source)?;
    }
    pair.settle_equal()?;
    let before = held(&pair.target)?;
    pair.source.restart_empty()?;
    let begun = pair.wait_for_halt("SweepBrake")?;
    // It looks for an answer twice a second.
    std::thread::sleep(Duration::from_secs(2));
    let report = pair.syncer.report()?;
    let reconnects = |report: &Report| report.number("/links/0/counters/reconnects/target");
    ensure!(reconnects(&report) == reconnects(&begun), "the target was left: {:?}", report.0);
    let logs = pair.syncer.logs();
    let told = logs.lines().find(|line| line.contains("Superseded"));
    ensure!(told.is_none(), "{told:?}");
    ensure!(held(&pair.target)? == before, "{before:?} became {:?}", held(&pair.target)?);
    // And it finds the answer.
    pair.release_well(&["--allow-sweep", halt_text(&report, "copyId")])?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    run(&pair.source, "SET alive again")?;
    ensure!(pair.settle_equal()? == 1);
    Ok(())
}
