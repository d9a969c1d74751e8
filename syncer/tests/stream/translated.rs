//! A command that the target's version does not know is said in words that it does, exactly; one that cannot be said
//! halts before it is sent.

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    node::{Node, NodeOptions},
    servers::ServerVersion::{self, Redis28, Redis62, Redis74, Redis82, Valkey81, Valkey91},
};

use crate::{
    bed::PATIENCE,
    pair::{Pair, get, halt_offset, halt_text, options, run, run_on},
};

/// What every source since 7.0 has.
const ALL: &str = "
SET text:1 one
PEXPIRE text:1 4000000
SET text:1 other KEEPTTL
SET text:2 v PXAT 4102444800000
SET text:3 v EX 4000
GETEX text:3 EXAT 4102444800
SET number 1
EXPIRE number 4000
INCRBYFLOAT number 1.5
SET gone:1 v
SET gone:2 v
UNLINK gone:1 gone:2
RPUSH list:1 a b c d e f g h i
LPOP list:1 2
RPOP list:1 2
RPUSH list:2 x y z
LMOVE list:1 list:2 LEFT LEFT
LMOVE list:1 list:2 RIGHT RIGHT
LMOVE list:1 list:2 LEFT RIGHT
LMOVE list:2 list:1 RIGHT LEFT
LMOVE list:2 list:2 LEFT RIGHT
RPUSH list:turned only
PEXPIREAT list:turned 4102444800000
LMOVE list:turned list:turned LEFT RIGHT
LMPOP 1 list:2 RIGHT COUNT 2
RPUSHX list:2 p q r
LPUSHX list:2 s t
RPUSH list:3 a b
LPOP list:3 9
HSET hash a 1 b 2 c 3
HINCRBYFLOAT hash a 1.25
ZADD scores 1 a 2 b 3 c 4 d 5 e
ZADD scores GT 9 a 1 b 7 new
ZADD scores LT 1 c 9 d
ZADD scores NX 3 a 6 fresh
ZADD scores XX CH 8 d 8 none
ZADD scores INCR 1.5 e
ZADD scores inf top -inf bottom 0.1 tenth
ZADD scores GT 1e300 top 1e300 tenth
ZPOPMIN scores
ZPOPMAX scores 2
ZADD names 0 a 0 b 0 c 0 d
ZRANGESTORE range:1 scores 0 2
ZRANGESTORE range:2 scores 0 1 REV
ZRANGESTORE range:3 scores (2 +inf BYSCORE LIMIT 1 2
ZRANGESTORE range:4 scores +inf 2 BYSCORE REV
ZRANGESTORE range:5 names [b + BYLEX
ZRANGESTORE range:6 names [c - BYLEX REV LIMIT 0 2
ZRANGESTORE names names 5 9
SADD plain a fresh
ZDIFFSTORE rest 2 scores plain
ZDIFFSTORE rest:2 2 plain scores
COPY text:1 copied:1
COPY list:1 copied:1 REPLACE
COPY scores copied:2 DB 3
COPY scores scores DB 3
MOVE text:2 3
EXPIRE text:3 90000000 GT
PEXPIRE text:3 80000000 LT
EXPIRE hash 4000 NX
SPUBLISH channel message
PFADD visits a b c
PFCOUNT visits
";

const FIELD_EXPIRY: &str = "
HSETEX expiring EX 4000 FIELDS 2 a 1 b 2
HSETEX expiring FXX KEEPTTL FIELDS 1 a 9
HSETEX expiring FIELDS 1 b 3
HSETEX expiring FNX PXAT 4102444800000 FIELDS 1 c 9
HINCRBYFLOAT expiring c 0.5
HGETEX expiring PX 5000000 FIELDS 1 b
HGETEX expiring PERSIST FIELDS 1 a
HPEXPIRE expiring 6000000 FIELDS 2 b none
";

const NO_FIELD_EXPIRY: &str = "
HSETEX record FIELDS 3 a 1 b 2 c 3
HSETEX record KEEPTTL FIELDS 1 a 9
HSETEX record FXX FIELDS 1 b 9
HINCRBYFLOAT record c 0.5
HGETDEL record FIELDS 1 a
";

const STREAMS: &str = "
XADD log NOMKSTREAM * f none
XADD log 1-1 f a
XADD log NOMKSTREAM MAXLEN ~ 1000 2-1 f b
XADD log 3-1 f c
XADD log 4-1 f d
XADD log MINID = 2 5-1 f e
XGROUP CREATE log group 0 ENTRIESREAD 1
XGROUP CREATECONSUMER log group idle
XREADGROUP GROUP group reader COUNT 3 STREAMS log >
XREADGROUP GROUP group reader NOACK COUNT 1 STREAMS log >
XACK log group 2-1
XCLAIM log group other 0 3-1
XDEL log 5-1
XAUTOCLAIM log group third 0 0
XSETID log 9-1 ENTRIESADDED 20 MAXDELETEDID 4-1
XTRIM log MINID 4
";

const STREAMS_8_2: &str = "
XADD many KEEPREF MAXLEN 100 1-1 f a
XADD many 2-1 f b
XADD many 3-1 f c
XADD many 4-1 f d
XADD many 5-1 f e
XGROUP CREATE many one 0
XGROUP CREATE many two 0
XREADGROUP GROUP one reader COUNT 9 STREAMS many >
XREADGROUP GROUP two reader COUNT 4 STREAMS many >
XDELEX many IDS 1 1-1
XDELEX many DELREF IDS 1 2-1
XADD many 6-1 f f
XACKDEL many one KEEPREF IDS 2 3-1 6-1
XACK many two 4-1
XACKDEL many one ACKED IDS 1 4-1
XACKDEL many one ACKED IDS 1 5-1
";

const BITS: &str = "
SET bits:a abcdefgh
SET bits:b abc
SET bits:c zzzzzzzzzzzz
BITOP DIFF bits:1 bits:a bits:b
BITOP DIFF bits:2 bits:b bits:a bits:c
BITOP DIFF1 bits:3 bits:a bits:b bits:c
BITOP ANDOR bits:4 bits:a bits:b bits:c
BITOP ONE bits:5 bits:a bits:b bits:c
BITOP ONE bits:a bits:a bits:a bits:b
";

const VALKEY: &str = "
SET equal old
SET equal new IFEQ old
SET equal none IFEQ old
SET going v
DELIFEQ going v
MSETEX 2 multi:1 a multi:2 b EX 4000
MSETEX 2 multi:1 c multi:3 d KEEPTTL
HSETEX record:2 NX FIELDS 1 a 1
";

fn all_of(lists: &[&str]) -> Vec<String> {
    let lines = lists.iter().flat_map(|list| list.lines());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Runs the commands one by one, then all in one transaction; compares after each.
fn pass(source: ServerVersion, target: ServerVersion, lists: &[&str]) -> Result<()> {
    let what = format!("{source} to {target}");
    pass_named(source, target, lists).with_context(|| what.clone())?;
    println!("{what}: equal");
    Ok(())
}

fn pass_named(source: ServerVersion, target: ServerVersion, lists: &[&str]) -> Result<()> {
    let source = Node::start(source, &NodeOptions::new())?;
    let target = Node::start(target, &NodeOptions::new())?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    let lines = all_of(lists);
    let mut connection = pair.source.connect()?;
    for line in &lines {
        run_on(&mut connection, line).with_context(|| line.clone())?;
    }
    payloads(&mut connection)?;
    let keys = pair.settle_equal()?;
    ensure!(keys > 15, "only {keys} keys");
    run_on(&mut connection, "FLUSHALL ASYNC")?;
    let mut transaction = redis::pipe();
    transaction.atomic();
    for line in lines.iter().filter(|line| !line.starts_with("XAUTOCLAIM")) {
        let mut words = line.split(' ');
        transaction.cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            transaction.arg(word);
        });
    }
    let _: redis::Value = transaction.query(&mut connection)?;
    pair.settle_equal()?;
    let report = pair.syncer.report()?;
    ensure!(report.halt().is_none(), "{:?}", report.halt());
    ensure!(report.full_copy_count() == Some(1), "copied again");
    Ok(())
}

/// What clients restore: into a free name, over another value, with a time of either kind.
fn payloads(connection: &mut redis::Connection) -> Result<()> {
    run_on(connection, "RPUSH restored:list a b 7")?;
    run_on(connection, "HSET restored:hash a 1 b text")?;
    run_on(connection, "SET restored:text value")?;
    for name in ["list", "hash", "text"] {
        let dump: Vec<u8> = redis::cmd("DUMP").arg(format!("restored:{name}")).query(connection)?;
        let to = format!("restored:again:{name}");
        redis::cmd("RESTORE").arg(&to).arg(0).arg(&dump).exec(connection)?;
        redis::cmd("RESTORE")
            .arg(&to)
            .arg(4_102_444_800_000_u64)
            .arg(&dump)
            .arg(&["REPLACE", "ABSTTL", "IDLETIME", "5"])
            .exec(connection)?;
        redis::cmd("RESTORE")
            .arg(format!("restored:span:{name}"))
            .arg(5_000_000)
            .arg(&dump)
            .exec(connection)?;
    }
    Ok(())
}

#[test]
fn redis_8_2_is_said_in_the_words_of_2_8() -> Result<()> {
    pass(Redis82, Redis28, &[ALL, NO_FIELD_EXPIRY, BITS])
}

#[test]
fn redis_8_2_is_said_in_the_words_of_6_2() -> Result<()> {
    pass(Redis82, Redis62, &[ALL, NO_FIELD_EXPIRY, BITS, STREAMS, STREAMS_8_2])
}

#[test]
fn redis_8_2_is_said_in_the_words_of_valkey_8_1_and_9_1() -> Result<()> {
    pass(Redis82, Valkey81, &[ALL, NO_FIELD_EXPIRY, BITS, STREAMS, STREAMS_8_2])?;
    pass(Redis82, Valkey91, &[ALL, FIELD_EXPIRY, STREAMS_8_2])
}

#[test]
fn valkey_9_1_is_said_in_the_words_of_redis() -> Result<()> {
    pass(Valkey91, Redis28, &[ALL, NO_FIELD_EXPIRY, VALKEY])?;
    pass(Valkey91, Redis74, &[ALL, FIELD_EXPIRY, VALKEY])?;
    pass(Valkey91, Redis82, &[ALL, FIELD_EXPIRY, STREAMS, VALKEY])
}

#[test]
fn a_command_that_the_target_does_not_know_halts_before_it_is_sent() -> Result<()> {
    let source = Node::start(Redis82, &NodeOptions::new())?;
    let target = Node::start(Redis28, &NodeOptions::new())?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    run(&pair.source, "SET before 1")?;
    redis::pipe()
        .atomic()
        .cmd("SET")
        .arg("inside")
        .arg(1)
        .cmd("GEOADD")
        .arg(&["places", "13.4", "52.5", "Berlin"])
        .cmd("GEOSEARCHSTORE")
        .arg(&["near", "places", "FROMLONLAT", "13", "52", "BYBOX", "900", "900", "km"])
        .exec(&mut pair.source.connect()?)?;
    run(&pair.source, "SET behind 1")?;
    let report = pair.wait_for_halt("UnsupportedCommand")?;
    let message = halt_text(&report, "message");
    ensure!(message.contains("GEOSEARCHSTORE") && message.contains("does not know"), "{message}");
    ensure!(get(&pair.target, "before")? == "1");
    for key in ["inside", "behind"] {
        ensure!(get(&pair.target, key)?.is_empty(), "{key} was applied");
    }
    pair.release_well(&["--skip-unit", &halt_offset(&report)?.to_string()])?;
    pair.settle()?;
    ensure!(get(&pair.target, "behind")? == "1" && get(&pair.target, "inside")?.is_empty());
    Ok(())
}
