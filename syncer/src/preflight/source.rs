//! The checks of the source's end. Pure.

use super::{
    Row, amount,
    backlog::BRIDGE_SECONDS_MIN,
    facts::{Facts, NodeFacts, Setting},
};
use crate::{
    contract::{CheckName, CheckResult},
    target::examine::parse_version,
};

/// `repl-timeout`'s default. A spool that is full holds a copy up for 20 s before it lets go.
const REPL_TIMEOUT_MIN: u64 = 60;
/// What a copy comes in with at least: a disk's or a slow network's pace. An estimate, on the safe side.
const COPY_BYTES_PER_SECOND: u64 = 20 << 20;
/// Before the first byte: the fork, and `repl-diskless-sync-delay`.
const COPY_BEGIN_SECONDS: u64 = 10;
/// The default, which bridges nothing that writes.
const BACKLOG_DEFAULT: u64 = 1 << 20;

pub(super) fn rows(facts: &Facts, source: &NodeFacts) -> Vec<Row> {
    let mut rows = vec![role(source), version(source), super::rights(source)];
    rows.push(backlog(facts, source));
    rows.push(output_buffer(facts, source));
    rows.push(repl_timeout(source));
    rows.push(diskless(source));
    rows
}

fn role(source: &NodeFacts) -> Row {
    match source.info().field("role") {
        Some("master") => Row::passed(CheckName::Role, "it is a master"),
        Some(_) => Row::new(
            CheckName::Role,
            CheckResult::Warning,
            "it is a replica: what it has not got from its own master is not copied, and when their link is down nothing is",
            "name the master, or its sentinels",
        ),
        None => Row::unread(CheckName::Role, source),
    }
}

fn version(source: &NodeFacts) -> Row {
    let Some(text) = super::version_text(source) else {
        return Row::unread(CheckName::Version, source);
    };
    match super::version(source) {
        Some((2, ..8, _) | (..=1, ..)) => Row::new(
            CheckName::Version,
            CheckResult::Failed,
            format!("it is {text}: before 2.8 there is no PSYNC"),
            "upgrade the source",
        ),
        _ => super::newest(text),
    }
}

/// How fast the source is written: its stream where that was measured; before it was ever attached to, when it keeps no
/// backlog and counts no offset, what its clients send. The power of two above: a verdict should not turn with each look.
fn write_rate(facts: &Facts, source: &NodeFacts) -> Option<u64> {
    let info = source.info();
    let is_counting = info.number("repl_backlog_active") == Some(1);
    let clients = || {
        let kibibytes: f64 = info.field("instantaneous_input_kbps")?.parse().ok()?;
        (kibibytes >= 0.0).then_some((kibibytes * 1024.0) as u64)
    };
    let rate = match facts.stream_bytes_per_second {
        Some(rate) if is_counting => rate as u64,
        _ => clients()?,
    };
    match rate {
        0 => Some(0),
        rate => Some(rate.checked_next_power_of_two().unwrap_or(rate)),
    }
}

fn backlog(facts: &Facts, source: &NodeFacts) -> Row {
    let name = CheckName::Backlog;
    let Some(size) = source.info().number("repl_backlog_size") else {
        return Row::unread(name, source);
    };
    let rate = write_rate(facts, source).unwrap_or(0);
    let seconds = size.checked_div(rate);
    let shown = amount::bytes(size);
    let message = match seconds {
        Some(seconds) => format!(
            "repl-backlog-size is {shown}: it bridges {} at about {} a second",
            amount::rough_seconds(seconds),
            amount::rough_bytes(rate)
        ),
        None => format!("repl-backlog-size is {shown}; nothing is written now"),
    };
    let result = match seconds {
        Some(seconds) if seconds < BRIDGE_SECONDS_MIN => CheckResult::Failed,
        Some(seconds) if seconds < amount::BRIDGE_SECONDS_ADVISED => CheckResult::Warning,
        _ if size <= BACKLOG_DEFAULT => CheckResult::Warning,
        _ => return Row::passed(name, message),
    };
    let advice = amount::backlog_for(rate);
    Row::new(
        name,
        result,
        message,
        format!(
            "CONFIG SET repl-backlog-size {advice}  (bridges an hour; at every node that may become master, and CONFIG REWRITE)"
        ),
    )
}

fn output_buffer(facts: &Facts, source: &NodeFacts) -> Row {
    let (name, setting) = (CheckName::OutputBuffer, "client-output-buffer-limit");
    let Some((hard, soft, soft_seconds)) = (match source.setting(setting) {
        Setting::Value(value) => replica_limits(value),
        Setting::Absent => None,
        Setting::Refused => return Row::untold(name, setting),
    }) else {
        return Row::untold(name, setting);
    };
    let seconds = COPY_BEGIN_SECONDS
        + source.info().number("used_memory").unwrap_or(0) / COPY_BYTES_PER_SECOND;
    let needed = write_rate(facts, source).unwrap_or(0).saturating_mul(seconds);
    let is_soft_hit = soft > 0 && needed > soft && seconds > soft_seconds;
    let is_hit = (hard > 0 && needed > hard) || is_soft_hit;
    let size = |bytes| if bytes == 0 { "none".to_owned() } else { amount::bytes(bytes) };
    let message = format!(
        "client-output-buffer-limit of replicas is {} (hard), {} for {soft_seconds} s (soft); a full copy of {} is written beside for {}, at about {} a second",
        size(hard),
        size(soft),
        amount::rough_bytes(source.info().number("used_memory").unwrap_or(0)),
        amount::rough_seconds(seconds),
        amount::rough_bytes(write_rate(facts, source).unwrap_or(0)),
    );
    if !is_hit {
        return Row::passed(name, message);
    }
    let hard = amount::config_bytes(needed.saturating_mul(2));
    let soft = amount::config_bytes(needed);
    Row::new(
        name,
        CheckResult::Warning,
        message,
        format!(
            "CONFIG SET client-output-buffer-limit \"replica {hard} {soft} {}\"  (`slave` before 5.0)",
            seconds.max(60)
        ),
    )
}

/// `normal 0 0 0 slave 268435456 67108864 60 pubsub …`
fn replica_limits(value: &str) -> Option<(u64, u64, u64)> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let at = words.iter().position(|word| matches!(*word, "slave" | "replica"))?;
    let number = |index: usize| words.get(at + index)?.parse().ok();
    Some((number(1)?, number(2)?, number(3)?))
}

fn repl_timeout(source: &NodeFacts) -> Row {
    let (name, setting) = (CheckName::ReplicationTimeout, "repl-timeout");
    let Setting::Value(value) = source.setting(setting) else { return Row::untold(name, setting) };
    match value.parse::<u64>() {
        Ok(seconds) if seconds < REPL_TIMEOUT_MIN => Row::new(
            name,
            CheckResult::Warning,
            format!(
                "repl-timeout is {seconds} s: a copy that waits for room in the spool, or a slow link, is ended"
            ),
            format!("CONFIG SET repl-timeout {REPL_TIMEOUT_MIN}"),
        ),
        Ok(seconds) => Row::passed(name, format!("repl-timeout is {seconds} s")),
        Err(_) => Row::untold(name, setting),
    }
}

fn diskless(source: &NodeFacts) -> Row {
    let (name, setting) = (CheckName::Diskless, "repl-diskless-sync");
    match source.setting(setting) {
        Setting::Value("yes") => Row::passed(name, "a copy is sent without the source's disk"),
        Setting::Value(_) => Row::new(
            name,
            CheckResult::Warning,
            "the source writes each copy to its own disk first: it takes longer, and the output buffer has to hold more",
            "CONFIG SET repl-diskless-sync yes",
        ),
        Setting::Absent => Row::passed(name, "this version always uses its disk"),
        Setting::Refused => Row::untold(name, setting),
    }
}

/// Modules that the source has: the target's side compares.
pub(super) fn modules(source: &NodeFacts) -> Option<Vec<String>> {
    source.info().modules()
}

/// As `parse_version` reads it.
pub(super) fn parsed(text: &str) -> Option<(u32, u32, u32)> {
    parse_version(text)
}
