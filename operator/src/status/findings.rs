//! What the conditions say. `Ready` is True only while no promise is known to be broken (Promise 9); `Reconciling` and
//! `Stalled` are as kstatus reads them: what ends by itself, and what needs a human.

use redissync_syncer::{
    contract::{Halt, Phase, SyncReport, Verification, WaitReason},
    preflight::at_least,
};

use super::{Evidence, outlook};
use crate::{
    conditions::{ConditionType, Finding},
    controller::{observe::Observed, plan::WorkloadStep},
    names,
    report_watch::ReportFailure,
};

/// What the operator wants could not be applied: a quota, a right, an admission rule, a name that is taken.
const APPLY_FAILED: &str = "ApplyFailed";

/// What holds the whole: said by `Ready`, and by `Reconciling` or `Stalled` with it.
struct Verdict {
    is_ready: Option<bool>,
    kind: Kind,
    reason: String,
    message: String,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nobody's: this is the state that was asked for.
    Settled,
    /// The operator's or the syncer's: it goes on by itself.
    UnderWay,
    /// A human's.
    Stuck,
}

impl Verdict {
    fn new(
        is_ready: Option<bool>,
        kind: Kind,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { is_ready, kind, reason: reason.into(), message: message.into() }
    }
}

/// All conditions, in the order in which they are shown.
pub fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    let verdict = verdict(evidence);
    let report = fresh(evidence.observed);
    let flag = |type_, is_set: bool, quiet: &str| {
        if is_set {
            Finding::new(type_, Some(true), &*verdict.reason, &*verdict.message)
        } else {
            Finding::new(type_, Some(false), quiet, "")
        }
    };
    let reconciling = match (verdict.kind, change_under_way(evidence)) {
        // The link may be well while a change of the spec is still on its way.
        (Kind::Settled, Some((reason, message))) => {
            Finding::new(ConditionType::Reconciling, Some(true), reason, message)
        }
        (kind, _) => flag(ConditionType::Reconciling, kind == Kind::UnderWay, "UpToDate"),
    };
    vec![
        Finding::new(ConditionType::Ready, verdict.is_ready, &*verdict.reason, &*verdict.message),
        reconciling,
        flag(ConditionType::Stalled, verdict.kind == Kind::Stuck, "NothingToDecide"),
        reachable(ConditionType::SourceReachable, report, |report| {
            report.links.first().and_then(|link| link.source.reachable)
        }),
        reachable(ConditionType::TargetReachable, report, |report| {
            report.links.first().and_then(|link| link.target.reachable)
        }),
        synced(report),
        data_verified(report),
        outlook::preflight_passed(report),
        outlook::backlog_healthy(report),
        outlook::expiry_at_risk(report),
    ]
}

/// The report, while it can be read.
fn fresh(observed: &Observed) -> Option<&SyncReport> {
    observed.report.report.as_deref().filter(|_| observed.report.failure.is_none())
}

/// The first of these that is so.
fn verdict(evidence: Evidence<'_>) -> Verdict {
    let Evidence { invalid, observed, failure, .. } = evidence;
    if let Some(invalid) = invalid {
        return Verdict::new(Some(false), Kind::Stuck, invalid.reason.as_str(), &*invalid.message);
    }
    match (fresh(observed), &observed.report.failure) {
        (Some(report), _) => reported(report),
        // Nothing runs, and this is why.
        (None, _) if failure.is_some() && observed.pod.is_none() => {
            Verdict::new(Some(false), Kind::UnderWay, APPLY_FAILED, failure.unwrap_or_default())
        }
        (None, failure) => unreported(evidence, failure.as_ref()),
    }
}

/// No report: either there is no syncer, or it cannot be asked.
fn unreported(evidence: Evidence<'_>, failure: Option<&ReportFailure>) -> Verdict {
    let observed = evidence.observed;
    let Some(pod) = &observed.pod else {
        return Verdict::new(
            Some(false),
            Kind::UnderWay,
            "SyncerPending",
            format!(
                "the syncer's pod is being created. If it does not come, the events of the StatefulSet {} say why (a quota, a rule of admission)",
                names::workload(evidence.object.metadata.name.as_deref().unwrap_or_default())
            ),
        );
    };
    if pod.is_ending {
        return Verdict::new(
            Some(false),
            Kind::UnderWay,
            "SyncerPending",
            "the syncer's pod is being replaced",
        );
    }
    if !pod.is_running {
        let problem = pod.problem.as_deref().unwrap_or("its container has not started yet");
        return Verdict::new(
            Some(false),
            Kind::UnderWay,
            "SyncerPending",
            format!("the syncer's pod does not run: {problem}"),
        );
    }
    match failure {
        Some(ReportFailure { message, since }) => Verdict::new(
            // It may work; nobody knows.
            None,
            Kind::UnderWay,
            "SyncerUnreachable",
            format!(
                "the syncer's report cannot be read since {since:.0}: {message}. Check the pod's log and whether a network policy lets the operator reach port 9250"
            ),
        ),
        None => Verdict::new(
            Some(false),
            Kind::UnderWay,
            "SyncerPending",
            "the syncer has started and was not heard yet",
        ),
    }
}

/// What the syncer says of itself.
fn reported(report: &SyncReport) -> Verdict {
    if let Some(halt) = &report.halt {
        return Verdict::new(Some(false), Kind::Stuck, halt.reason.as_str(), halt_message(halt));
    }
    if let Some(wait) = &report.waiting_for {
        let kind = match wait.reason {
            WaitReason::Paused => Kind::Settled,
            WaitReason::TargetNotEmpty | WaitReason::RoleConflict | WaitReason::SpoolTooSmall => {
                Kind::Stuck
            }
            _ => Kind::UnderWay,
        };
        return Verdict::new(Some(false), kind, wait.reason.as_str(), &*wait.message);
    }
    if report.paused {
        return Verdict::new(
            Some(false),
            Kind::Settled,
            "Paused",
            "spec.paused is true: the source is read and spooled, nothing is written to the standby",
        );
    }
    if report.data_verified.status == Verification::False {
        return Verdict::new(
            Some(false),
            Kind::Stuck,
            "DataDiffers",
            "the standby's data differ from the source's",
        );
    }
    let phase = report.phase;
    match phase {
        Phase::Streaming => Verdict::new(
            Some(true),
            Kind::Settled,
            "Replicating",
            "the standby takes over each write of the primary",
        ),
        Phase::CatchingUp => Verdict::new(
            Some(true),
            Kind::UnderWay,
            "CatchingUp",
            "the standby takes over the writes that it missed",
        ),
        Phase::FullCopy | Phase::Sweeping => {
            Verdict::new(Some(false), Kind::UnderWay, phase.as_str(), copy_message(report))
        }
        Phase::Superseded => Verdict::new(
            Some(false),
            Kind::UnderWay,
            phase.as_str(),
            "another syncer owns the standby; this one takes over when that one has given no sign of life for 30 s",
        ),
        _ => Verdict::new(
            Some(false),
            Kind::UnderWay,
            phase.as_str(),
            format!("the syncer is {phase}"),
        ),
    }
}

fn halt_message(halt: &Halt) -> String {
    let Halt { message, remedy, ignored_release, .. } = halt;
    // It is a sentence by itself, and says that the release does not count.
    let ignored = ignored_release.as_deref().map(|why| format!(". {why}")).unwrap_or_default();
    format!("{message}. {remedy}{ignored}")
}

fn copy_message(report: &SyncReport) -> String {
    let Some(copies) = report.links.first().map(|link| &link.full_copies) else {
        return "a full copy is under way".to_owned();
    };
    let reason = copies.last_reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let Some(copy) = &copies.progress else {
        return format!("a full copy is under way{reason}");
    };
    // Whole tens only: each change of the text is a write.
    let percent = copy
        .percent
        .map(|percent| format!(", {} % and more restored", (percent / 10.0).floor() * 10.0));
    format!("a full copy is under way{reason}: {:?}{}", copy.phase, percent.unwrap_or_default())
}

/// A change of the spec, or of the operator, that the syncer has not taken over yet.
fn change_under_way(evidence: Evidence<'_>) -> Option<(String, String)> {
    let Evidence { observed, plan, failure, .. } = evidence;
    let found = |reason: &str, message: String| Some((reason.to_owned(), message));
    if let Some(failure) = failure {
        return found(APPLY_FAILED, failure.to_owned());
    }
    match plan.workload {
        WorkloadStep::AwaitTurn => {
            return found(
                "UpgradePending",
                "the operator was upgraded: this syncer is restarted when others have been"
                    .to_owned(),
            );
        }
        WorkloadStep::AwaitRemoval => {
            return found(
                "RemovalPending",
                "the objects of a deleted RedisSync of this name are still being removed"
                    .to_owned(),
            );
        }
        WorkloadStep::Apply => {
            return found("Applying", "the syncer's objects are being applied".to_owned());
        }
        WorkloadStep::Keep => {}
    }
    if observed.workload.as_ref().is_some_and(|workload| !workload.is_updated) {
        return found("RollingOut", "the syncer's pod is being replaced".to_owned());
    }
    let report = fresh(observed)?;
    if let Some(error) = &report.config_error {
        return found(
            "ConfigurationRefused",
            format!("the syncer goes on with its last configuration: {error}"),
        );
    }
    if !report.pending_restart.is_empty() {
        let fields = report.pending_restart.join(", ");
        return found(
            "RestartPending",
            format!("changes of {fields} wait for the syncer's restart"),
        );
    }
    if report.paused != evidence.object.spec.paused {
        return found("Applying", "the syncer has not read spec.paused yet".to_owned());
    }
    None
}

pub(super) fn unknown(type_: ConditionType) -> Finding {
    Finding::new(type_, None, "SyncerNotHeard", "the syncer's report cannot be read")
}

fn reachable(
    type_: ConditionType,
    report: Option<&SyncReport>,
    of: impl Fn(&SyncReport) -> Option<bool>,
) -> Finding {
    let Some(report) = report else {
        return unknown(type_);
    };
    match of(report) {
        Some(true) => Finding::new(type_, Some(true), "Connected", ""),
        Some(false) => {
            let end = if type_ == ConditionType::SourceReachable { "Source" } else { "Target" };
            let waits = report.waits.iter().chain(&report.waiting_for);
            let wait = waits.into_iter().find(|wait| wait.reason.as_str().starts_with(end));
            let (reason, message) = wait
                .map_or(("NotConnected", ""), |wait| (wait.reason.as_str(), wait.message.as_str()));
            Finding::new(type_, Some(false), reason, message)
        }
        None => Finding::new(type_, None, "NotConnectedYet", ""),
    }
}

fn synced(report: Option<&SyncReport>) -> Finding {
    let type_ = ConditionType::Synced;
    match report {
        None => unknown(type_),
        Some(report) if report.phase == Phase::Streaming && !report.paused => {
            Finding::new(type_, Some(true), "Level", "")
        }
        Some(report) => Finding::new(type_, Some(false), report.phase.as_str(), ""),
    }
}

fn data_verified(report: Option<&SyncReport>) -> Finding {
    let type_ = ConditionType::DataVerified;
    let Some(report) = report else {
        return unknown(type_);
    };
    let evicted = report.links.iter().map(|link| link.evicted_since_copy).max().unwrap_or(0);
    if evicted > 0 {
        return Finding::new(
            type_,
            Some(false),
            "KeysEvicted",
            format!(
                "the standby has evicted keys ({}), which it lacks until the next full copy",
                at_least(evicted)
            ),
        );
    }
    match report.data_verified.status {
        Verification::True => Finding::new(type_, Some(true), "RepliesChecked", ""),
        Verification::False => Finding::new(type_, Some(false), "DataDiffers", ""),
        Verification::Unknown => Finding::new(
            type_,
            None,
            "RepliesLost",
            format!(
                "{} batches or commands are in doubt: their replies were lost when a process or a node ended, or they went to the dead letters",
                report.data_verified.unchecked_batches
            ),
        ),
    }
}
