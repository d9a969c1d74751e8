//! Step 5, pure: what to do about one object. A table in its test tells every case.
//!
//! It decides from typed values only, never from the text of a condition, and never from the status.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;

use super::{
    nodes::NodeSeen,
    observe::{Observed, PodSeen},
    validate::ValidatedSync,
};
use crate::names;

/// A pod that no node is found for, for so long, because its volume is on a lost node, gets a new volume. Long, since
/// a node that comes back brings the spool back, and nothing waits for it but this pair.
const CLAIM_LOST: SignedDuration = SignedDuration::from_mins(10);

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whether to apply the ConfigMap.
    pub apply_config: bool,
    /// What to do about the StatefulSet.
    pub workload: WorkloadStep,
    /// What to do about the pod.
    pub pod: PodStep,
    /// Whether to look whether the claim is on a lost node, and to delete it then.
    pub check_claim: bool,
}

/// What to do about the StatefulSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkloadStep {
    /// It is as it should be.
    #[default]
    Keep,
    /// Apply it.
    Apply,
    /// It belongs to an object that is gone and goes with it; it is made anew then.
    AwaitRemoval,
    /// The operator has changed, the object has not: other syncers are restarted first.
    AwaitTurn,
}

/// What to do about the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodStep {
    /// Nothing.
    #[default]
    Keep,
    /// Ask its kubelet to show it the newest configuration and Secrets at once.
    Refresh,
    /// Its node is lost: delete it without waiting for the node.
    ForceDelete,
}

/// What the plan is made of, beside the object.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// What there is.
    pub observed: &'a Observed,
    /// The StatefulSet that there should be.
    pub wanted: &'a StatefulSet,
    /// The generation that the StatefulSet had when this process applied it last.
    pub applied_generation: Option<i64>,
    /// Whether a restart that only the operator's own change asks for may be done now.
    pub has_turn: bool,
    /// The time.
    pub now: Timestamp,
}

impl Plan {
    /// As it was carried out: a node that turned out not to be lost keeps its pod.
    #[must_use]
    pub fn once_applied(self, is_pod_deleted: bool) -> Self {
        match self.pod {
            PodStep::ForceDelete if !is_pod_deleted => Self { pod: PodStep::Keep, ..self },
            _ => self,
        }
    }
}

/// What to do about a valid object.
pub fn plan(sync: &ValidatedSync, circumstances: Circumstances<'_>) -> Plan {
    let Circumstances { observed, now, .. } = circumstances;
    Plan {
        apply_config: observed.config_text.as_ref() != Some(&sync.config_text),
        workload: workload_step(sync, circumstances),
        pod: observed
            .pod
            .as_ref()
            .map_or(PodStep::Keep, |pod| pod_step(sync, pod, observed.node, now)),
        check_claim: observed.is_watching_nodes
            && observed
                .pod
                .as_ref()
                .and_then(|pod| pod.unscheduled_since)
                .is_some_and(|since| now.duration_since(since) >= CLAIM_LOST),
    }
}

/// What to do about an object that cannot be acted on: what runs goes on, but a lost node is a lost node.
pub fn plan_invalid(observed: &Observed, now: Timestamp) -> Plan {
    let is_lost = observed.pod.as_ref().is_some_and(|pod| is_on_lost_node(pod, observed.node, now));
    Plan { pod: if is_lost { PodStep::ForceDelete } else { PodStep::Keep }, ..Plan::default() }
}

/// Whether the StatefulSet differs from the wanted one for no other reason than that the operator has changed.
pub fn is_upgrade(observed: &Observed, wanted: &StatefulSet) -> bool {
    observed.workload.as_ref().is_some_and(|seen| {
        let annotations = wanted.annotations();
        seen.spec_hash.as_ref() == annotations.get(names::SPEC_HASH)
            && seen.template_hash.as_ref() != annotations.get(names::TEMPLATE_HASH)
    })
}

fn workload_step(sync: &ValidatedSync, circumstances: Circumstances<'_>) -> WorkloadStep {
    let Circumstances { observed, wanted, applied_generation, has_turn, now: _ } = circumstances;
    let Some(seen) = &observed.workload else {
        return WorkloadStep::Apply;
    };
    if seen.owner_uid.as_deref().is_some_and(|owner| owner != sync.uid) {
        return WorkloadStep::AwaitRemoval;
    }
    if is_upgrade(observed, wanted) && !has_turn {
        return WorkloadStep::AwaitTurn;
    }
    let is_wanted = seen.template_hash.as_ref() == wanted.annotations().get(names::TEMPLATE_HASH)
        && seen.spec_hash.as_ref() == wanted.annotations().get(names::SPEC_HASH);
    // Another generation than the one that was applied: somebody else has changed it.
    if is_wanted && applied_generation == Some(seen.generation) {
        WorkloadStep::Keep
    } else {
        WorkloadStep::Apply
    }
}

fn pod_step(sync: &ValidatedSync, pod: &PodSeen, node: NodeSeen, now: Timestamp) -> PodStep {
    if is_on_lost_node(pod, node, now) {
        return PodStep::ForceDelete;
    }
    let config_hash = names::hash(&sync.config_text);
    let is_fresh = pod.config_hash.as_deref() == Some(config_hash.as_str())
        && pod.secret_versions.as_deref() == Some(sync.secret_versions.as_str());
    if is_fresh || pod.is_ending || !pod.is_running { PodStep::Keep } else { PodStep::Refresh }
}

fn is_on_lost_node(pod: &PodSeen, node: NodeSeen, now: Timestamp) -> bool {
    pod.node.is_some() && node.is_lost(now)
}

#[cfg(test)]
mod tests;
