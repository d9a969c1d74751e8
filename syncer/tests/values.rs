//! Values between versions: what the target does not take as it is arrives as commands, what it cannot have is refused
//! with its type, and nobody is told half of it.

use anyhow::{Context, Result, ensure};
use redis::Connection;
use redissync_e2e::{
    node::{Node, NodeOptions},
    servers::ServerVersion::{
        self, Redis28, Redis62, Redis70, Redis74, Redis82, Valkey81, Valkey91,
    },
};
use serde_json::json;

use crate::{
    bed::PATIENCE,
    pair::{Pair, RECORD, halt_text, options, run},
};

/// What a source may hold that not every target can have.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kinds {
    pub(crate) streams: bool,
    pub(crate) functions: bool,
    pub(crate) field_expiry: bool,
}

const STREAMS: Kinds = Kinds { streams: true, functions: false, field_expiry: false };

/// Values in every encoding that the server has, small and large.
pub(crate) fn fill(node: &Node, kinds: Kinds) -> Result<()> {
    let connection = &mut node.connect()?;
    for words in [
        "SET text value",
        "SET number 12345",
        "SET expiring v PX 4000000",
        "RPUSH list a 1 -70000 4000000000 9223372036854775807",
        "SADD numbers 1 -2 300000 -5000000000",
        "SADD members a b 7",
        "ZADD scores 1 a -1.5 b inf c -inf d 1e300 e 0.1 f 123456789012 g",
        "HSET hash f 1",
        "HSET hash g text",
        "EXPIRE hash 4000",
    ] {
        run(node, words)?;
    }
    redis::pipe()
        .cmd("SELECT")
        .arg(3)
        .cmd("SET")
        .arg("compressible")
        .arg("abc".repeat(5000))
        .cmd("RPUSH")
        .arg("other:list")
        .arg(vec!["x"; 40])
        .exec(connection)?;
    let connection = &mut node.connect()?;
    // Beyond what is packed, and beyond what is built in one EXEC.
    script(
        connection,
        "for i = 1, 3000 do
            redis.call('RPUSH', 'large:list', i, string.rep(i .. ':', 20))
            redis.call('SADD', 'large:set', i, 'm' .. i)
            redis.call('SADD', 'large:numbers', i * 1000003)
            redis.call('ZADD', 'large:scores', i / 7, 'member ' .. i)
            redis.call('HSET', 'large:hash', 'field ' .. i, string.rep(i .. ';', 30))
         end
         redis.call('RPUSH', 'large:elements', string.rep('e', 10000), string.rep('f', 20000), 'g')
         redis.call('HSET', 'large:value', 'f', string.rep('v', 100000))
         return 1",
    )?;
    if kinds.streams {
        fill_streams(node)?;
    }
    if kinds.functions {
        redis::cmd("FUNCTION")
            .arg("LOAD")
            .arg("#!lua name=values\nredis.register_function('one', function() return 1 end)")
            .exec(connection)?;
    }
    if kinds.field_expiry {
        run(node, "HSET expiring:small a 1 b 2 c 3")?;
        run(node, "HPEXPIREAT expiring:small 4102444800123 FIELDS 1 b")?;
        script(
            connection,
            "for i = 1, 2000 do
                redis.call('HSET', 'expiring:large', i, string.rep('v', 50))
                if i % 3 == 0 then
                    redis.call('HPEXPIREAT', 'expiring:large', 4102444800000 + i, 'FIELDS', 1, i)
                end
             end
             return 1",
        )?;
    }
    Ok(())
}

fn fill_streams(node: &Node) -> Result<()> {
    let connection = &mut node.connect()?;
    script(
        connection,
        "for i = 1, 500 do
            redis.call('XADD', 'stream', i .. '-1', 'same', i, 'other', 'value ' .. i)
            if i % 7 == 0 then redis.call('XADD', 'stream', i .. '-2', 'odd', -i) end
         end
         redis.call('XDEL', 'stream', '5-1', '490-1', '500-1')
         redis.call('XGROUP', 'CREATE', 'stream', 'group', 0)
         redis.call('XGROUP', 'CREATE', 'stream', 'idle', '100-1')
         redis.call('XADD', 'emptied', '77-7', 'a', 'b')
         redis.call('XDEL', 'emptied', '77-7')
         redis.call('XGROUP', 'CREATE', 'never', 'filled', '$', 'MKSTREAM')
         for i = 1, 300 do redis.call('XADD', 'stream:long', i .. '-0', 'f', string.rep('x', 300)) end
         return 1",
    )?;
    run(node, "XREADGROUP GROUP group alice COUNT 20 STREAMS stream >")?;
    run(node, "XREADGROUP GROUP group bob COUNT 30 STREAMS stream >")?;
    run(node, "XACK stream group 3-1 21-1 25-1")?;
    run(node, "XCLAIM stream group alice 0 30-1")?;
    run(node, "XGROUP CREATECONSUMER stream idle nobody")?;
    Ok(())
}

fn script(connection: &mut Connection, body: &str) -> Result<()> {
    redis::cmd("EVAL").arg(body).arg(0).exec(connection).context("a script of the test failed")
}

fn started(
    source: ServerVersion,
    target: ServerVersion,
    kinds: Kinds,
    policy: Option<&str>,
) -> Result<Pair> {
    let source = Node::start(source, &NodeOptions::new())?;
    let target = Node::start(target, &NodeOptions::new())?;
    fill(&source, kinds)?;
    let mut options = options(&source, &target);
    if let Some(policy) = policy {
        options = options.extra(json!({"fullCopy": {"onUnsupported": policy}}));
    }
    Pair::start(source, target, &options)
}

/// Nothing of ours is left beside the data but the record and its sign of life.
fn assert_nothing_remains(node: &Node) -> Result<()> {
    for db in [0, 3] {
        let connection = &mut node.connect()?;
        redis::cmd("SELECT").arg(db).exec(connection)?;
        let keys: Vec<String> = redis::cmd("KEYS").arg("redissync:*").query(connection)?;
        let others: Vec<_> =
            keys.iter().filter(|key| *key != RECORD && !key.ends_with(":alive")).collect();
        ensure!(others.is_empty(), "in database {db}: {others:?}");
    }
    Ok(())
}

/// A server that is not asked for its modules: the value itself is tried.
fn tells_no_modules() -> NodeOptions {
    NodeOptions::new().option("rename-command", "MODULE \"\"")
}

/// Everything arrives, in a copy without anything left out.
fn pass(source: ServerVersion, target: ServerVersion, kinds: Kinds) -> Result<()> {
    let mut pair = started(source, target, kinds, None)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    let keys = pair.settle_equal()?;
    ensure!(keys >= 17, "only {keys} keys");
    ensure!(pair.syncer.report()?.counter("keysLeftOut") == Some(0));
    if kinds.functions {
        let one: i64 = redis::cmd("FCALL").arg("one").arg(0).query(&mut pair.target.connect()?)?;
        ensure!(one == 1);
    }
    assert_nothing_remains(&pair.target)?;
    println!("{source} to {target}: {keys} keys equal");
    Ok(())
}

#[test]
fn redis_8_2_to_6_2_as_commands() -> Result<()> {
    pass(Redis82, Redis62, STREAMS)
}

#[test]
fn redis_7_0_to_2_8_as_commands() -> Result<()> {
    pass(Redis70, Redis28, Kinds::default())
}

#[test]
fn valkey_9_1_to_redis_7_0_as_commands() -> Result<()> {
    pass(Valkey91, Redis70, Kinds { functions: true, ..STREAMS })
}

#[test]
fn redis_8_2_to_valkey_8_1() -> Result<()> {
    pass(Redis82, Valkey81, Kinds { functions: true, ..STREAMS })
}

#[test]
fn fields_that_expire_go_from_either_family_to_the_other() -> Result<()> {
    let all = Kinds { streams: true, functions: true, field_expiry: true };
    for (source, target) in [(Redis82, Valkey91), (Valkey91, Redis74), (Redis74, Redis82)] {
        pass(source, target, all).with_context(|| format!("{source} to {target}"))?;
    }
    Ok(())
}

#[test]
fn what_a_target_cannot_have_halts_with_its_type_and_lists_its_key() -> Result<()> {
    for (source, target, kinds, name, key) in [
        (Redis70, Redis28, STREAMS, "STREAM_LISTPACKS_2", "0 STREAM_LISTPACKS_2 "),
        (Redis82, Redis62, Kinds { field_expiry: true, ..Kinds::default() }, "HASH_", " expiring:"),
        (Redis70, Redis62, Kinds { functions: true, ..Kinds::default() }, "FUNCTION", ""),
    ] {
        let mut pair = started(source, target, kinds, None)?;
        let report = pair.wait_for_halt("UnsupportedValue")?;
        let message = halt_text(&report, "message");
        ensure!(message.contains(name), "{message}");
        ensure!(halt_text(&report, "remedy").contains("use a target of"), "{:?}", report.halt());
        ensure!(!message.contains("expiring:"), "a key's name: {message}");
        let listed: Vec<String> = redis::cmd("LRANGE")
            .arg(format!("{RECORD}:leftOut"))
            .arg(0)
            .arg(-1)
            .query(&mut pair.target.connect()?)?;
        ensure!(key.is_empty() == listed.is_empty(), "{listed:?}");
        ensure!(listed.iter().all(|line| line.contains(key)), "{listed:?}");
    }
    Ok(())
}

#[test]
fn with_skip_the_copy_goes_on_without_what_the_target_cannot_have() -> Result<()> {
    let kinds = Kinds { streams: true, functions: true, field_expiry: true };
    let mut pair = started(Redis82, Redis62, kinds, Some("Skip"))?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    // Two hashes and a library.
    ensure!(report.counter("keysLeftOut") == Some(3), "{:?}", report.0);
    let mut listed: Vec<String> = redis::cmd("LRANGE")
        .arg(format!("{RECORD}:leftOut"))
        .arg(0)
        .arg(-1)
        .query(&mut pair.target.connect()?)?;
    listed.sort();
    ensure!(
        listed == ["0 HASH_LISTPACK_EX expiring:small", "0 HASH_METADATA expiring:large"],
        "{listed:?}"
    );
    // All else is there. That the two are not is no difference once the source lacks them too.
    let metrics = pair.syncer.http_get("/metrics")?.body;
    ensure!(metrics.contains("redissync_keys_left_out_total 3"), "{metrics}");
    run(&pair.source, "DEL expiring:small")?;
    run(&pair.source, "DEL expiring:large")?;
    pair.settle_equal()?;
    Ok(())
}

#[test]
fn with_skip_a_value_that_the_target_itself_refuses_is_left_out() -> Result<()> {
    let rejson = Redis74.module("rejson")?;
    let with_module = NodeOptions::new().option("loadmodule", rejson.display());
    let source = Node::start(Redis74, &with_module)?;
    let target = Node::start(Redis74, &tells_no_modules())?;
    run(&source, r#"JSON.SET doc $ {"a":1}"#)?;
    let options = options(&source, &target).extra(json!({"fullCopy": {"onUnsupported": "Skip"}}));
    // Alone in its batch: the target's refusal is of the value all the same, and nothing to wait for.
    let mut pair = Pair::start(source, target, &options)?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.counter("keysLeftOut").is_some_and(|count| count >= 1), "{:?}", report.0);
    let listed: Vec<String> = redis::cmd("LRANGE")
        .arg(format!("{RECORD}:leftOut"))
        .arg(0)
        .arg(-1)
        .query(&mut pair.target.connect()?)?;
    ensure!(listed == ["0 MODULE_2 doc"], "{listed:?}");
    Ok(())
}

/// Promise 5: what the target has under the name of such a key is old, and neither shown on nor spared by the sweep.
#[test]
fn with_skip_all_that_the_target_refuses_is_listed_and_no_old_value_stays() -> Result<()> {
    let rejson = Redis74.module("rejson")?;
    let with_module = NodeOptions::new().option("loadmodule", rejson.display());
    let source = Node::start(Redis74, &with_module)?;
    let target = Node::start(Redis74, &tells_no_modules())?;
    for number in 0..20 {
        run(&source, &format!(r#"JSON.SET doc:{number} $ {{"a":1}}"#))?;
        run(&source, &format!("SET plain:{number} 1"))?;
        run(&target, &format!("SET doc:{number} old"))?;
    }
    let options = options(&source, &target)
        .on_existing_data("Sweep")
        .extra(json!({"fullCopy": {"onUnsupported": "Skip"}}));
    let mut pair = Pair::start(source, target, &options)?;
    let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    ensure!(report.counter("keysLeftOut") == Some(20), "{:?}", report.0);
    let target = &mut pair.target.connect()?;
    let list = format!("{RECORD}:leftOut");
    let listed: usize = redis::cmd("LLEN").arg(&list).query(target)?;
    ensure!(listed == 20, "{listed} keys are listed");
    let left: Vec<String> = redis::cmd("KEYS").arg("doc:*").query(target)?;
    ensure!(left.is_empty(), "old values: {left:?}");
    let plain: Vec<String> = redis::cmd("KEYS").arg("plain:*").query(target)?;
    ensure!(plain.len() == 20, "{plain:?}");
    Ok(())
}

/// Entries of the sizes whose back length differs between Valkey 9.1 and the others.
#[test]
fn an_entry_that_would_crash_the_target_is_rewritten() -> Result<()> {
    for (source, target) in [(Valkey91, Redis82), (Valkey91, Valkey81), (Redis70, Valkey91)] {
        let source = Node::start(source, &NodeOptions::new())?;
        let target = Node::start(target, &NodeOptions::new())?;
        let connection = &mut source.connect()?;
        script(
            connection,
            "redis.call('XADD', 's', '1-1', 'f', string.rep('x', 16378))
             redis.call('XADD', 's', '1-2', 'f', 'y')
             redis.call('XGROUP', 'CREATE', 's', 'g', 0)
             return 1",
        )?;
        run(&source, "XREADGROUP GROUP g c STREAMS s >")?;
        run(&source, "XDEL s 1-2")?;
        let what = format!("{} to {}", source.version(), target.version());
        let options = options(&source, &target);
        let mut pair = Pair::start(source, target, &options)?;
        pair.syncer.wait_for_phase("Streaming", PATIENCE).with_context(|| what.clone())?;
        // Reading it backwards and changing it is what a wrong form would not survive.
        let target = &mut pair.target.connect()?;
        let last: redis::Value =
            redis::cmd("XREVRANGE").arg("s").arg("+").arg("-").query(target)?;
        ensure!(format!("{last:?}").len() > 16_000, "{what}");
        // The pending entry of the deleted message shows that it was no rebuild by commands.
        let pending: (u64, String, String, Vec<(String, String)>) =
            redis::cmd("XPENDING").arg("s").arg("g").query(target)?;
        ensure!(pending.0 == 2, "{what}: {pending:?}");
        pair.settle_equal()?;
        println!("{what}: equal");
    }
    Ok(())
}
