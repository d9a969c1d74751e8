//! Step 6 again, I/O: what is done about lost nodes, also for objects that are not valid. The pod of a lost node is deleted
//! without waiting for it, and so is the claim that keeps its successor from starting elsewhere. It must never delete
//! what the API server itself does not call lost.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Preconditions},
};
use tracing::warn;

use super::{
    apply::ignore_absence,
    nodes::Nodes,
    observe::Observed,
    plan::{Plan, PodStep},
};
use crate::names;

/// Where the scheduler notes the node of a claim whose volume was made for it.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum LostError {
    /// The node of a pod that may be lost.
    #[error("failed to look at the node {0}")]
    ReadNode(String, #[source] kube::Error),
    /// The pod on a lost node.
    #[error("failed to delete the pod {0} of a lost node")]
    ForceDelete(String, #[source] kube::Error),
    /// The claim on a lost node.
    #[error("failed to look at the claim {0}")]
    ReadClaim(String, #[source] kube::Error),
    /// The claim on a lost node.
    #[error("failed to delete the claim {0} of a lost node")]
    DeleteClaim(String, #[source] kube::Error),
}

/// Does what the plan says of them. True if the pod was deleted.
pub async fn apply(
    client: &Client,
    nodes: Option<&Nodes>,
    namespace: &str,
    name: &str,
    plan: &Plan,
    observed: &Observed,
) -> Result<bool, LostError> {
    // Who sees no node calls none lost.
    let Some(nodes) = nodes else {
        return Ok(false);
    };
    let mut is_pod_deleted = false;
    if plan.pod == PodStep::ForceDelete
        && let Some(pod) = &observed.pod
        && let Some(node) = &pod.node
        && is_lost(client, nodes, node).await?
    {
        let pod_name = names::pod(name);
        warn!(namespace, pod = pod_name, node = pod.node, "the pod's node is lost, it is deleted");
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            // Not its successor, should it be there already.
            preconditions: Some(Preconditions {
                uid: Some(pod.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        ignore_absence(api.delete(&pod_name, &params).await.map(|_| ()))
            .map_err(|err| LostError::ForceDelete(pod_name, err))?;
        is_pod_deleted = true;
    }
    if plan.check_claim {
        release_lost_claim(client, nodes, namespace, name).await?;
    }
    Ok(is_pod_deleted)
}

/// Asks the API server itself. The watch of pods may be ahead of that of nodes: a pod on a node that was added a moment
/// ago would be taken for lost, and its successor too, for as long as the watch lags behind.
async fn is_lost(client: &Client, nodes: &Nodes, name: &str) -> Result<bool, LostError> {
    let api: Api<Node> = Api::all(client.clone());
    let node = api.get_opt(name).await.map_err(|err| LostError::ReadNode(name.to_owned(), err))?;
    Ok(nodes.judge(name, node.as_ref()).is_lost(Timestamp::now()))
}

/// Deletes the claim of a pod that waits for a volume on a node that is lost. The spool is a cache: what it costs is at
/// most a full copy (Promise 12).
async fn release_lost_claim(
    client: &Client,
    nodes: &Nodes,
    namespace: &str,
    name: &str,
) -> Result<(), LostError> {
    let claim_name = names::claim(name);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let read = |err| LostError::ReadClaim(claim_name.clone(), err);
    let Some(claim) = claims.get_opt(&claim_name).await.map_err(read)? else {
        return Ok(());
    };
    let Some(node) = claim.annotations().get(SELECTED_NODE).cloned() else {
        return Ok(());
    };
    if !is_lost(client, nodes, &node).await? {
        return Ok(());
    }
    warn!(namespace, claim = claim_name, node, "the claim's node is lost, it is deleted");
    // Not its successor, should it be there already.
    let uid = claim.uid();
    let preconditions = Some(Preconditions { uid, resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    ignore_absence(claims.delete(&claim_name, &params).await.map(|_| ()))
        .map_err(|err| LostError::DeleteClaim(claim_name, err))
}
