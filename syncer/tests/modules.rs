//! Values of modules: carried whole to a target that has the module, refused by its name where it is not.

use anyhow::{Context, Result, ensure};
use redissync_e2e::{
    node::{Node, NodeOptions},
    servers::ServerVersion::{self, Redis70, Redis74},
};
use serde_json::json;

use crate::{
    bed::PATIENCE,
    pair::{Pair, RECORD, halt_text, options, run},
};

const MODULES: [&str; 3] = ["rejson", "redisbloom", "redistimeseries"];

/// Writes of every type of these modules, each a key of its own under the name.
const WRITES: [&str; 16] = [
    r#"JSON.SET @:json $ {"a":[1,2.5,"text",null],"b":{"c":true}}"#,
    r#"JSON.NUMINCRBY @:json $.a[0] 41"#,
    "JSON.ARRAPPEND @:json $.a 7",
    "BF.RESERVE @:bloom 0.01 100 EXPANSION 2",
    "BF.MADD @:bloom a b c d e",
    "CF.RESERVE @:cuckoo 1000",
    "CF.ADD @:cuckoo a",
    "CMS.INITBYDIM @:cms 200 5",
    "CMS.INCRBY @:cms a 3 b 5",
    "TOPK.RESERVE @:topk 3 8 7 0.9",
    "TOPK.ADD @:topk a b a c a b",
    "TDIGEST.CREATE @:tdigest COMPRESSION 50",
    "TDIGEST.ADD @:tdigest 1 2 3 4.5",
    "TS.CREATE @:series RETENTION 0 LABELS of test",
    "TS.ADD @:series 1000 1.5",
    "TS.ADD @:series 2000 -3",
];

/// What is read of each; the same at both ends.
const READS: [&str; 8] = [
    "JSON.GET @:json",
    "BF.INFO @:bloom",
    "BF.MEXISTS @:bloom a b e z",
    "CF.EXISTS @:cuckoo a",
    "CMS.QUERY @:cms a b c",
    "TOPK.LIST @:topk WITHCOUNT",
    "TDIGEST.QUANTILE @:tdigest 0 0.5 1",
    "TS.RANGE @:series - +",
];

fn stack(version: ServerVersion) -> Result<Node> {
    let mut options = NodeOptions::new();
    for name in MODULES {
        let module = version.module(name)?;
        options.lines.push(("loadmodule".to_owned(), module.display().to_string()));
    }
    Node::start(version, &options)
}

fn write(node: &Node, name: &str) -> Result<()> {
    WRITES.iter().try_for_each(|words| run(node, &words.replace('@', name)))
}

fn read(node: &Node, name: &str) -> Result<Vec<redis::Value>> {
    let connection = &mut node.connect()?;
    let read = |words: &&str| {
        let words = words.replace('@', name);
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query(connection).with_context(|| format!("{command:?}"))
    };
    READS.iter().map(read).collect()
}

#[test]
fn values_of_modules_are_copied_and_followed() -> Result<()> {
    let (source, target) = (stack(Redis74)?, stack(Redis74)?);
    write(&source, "copied")?;
    run(&source, "TS.CREATE compacted")?;
    run(&source, "TS.CREATERULE copied:series compacted AGGREGATION sum 60000")?;
    let options = options(&source, &target);
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    write(&pair.source, "streamed")?;
    // The rule came along: this closes the first minute, and the sum of it is written.
    run(&pair.source, "TS.ADD copied:series 70000 4")?;
    pair.settle()?;
    for name in ["copied", "streamed"] {
        let (here, there) = (read(&pair.source, name)?, read(&pair.target, name)?);
        for ((here, there), words) in here.iter().zip(&there).zip(READS) {
            ensure!(here == there, "{name}: {words}: {here:?} and {there:?}");
        }
    }
    let sums = |node: &Node| -> Result<redis::Value> {
        redis::cmd("TS.RANGE")
            .arg(&["compacted", "-", "+"])
            .query(&mut node.connect()?)
            .context("TS.RANGE")
    };
    ensure!(sums(&pair.source)? == sums(&pair.target)?, "{:?}", sums(&pair.target)?);
    let keys: usize = redis::cmd("DBSIZE").query(&mut pair.source.connect()?)?;
    ensure!(keys == 15, "{keys} keys");
    ensure!(pair.syncer.report()?.counter("keysLeftOut") == Some(0));
    Ok(())
}

#[test]
fn a_value_whose_module_the_target_lacks_is_refused_by_the_modules_name() -> Result<()> {
    for policy in ["Halt", "Skip"] {
        let (source, target) = (stack(Redis74)?, Node::start(Redis70, &NodeOptions::new())?);
        write(&source, "copied")?;
        run(&source, "SET plain v")?;
        let options =
            options(&source, &target).extra(json!({"fullCopy": {"onUnsupported": policy}}));
        let mut pair = Pair::start(source, target, &options)?;
        if policy == "Halt" {
            let report = pair.wait_for_halt("UnsupportedValue")?;
            let message = halt_text(&report, "message");
            ensure!(message.contains("MODULE_2") && message.contains("the module"), "{message}");
            let remedy = halt_text(&report, "remedy");
            ensure!(remedy.contains("load that module at the target"), "{remedy}");
            continue;
        }
        let report = pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
        ensure!(report.counter("keysLeftOut") == Some(7), "{:?}", report.counter("keysLeftOut"));
        let mut listed: Vec<String> = redis::cmd("LRANGE")
            .arg(format!("{RECORD}:leftOut"))
            .arg(&[0, -1])
            .query(&mut pair.target.connect()?)?;
        listed.sort();
        ensure!(listed.len() == 7 && listed[0] == "0 MODULE_2 copied:bloom", "{listed:?}");
        ensure!(crate::pair::get(&pair.target, "plain")? == "v");
    }
    Ok(())
}
