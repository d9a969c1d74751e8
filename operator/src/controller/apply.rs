//! Step 6, I/O: makes the cluster as the plan has it, by server-side apply, in this order: the configuration before the
//! pod that reads it, the pod's refresh after both.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client, Resource,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::info;

use super::{
    lost::{self, LostError},
    nodes::Nodes,
    observe::Observed,
    plan::{Plan, PodStep, WorkloadStep},
    validate::ValidatedSync,
};
use crate::{build::Resources, names};

/// What the cluster answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The StatefulSet's generation after it was applied; `None` if it was not.
    pub generation: Option<i64>,
    /// Whether the pod of a lost node was deleted.
    pub is_pod_deleted: bool,
}

/// Why the cluster could not be made so.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The ConfigMap.
    #[error("failed to apply the ConfigMap {0}")]
    ConfigMap(String, #[source] kube::Error),
    /// The StatefulSet.
    #[error("failed to apply the StatefulSet {0}")]
    StatefulSet(String, #[source] kube::Error),
    /// Whether the name is free.
    #[error("failed to look at {0} {1}")]
    ReadName(&'static str, String, #[source] kube::Error),
    /// Something else has the name.
    #[error(
        "there is a {0} '{1}' that this operator did not make: rename or delete it, or give the RedisSync another name"
    )]
    NameTaken(&'static str, String),
    /// The pod's annotations.
    #[error("failed to patch the annotations of the pod {0}")]
    Refresh(String, #[source] kube::Error),
    /// What is done about lost nodes.
    #[error(transparent)]
    Lost(#[from] LostError),
}

/// Applies what a valid object's plan says.
pub async fn apply(
    client: &Client,
    nodes: Option<&Nodes>,
    sync: &ValidatedSync,
    resources: &Resources,
    plan: &Plan,
    observed: &Observed,
) -> Result<Applied, ApplyError> {
    // Without `..`: what is built is applied.
    let Resources { config_map, stateful_set } = resources;
    let namespace = sync.namespace.as_str();
    let workload = names::workload(&sync.name);
    let mut applied = Applied::default();
    if plan.apply_config {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        if observed.config_text.is_none() {
            ensure_name(&api, "ConfigMap", &workload, &sync.uid).await?;
        }
        api.patch(&workload, &server_side(), &Patch::Apply(config_map))
            .await
            .map_err(|err| ApplyError::ConfigMap(workload.clone(), err))?;
    }
    if plan.workload == WorkloadStep::Apply {
        let api: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
        if observed.workload.is_none() {
            ensure_name(&api, "StatefulSet", &workload, &sync.uid).await?;
        }
        let set = api
            .patch(&workload, &server_side(), &Patch::Apply(stateful_set))
            .await
            .map_err(|err| ApplyError::StatefulSet(workload.clone(), err))?;
        applied.generation = set.metadata.generation;
    }
    if plan.pod == PodStep::Refresh {
        refresh(client, sync).await?;
    }
    applied.is_pod_deleted =
        lost::apply(client, nodes, namespace, &sync.name, plan, observed).await?;
    Ok(applied)
}

/// The stores hold only what carries the operator's label. What has the name without it is somebody else's: applied over,
/// it would get an owner, and go with it (Promise 5).
async fn ensure_name<K>(
    api: &Api<K>,
    kind: &'static str,
    name: &str,
    uid: &str,
) -> Result<(), ApplyError>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    let found = api.get_opt(name).await;
    let found = found.map_err(|err| ApplyError::ReadName(kind, name.to_owned(), err))?;
    match found {
        Some(found) if !is_ours(found.meta(), uid) => {
            Err(ApplyError::NameTaken(kind, name.to_owned()))
        }
        _ => Ok(()),
    }
}

/// By the label, or, should that have been taken off, by the owner.
fn is_ours(metadata: &ObjectMeta, uid: &str) -> bool {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(names::MANAGED_BY));
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    label.is_some_and(|by| by == names::FIELD_MANAGER)
        || owners.iter().any(|owner| owner.uid == uid)
}

/// A changed annotation makes the kubelet look at the pod, and at its volumes, at once.
async fn refresh(client: &Client, sync: &ValidatedSync) -> Result<(), ApplyError> {
    let pod = names::pod(&sync.name);
    let annotations = json!({
        names::CONFIG_HASH: names::hash(&sync.config_text),
        names::SECRET_VERSIONS: sync.secret_versions,
    });
    let patch = json!({ "metadata": { "annotations": annotations } });
    let api: Api<Pod> = Api::namespaced(client.clone(), &sync.namespace);
    info!(namespace = sync.namespace, pod, "the kubelet is asked to refresh the pod's files");
    ignore_absence(
        api.patch(&pod, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ()),
    )
    .map_err(|err| ApplyError::Refresh(pod, err))
}

/// The operator owns every field that it applies.
pub fn server_side() -> PatchParams {
    PatchParams::apply(names::FIELD_MANAGER).force()
}

/// Gone in the meantime is as good as deleted.
pub(super) fn ignore_absence(outcome: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match outcome {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build, controller::validate::fixtures::validated};

    #[test]
    fn what_the_operator_made_is_told_from_what_others_made() {
        let sync = validated(
            "sites: [{name: a, standalone: {address: 'a:1'}}, {name: b, standalone: {address: 'b:1'}}]\nprimary: a",
        );
        let image = build::SyncerImage { name: "i".into(), pull_policy: "Always".into() };
        let made = build::build(&sync, &image).config_map.metadata;
        assert!(is_ours(&made, &sync.uid));
        let unlabelled = ObjectMeta { labels: None, ..made.clone() };
        assert!(is_ours(&unlabelled, &sync.uid) && !is_ours(&unlabelled, "another"));
        let orphaned = ObjectMeta { owner_references: None, ..made };
        assert!(is_ours(&orphaned, &sync.uid));
        assert!(!is_ours(&ObjectMeta::default(), &sync.uid));
    }
}
