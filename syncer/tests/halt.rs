//! What only a human can decide halts the link, durably and at its offset (Promise 8), and what can be applied is:
//! nothing is skipped silently.

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    node::{Node, NodeOptions},
    servers::ServerVersion,
    syncer::Report,
};

use crate::{
    bed::PATIENCE,
    pair::{
        Pair, RECORD, TOLD_WITHIN, get, halt_offset, halt_text, options, run, run_on, write_some,
    },
};

/// Keys of a small preload, in databases 0, 1 and 5.
const KEYS: u64 = 1500;

/// The halt stands at this offset, after any end of the process, and nothing behind it is applied.
fn halt_lasts(pair: &mut Pair, reason: &str) -> Result<Report> {
    let report = pair.wait_for_halt(reason)?;
    let offset = halt_offset(&report)?;
    let since = halt_text(&report, "since").to_owned();
    run(&pair.source, "SET behind:the:halt yes")?;
    pair.syncer.restart()?;
    let report = pair.wait_for_halt(reason)?;
    ensure!(halt_offset(&report)? == offset, "moved by a kill from {offset}: {:?}", report.halt());
    ensure!(halt_text(&report, "since") == since, "since {since}: {:?}", report.halt());
    pair.syncer.sigterm()?;
    pair.syncer.wait_exit(PATIENCE)?;
    pair.syncer.restart()?;
    let report = pair.wait_for_halt(reason)?;
    ensure!(halt_offset(&report)? == offset, "moved by SIGTERM from {offset}: {:?}", report.halt());
    ensure!(get(&pair.target, "behind:the:halt")?.is_empty(), "the stream went on");
    let told = pair.release_refused(&["--skip-unit", &(offset + 1).to_string()])?;
    ensure!(told.contains("does not halt at offset"), "{told}");
    let told = pair.release_refused(&["--allow-sweep", "0123456789abcdef"])?;
    ensure!(told.contains("no sweep of the copy"), "{told}");
    ensure!(pair.syncer.report()?.phase() == "Halted");
    ensure!(!halt_text(&report, "remedy").is_empty(), "no remedy: {:?}", report.halt());
    Ok(report)
}

/// Skips the unit that it halts at.
fn skip(pair: &mut Pair, report: &Report) -> Result<()> {
    pair.release_well(&["--skip-unit", &halt_offset(report)?.to_string()])?;
    pair.syncer.wait_for("the halt's end", PATIENCE, |report| report.halt().is_none())?;
    pair.settle()?;
    ensure!(get(&pair.target, "behind:the:halt")? == "yes");
    Ok(())
}

#[test]
fn a_rejected_command_halts_at_its_offset_until_it_is_released() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    run(&pair.source, "RPUSH planted a")?;
    pair.settle_equal()?;
    run(&pair.target, "DEL planted")?;
    run(&pair.target, "SET planted x")?;
    // One batch: what stands behind the rejected command has its own right.
    pair.pause()?;
    for words in ["SET planted:before 1", "RPUSH planted b", "SET planted:after 2"] {
        run(&pair.source, words)?;
    }
    pair.unpause()?;
    let report = halt_lasts(&mut pair, "CommandRejected")?;
    ensure!(halt_text(&report, "message").contains("WRONGTYPE"), "{:?}", report.halt());
    ensure!(get(&pair.target, "planted:before")? == "1", "what was before it is missing");
    ensure!(get(&pair.target, "planted:after")? == "2", "the rest of its batch is missing");
    ensure!(get(&pair.target, "planted")? == "x", "the planted key was touched");
    skip(&mut pair, &report)?;
    run(&pair.target, "DEL planted")?;
    run(&pair.target, "RPUSH planted a b")?;
    pair.settle_equal()?;
    ensure!(pair.syncer.report()?.full_copy_count() == Some(0), "copied again");
    Ok(())
}

#[test]
fn a_missing_right_halts_at_the_unit_with_nothing_of_it_applied() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    write_some(&pair.source, 20)?;
    pair.settle_equal()?;
    run(&pair.target, "ACL SETUSER default -incr")?;
    pair.pause()?;
    let mut source = pair.source.connect()?;
    redis::cmd("SET").arg("right:before").arg(1).exec(&mut source)?;
    redis::pipe()
        .atomic()
        .cmd("SET")
        .arg("right:inside")
        .arg(1)
        .cmd("INCR")
        .arg("right:counter")
        .exec(&mut source)?;
    redis::cmd("SET").arg("right:after").arg(1).exec(&mut source)?;
    pair.unpause()?;
    let report = halt_lasts(&mut pair, "CommandRejected")?;
    ensure!(halt_text(&report, "message").contains("NOPERM"), "{:?}", report.halt());
    ensure!(get(&pair.target, "right:before")? == "1", "what was before it is missing");
    for key in ["right:inside", "right:counter", "right:after"] {
        ensure!(get(&pair.target, key)?.is_empty(), "{key} was applied");
    }
    // The right alone decides nothing: the record holds the halt.
    run(&pair.target, "ACL SETUSER default +incr")?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    ensure!(pair.syncer.report()?.phase() == "Halted");
    // As the remedy says: applied by hand, then skipped.
    run(&pair.target, "SET right:inside 1")?;
    run(&pair.target, "INCR right:counter")?;
    skip(&mut pair, &report)?;
    write_some(&pair.source, 20)?;
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn without_any_right_to_write_it_waits_and_goes_on_by_itself() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    let pid = pair.syncer.pid();
    write_some(&pair.source, 20)?;
    pair.settle()?;
    run(&pair.target, "ACL SETUSER default -@write")?;
    write_some(&pair.source, 20)?;
    pair.wait_for_reason(&["TargetPermission"], TOLD_WITHIN)?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    let report = pair.syncer.report()?;
    ensure!(report.halt().is_none(), "{:?}", report.halt());
    run(&pair.target, "ACL SETUSER default +@all")?;
    pair.settle_equal()?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.full_copy_count() == Some(1) && pair.syncer.pid() == pid);
    Ok(())
}

#[test]
fn a_swap_with_the_records_database_halts_and_a_copy_makes_both_sides_equal() -> Result<()> {
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    // Most keys stay where they are: the brake is no part of this.
    let mut connection = source.connect()?;
    run_on(&mut connection, "SELECT 2")?;
    run_on(&mut connection, "DEBUG POPULATE 2000 many")?;
    run_on(&mut connection, "SELECT 1")?;
    run_on(&mut connection, "SET one 1")?;
    run_on(&mut connection, "SELECT 0")?;
    run_on(&mut connection, "SET zero 0")?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;

    run(&pair.source, "SWAPDB 1 2")?;
    write_some(&pair.source, 5)?;
    pair.settle_equal()?;
    ensure!(pair.syncer.report()?.halt().is_none());
    run(&pair.source, "SWAPDB 1 2")?;

    run(&pair.source, "SWAPDB 0 1")?;
    write_some(&pair.source, 5)?;
    let report = halt_lasts(&mut pair, "UnsupportedCommand")?;
    ensure!(halt_text(&report, "message").contains("SWAPDB"), "{:?}", report.halt());
    pair.release_well(&["--copy-again"])?;
    let report = pair.syncer.wait_for("the copy", PATIENCE, |report| {
        report.phase() == "Streaming" && report.full_copy_count() == Some(1)
    })?;
    ensure!(report.last_full_copy_reason() == "Requested", "{:?}", report.0);
    let keys = pair.settle_equal()?;
    ensure!(keys > 2000, "{keys}");
    ensure!(get(&pair.target, "one")? == "1", "not swapped");
    Ok(())
}

#[test]
fn flushes_pass_and_do_not_lose_the_record() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    for words in ["FLUSHDB", "FLUSHALL", "FLUSHALL ASYNC"] {
        write_some(&pair.source, 10)?;
        let mut source = pair.source.connect()?;
        for db in [0, 5] {
            run_on(&mut source, &format!("SELECT {db}"))?;
            run_on(&mut source, "MSET a 1 b 2 c 3")?;
        }
        run(&pair.source, words)?;
        pair.settle_equal()?;
        let has_record: bool =
            redis::cmd("EXISTS").arg(RECORD).query(&mut pair.target.connect()?)?;
        ensure!(has_record, "{words} took the record");
    }
    // With something behind it in the same batch, and in a transaction with it.
    pair.pause()?;
    let mut source = pair.source.connect()?;
    redis::pipe()
        .atomic()
        .cmd("SET")
        .arg("flushed")
        .arg(1)
        .cmd("FLUSHALL")
        .cmd("SET")
        .arg("kept")
        .arg(1)
        .exec(&mut source)?;
    write_some(&pair.source, 10)?;
    pair.unpause()?;
    ensure!(pair.settle_equal()? == 4);
    pair.syncer.restart()?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    write_some(&pair.source, 10)?;
    pair.settle_equal()?;
    let report = pair.syncer.report()?;
    ensure!(report.full_copy_count() == Some(0), "{:?}", report.0);
    Ok(())
}

#[test]
fn every_kind_of_command_passes() -> Result<()> {
    let mut pair = Pair::streaming(KEYS)?;
    let mut source = pair.source.connect()?;
    let many_databases = redis_databases(&mut source)?;
    // A transaction that changes its database on the way, and ends in another than it began in.
    redis::pipe()
        .atomic()
        .cmd("SET")
        .arg("tx:0")
        .arg(1)
        .cmd("SELECT")
        .arg(7)
        .cmd("RPUSH")
        .arg("tx:7")
        .arg("a")
        .arg("b")
        .cmd("SELECT")
        .arg(3)
        .cmd("SADD")
        .arg("tx:3")
        .arg("m")
        .exec(&mut source)?;
    run_on(&mut source, "SET tx:3:behind 1")?;
    run_on(&mut source, "SELECT 0")?;
    let mut large = redis::pipe();
    large.atomic();
    for number in 0..10_000 {
        large.cmd("RPUSH").arg("tx:large").arg(number);
    }
    large.exec(&mut source)?;
    // Empty, binary and large.
    let binary: Vec<u8> = (0..=255).collect();
    redis::cmd("SET").arg("empty").arg("").exec(&mut source)?;
    redis::cmd("SET").arg("").arg("an empty key").exec(&mut source)?;
    redis::cmd("SET").arg(&binary).arg(&binary).exec(&mut source)?;
    redis::cmd("HSET")
        .arg(b"\r\n*3\r\n$3\r\n".as_slice())
        .arg(&binary)
        .arg(b"\0")
        .exec(&mut source)?;
    let value: Vec<u8> =
        (0..8 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    redis::cmd("SET").arg("large").arg(&value).exec(&mut source)?;
    redis::cmd("RPUSH").arg("large:list").arg("small").arg(&value).exec(&mut source)?;
    // Scripts and functions.
    let script = "for i=1,100 do redis.call('incr', KEYS[1]) end redis.call('set', KEYS[2], ARGV[1]) return 1";
    redis::cmd("EVAL")
        .arg(script)
        .arg(2)
        .arg("script:n")
        .arg("script:s")
        .arg("x")
        .exec(&mut source)?;
    let library = "#!lua name=tools\nredis.register_function('put', function(keys, args) return redis.call('set', keys[1], args[1]) end)";
    redis::cmd("FUNCTION").arg("LOAD").arg(library).exec(&mut source)?;
    run_on(&mut source, "FCALL put 1 function:key value")?;
    // Streams with groups, expiry, messages.
    for words in [
        "XADD stream 1-1 a b",
        "XADD stream 2-1 a b",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group me COUNT 1 STREAMS stream >",
        "XREADGROUP GROUP group you STREAMS stream >",
        // A source forgets to tell its replicas how many entries the group has read (7.0.15: nil there too).
        "XGROUP SETID stream group 2-1 ENTRIESREAD 2",
        "XACK stream group 1-1",
        "PUBLISH channel message",
        "SET expiring x EX 3600",
        "EXPIRE tx:large 7200",
        "SET persistent x EX 3600",
        "PERSIST persistent",
        "SPOP tx:none",
        "SADD set a b c d e",
        "SPOP set 2",
        "INCRBYFLOAT float 1.5",
        "RENAME persistent renamed",
        "COPY renamed copied",
        "MOVE copied 4",
        "PFADD hll a b c",
        "GEOADD geo 13.361389 38.115556 Palermo",
        "SETRANGE range 10 x",
        "BITFIELD bits SET u8 0 200",
        "GETDEL renamed",
    ] {
        run_on(&mut source, words).with_context(|| words.to_owned())?;
    }
    for db in 0..many_databases {
        run_on(&mut source, &format!("SELECT {db}"))?;
        run_on(&mut source, &format!("SET in:{db} {db}"))?;
    }
    let keys = pair.settle_equal()?;
    ensure!(keys > KEYS, "{keys}");
    let mut target = pair.target.connect()?;
    let held = redissync_e2e::info::databases(&mut target)?;
    ensure!(held.len() == many_databases as usize, "{held:?}");
    let loaded: usize =
        redis::cmd("FUNCTION").arg("LIST").query::<Vec<redis::Value>>(&mut target)?.len();
    ensure!(loaded == 1, "the function is not loaded");
    ensure!(pair.syncer.report()?.full_copy_count() == Some(1));
    Ok(())
}

fn redis_databases(connection: &mut redis::Connection) -> Result<u32> {
    let (_, count): (String, u32) =
        redis::cmd("CONFIG").arg("GET").arg("databases").query(connection)?;
    Ok(count)
}

#[test]
fn a_value_that_the_target_cannot_hold_halts_with_a_remedy() -> Result<()> {
    let source = Node::start(ServerVersion::Redis82, &NodeOptions::new())?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    run(&source, "HSET hash a 1 b 2")?;
    run(&source, "HEXPIRE hash 3600 FIELDS 1 a")?;
    run(&source, "SET plain 1")?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    let report = pair.wait_for_halt("UnsupportedValue")?;
    ensure!(halt_text(&report, "remedy").contains("--copy-again"), "{:?}", report.halt());
    pair.syncer.restart()?;
    let report = pair.wait_for_halt("UnsupportedValue")?;
    let text = format!("{:?}", report.halt());
    ensure!(!text.contains("hash\""), "a key's name: {text}");
    // As the remedy says.
    run(&pair.source, "DEL hash")?;
    pair.release_well(&["--copy-again"])?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    pair.settle_equal()?;
    // In the stream the command is what the target does not know.
    run(&pair.source, "HSET hash a 1 b 2")?;
    run(&pair.source, "HEXPIRE hash 3600 FIELDS 1 a")?;
    let report = halt_lasts(&mut pair, "UnsupportedCommand")?;
    ensure!(halt_text(&report, "message").contains("no expiry of fields"), "{:?}", report.halt());
    run(&pair.source, "HEXPIRE hash 3000 FIELDS 1 a")?;
    run(&pair.source, "HPERSIST hash FIELDS 1 a")?;
    let first = halt_offset(&report)?;
    pair.release_well(&["--skip-unit", &first.to_string()])?;
    // The next command of that kind halts too: a consent counts for one unit.
    let report = pair.syncer.wait_for("the next halt", PATIENCE, |report| {
        report.number("/halt/offset").is_some_and(|offset| offset > first)
    })?;
    skip(&mut pair, &report)?;
    pair.settle_equal()?;
    Ok(())
}
