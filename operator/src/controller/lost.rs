//! Step 6 again, I/O: what is done about lost nodes, also for objects that are not valid. The pod of a lost node is deleted
//! without waiting for it, and so is the claim that keeps its successor from starting elsewhere. It must never delete
//! what the API server itself does not call lost.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Preconditions},
};
use tracing::warn;

use super::{
    apply::ignore_absence,
    nodes::Nodes,
    observe::Observed,
    plan::{Plan, PodStep},
    volume::{self, Tie},
};
use crate::names;

/// Where the scheduler notes the node for which a claim's volume is to be made.
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
    /// The volume of a claim that may be on a lost node.
    #[error("failed to look at the volume {0}")]
    ReadVolume(String, #[source] kube::Error),
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

/// The same for a node that a volume is tied to. If no node has the label any more, one of that name may still be there, its
/// label changed by hand.
async fn is_tie_lost(client: &Client, nodes: &Nodes, tie: &Tie) -> Result<bool, LostError> {
    let hostname = match tie {
        Tie::Name(name) => return is_lost(client, nodes, name).await,
        Tie::Hostname(hostname) => hostname,
    };
    let api: Api<Node> = Api::all(client.clone());
    let labelled = ListParams::default().labels(&format!("{}={hostname}", volume::HOSTNAME));
    let found = api.list(&labelled).await;
    let found = found.map_err(|err| LostError::ReadNode(hostname.clone(), err))?;
    if found.items.is_empty() {
        return is_lost(client, nodes, hostname).await;
    }
    let now = Timestamp::now();
    Ok(found.iter().all(|node| nodes.judge(&node.name_any(), Some(node)).is_lost(now)))
}

/// Deletes the claim of a pod that waits for a volume which only lost nodes can reach. The spool is a cache: what it
/// costs is at most a full copy (Promise 12). A volume that others can reach too will be attached there.
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
    let ties = match claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) {
        Some(volume) => volume_ties(client, volume).await?,
        // Nothing is in it yet, and whoever is to make its volume waits for this node.
        None => claim.annotations().get(SELECTED_NODE).map(|node| [Tie::Name(node.clone())].into()),
    };
    let Some(ties) = ties else {
        return Ok(());
    };
    for tie in &ties {
        if !is_tie_lost(client, nodes, tie).await? {
            return Ok(());
        }
    }
    warn!(namespace, claim = claim_name, nodes = ?ties, "the claim's node is lost, it is deleted");
    // What was looked at, and nothing else: not its successor, and not one that was bound meanwhile.
    let preconditions =
        Some(Preconditions { uid: claim.uid(), resource_version: claim.resource_version() });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    ignore_absence(claims.delete(&claim_name, &params).await.map(|_| ()))
        .map_err(|err| LostError::DeleteClaim(claim_name, err))
}

/// The nodes that a claim's volume is tied to.
async fn volume_ties(client: &Client, name: &str) -> Result<Option<BTreeSet<Tie>>, LostError> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes.get_opt(name).await;
    let volume = volume.map_err(|err| LostError::ReadVolume(name.to_owned(), err))?;
    Ok(volume.as_ref().and_then(volume::ties))
}
