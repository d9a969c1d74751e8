//! Waiting is no crash (Promise 8), one cause at a time: the process stays the same one, says within ten seconds what
//! it waits for, goes on by itself, and nothing is lost or repeated.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use redis::Connection;
use redissync_e2e::{
    connection::connect,
    node::{Node, NodeOptions},
    proxy::{Mode, Proxy},
    sentinel_set::{SentinelSet, SetOptions},
    servers::ServerVersion,
    syncer::{SpoolOptions, Syncer, SyncerSite, Topology},
};
use serde_json::json;

use crate::{
    bed::{PATIENCE, assert_equal, assert_nodes_equal, binary, source_offset, wait_for_all},
    pair::{Pair, TOLD_WITHIN, get, options, run, waiting_reason, write_some, write_some_on},
};

/// Keys of a small preload.
const KEYS: u64 = 1500;

/// One wait from its cause to its end. `cause` brings it about and `cure` takes it away; where the source can be
/// written to, it is, before, during and after.
fn one_wait(
    pair: &mut Pair,
    reasons: &[&str],
    cause: impl FnOnce(&mut Pair) -> Result<()>,
    cure: impl FnOnce(&mut Pair) -> Result<()>,
) -> Result<()> {
    let pid = pair.syncer.pid();
    write_some(&pair.source, 20)?;
    pair.settle()?;
    cause(pair)?;
    let begun = Instant::now();
    // A source that is gone or loads takes no writes.
    let _ = write_some(&pair.source, 20);
    let report = pair.wait_for_reason(reasons, TOLD_WITHIN)?;
    println!("{} told after {:.1} s", waiting_reason(&report), begun.elapsed().as_secs_f64());
    let message = report.waiting_for().map(|wait| wait["message"].to_string()).unwrap_or_default();
    ensure!(message.len() > 4, "{reasons:?} without a message");
    ensure!(report.phase() == "Waiting", "phase {} in a wait for {reasons:?}", report.phase());
    // It tries again and again, and stays.
    std::thread::sleep(Duration::from_secs(2));
    ensure!(pair.syncer.report()?.halt().is_none(), "{:?}", pair.syncer.report()?.halt());
    cure(pair)?;
    write_some(&pair.source, 20)?;
    pair.settle_equal()?;
    let report = pair.syncer.wait_for("an end of all waits", PATIENCE, |report| {
        report.waiting_for().is_none() && report.phase() == "Streaming"
    })?;
    ensure!(report.halt().is_none(), "{:?}", report.halt());
    ensure!(pair.syncer.pid() == pid && pair.syncer.is_running(), "the process ended");
    Ok(())
}

/// No more than the first copy was needed.
fn one_copy(pair: &Pair) -> Result<()> {
    let report = pair.syncer.report()?;
    ensure!(
        report.full_copy_count() == Some(1),
        "{:?} copies, the last for {}",
        report.full_copy_count(),
        report.last_full_copy_reason()
    );
    Ok(())
}

fn config_set(node: &Node, key: &str, value: &str) -> Result<()> {
    redis::cmd("CONFIG").arg("SET").arg(key).arg(value).exec(&mut node.connect()?)?;
    Ok(())
}

#[test]
fn a_source_that_is_gone() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    one_wait(
        &mut pair,
        &["SourceUnreachable"],
        // Saved: it comes back with its history.
        |pair| run(&pair.source, "SAVE").and_then(|()| pair.source.kill9()),
        |pair| pair.source.restart(),
    )?;
    one_copy(&pair)
}

#[test]
fn a_target_that_is_gone_and_comes_back_older() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    run(&pair.target, "SAVE")?;
    one_wait(
        &mut pair,
        &["TargetUnreachable"],
        |pair| pair.target.kill9(),
        // As of the SAVE: what it had after that comes from the spool again.
        |pair| pair.target.restart(),
    )?;
    one_copy(&pair)
}

#[test]
fn a_cut_at_each_end_whether_it_is_told_or_silent() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let (near, far) = (Proxy::start(&source.address())?, Proxy::start(&target.address())?);
    redissync_e2e::fill(&mut source.connect()?, KEYS, 1)?;
    let mut options = options(&source, &target);
    options.source = SyncerSite::standalone("a", &near.address());
    options.target = SyncerSite::standalone("b", &far.address());
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    for (proxy, reason) in [(&near, "SourceUnreachable"), (&far, "TargetUnreachable")] {
        for mode in [Mode::Refuse, Mode::Silent] {
            println!("{mode:?} for {reason}");
            let cure = |_: &mut Pair| {
                proxy.set_mode(Mode::Pass);
                Ok(())
            };
            let cause = |_: &mut Pair| {
                proxy.set_mode(mode);
                Ok(())
            };
            one_wait(&mut pair, &[reason], cause, cure)?;
        }
        // Nothing is written: only what the syncer does by itself can show the cut.
        pair.settle()?;
        std::thread::sleep(Duration::from_secs(3));
        proxy.set_mode(Mode::Silent);
        let begun = Instant::now();
        pair.wait_for_reason(&[reason], TOLD_WITHIN)?;
        println!("idle: told after {:.1} s", begun.elapsed().as_secs_f64());
        proxy.set_mode(Mode::Pass);
        write_some(&pair.source, 20)?;
        pair.settle_equal()?;
    }
    one_copy(&pair)
}

/// A server that takes about 20 s to load its few keys.
fn load_slowly(node: &mut Node) -> Result<()> {
    run(node, "SAVE")?;
    node.kill9()?;
    node.set_option("key-load-delay", "10000");
    node.set_option("loading-process-events-interval-bytes", "1024");
    Ok(())
}

#[test]
fn an_end_that_loads_its_data() -> Result<()> {
    for is_source in [true, false] {
        let mut pair = Pair::streaming(KEYS)?;
        let pid = pair.syncer.pid();
        write_some(&pair.source, 20)?;
        pair.settle()?;
        let reason = if is_source { "SourceLoading" } else { "TargetLoading" };
        let Pair { syncer, source, target } = &mut pair;
        let node = if is_source { source } else { target };
        load_slowly(node)?;
        std::thread::scope(|scope| -> Result<()> {
            let restart = scope.spawn(|| node.restart());
            syncer.wait_for(reason, PATIENCE, |report| waiting_reason(report) == reason)?;
            ensure!(!restart.is_finished(), "it has loaded already");
            restart.join().map_err(|_| anyhow::anyhow!("the restart panicked"))?
        })?;
        write_some(&pair.source, 20)?;
        pair.settle_equal()?;
        ensure!(pair.syncer.pid() == pid && pair.syncer.is_running());
        one_copy(&pair)?;
    }
    Ok(())
}

#[test]
fn a_target_that_is_read_only() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    // Its new master is none, so its data stay.
    one_wait(
        &mut pair,
        &["TargetReadOnly", "TargetNotMaster"],
        |pair| run(&pair.target, "REPLICAOF 127.0.0.1 1"),
        |pair| run(&pair.target, "REPLICAOF NO ONE"),
    )?;
    one_copy(&pair)
}

#[test]
fn a_target_that_is_full() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    one_wait(
        &mut pair,
        &["TargetOutOfMemory"],
        |pair| config_set(&pair.target, "maxmemory", "1"),
        |pair| config_set(&pair.target, "maxmemory", "0"),
    )?;
    one_copy(&pair)
}

#[test]
fn a_target_that_is_full_before_the_first_copy_has_ended() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    redissync_e2e::fill(&mut source.connect()?, 20_000, 1)?;
    let begun: u64 =
        redissync_e2e::info::info(&mut target.connect()?, "memory")?["used_memory"].parse()?;
    config_set(&target, "maxmemory", &(begun + (2 << 20)).to_string())?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.wait_for_reason(&["TargetOutOfMemory"], PATIENCE)?;
    std::thread::sleep(Duration::from_secs(3));
    ensure!(pair.syncer.report()?.halt().is_none());
    config_set(&pair.target, "maxmemory", "0")?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;
    one_copy(&pair)
}

#[test]
fn a_target_that_cannot_save() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    // The save's last step, a rename, fails at a directory.
    let blocked = pair.target.directory().join("dump.rdb");
    one_wait(
        &mut pair,
        &["TargetMisconf"],
        |pair| {
            std::fs::create_dir(&blocked)?;
            config_set(&pair.target, "save", "3600 1000000")?;
            run(&pair.target, "BGSAVE")?;
            let mut connection = pair.target.connect()?;
            redissync_e2e::wait_until("the save to fail", PATIENCE, || {
                let info = redissync_e2e::info::info(&mut connection, "persistence")?;
                Ok((info["rdb_last_bgsave_status"] == "err").then_some(()))
            })
        },
        |pair| {
            std::fs::remove_dir(&blocked)?;
            run(&pair.target, "BGSAVE")
        },
    )?;
    one_copy(&pair)
}

#[test]
fn a_target_that_runs_a_script() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    config_set(&pair.target, "busy-reply-threshold", "100")?;
    let address = pair.target.address();
    let script = move || -> Result<()> {
        let mut connection = connect(&address, None)?;
        connection.set_read_timeout(Some(Duration::from_secs(60)))?;
        // It is killed: the answer is an error.
        let _: redis::RedisResult<()> =
            redis::cmd("EVAL").arg("while true do end").arg(0).query(&mut connection);
        Ok(())
    };
    one_wait(
        &mut pair,
        &["TargetBusy"],
        |_| {
            std::thread::spawn(script);
            Ok(())
        },
        |pair| run(&pair.target, "SCRIPT KILL"),
    )?;
    one_copy(&pair)
}

#[test]
fn a_target_without_the_replicas_that_it_wants() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    one_wait(
        &mut pair,
        &["TargetNoReplicas"],
        |pair| config_set(&pair.target, "min-replicas-to-write", "1"),
        |pair| config_set(&pair.target, "min-replicas-to-write", "0"),
    )?;
    one_copy(&pair)
}

/// Changes a server's password and ends all connections that were made with the old one.
fn change_password(connection: &mut Connection, password: &str) -> Result<()> {
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg(password).exec(connection)?;
    for kind in ["normal", "replica"] {
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).exec(connection)?;
    }
    Ok(())
}

#[test]
fn a_password_that_was_changed_at_each_end() -> Result<()> {
    let mut pair = Pair::streaming_with(
        KEYS,
        &NodeOptions::new().password("old-source"),
        &NodeOptions::new().password("old-target"),
    )?;
    let pid = pair.syncer.pid();
    let addresses = (pair.source.address(), pair.target.address());
    let mut source = pair.source.connect()?;
    let mut target = pair.target.connect()?;
    write_some_on(&mut source, 20)?;
    wait_for_all(&mut pair.syncer, &mut source)?;

    change_password(&mut target, "new-target")?;
    write_some_on(&mut source, 20)?;
    pair.wait_for_reason(&["TargetAuth"], TOLD_WITHIN)?;
    pair.syncer.rewrite_config(|options| options.target.password = Some("new-target".into()))?;
    wait_for_all(&mut pair.syncer, &mut source)?;

    change_password(&mut source, "new-source")?;
    let mut source = connect(&addresses.0, Some("new-source"))?;
    write_some_on(&mut source, 20)?;
    pair.wait_for_reason(&["SourceAuth"], TOLD_WITHIN)?;
    pair.syncer.rewrite_config(|options| options.source.password = Some("new-source".into()))?;
    write_some_on(&mut source, 20)?;
    wait_for_all(&mut pair.syncer, &mut source)?;
    assert_equal(&mut source, &mut connect(&addresses.1, Some("new-target"))?)?;
    ensure!(pair.syncer.pid() == pid && pair.syncer.is_running());
    one_copy(&pair)
}

/// One node and one sentinel that asks for a password.
fn guarded_set() -> Result<SentinelSet> {
    let mut options = SetOptions::new().sentinel_password("watch");
    (options.replica_count, options.sentinel_count) = (0, 1);
    SentinelSet::start(ServerVersion::Redis70, &options)
}

#[test]
fn sentinels_that_refuse_the_password_are_told_as_such_at_each_end() -> Result<()> {
    let (source_set, target_set) = (guarded_set()?, guarded_set()?);
    let mut source = source_set.node(0)?.connect()?;
    write_some_on(&mut source, 20)?;
    let node = source_set.node(0)?;
    let mut options = options(node, node);
    options.source = SyncerSite::sentinel_set("a", &source_set);
    options.target = SyncerSite::sentinel_set("b", &target_set);
    let change = |site: &mut SyncerSite, new: Option<&str>| {
        if let Topology::Sentinel { password, .. } = &mut site.topology {
            *password = new.map(str::to_owned);
        }
    };
    // First the target's, so that what is told of it is not told first of the source.
    change(&mut options.target, None);
    change(&mut options.source, Some("wrong"));
    let mut syncer = Syncer::start(&binary(), &options)?;
    let pid = syncer.pid();
    let refused = |syncer: &mut Syncer, reason: &str, words: &str| -> Result<()> {
        let report = syncer.wait_for(&format!("{reason}, {words}"), TOLD_WITHIN, |report| {
            let waits = report.0["waits"].as_array().cloned().unwrap_or_default();
            waits.iter().any(|wait| {
                let message = wait["message"].as_str().unwrap_or_default();
                wait["reason"] == reason && message.contains(words) && message.contains("auth")
            })
        })?;
        ensure!(report.phase() == "Waiting", "{:?}", report.0);
        let end = if reason.starts_with("Source") { "source" } else { "target" };
        let is_reachable = report.0.pointer(&format!("/links/0/{end}/reachable"));
        ensure!(is_reachable == Some(&json!(false)), "{:?}", report.0);
        Ok(())
    };
    // Without a password, and with a wrong one.
    refused(&mut syncer, "TargetSentinelAuth", "NOAUTH")?;
    syncer.rewrite_config(|options| change(&mut options.target, Some("wrong")))?;
    refused(&mut syncer, "TargetSentinelAuth", "WRONGPASS")?;
    // Right in the file, and nothing else changes.
    let directory = syncer.config_path().parent().context("no directory")?.to_path_buf();
    let file = |end: &str| directory.join(format!("{end}-sentinel-password"));
    std::fs::write(file("target"), "watch")?;
    // The target's side asks the source only once it has its own master.
    refused(&mut syncer, "SourceSentinelAuth", "WRONGPASS")?;
    std::fs::write(file("source"), "watch")?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(syncer.pid() == pid && syncer.is_running(), "the process ended");
    wait_for_all(&mut syncer, &mut source)?;
    assert_equal(&mut source, &mut target_set.node(0)?.connect()?)?;
    Ok(())
}

/// A file system of a few megabytes, unmounted when it is dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(directory: &std::path::Path, size: &str) -> Result<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory)
            .output()
            .context("no mount")?;
        ensure!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
        Ok(Self(directory.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the syncer may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Bytes for about 3 MiB of stream.
fn write_megabytes(connection: &mut Connection, megabytes: u64) -> Result<()> {
    let value = vec![b'x'; 64 << 10];
    for number in 0..megabytes * 16 {
        redis::cmd("SET").arg(format!("big:{}", number % 8)).arg(&value).exec(connection)?;
    }
    Ok(())
}

#[test]
fn a_disk_that_is_full() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let disk = match SmallDisk::mount(directory.path(), "4m") {
        Ok(disk) => disk,
        Err(err) => {
            println!("NOT TESTED: a file system of its own needs the right to mount one: {err:#}");
            return Ok(());
        }
    };
    let options_of_source = NodeOptions::new().option("repl-backlog-size", "64mb");
    let source = Node::start(ServerVersion::Redis70, &options_of_source)?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    redissync_e2e::fill(&mut source.connect()?, KEYS, 1)?;
    let options = options(&source, &target)
        .extra(json!({ "spool": { "dir": directory.path().join("spool") } }));
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    // Something else fills the disk.
    let ballast = directory.path().join("ballast");
    one_wait(
        &mut pair,
        &["DiskError"],
        |pair| {
            let _ = std::fs::write(&ballast, vec![0; 8 << 20]);
            write_megabytes(&mut pair.source.connect()?, 2)
        },
        |_| std::fs::remove_file(&ballast).context("no ballast"),
    )?;
    one_copy(&pair)?;
    drop(pair);
    drop(disk);
    Ok(())
}

#[test]
fn a_spool_that_is_full() -> Result<()> {
    let source_options = NodeOptions::new().option("repl-backlog-size", "64mb");
    let source = Node::start(ServerVersion::Redis70, &source_options)?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    redissync_e2e::fill(&mut source.connect()?, KEYS, 1)?;
    let spool = SpoolOptions {
        max_bytes: Some(4 << 20),
        retention_bytes: Some(1 << 20),
        retention_age: None,
    };
    let options = options(&source, &target).spool(spool);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.syncer.rewrite_config(|options| options.paused = true)?;
    pair.wait_for_reason(&["Paused"], PATIENCE)?;
    let begun = pair.syncer.report()?.offset("received").context("nothing received")?;
    write_megabytes(&mut pair.source.connect()?, 12)?;
    // The pause is shown first; the metrics show all waits.
    redissync_e2e::wait_until("a wait for the spool's room", TOLD_WITHIN, || {
        let metrics = pair.syncer.http_get("/metrics")?.body;
        let is_told =
            metrics.lines().any(|line| line.contains("SpoolFull") && !line.ends_with(" 0"));
        Ok(is_told.then_some(()))
    })?;
    let held = pair.syncer.report()?;
    let spooled = held.offset("spooled").context("nothing spooled")? - begun;
    ensure!(spooled < 6 << 20, "{spooled} bytes in a spool of 4 MiB");
    ensure!(
        held.number("/links/0/spool/bytes").is_some_and(|bytes| bytes <= 5 << 20),
        "{:?}",
        held.0
    );
    pair.unpause()?;
    pair.settle_equal()?;
    ensure!(pair.syncer.is_running());
    one_copy(&pair)
}

#[test]
fn a_spool_that_another_process_holds() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    let spool = pair.syncer.spool_directory();
    let other = options(&pair.source, &pair.target).extra(json!({ "spool": { "dir": spool } }));
    let mut second = Syncer::start(&binary(), &other)?;
    second.wait_for("a wait for the spool", TOLD_WITHIN, |report| {
        waiting_reason(report) == "SpoolLock"
    })?;
    write_some(&pair.source, 20)?;
    pair.settle_equal()?;
    ensure!(waiting_reason(&second.report()?) == "SpoolLock");
    pair.syncer.kill9()?;
    write_some(&pair.source, 20)?;
    second.wait_for_phase("Streaming", PATIENCE)?;
    wait_for_all(&mut second, &mut pair.source.connect()?)?;
    assert_nodes_equal(&pair.source, &pair.target)?;
    ensure!(second.report()?.full_copy_count() == Some(0), "the spool was not taken over");
    Ok(())
}

#[test]
fn a_pause_holds_applying_only() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    let pid = pair.syncer.pid();
    write_some(&pair.source, 20)?;
    pair.settle()?;
    pair.pause()?;
    let counter = get(&pair.target, "some:counter")?;
    write_some(&pair.source, 200)?;
    let end = source_offset(&mut pair.source.connect()?)?;
    let report = pair.syncer.wait_for("the spool to have it", PATIENCE, |report| {
        report.offset("spooled").is_some_and(|spooled| spooled >= end)
    })?;
    ensure!(report.checkpoint() < Some(end), "applied in a pause: {:?}", report.0);
    ensure!(get(&pair.target, "some:counter")? == counter);
    let reconnects = report.number("/links/0/counters/reconnects/source");
    pair.unpause()?;
    pair.settle_equal()?;
    let report = pair.syncer.report()?;
    ensure!(report.number("/links/0/counters/reconnects/source") == reconnects);
    ensure!(pair.syncer.pid() == pid && waiting_reason(&report).is_empty(), "{:?}", report.0);
    one_copy(&pair)
}
