//! The preflight: whether the conditions that a pair works under will hold. Facts in, checks out; pure, with a thin driver
//! ([`watch`]) that reads the facts on connections of its own, and a command ([`command`]) that prints the checks.
//!
//! Every check is advice. The one thing that is waited for, a target that evicts keys, is decided here too ([`refusal`]) and
//! kept by the target's side. Nothing here names a key or a value.

pub mod backlog;
pub mod command;
pub mod expiry;
pub mod facts;
pub mod info;
pub mod watch;

mod amount;
mod clock;
mod read;
mod source;
mod target;

use self::facts::{Facts, NodeFacts, Rights};
use crate::contract::{Check, CheckName, CheckResult, EvictingTarget, WaitEnd};

/// The newest releases that this version was tested with.
const NEWEST_REDIS: (u32, u32) = (8, 2);
const NEWEST_VALKEY: (u32, u32) = (9, 1);
/// Clocks that are kept by NTP differ by less.
const SKEW_MILLISECONDS_MAX: u64 = 1000;

/// A check, before its end is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    check: CheckName,
    result: CheckResult,
    message: String,
    advice: String,
}

impl Row {
    fn new(
        check: CheckName,
        result: CheckResult,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { check, result, message: message.into(), advice: advice.into() }
    }

    fn passed(check: CheckName, message: impl Into<String>) -> Self {
        Self::new(check, CheckResult::Passed, message, "")
    }

    /// `INFO` does not tell it.
    fn unread(check: CheckName, node: &NodeFacts) -> Self {
        let message = match &node.info {
            Ok(_) => "INFO does not tell it".to_owned(),
            Err(error) => format!("INFO was refused: {error}"),
        };
        Self::new(check, CheckResult::Unknown, message, "grant +info to the syncer's user")
    }

    /// `CONFIG GET` does not tell it.
    fn untold(check: CheckName, setting: &str) -> Self {
        Self::new(
            check,
            CheckResult::Unknown,
            format!("the server does not tell {setting}"),
            "grant +config|get to the syncer's user (+config before 7.0), or look it up at the server",
        )
    }

    fn at(self, end: WaitEnd) -> Check {
        let Self { check, result, message, advice } = self;
        Check { check, end, result, message, advice }
    }
}

/// All checks, the source's first.
pub fn checks(facts: &Facts) -> Vec<Check> {
    let ends = [(WaitEnd::Source, &facts.source), (WaitEnd::Target, &facts.target)];
    let mut checks = Vec::new();
    for ((end, node), sentinels) in ends.into_iter().zip(&facts.sentinels) {
        checks.extend(sentinels.as_ref().map(|sentinels| self::sentinels(sentinels).at(end)));
        match node {
            Ok(node) => {
                let message = format!("{} answers", node.address);
                checks.push(Row::passed(CheckName::Reachable, message).at(end));
                let rows = match end {
                    WaitEnd::Source => source::rows(facts, node),
                    _ => target::rows(facts, node),
                };
                checks.extend(rows.into_iter().map(|row| row.at(end)));
            }
            Err(error) => checks.push(
                Row::new(
                    CheckName::Reachable,
                    CheckResult::Failed,
                    error.clone(),
                    "check the node, the network, the address and the user",
                )
                .at(end),
            ),
        }
    }
    if facts.source.is_ok() && facts.target.is_ok() {
        checks.push(clocks(facts).at(WaitEnd::Neither));
    }
    checks
}

/// Why a target must not be written to: it evicts, and nobody has allowed that.
pub fn refusal(max_memory: u64, policy: &str, allowed: EvictingTarget) -> Option<String> {
    let is_refused = does_evict(max_memory, policy) && allowed == EvictingTarget::Refuse;
    is_refused.then(|| {
        format!(
            "{}. CONFIG SET maxmemory-policy noeviction at every node of the target, with CONFIG REWRITE; or allow it: preflight.evictingTarget: Allow in the syncer's file (spec.preflight.evictingStandby of a RedisSync)",
            evicts(max_memory, policy)
        )
    })
}

/// A count that may grow, so that its sentence does not with each.
pub fn at_least(count: u64) -> String {
    match 10_u64.pow(count.max(1).ilog10()) {
        1 => "some".to_owned(),
        power => format!("{power} or more"),
    }
}

fn does_evict(max_memory: u64, policy: &str) -> bool {
    max_memory > 0 && policy != "noeviction"
}

fn evicts(max_memory: u64, policy: &str) -> String {
    format!(
        "the target evicts keys when it is full (maxmemory is {}, maxmemory-policy is {policy}), and what it evicts is missing without a word",
        amount::bytes(max_memory)
    )
}

fn sentinels(outcome: &Result<(), String>) -> Row {
    match outcome {
        Ok(()) => Row::passed(CheckName::Sentinels, "they name a master"),
        Err(error) => Row::new(
            CheckName::Sentinels,
            CheckResult::Failed,
            error.clone(),
            "check masterName, endpoints and sentinel.auth; with users of their own: docs/operations.md, rights",
        ),
    }
}

fn version_text(node: &NodeFacts) -> Option<String> {
    let info = node.info();
    let valkey = info.field("valkey_version").map(|version| format!("Valkey {version}"));
    valkey.or_else(|| Some(format!("Redis {}", info.field("redis_version")?)))
}

fn version(node: &NodeFacts) -> Option<(u32, u32, u32)> {
    let info = node.info();
    let text = info.field("valkey_version").or_else(|| info.field("redis_version"))?;
    source::parsed(text)
}

/// Passed, or newer than what was tested.
fn newest(text: String) -> Row {
    let (family, number) = text.split_once(' ').unwrap_or((&text, ""));
    let newest = if family == "Valkey" { NEWEST_VALKEY } else { NEWEST_REDIS };
    let is_newer = source::parsed(number).is_some_and(|(major, minor, _)| (major, minor) > newest);
    if is_newer {
        return Row::new(
            CheckName::Version,
            CheckResult::Warning,
            format!("it is {text}, newer than what was tested ({}.{})", newest.0, newest.1),
            "try it with a copy of your data first",
        );
    }
    Row::passed(CheckName::Version, format!("it is {text}"))
}

fn rights(node: &NodeFacts) -> Row {
    match &node.rights {
        Rights::Complete => Row::passed(CheckName::Rights, "our user may do all that was tried"),
        Rights::Missing(rights) => Row::new(
            CheckName::Rights,
            CheckResult::Failed,
            format!("our user may not do everything: {} refused", rights.join(", ")),
            format!(
                "ACL SETUSER <user> {}  (at every node of the site, and ACL SAVE)",
                rights.join(" ")
            ),
        ),
        Rights::Unproven(why) => Row::new(
            CheckName::Rights,
            CheckResult::Unknown,
            why.clone(),
            "grant +acl|dryrun to have it told beforehand",
        ),
    }
}

fn clocks(facts: &Facts) -> Row {
    let name = CheckName::Clocks;
    let Some(skew) = facts.skew_milliseconds else {
        return Row::new(
            name,
            CheckResult::Unknown,
            "a node does not tell its time",
            "grant +time to the syncer's user at both sites",
        );
    };
    let apart = skew.unsigned_abs();
    if apart <= SKEW_MILLISECONDS_MAX {
        return Row::passed(name, "the clocks of both nodes differ by a second at most");
    }
    let ahead = if skew > 0 { "ahead of" } else { "behind" };
    let is_beyond = skew > 0 && facts.grace_milliseconds > 0 && apart >= facts.grace_milliseconds;
    let result = if is_beyond { CheckResult::Failed } else { CheckResult::Warning };
    Row::new(
        name,
        result,
        format!(
            "the target's clock is {} {ahead} the source's: its keys expire that much too early or too late",
            amount::rough_seconds(apart / 1000)
        ),
        "let NTP keep the clocks of all nodes",
    )
}

#[cfg(test)]
mod tests;
