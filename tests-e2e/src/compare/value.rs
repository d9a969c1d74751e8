//! Values read in full, in a form that does not depend on encoding, order or version.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context, Result};
use redis::{Cmd, Connection, Pipeline, Value};

use super::{CompareOptions, DifferenceKind, hyperloglog};
use crate::info::knows_command;

/// Fields of XINFO STREAM and XINFO GROUPS that are part of the value. The others tell how it is stored, or follow
/// from these.
const STREAM_FIELDS: [&str; 5] =
    ["length", "last-generated-id", "max-deleted-entry-id", "entries-added", "groups"];
const GROUP_FIELDS: [&str; 5] =
    ["name", "consumers", "pending", "last-delivered-id", "entries-read"];

/// Fields that only servers from 7.0 on tell: they count where both sides tell them.
const NEWER_FIELDS: [&str; 3] = ["max-deleted-entry-id", "entries-added", "entries-read"];

/// More elements of a vector set than any test makes.
const MEMBERS_MAX: u32 = 1_000_000;

/// How far a difference is described.
const SHOWN_BYTES: usize = 60;

/// A value as its parts, each with a name: two values are equal when the parts are.
#[derive(Debug)]
pub(super) struct Full {
    kind: String,
    parts: BTreeMap<Vec<u8>, Vec<u8>>,
    /// When fields of a hash expire, in milliseconds.
    expiry: BTreeMap<Vec<u8>, i64>,
}

/// Reads values of both sides alike.
pub(super) struct Reader {
    has_field_expiry: bool,
}

impl Reader {
    pub(super) fn new(source: &mut Connection, target: &mut Connection) -> Result<Self> {
        let has_field_expiry =
            knows_command(source, "hpexpiretime")? && knows_command(target, "hpexpiretime")?;
        Ok(Self { has_field_expiry })
    }

    pub(super) fn read(&self, connection: &mut Connection, keys: &[Vec<u8>]) -> Result<Vec<Full>> {
        let mut pipeline = Pipeline::new();
        for key in keys {
            pipeline.cmd("TYPE").arg(key);
        }
        let kinds: Vec<String> = pipeline.query(connection).context("failed to read types")?;
        let mut pipeline = Pipeline::new();
        for (key, kind) in keys.iter().zip(&kinds) {
            pipeline.add_command(read_command(kind, key));
        }
        let values: Vec<Value> = pipeline.query(connection).context("failed to read values")?;
        let mut full = Vec::with_capacity(keys.len());
        for ((key, kind), value) in keys.iter().zip(kinds).zip(values) {
            let parts = parts_of(&kind, value)
                .with_context(|| format!("{} is a {kind} of another form", key.escape_ascii()))?;
            let mut value = Full { kind, parts, expiry: BTreeMap::new() };
            match value.kind.as_str() {
                "hash" if self.has_field_expiry => add_field_expiry(connection, key, &mut value)?,
                "stream" => add_stream_details(connection, key, &mut value)?,
                "vectorset" => add_vectors(connection, key, &mut value)?,
                _ => {}
            }
            full.push(value);
        }
        Ok(full)
    }
}

fn read_command(kind: &str, key: &[u8]) -> Cmd {
    let mut cmd = Cmd::new();
    match kind {
        "string" => cmd.arg("GET").arg(key),
        "list" => cmd.arg("LRANGE").arg(key).arg(0).arg(-1),
        "hash" => cmd.arg("HGETALL").arg(key),
        "set" => cmd.arg("SMEMBERS").arg(key),
        "zset" => cmd.arg("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES"),
        "stream" => cmd.arg("XRANGE").arg(key).arg("-").arg("+"),
        // How its elements are linked is drawn by lot at each server.
        "vectorset" => cmd.arg("VRANDMEMBER").arg(key).arg(MEMBERS_MAX),
        // Of a module, or of a type that this does not know: its serialised form must do.
        _ => cmd.arg("DUMP").arg(key),
    };
    cmd
}

fn parts_of(kind: &str, value: Value) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let index = |number: usize| format!("{number:09}").into_bytes();
    Ok(match kind {
        "list" => {
            let elements: Vec<Vec<u8>> = redis::from_redis_value(value)?;
            elements.into_iter().enumerate().map(|(at, element)| (index(at), element)).collect()
        }
        "hash" => redis::from_redis_value(value)?,
        "set" | "vectorset" => {
            let members: Vec<Vec<u8>> = redis::from_redis_value(value)?;
            members.into_iter().map(|member| (member, Vec::new())).collect()
        }
        "zset" => {
            let members: Vec<(Vec<u8>, f64)> = redis::from_redis_value(value)?;
            // Versions print the same score with more or fewer digits.
            let score = |score: f64| score.to_string().into_bytes();
            members.into_iter().map(|(member, at)| (member, score(at))).collect()
        }
        "stream" => {
            let entries: Vec<(Vec<u8>, Vec<Vec<u8>>)> = redis::from_redis_value(value)?;
            let entry = |words: Vec<Vec<u8>>| words.join(&b"\0"[..]);
            entries.into_iter().map(|(id, words)| (id, entry(words))).collect()
        }
        _ => {
            let value: Vec<u8> = redis::from_redis_value(value)?;
            let registers = if kind == "string" { hyperloglog::registers(&value) } else { None };
            BTreeMap::from([(Vec::new(), registers.unwrap_or(value))])
        }
    })
}

fn add_field_expiry(connection: &mut Connection, key: &[u8], value: &mut Full) -> Result<()> {
    let fields: Vec<Vec<u8>> = value.parts.keys().cloned().collect();
    if fields.is_empty() {
        return Ok(());
    }
    let times: Vec<i64> = redis::cmd("HPEXPIRETIME")
        .arg(key)
        .arg("FIELDS")
        .arg(fields.len())
        .arg(&fields)
        .query(connection)
        .context("failed to read when fields expire")?;
    value.expiry = fields.into_iter().zip(times).filter(|(_, time)| *time >= 0).collect();
    Ok(())
}

fn add_vectors(connection: &mut Connection, key: &[u8], value: &mut Full) -> Result<()> {
    for (member, part) in &mut value.parts {
        let (vector, attributes): (Vec<Vec<u8>>, Option<Vec<u8>>) = redis::pipe()
            .cmd("VEMB")
            .arg(key)
            .arg(member)
            .cmd("VGETATTR")
            .arg(key)
            .arg(member)
            .query(connection)
            .context("failed to read an element of a vector set")?;
        *part = vector.into_iter().chain(attributes).collect::<Vec<_>>().join(&b' ');
    }
    Ok(())
}

fn add_stream_details(connection: &mut Connection, key: &[u8], value: &mut Full) -> Result<()> {
    let stream: BTreeMap<String, Value> = redis::cmd("XINFO")
        .arg("STREAM")
        .arg(key)
        .query(connection)
        .context("failed to read XINFO STREAM")?;
    add_fields(value, "stream", &stream, &STREAM_FIELDS);
    let groups: Vec<BTreeMap<String, Value>> = redis::cmd("XINFO")
        .arg("GROUPS")
        .arg(key)
        .query(connection)
        .context("failed to read XINFO GROUPS")?;
    let mut most_pending = 0;
    for group in groups {
        let name: String = match group.get("name") {
            Some(name) => redis::from_redis_value(name.clone())?,
            None => continue,
        };
        add_fields(value, &format!("group {name}"), &group, &GROUP_FIELDS);
        most_pending = most_pending.max(match group.get("pending") {
            Some(Value::Int(pending)) => *pending,
            _ => 0,
        });
    }
    if most_pending > 0 { add_pending(connection, key, most_pending, value) } else { Ok(()) }
}

/// What each group has delivered and nobody has acknowledged: to whom, when, how often.
fn add_pending(connection: &mut Connection, key: &[u8], most: i64, value: &mut Full) -> Result<()> {
    let full: BTreeMap<String, Value> = redis::cmd("XINFO")
        .arg("STREAM")
        .arg(key)
        .arg("FULL")
        .arg("COUNT")
        .arg(most)
        .query(connection)
        .context("failed to read XINFO STREAM FULL")?;
    let groups: Vec<BTreeMap<String, Value>> = match full.get("groups") {
        Some(groups) => redis::from_redis_value(groups.clone())?,
        None => Vec::new(),
    };
    for group in groups {
        let field = |name: &str| group.get(name).cloned().with_context(|| format!("no {name}"));
        let name: String = redis::from_redis_value(field("name")?)?;
        let pending: Vec<(String, String, i64, i64)> = redis::from_redis_value(field("pending")?)?;
        for (id, consumer, delivered, times) in pending {
            let part = format!("group {name} pending {id}").into_bytes();
            let text = format!("{consumer} at {delivered}, {times} times").into_bytes();
            value.parts.insert(part, text);
        }
        let consumers: Vec<BTreeMap<String, Value>> = redis::from_redis_value(field("consumers")?)?;
        for consumer in consumers {
            if let Some(consumer) = consumer.get("name") {
                let consumer: String = redis::from_redis_value(consumer.clone())?;
                value.parts.insert(format!("group {name} has {consumer}").into_bytes(), Vec::new());
            }
        }
    }
    Ok(())
}

fn add_fields(value: &mut Full, of: &str, told: &BTreeMap<String, Value>, names: &[&str]) {
    for name in names {
        if let Some(field) = told.get(*name) {
            let text = match field {
                Value::BulkString(text) => text.clone(),
                Value::Int(number) => number.to_string().into_bytes(),
                other => format!("{other:?}").into_bytes(),
            };
            value.parts.insert(format!("{of} {name}").into_bytes(), text);
        }
    }
}

impl Full {
    pub(super) fn difference(
        &self,
        target: &Self,
        options: &CompareOptions,
    ) -> Option<DifferenceKind> {
        if self.kind != target.kind {
            return Some(DifferenceKind::Type(self.kind.clone(), target.kind.clone()));
        }
        for field in self.expiry.keys().chain(target.expiry.keys()) {
            let (here, there) = (self.expiry.get(field), target.expiry.get(field));
            let late = here.zip(there).map(|(here, there)| there - here - options.expiry_grace_ms);
            if !late.is_some_and(|late| (0..=options.expiry_late_ms).contains(&late)) {
                let what = format!("{} expires at {here:?} and {there:?}", shown(field));
                return self.unlike(what);
            }
        }
        let is_newer =
            |name: &[u8]| NEWER_FIELDS.iter().any(|field| name.ends_with(field.as_bytes()));
        let is_told = |name: &[u8]| self.kind != "stream" || !is_newer(name);
        for (name, here) in &self.parts {
            match target.parts.get(name) {
                Some(there) if there == here => {}
                Some(there) => {
                    let what = format!("{}: {} and {}", shown(name), shown(here), shown(there));
                    return self.unlike(what);
                }
                None if is_told(name) => {
                    return self.unlike(format!("the target lacks {}", shown(name)));
                }
                None => {}
            }
        }
        target
            .parts
            .keys()
            .find(|name| !self.parts.contains_key(*name) && is_told(name))
            .and_then(|name| self.unlike(format!("only the target has {}", shown(name))))
    }

    fn unlike(&self, what: String) -> Option<DifferenceKind> {
        Some(DifferenceKind::Value(self.kind.clone(), what))
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut text = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii().to_string();
    if bytes.len() > SHOWN_BYTES {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}
