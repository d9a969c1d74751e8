//! The source's master is killed, and its Sentinels promote a replica.

use std::thread;

use anyhow::{Result, ensure};
use redis::Connection;
use redissync_e2e::{
    ledger::{Load, LoadOptions},
    node::{Node, NodeOptions},
    sentinel_set::SentinelSet,
    servers::ServerVersion,
    syncer::{Syncer, SyncerSite},
    wait::wait_until,
};

use super::{
    History, LOAD_TIME, Recorded, fill_set, freeze_replicas, heal, recorded, set_options,
    syncer_options, thaw_replicas, wait_for_new_master, wait_until_streaming, watch_pairs,
    write_tail,
};
use crate::bed::{PATIENCE, assert_equal, binary, scale, seed, source_offset, wait_for_all};

const CUT: &str = "the spool is cut";

/// What became of one failover.
struct Failover {
    killed: usize,
    history: History,
    /// The last position in the old history that the target had.
    applied: Recorded,
}

/// A source set, a target node, and the syncer between them in its stream.
struct Bed {
    source: SentinelSet,
    target: Node,
    syncer: Syncer,
}

impl Bed {
    fn start(version: ServerVersion) -> Result<Self> {
        let mut source = SentinelSet::start(version, &set_options())?;
        let target = Node::start(version, &NodeOptions::new())?;
        fill_set(&mut source, 10_000)?;
        let options = syncer_options(
            SyncerSite::sentinel_set("beijing", &source),
            SyncerSite::node("shanghai", &target),
        );
        let mut syncer = Syncer::start(&binary(), &options)?;
        syncer.wait_for_phase("Streaming", PATIENCE)?;
        Ok(Self { source, target, syncer })
    }

    /// Kills the master as a crash would.
    fn kill_master(&mut self) -> Result<Failover> {
        let killed = self.source.kill_master9()?;
        let mut target = self.target.connect()?;
        let mut applied = recorded(&mut target)?.unwrap_or(none());
        let old = applied.replid.clone();
        let (_, history) = wait_for_new_master(&self.source, killed, || {
            if let Ok(Some(now)) = recorded(&mut target)
                && now.replid == old
            {
                applied = now;
            }
        })?;
        Ok(Failover { killed, history, applied })
    }

    /// Kills the master while the target is held, after a tail that reached only the syncer.
    fn kill_master_while_the_target_is_held(&mut self, round: usize) -> Result<Failover> {
        let mut target = self.target.connect()?;
        redis::cmd("CLIENT").arg("PAUSE").arg(120_000).arg("WRITE").exec(&mut target)?;
        let written = self.wait_until_held()?;
        let master = self.source.current_master()?;
        self.wait_until_replicas_have(master, written)?;
        let tail = self.lose_tail(master, round)?;
        let before = recorded(&mut target)?.unwrap_or(none());
        let (_, history) = wait_for_new_master(&self.source, master, || {})?;
        ensure!(
            history.shared >= written && history.shared < tail,
            "the bed is wrong: written {written}, shared {}, spooled {tail}",
            history.shared
        );
        redis::cmd("CLIENT").arg("UNPAUSE").exec(&mut target)?;
        Ok(Failover { killed: master, history, applied: Recorded { offset: written, ..before } })
    }

    /// Kills the master after a tail that its replicas never got, and returns the tail's end.
    fn lose_tail(&mut self, master: usize, round: usize) -> Result<u64> {
        freeze_replicas(&mut self.source, master)?;
        let tail = write_tail(&mut self.source.node(master)?.connect()?, round)?;
        self.syncer.wait_for("the tail in the spool", PATIENCE, |report| {
            report.offset("spooled").is_some_and(|spooled| spooled >= tail)
        })?;
        self.source.node_mut(master)?.kill9()?;
        thaw_replicas(&mut self.source, master)?;
        Ok(tail)
    }

    /// Waits until the spool grows and nothing leaves it: one batch is sent and waits. Returns its end.
    fn wait_until_held(&mut self) -> Result<u64> {
        let mut last = None;
        wait_until("the target to be held", PATIENCE, || {
            let report = self.syncer.report()?;
            let (written, spooled) = (report.offset("written"), report.offset("spooled"));
            let (Some(written), Some(spooled)) = (written, spooled) else { return Ok(None) };
            match last {
                Some((before, begun)) if before == written && spooled > begun + (1 << 20) => {
                    Ok(Some(written))
                }
                Some((before, _)) if before == written => Ok(None),
                _ => {
                    last = Some((written, spooled));
                    Ok(None)
                }
            }
        })
    }

    fn wait_until_replicas_have(&self, master: usize, offset: u64) -> Result<()> {
        for index in (0..self.source.node_count()).filter(|index| *index != master) {
            let mut replica = self.source.node(index)?.connect()?;
            wait_until("the replicas to have what was applied", PATIENCE, || {
                Ok((source_offset(&mut replica)? >= offset).then_some(()))
            })?;
        }
        Ok(())
    }

    fn full_copies(&self) -> Result<u64> {
        Ok(self.syncer.report()?.full_copy_count().unwrap_or(0))
    }

    fn compare(&self, source: &mut Connection) -> Result<u64> {
        assert_equal(source, &mut self.target.connect()?)
    }
}

fn none() -> Recorded {
    Recorded { replid: String::new(), offset: 0 }
}

#[test]
fn a_killed_source_master_costs_no_full_copy_where_the_promoted_replica_has_what_was_applied()
-> Result<()> {
    let rounds = scale(3, 10);
    let held_rounds = scale(1, 2);
    let mut bed = Bed::start(ServerVersion::Redis70)?;
    let load = LoadOptions::new(bed.source.load_endpoint()).rate_per_second(21_000).seed(seed());
    let load = Load::start(load)?;
    let (mut without_copy, mut cuts) = (0, 0);
    for round in 0..rounds {
        thread::sleep(LOAD_TIME);
        let is_held = round % 5 == 1 && cuts < held_rounds;
        let copies = bed.full_copies()?;
        let seen_cuts = bed.syncer.logs().matches(CUT).count();
        let address = bed.target.address();
        let (failover, pairs) = watch_pairs(&address, None, |_| {
            let failover = match is_held {
                true => bed.kill_master_while_the_target_is_held(round)?,
                false => bed.kill_master()?,
            };
            wait_until_streaming(&mut bed.syncer, &failover.history.replid)?;
            Ok(failover)
        })?;
        let Failover { killed, history, applied } = failover;
        let copied = bed.full_copies()? - copies;
        let is_cut = bed.syncer.logs().matches(CUT).count() > seen_cuts;
        println!(
            "round {round}: held {is_held}, applied {}, shared {}, full copies {copied}, cut {is_cut}, pairs read {}",
            applied.offset, history.shared, pairs.read
        );
        if history.holds(&applied) {
            ensure!(copied == 0, "{copied} full copies without need: {}", bed.syncer.log_tail(40));
            ensure!(pairs.torn == 0, "{pairs:?}");
            without_copy += 1;
        } else {
            let reason = bed.syncer.report()?.last_full_copy_reason().to_string();
            ensure!(copied == 1 && reason == "SourceRollback", "{copied} full copies, {reason}");
        }
        if is_held {
            ensure!(is_cut, "no cut of the spool: {}", bed.syncer.log_tail(40));
            cuts += 1;
        }
        heal(&mut bed.source, killed)?;
    }
    let ledger = load.stop()?;
    let mut source = bed.source.connect_master()?;
    wait_for_all(&mut bed.syncer, &mut source)?;
    let verified = ledger.verify_not_repeated(&mut bed.target.connect()?)?;
    let keys = bed.compare(&mut source)?;
    println!(
        "{ledger}\n{verified}\n{keys} keys equal; {without_copy} of {rounds} failovers without a full copy, {cuts} cuts forced"
    );
    ensure!(cuts == held_rounds, "{cuts} held rounds");
    ensure!(without_copy * 10 >= rounds * 8 || rounds < 10, "{without_copy} of {rounds}");
    ensure!(without_copy > 0, "no failover was of the kind that needs no copy");
    Ok(())
}

#[test]
fn what_the_target_has_and_the_promoted_replica_never_got_costs_one_full_copy() -> Result<()> {
    let mut bed = Bed::start(ServerVersion::Redis70)?;
    let load = LoadOptions::new(bed.source.load_endpoint()).rate_per_second(5_000).seed(seed());
    let load = Load::start(load)?;
    thread::sleep(LOAD_TIME);
    let master = bed.source.current_master()?;
    freeze_replicas(&mut bed.source, master)?;
    let tail = write_tail(&mut bed.source.node(master)?.connect()?, 0)?;
    bed.syncer.wait_for("the tail in the target", PATIENCE, |report| {
        report.checkpoint().is_some_and(|checkpoint| checkpoint >= tail)
    })?;
    bed.source.node_mut(master)?.kill9()?;
    thaw_replicas(&mut bed.source, master)?;
    let (_, history) = wait_for_new_master(&bed.source, master, || {})?;
    ensure!(history.shared < tail, "the bed is wrong: shared {}, tail {tail}", history.shared);
    let report = wait_until_streaming(&mut bed.syncer, &history.replid)?;
    ensure!(
        report.full_copy_count() == Some(2) && report.last_full_copy_reason() == "SourceRollback",
        "{}",
        report.0
    );
    let ledger = load.stop()?;
    let mut source = bed.source.connect_master()?;
    wait_for_all(&mut bed.syncer, &mut source)?;
    ledger.verify_not_repeated(&mut bed.target.connect()?)?;
    let keys = bed.compare(&mut source)?;
    println!("{ledger}; lost {} bytes of the stream; {keys} keys equal", tail - history.shared);
    Ok(())
}
