//! Conditions: their types, and how a list of new ones takes over the times of the old. They inform people; nothing is
//! decided from them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::status::text;

/// Kubernetes allows 32 KiB; people read less.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The types of conditions, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// Writes of the primary reach the standby.
    Ready,
    /// Something is under way that ends by itself.
    Reconciling,
    /// Only a human can make it go on.
    Stalled,
    /// The syncer is connected to the source.
    SourceReachable,
    /// The syncer is connected to the standby.
    TargetReachable,
    /// The standby is level with the source.
    Synced,
    /// The standby's data are known to equal the source's as of the position.
    DataVerified,
    /// What the pair works under will hold: versions, rights, sizes, policies.
    PreflightPassed,
    /// A cut between syncer and source is bridged by the source's backlog.
    BacklogHealthy,
    /// Keys may run out at the standby before their renewal arrives.
    ExpiryAtRisk,
}

impl ConditionType {
    /// As it stands in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::SourceReachable => "SourceReachable",
            Self::TargetReachable => "TargetReachable",
            Self::Synced => "Synced",
            Self::DataVerified => "DataVerified",
            Self::PreflightPassed => "PreflightPassed",
            Self::BacklogHealthy => "BacklogHealthy",
            Self::ExpiryAtRisk => "ExpiryAtRisk",
        }
    }
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub type_: ConditionType,
    /// `None` is Unknown.
    pub is_true: Option<bool>,
    /// One word in CamelCase.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(
        type_: ConditionType,
        is_true: Option<bool>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, is_true, reason: reason.into(), message: message.into() }
    }
}

/// The findings as conditions. The time of a status that has not changed stays.
pub fn merge(
    old: &[Condition],
    findings: Vec<Finding>,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |finding: Finding| {
        let status = match finding.is_true {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let type_ = finding.type_.as_str();
        let known = old.iter().find(|known| known.type_ == type_ && known.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: finding.reason,
            message: text::cut(&finding.message, MESSAGE_BYTES_MAX),
            observed_generation,
            last_transition_time: known
                .map_or(Time(now), |known| known.last_transition_time.clone()),
        }
    };
    findings.into_iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(is_true: bool, reason: &str) -> Finding {
        Finding::new(ConditionType::Ready, Some(is_true), reason, "m")
    }

    #[test]
    fn the_time_of_a_transition_changes_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = merge(&[], vec![ready(false, "FullCopy")], Some(1), at(1));
        let other_reason = merge(&first, vec![ready(false, "TargetUnreachable")], Some(1), at(2));
        assert_eq!(other_reason[0].last_transition_time, Time(at(1)));
        assert_eq!(other_reason[0].reason, "TargetUnreachable");
        let changed = merge(&other_reason, vec![ready(true, "Replicating")], Some(2), at(3));
        assert_eq!(changed[0].last_transition_time, Time(at(3)));
        assert_eq!(changed[0].observed_generation, Some(2));
    }
}
