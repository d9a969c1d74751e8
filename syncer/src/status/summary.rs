//! A report in a screenful of words, and the exact commands that release a halt.

use std::{fmt::Write, path::Path};

use crate::{
    contract::{FullCopies, Halt, HaltReason, LinkReport, Offsets, SyncReport, Verification},
    quantity::Bytes,
};

/// Two columns; `config` is the file that the release commands name.
pub fn summary(report: &SyncReport, config: Option<&Path>) -> String {
    let mut lines = Lines(String::new());
    lines.add("phase", &report.phase.to_string());
    // An older syncer tells the first one only.
    let waits = match report.waits.is_empty() {
        true => report.waiting_for.as_slice(),
        false => &report.waits,
    };
    for wait in waits {
        lines.add("waiting for", &format!("{} since {}", wait.reason, wait.since));
        lines.add("", &wait.message);
    }
    if let Some(halt) = &report.halt {
        lines.add("halt", &format!("{} since {}", halt.reason, halt.since));
        lines.add("", &halt.message);
        lines.add("remedy", &halt.remedy);
        for command in release_commands(halt, config) {
            lines.add("release", &command);
        }
    }
    lines.add("pair", &report.pair_id);
    lines.add("observed", &report.observed_at.to_string());
    if let Some(error) = &report.config_error {
        lines.add("config", &format!("cannot be taken over, the old one stays: {error}"));
    }
    if !report.pending_restart.is_empty() {
        lines.add("restart", &format!("needed for {}", report.pending_restart.join(", ")));
    }
    if report.paused {
        lines.add("paused", "yes: the configuration says so");
    }
    let verified = &report.data_verified;
    if verified.status != Verification::True {
        let count = verified.unchecked_batches;
        lines.add("verified", &format!("{:?}, {count} batches unchecked", verified.status));
    }
    for link in &report.links {
        add_link(&mut lines, link);
    }
    lines.0
}

fn add_link(lines: &mut Lines, link: &LinkReport) {
    for (title, end) in [("source", &link.source), ("target", &link.target)] {
        let address = end.address.as_deref().unwrap_or("(no node yet)");
        lines.add(title, &format!("{} {address} ({})", end.name, end.topology));
    }
    lines.add("lag", &lag(link));
    match &link.position {
        Some(at) => lines.add("record", &format!("{}:{} db {}", at.replid, at.offset, at.db)),
        None => lines.add("record", "none"),
    }
    lines.add("offsets", &ladder(&link.offsets));
    add_full_copies(lines, &link.full_copies);
    let spool = &link.spool;
    let (used, most) = (rounded(spool.bytes), Bytes(spool.max_bytes));
    lines.add("spool", &format!("{used} of {most} in {} segments", spool.segments));
}

fn lag(link: &LinkReport) -> String {
    match (link.lag.milliseconds, link.lag.bytes) {
        (Some(milliseconds), Some(bytes)) => {
            let idle = if link.lag.idle { ", nothing to apply" } else { "" };
            format!("{milliseconds} ms, {}{idle}", rounded(bytes))
        }
        _ => "not known yet".to_owned(),
    }
}

fn ladder(offsets: &Offsets) -> String {
    let rungs = [
        ("source", offsets.source),
        ("received", offsets.received),
        ("spooled", offsets.spooled),
        ("written", offsets.written),
        ("checkpoint", offsets.checkpoint),
        ("confirmed", offsets.confirmed),
        ("durable", offsets.durable),
    ];
    let shown = rungs.map(|(name, offset)| match offset {
        Some(offset) => format!("{name} {offset}"),
        None => format!("{name} -"),
    });
    shown.join(", ")
}

fn add_full_copies(lines: &mut Lines, copies: &FullCopies) {
    let mut text = copies.count.to_string();
    if let Some(reason) = copies.last_reason {
        let _ = write!(text, ", the last for {reason}");
    }
    if let Some(started) = copies.last_started {
        let _ = write!(text, ", started {started}");
    }
    if let Some(finished) = copies.last_finished {
        let _ = write!(text, ", finished {finished}");
    }
    lines.add("full copies", &text);
    let Some(copy) = &copies.progress else {
        return;
    };
    let mut text = format!("{} {}", copy.phase, copy.copy_id);
    if let Some(percent) = copy.percent {
        let _ = write!(text, ", {percent:.1}%");
    }
    let _ = write!(text, ", {} keys, {}", copy.keys_restored, rounded(copy.bytes_received));
    if let Some(seconds) = copy.seconds_left {
        let _ = write!(text, ", about {seconds} s left");
    }
    lines.add("copying", &text);
}

/// The commands that release this halt, the least intrusive first.
fn release_commands(halt: &Halt, config: Option<&Path>) -> Vec<String> {
    let file = config.map_or_else(|| "FILE".to_owned(), |path| path.display().to_string());
    let command = |decision: &str| format!("redissync-syncer release --config {file} {decision}");
    let is_of_one_unit = matches!(
        halt.reason,
        HaltReason::CommandRejected | HaltReason::UnsupportedCommand | HaltReason::UnitTooLarge
    );
    let mut commands = Vec::new();
    if let (HaltReason::SweepBrake, Some(copy_id)) = (halt.reason, &halt.copy_id) {
        commands.push(command(&format!("--allow-sweep {copy_id}")));
    }
    if let (true, Some(offset)) = (is_of_one_unit, halt.offset) {
        commands.push(command(&format!("--skip-unit {offset}")));
    }
    commands.push(command("--copy-again"));
    commands
}

/// Three digits are enough for a person; the report has the exact number.
fn rounded(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut amount = bytes as f64 / 1024.0;
    for unit in ["Ki", "Mi", "Gi", "Ti"] {
        if amount < 1024.0 {
            return format!("{amount:.1}{unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.1}Pi")
}

struct Lines(String);

impl Lines {
    /// A server's words may hold what moves a terminal's cursor.
    fn add(&mut self, title: &str, text: &str) {
        let text = text.replace(|c: char| c.is_control(), " ");
        let _ = writeln!(self.0, "{title:<12}{text}");
    }
}
