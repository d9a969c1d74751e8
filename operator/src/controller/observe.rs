//! Step 3: what there is. Reads the stores that the watches fill and the views that the tasks keep; it sends nothing,
//! and what is not there is a value.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Resource as _, ResourceExt as _,
    runtime::reflector::{ObjectRef, Store},
};

use super::nodes::{NodeSeen, Nodes};
use crate::{crd::RedisSync, names, report_watch::ReportView, site_watch::SiteView};

/// The stores of the operator's watches.
#[derive(Debug)]
pub struct Stores {
    /// The StatefulSets that it made.
    pub stateful_sets: Store<StatefulSet>,
    /// The ConfigMaps that it made.
    pub config_maps: Store<ConfigMap>,
    /// The syncers' pods.
    pub pods: Store<Pod>,
    /// The nodes; `None` where the operator may not see them.
    pub nodes: Option<Nodes>,
}

/// Everything that was seen of one object.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The StatefulSet.
    pub workload: Option<WorkloadSeen>,
    /// The configuration in the ConfigMap, if there is one.
    pub config_text: Option<String>,
    /// The syncer's pod.
    pub pod: Option<PodSeen>,
    /// The node on which it runs.
    pub node: NodeSeen,
    /// Whether nodes can be seen at all.
    pub is_watching_nodes: bool,
    /// Its report.
    pub report: ReportView,
    /// The site that is read.
    pub source: SiteView,
    /// The site that is written.
    pub target: SiteView,
}

/// A StatefulSet, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadSeen {
    /// The object that it belongs to: one that was created anew must not take over the old one's.
    pub owner_uid: Option<String>,
    /// The hash of what was last applied.
    pub template_hash: Option<String>,
    /// The hash of the spec that it was made from.
    pub spec_hash: Option<String>,
    /// Changes with its spec, whoever changed it.
    pub generation: i64,
    /// Whether its pod is the one of its newest template.
    pub is_updated: bool,
    /// The same, and its link works: the pod of a link that waits, halts or rests is not ready.
    pub is_rolled_out: bool,
}

/// A pod, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSeen {
    /// Its identity.
    pub uid: String,
    /// Where its report is.
    pub address: Option<IpAddr>,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// Whether its container runs.
    pub is_running: bool,
    /// Whether its container has ended so often that Kubernetes waits before it starts it again.
    pub is_crashing: bool,
    /// Whether it was asked to end.
    pub is_ending: bool,
    /// Why its container does not run, in Kubernetes' words.
    pub problem: Option<String>,
    /// Since when no node is found for it.
    pub unscheduled_since: Option<Timestamp>,
    /// The configuration that the kubelet was asked to show to it.
    pub config_hash: Option<String>,
    /// The Secrets that the kubelet was asked to show to it.
    pub secret_versions: Option<String>,
}

impl Observed {
    /// Reads the stores; the views come from whoever holds the tasks.
    pub fn read(
        stores: &Stores,
        namespace: &str,
        name: &str,
        report: ReportView,
        [source, target]: [SiteView; 2],
    ) -> Self {
        let workload = names::workload(name);
        let set = stores.stateful_sets.get(&ObjectRef::new(&workload).within(namespace));
        let config = stores.config_maps.get(&ObjectRef::new(&workload).within(namespace));
        let pod = stores.pods.get(&ObjectRef::new(&names::pod(name)).within(namespace));
        let pod = pod.map(|pod| PodSeen::from(&*pod));
        let node = match (&stores.nodes, pod.as_ref().and_then(|pod| pod.node.as_deref())) {
            (Some(nodes), Some(name)) => nodes.see(name),
            _ => NodeSeen::Unknown,
        };
        Self {
            workload: set.map(|set| WorkloadSeen::from(&*set)),
            config_text: config
                .and_then(|config| config.data.as_ref()?.get(names::CONFIG_FILE).cloned()),
            pod,
            node,
            is_watching_nodes: stores.nodes.is_some(),
            report,
            source,
            target,
        }
    }
}

impl From<&StatefulSet> for WorkloadSeen {
    fn from(set: &StatefulSet) -> Self {
        let status = set.status.clone().unwrap_or_default();
        let generation = set.metadata.generation.unwrap_or_default();
        let is_seen = status.observed_generation.unwrap_or_default() >= generation;
        let is_newest = status.update_revision.is_some()
            && (status.current_revision == status.update_revision
                || status.updated_replicas.unwrap_or_default() >= 1);
        Self {
            owner_uid: owner(set).map(|owner| owner.uid.clone()),
            template_hash: set.annotations().get(names::TEMPLATE_HASH).cloned(),
            spec_hash: set.annotations().get(names::SPEC_HASH).cloned(),
            generation,
            is_updated: is_seen && is_newest,
            is_rolled_out: is_seen && is_newest && status.ready_replicas.unwrap_or_default() >= 1,
        }
    }
}

/// The RedisSync among its owners: whatever others add to the list, and in whatever order, it is not theirs to own it.
fn owner(set: &StatefulSet) -> Option<&OwnerReference> {
    let is_ours = |api_version: &str| {
        api_version.split_once('/').is_some_and(|(group, _)| group == RedisSync::group(&()))
    };
    let mut owners = set.owner_references().iter();
    owners.find(|owner| owner.kind == RedisSync::kind(&()) && is_ours(&owner.api_version))
}

impl From<&Pod> for PodSeen {
    fn from(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        // By name: what a service mesh adds to the pod may stand before it.
        let containers = status.container_statuses.unwrap_or_default();
        let container = containers.into_iter().find(|it| it.name == names::CONTAINER);
        let state = container.and_then(|container| container.state);
        let waiting = state.as_ref().and_then(|state| state.waiting.clone());
        let is_crashing = waiting
            .as_ref()
            .is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"));
        let waiting = waiting.map(|waiting| {
            let message = waiting.message.map(|text| format!(": {text}")).unwrap_or_default();
            format!("{}{message}", waiting.reason.unwrap_or_default())
        });
        let scheduled = status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
        let unscheduled = scheduled.as_ref().map(|condition| {
            condition.message.clone().unwrap_or_else(|| "no node was found for it".to_owned())
        });
        Self {
            uid: pod.uid().unwrap_or_default(),
            address: status.pod_ip.and_then(|address| address.parse().ok()),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            is_running: state.is_some_and(|state| state.running.is_some()),
            is_crashing,
            is_ending: pod.metadata.deletion_timestamp.is_some(),
            problem: waiting.or(unscheduled),
            unscheduled_since: scheduled
                .and_then(|condition| condition.last_transition_time)
                .map(|time| time.0),
            config_hash: pod.annotations().get(names::CONFIG_HASH).cloned(),
            secret_versions: pod.annotations().get(names::SECRET_VERSIONS).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_owner_is_the_redis_sync_wherever_it_stands_in_the_list() {
        let owner = |api_version: &str, kind: &str, uid: &str| json!({"apiVersion": api_version, "kind": kind, "name": "cart", "uid": uid});
        let ours = owner("redissync.dev/v1alpha1", "RedisSync", "ours");
        let app = owner("argoproj.io/v1alpha1", "Application", "app");
        let rows = [
            ("none", json!([]), None),
            ("alone", json!([ours]), Some("ours")),
            ("behind another", json!([app, ours]), Some("ours")),
            (
                "in a later version",
                json!([owner("redissync.dev/v1", "RedisSync", "later")]),
                Some("later"),
            ),
            ("only others", json!([app]), None),
            ("the kind of another group", json!([owner("example.com/v1", "RedisSync", "x")]), None),
            (
                "another kind of the group",
                json!([owner("redissync.dev/v1alpha1", "RedisCopy", "x")]),
                None,
            ),
        ];
        for (name, owners, uid) in rows {
            let set = json!({"metadata": {"name": "cart-redissync", "ownerReferences": owners}});
            let set: StatefulSet = serde_json::from_value(set).unwrap();
            assert_eq!(WorkloadSeen::from(&set).owner_uid.as_deref(), uid, "{name}");
        }
    }

    #[test]
    fn the_syncers_container_is_told_from_those_that_others_add() {
        let pod = |syncer: serde_json::Value| {
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {"name": "cart-redissync-0"},
                "status": {"podIP": "fd00::7", "containerStatuses": [
                    {"name": "istio-proxy", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                     "state": {"running": {}}},
                    {"name": "syncer", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                     "state": syncer},
                ]},
            }))
            .unwrap();
            PodSeen::from(&pod)
        };
        assert!(pod(json!({"running": {}})).is_running);
        assert!(!pod(json!({"running": {}})).is_crashing);
        assert!(!pod(json!({"waiting": {"reason": "ImagePullBackOff"}})).is_crashing);
        let waiting =
            pod(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}));
        assert!(!waiting.is_running && waiting.is_crashing);
        assert_eq!(waiting.problem.as_deref(), Some("CrashLoopBackOff: back-off"));
        assert_eq!(waiting.address, "fd00::7".parse().ok());
    }
}
