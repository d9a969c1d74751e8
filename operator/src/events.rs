//! Which events a change of the status is worth. Pure: the old status and the new one in, events out; so an operator
//! that was down tells, when it is back, what happened meanwhile.

use kube::runtime::events::{Event, EventType};

use crate::{
    controller::plan::{Plan, PodStep},
    crd::{FullCopiesStatus, RedisSyncStatus},
};

/// The events of one reconcile. `old` is `None` where there was no status: then nothing was switched.
pub fn events(old: Option<&RedisSyncStatus>, new: &RedisSyncStatus, plan: &Plan) -> Vec<Event> {
    let mut events = Vec::new();
    if plan.pod == PodStep::ForceDelete {
        events.push(warning(
            "SyncerReplaced",
            "ForceDelete",
            "the node of the syncer's pod is lost: the pod was deleted".to_owned(),
        ));
    }
    let Some(old) = old else {
        return events;
    };
    events.extend(switches(old, new));
    events.extend(copies(old, new));
    events.extend(halts(old, new));
    events.extend(readiness(old, new));
    events
}

/// `MasterSwitched`, with the old master, the new one and the epoch.
fn switches(old: &RedisSyncStatus, new: &RedisSyncStatus) -> Vec<Event> {
    let switch = |site: &crate::crd::SiteStatus| {
        let known = old.sites.iter().find(|known| known.name == site.name)?.master.as_deref()?;
        let master = site.master.as_deref().filter(|master| *master != known)?;
        let epoch = site.epoch.map(|epoch| epoch.to_string()).unwrap_or_else(|| "none".to_owned());
        // Equal actions are gathered into one event, whose note would tell of the first switch only.
        let action = format!("FollowEpoch{epoch}");
        let note =
            format!("site {}: master {known} was switched to {master}, epoch {epoch}", site.name);
        Some(normal("MasterSwitched", &action, note))
    };
    new.sites.iter().filter_map(switch).collect()
}

fn copies(old: &RedisSyncStatus, new: &RedisSyncStatus) -> Vec<Event> {
    let none = FullCopiesStatus::default();
    let (old, Some(new)) = (old.full_copies.as_ref().unwrap_or(&none), &new.full_copies) else {
        return Vec::new();
    };
    let mut events = Vec::new();
    if new.last_started_at.is_some() && new.last_started_at != old.last_started_at {
        let reason = new.last_reason.as_deref().unwrap_or("unknown");
        let note = format!("a full copy was started: {reason}");
        events.push(normal("FullCopyStarted", &format!("Copy{reason}"), note));
    }
    if new.last_finished_at.is_some() && new.last_finished_at != old.last_finished_at {
        events.push(normal("FullCopyFinished", "Copy", "a full copy has ended".to_owned()));
    }
    events
}

fn halts(old: &RedisSyncStatus, new: &RedisSyncStatus) -> Vec<Event> {
    let halt = |status: &RedisSyncStatus| status.links.iter().find_map(|link| link.halt.clone());
    match (halt(old), halt(new)) {
        (old, Some(new)) if old.as_ref().is_none_or(|old| old.since != new.since) => {
            let note = format!("{}. {}", new.message, new.remedy);
            vec![warning("Halted", &new.reason, note)]
        }
        (Some(old), None) => {
            vec![normal("Released", &old.reason, format!("the halt {} was released", old.reason))]
        }
        _ => Vec::new(),
    }
}

fn readiness(old: &RedisSyncStatus, new: &RedisSyncStatus) -> Vec<Event> {
    let ready = |status: &RedisSyncStatus| {
        status.conditions.iter().find(|condition| condition.type_ == "Ready").cloned()
    };
    let (Some(old), Some(new)) = (ready(old), ready(new)) else {
        return Vec::new();
    };
    match (old.status.as_str(), new.status.as_str()) {
        (_, "True") if old.status != "True" => vec![normal("Ready", &new.reason, new.message)],
        ("True", "False") => {
            vec![warning("NotReady", &new.reason, format!("{}: {}", new.reason, new.message))]
        }
        _ => Vec::new(),
    }
}

/// Kubernetes takes at most 1 KiB of note and 128 bytes of action.
fn event(type_: EventType, reason: &str, action: &str, mut note: String) -> Event {
    let end = (0..=1000.min(note.len())).rev().find(|end| note.is_char_boundary(*end));
    note.truncate(end.unwrap_or_default());
    let action: String = action.chars().take(100).collect();
    Event { type_, reason: reason.to_owned(), note: Some(note), action, secondary: None }
}

fn normal(reason: &str, action: &str, note: String) -> Event {
    event(EventType::Normal, reason, action, note)
}

fn warning(reason: &str, action: &str, note: String) -> Event {
    event(EventType::Warning, reason, action, note)
}

#[cfg(test)]
mod tests;
