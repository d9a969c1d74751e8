//! A quick preload: keys of all types and sizes, before a test or a measurement begins.

use anyhow::{Context, Result};
use redis::{Connection, Pipeline};

use crate::{
    info::{info, knows_command},
    random::Random,
};

/// The databases that are filled, in turn.
const DATABASES: [u32; 3] = [0, 1, 5];

/// Keys in one round trip.
const BATCH: u64 = 500;

/// Writes `count` keys named `fill:<number>` into databases 0, 1 and 5: strings of several encodings, small and large
/// lists, hashes, sets, sorted sets, and streams with groups and pending entries where the server knows them. A tenth
/// expires after an hour or more.
pub fn fill(connection: &mut Connection, count: u64, seed: u64) -> Result<()> {
    println!("fill with {count} keys, seed {seed}");
    let streams = streams_of(connection)?;
    let mut random = Random::new(seed);
    for begin in (0..count).step_by(BATCH as usize) {
        let db = DATABASES[(begin / BATCH) as usize % DATABASES.len()];
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SELECT").arg(db).ignore();
        for number in begin..count.min(begin + BATCH) {
            let key = format!("fill:{number}");
            push_key(&mut pipeline, &key, &mut random, streams);
            if random.below(10) == 0 {
                pipeline.cmd("EXPIRE").arg(&key).arg(3600 + random.below(7200)).ignore();
            }
        }
        pipeline.exec(connection).with_context(|| format!("failed to fill database {db}"))?;
    }
    redis::cmd("SELECT").arg(0).exec(connection).context("failed to select database 0")
}

/// What the server knows of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    Unknown,
    /// Before 7.0.
    Plain,
    /// A group counts the entries that it has read.
    WithEntriesRead,
}

fn streams_of(connection: &mut Connection) -> Result<Streams> {
    if !knows_command(connection, "xadd")? {
        return Ok(Streams::Unknown);
    }
    let server = info(connection, "server")?;
    let version = server.get("redis_version").map(String::as_str).unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let major = major.with_context(|| format!("the server tells the version {version:?}"))?;
    Ok(if major < 7 { Streams::Plain } else { Streams::WithEntriesRead })
}

fn push_key(pipeline: &mut Pipeline, key: &str, random: &mut Random, streams: Streams) {
    // One collection in a hundred is large, beyond what any version stores in the compact encoding.
    let size = if random.below(100) == 0 { 600 + random.below(400) } else { 1 + random.below(8) };
    match random.below(16) {
        0..5 => {
            let length = 10 + random.below(190) as usize;
            pipeline.cmd("SET").arg(key).arg(random.text(length)).ignore();
        }
        5 => {
            pipeline.cmd("SET").arg(key).arg(random.next_u64() as i64 >> random.below(60)).ignore();
        }
        // Long and repetitive: stored compressed in an RDB file.
        6 => {
            pipeline.cmd("SET").arg(key).arg("redissync ".repeat(100)).ignore();
        }
        7..9 => push_collection(pipeline, "RPUSH", key, size, |_| vec![random.text(12)]),
        9..11 => push_collection(pipeline, "HMSET", key, size, |number| {
            vec![format!("field:{number}").into_bytes(), random.text(12)]
        }),
        11 => push_collection(pipeline, "SADD", key, size, |_| {
            vec![random.below(1_000_000).to_string().into_bytes()]
        }),
        12 => push_collection(pipeline, "SADD", key, size, |_| vec![random.text(12)]),
        13..15 => push_collection(pipeline, "ZADD", key, size, |number| {
            let score = random.below(1_000_000) as f64 / 7.0;
            vec![score.to_string().into_bytes(), format!("member:{number}").into_bytes()]
        }),
        _ if streams != Streams::Unknown => push_stream(pipeline, key, size, random, streams),
        _ => {
            pipeline.cmd("SET").arg(key).arg(random.text(20)).ignore();
        }
    }
}

fn push_collection(
    pipeline: &mut Pipeline,
    command: &str,
    key: &str,
    size: u64,
    mut element: impl FnMut(u64) -> Vec<Vec<u8>>,
) {
    pipeline.cmd(command).arg(key).ignore();
    for number in 0..size {
        pipeline.arg(element(number));
    }
}

/// Entries, one of them deleted, and a group that has read some and acknowledged one.
fn push_stream(
    pipeline: &mut Pipeline,
    key: &str,
    size: u64,
    random: &mut Random,
    streams: Streams,
) {
    for number in 1..=size {
        let id = format!("{number}-1");
        pipeline.cmd("XADD").arg(key).arg(id).arg("n").arg(number).arg("text").arg(random.text(12));
        pipeline.ignore();
    }
    pipeline.cmd("XGROUP").arg("CREATE").arg(key).arg("group").arg("0").ignore();
    pipeline
        .cmd("XREADGROUP")
        .arg("GROUP")
        .arg("group")
        .arg("consumer")
        .arg("COUNT")
        .arg(3)
        .arg("STREAMS")
        .arg(key)
        .arg(">")
        .ignore();
    if streams == Streams::WithEntriesRead {
        // XREADGROUP reaches replicas as XCLAIM, which does not carry the count of entries read (t_stream.c,
        // `streamPropagateXCLAIM`): a replica would differ from its master, and after a failover from everybody.
        let read = size.min(3);
        pipeline.cmd("XGROUP").arg("SETID").arg(key).arg("group").arg(format!("{read}-1"));
        pipeline.arg("ENTRIESREAD").arg(read).ignore();
    }
    pipeline.cmd("XACK").arg(key).arg("group").arg("1-1").ignore();
    if size > 4 {
        pipeline.cmd("XDEL").arg(key).arg("4-1").ignore();
    }
}
