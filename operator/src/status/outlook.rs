//! What the conditions say of the time to come: whether what the pair works under will hold. Advice: `Ready` does not
//! depend on it, and nothing is decided by it. Messages change with what they say, not with each number.

use std::fmt::Write as _;

use redissync_syncer::contract::{
    BacklogHealth, Check, CheckResult, ExpiryRisk, SyncReport, WaitEnd,
};

use super::findings::unknown;
use crate::conditions::{ConditionType, Finding};

/// The preflight's checks that are not passed, worst first.
pub(super) fn preflight_passed(report: Option<&SyncReport>) -> Finding {
    let type_ = ConditionType::PreflightPassed;
    let Some(report) = report else { return unknown(type_) };
    if report.preflight.is_empty() {
        return Finding::new(type_, None, "NotCheckedYet", "");
    }
    let of = |result| report.preflight.iter().filter(move |check| check.result == result);
    let [failed, warned, unread] =
        [CheckResult::Failed, CheckResult::Warning, CheckResult::Unknown].map(|it| of(it).count());
    let (is_true, reason) = match (failed, unread, warned) {
        (1.., ..) => (Some(false), "ChecksFailed"),
        (0, 1.., _) => (None, "ChecksUnread"),
        (0, 0, 1..) => (Some(true), "PassedWithWarnings"),
        (0, 0, 0) => (Some(true), "AllPassed"),
    };
    let told = of(CheckResult::Failed)
        .chain(of(CheckResult::Warning))
        .chain(of(CheckResult::Unknown))
        .map(sentence)
        .collect::<Vec<_>>();
    Finding::new(type_, is_true, reason, told.join("; "))
}

fn sentence(check: &Check) -> String {
    let Check { check, end, result, message, advice } = check;
    let end = match end {
        WaitEnd::Source => " of the source",
        WaitEnd::Target => " of the standby",
        _ => "",
    };
    let mut text = format!("{check}{end} ({result}): {message}");
    if !advice.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, " -> {advice}");
    }
    text
}

/// Whether the source's backlog bridges a cut.
pub(super) fn backlog_healthy(report: Option<&SyncReport>) -> Finding {
    let type_ = ConditionType::BacklogHealthy;
    let Some(report) = report else { return unknown(type_) };
    let Some(backlog) = report.links.iter().find_map(|link| link.backlog.as_ref()) else {
        return Finding::new(type_, None, "NotMeasuredYet", "");
    };
    let is_true = match backlog.health {
        BacklogHealth::Bridges => Some(true),
        BacklogHealth::Unknown => None,
        _ => Some(false),
    };
    Finding::new(type_, is_true, backlog.health.as_str(), &*backlog.message)
}

/// Promise 6: whether keys may run out before their renewal arrives.
pub(super) fn expiry_at_risk(report: Option<&SyncReport>) -> Finding {
    let type_ = ConditionType::ExpiryAtRisk;
    let Some(report) = report else { return unknown(type_) };
    let Some(expiry) = report.links.iter().find_map(|link| link.expiry.as_ref()) else {
        return Finding::new(type_, None, "NotMeasuredYet", "");
    };
    let (is_true, reason) = match expiry.risk {
        Some(risk @ (ExpiryRisk::WithinGrace | ExpiryRisk::GraceOff)) => {
            (Some(false), risk.as_str())
        }
        Some(risk @ (ExpiryRisk::AtRisk | ExpiryRisk::Exceeded)) => (Some(true), risk.as_str()),
        Some(ExpiryRisk::Unknown) | None => (None, "DelayUnknown"),
    };
    Finding::new(type_, is_true, reason, &*expiry.message)
}
