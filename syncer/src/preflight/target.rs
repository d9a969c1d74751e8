//! The checks of the target's end. Pure.

use super::{
    Row, amount,
    facts::{Facts, NodeFacts, Setting},
    source,
};
use crate::{
    contract::{CheckName, CheckResult},
    target::examine::parse_capabilities,
};

pub(super) fn rows(facts: &Facts, target: &NodeFacts) -> Vec<Row> {
    let source = facts.source.as_ref().ok();
    let mut rows = vec![role(target), version(source, target), super::rights(target)];
    rows.extend(source.map(|source| modules(source, target)));
    rows.extend(target.database.map(database));
    rows.push(memory(source, target));
    rows.push(eviction(facts, target));
    rows.push(persistence(target));
    rows.push(replicas(target));
    rows
}

fn role(target: &NodeFacts) -> Row {
    match target.info().field("role") {
        Some("master") => Row::passed(CheckName::Role, "it is a master"),
        Some(_) => Row::new(
            CheckName::Role,
            CheckResult::Failed,
            "it is a replica, which refuses writes",
            "name its master, or its sentinels",
        ),
        None => Row::unread(CheckName::Role, target),
    }
}

fn version(source: Option<&NodeFacts>, target: &NodeFacts) -> Row {
    let name = CheckName::Version;
    let Some(text) = super::version_text(target) else { return Row::unread(name, target) };
    let can = |node: &NodeFacts| parse_capabilities(node.info().0);
    match (source.and_then(can), can(target)) {
        (Some(from), Some(to)) if from.family != to.family => {
            let row = super::newest(text);
            Row {
                message: format!(
                    "{}; values whose form the two families do not share go as commands",
                    row.message
                ),
                ..row
            }
        }
        (Some(from), Some(to)) if from.rdb_version > to.rdb_version => Row::new(
            name,
            CheckResult::Warning,
            format!(
                "it is {text}, older than the source: values of types that are too new for it go as commands, or halt the copy"
            ),
            "upgrade the target, or set fullCopy.onUnsupported: Skip",
        ),
        _ => super::newest(text),
    }
}

fn modules(source: &NodeFacts, target: &NodeFacts) -> Row {
    let name = CheckName::Modules;
    let Some(wanted) = source::modules(source) else {
        return match source.info {
            Ok(_) => Row::passed(name, "the source has no modules"),
            Err(_) => Row::unread(name, source),
        };
    };
    let has = source::modules(target).unwrap_or_default();
    let lacking: Vec<String> = wanted.iter().filter(|name| !has.contains(name)).cloned().collect();
    if lacking.is_empty() {
        return Row::passed(name, "it has all modules of the source");
    }
    let lacking = lacking.join(", ");
    Row::new(
        name,
        CheckResult::Warning,
        format!(
            "it lacks modules of the source ({lacking}): values of their types halt the copy, their commands the stream"
        ),
        "load them at the target, or set fullCopy.onUnsupported: Skip; nothing to do where their types are not used",
    )
}

fn database((index, is_there): (u32, bool)) -> Row {
    let name = CheckName::Databases;
    if is_there {
        return Row::passed(
            name,
            format!("it has database {index}, the highest that the source uses"),
        );
    }
    Row::new(
        name,
        CheckResult::Failed,
        format!("the source uses database {index}, which it does not have"),
        format!("set `databases {}` or more in its configuration file and restart it", index + 1),
    )
}

fn memory(source: Option<&NodeFacts>, target: &NodeFacts) -> Row {
    let name = CheckName::Memory;
    let Some(max) = max_memory(target) else { return Row::untold(name, "maxmemory") };
    let Some(used) = source.and_then(|source| source.info().number("used_memory")) else {
        return Row::new(
            name,
            CheckResult::Unknown,
            "what the source holds is not known",
            "grant +info at the source",
        );
    };
    // 0 is no limit but the machine's.
    let (limit, what) = match (max, target.info().number("total_system_memory")) {
        (0, Some(machine)) if machine > 0 => (machine, "no maxmemory, on a machine of"),
        (0, _) => return Row::passed(name, "it has no maxmemory"),
        (max, _) => (max, "a maxmemory of"),
    };
    let message = format!(
        "it has {what} {}, the source holds about {}",
        amount::bytes(limit),
        amount::rough_bytes(used)
    );
    if limit >= used {
        return Row::passed(name, message);
    }
    let result = if limit < used / 2 { CheckResult::Failed } else { CheckResult::Warning };
    let wanted = amount::config_bytes(used);
    Row::new(
        name,
        result,
        message,
        format!(
            "CONFIG SET maxmemory {wanted}  (or as much as the source's; at every node of the target)"
        ),
    )
}

/// `INFO memory` has it since 4.0, before that only `CONFIG GET`.
pub(super) fn max_memory(target: &NodeFacts) -> Option<u64> {
    target.info().number("maxmemory").or_else(|| match target.setting("maxmemory") {
        Setting::Value(value) => value.parse().ok(),
        _ => None,
    })
}

pub(super) fn policy(target: &NodeFacts) -> Option<&str> {
    target.info().field("maxmemory_policy").or_else(|| match target.setting("maxmemory-policy") {
        Setting::Value(value) => Some(value),
        _ => None,
    })
}

fn eviction(facts: &Facts, target: &NodeFacts) -> Row {
    let name = CheckName::Eviction;
    let advice =
        "CONFIG SET maxmemory-policy noeviction  (at every node of the target, and CONFIG REWRITE)";
    match facts.evicted_since_copy {
        0 => {}
        count => {
            return Row::new(
                name,
                CheckResult::Failed,
                format!(
                    "it has evicted keys since the last full copy ({}), which it lacks until the next one",
                    super::at_least(count)
                ),
                advice,
            );
        }
    }
    let (Some(max), Some(policy)) = (max_memory(target), policy(target)) else {
        return Row::untold(name, "maxmemory-policy");
    };
    let result = match (super::does_evict(max, policy), facts.is_evicting_allowed) {
        (false, _) => {
            let limit = if max == 0 { ", and there is no maxmemory" } else { "" };
            return Row::passed(
                name,
                format!("maxmemory-policy is {policy}{limit}: it evicts nothing"),
            );
        }
        (true, true) => CheckResult::Warning,
        (true, false) => CheckResult::Failed,
    };
    Row::new(name, result, super::evicts(max, policy), advice)
}

fn persistence(target: &NodeFacts) -> Row {
    let name = CheckName::Persistence;
    let info = target.info();
    if info.number("aof_enabled") == Some(1) {
        return Row::passed(name, "it keeps an append-only file");
    }
    if info.number("connected_slaves").is_some_and(|count| count > 0) {
        return Row::passed(name, "it has replicas");
    }
    match target.setting("save") {
        Setting::Value(value) if !value.is_empty() => Row::passed(name, "it takes snapshots"),
        Setting::Value(_) | Setting::Absent => Row::new(
            name,
            CheckResult::Warning,
            "it keeps its data in memory only, without replicas: its restart costs a full copy",
            "CONFIG SET appendonly yes  (and CONFIG REWRITE), or give it replicas",
        ),
        Setting::Refused => Row::untold(name, "save"),
    }
}

fn replicas(target: &NodeFacts) -> Row {
    let name = CheckName::Replicas;
    let wanted = ["min-replicas-to-write", "min-slaves-to-write"];
    let setting = wanted.iter().find_map(|name| match target.setting(name) {
        Setting::Value(value) => value.parse::<u64>().ok(),
        _ => None,
    });
    // INFO has the count only where the setting is in use.
    let good = target.info().number("min_slaves_good_slaves");
    match (setting, good) {
        (Some(0), _) => Row::passed(name, "it asks for no replicas"),
        (None, None) if target.info.is_ok() => Row::passed(name, "it asks for no replicas"),
        (Some(wanted), good) if good.unwrap_or(0) < wanted => Row::new(
            name,
            CheckResult::Failed,
            format!(
                "min-replicas-to-write is {wanted}, and it has {} good replicas: it refuses writes",
                good.unwrap_or(0)
            ),
            "bring its replicas back, or CONFIG SET min-replicas-to-write 0",
        ),
        (Some(wanted), _) => {
            Row::passed(name, format!("min-replicas-to-write is {wanted}, and it has as many"))
        }
        (None, Some(0)) => Row::new(
            name,
            CheckResult::Failed,
            "min-replicas-to-write is set, and it has no good replica: it refuses writes",
            "bring its replicas back, or CONFIG SET min-replicas-to-write 0",
        ),
        (None, Some(_)) => Row::untold(name, "min-replicas-to-write"),
        (None, None) => Row::unread(name, target),
    }
}
