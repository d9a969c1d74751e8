//! Step 7, pure: the status of one object, from what was seen. Whoever erases it loses nothing (Promise 12).

pub mod findings;
pub mod outlook;
pub mod links;
pub mod text;
pub mod words;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use redissync_syncer::contract::{EndReport, Phase};

use crate::{
    conditions,
    controller::{
        observe::Observed,
        plan::Plan,
        validate::{self, Invalid},
    },
    crd::{FlowStatus, RedisSync, RedisSyncStatus, SiteRole, SiteStatus},
    site_watch::SiteView,
};

/// Everything that a status is made of.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The object, with its status as it was.
    pub object: &'a RedisSync,
    /// Why it cannot be acted on, if it cannot.
    pub invalid: Option<&'a Invalid>,
    /// What was seen.
    pub observed: &'a Observed,
    /// What was done.
    pub plan: &'a Plan,
    /// Why it could not be done, if it could not; it is tried again.
    pub failure: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// The status.
pub fn status(evidence: Evidence<'_>) -> RedisSyncStatus {
    let Evidence { object, observed, now, .. } = evidence;
    let old = object.status.clone().unwrap_or_default();
    let report = observed.report.report.as_deref();
    let links = report.map(links::links).unwrap_or_default();
    let end = |of: fn(&crate::crd::LinkStatus) -> Option<&crate::crd::EndStatus>| {
        links.first().and_then(of).and_then(|end| end.address.as_deref()).map(text::node)
    };
    let lag = links.iter().filter_map(|link| link.lag_milliseconds).max();
    let behind =
        links.iter().try_fold(0_i64, |sum, link| Some(sum.saturating_add(link.lag_bytes?)));
    let link = report.and_then(|report| report.links.first());
    let flow = validate::flow(&object.spec).ok();
    RedisSyncStatus {
        observed_generation: object.metadata.generation,
        observed_at: report.map(|report| Time(links::time(report.observed_at))).or(old.observed_at),
        phase: Some(phase(evidence)),
        primary: Some(object.spec.primary.clone()),
        flow: flow.map(|(source, target)| FlowStatus {
            source: source.name.clone(),
            target: target.name.clone(),
        }),
        master: end(|link| link.source.as_ref()),
        standby: end(|link| link.target.as_ref()),
        lag: lag.map(text::milliseconds),
        behind: behind.filter(|_| !links.is_empty()).map(text::bytes),
        sites: flow.map_or_else(Vec::new, |(source, target)| {
            vec![
                site(
                    &source.name,
                    SiteRole::Primary,
                    &observed.source,
                    link.map(|link| &link.source),
                    &old.sites,
                ),
                site(
                    &target.name,
                    SiteRole::Standby,
                    &observed.target,
                    link.map(|link| &link.target),
                    &old.sites,
                ),
            ]
        }),
        full_copies: links.first().and_then(|link| link.full_copies.clone()),
        conditions: conditions::merge(
            &old.conditions,
            findings::findings(evidence),
            object.metadata.generation,
            now,
        ),
        links,
    }
}

/// What the operator sees itself; where it sees no master, what the syncer follows. An operator that was restarted sees a
/// master anew that it has known for long: the earlier time stays.
fn site(
    name: &str,
    role: SiteRole,
    view: &SiteView,
    end: Option<&EndReport>,
    old: &[SiteStatus],
) -> SiteStatus {
    let seen = view.master.as_ref();
    let told = end.filter(|_| seen.is_none());
    let master = seen
        .map(|master| master.address.clone())
        .or_else(|| told.and_then(|end| end.address.clone()));
    let known = old.iter().find(|known| known.name == name && known.master == master);
    SiteStatus {
        name: name.to_owned(),
        role,
        master,
        master_since: known
            .and_then(|known| known.master_since.clone())
            .or_else(|| seen.map(|master| Time(master.since))),
        epoch: seen
            .and_then(|master| master.epoch)
            .or_else(|| told.and_then(|end| end.epoch))
            .map(links::signed),
        message: view.problem.as_deref().map(text::short),
    }
}

/// One word for what goes on. `Replicating` is what the syncer calls Streaming.
fn phase(evidence: Evidence<'_>) -> String {
    let Evidence { invalid, observed, .. } = evidence;
    match (&observed.report.report, &observed.report.failure) {
        (Some(report), None) => match report.phase {
            Phase::Streaming if report.paused => "Paused".to_owned(),
            Phase::Streaming => "Replicating".to_owned(),
            phase => phase.to_string(),
        },
        _ if invalid.is_some() => "Invalid".to_owned(),
        _ if observed.pod.as_ref().is_none_or(|pod| !pod.is_running) => "Pending".to_owned(),
        _ => "Unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests;
