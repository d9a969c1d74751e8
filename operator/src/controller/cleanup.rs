//! What happens when an object is deleted: its syncer drains, then the object goes and owner references collect the
//! rest. The record and the data in the sites stay as they are.
//!
//! The finalizer must never hold a namespace: so it is set only where the operator itself outlives the object (not in
//! its own namespace, and not where its rights are a Role that goes with the namespace), and it waits for a bounded time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::{info, warn};

use super::observe::Observed;
use crate::{build::syncer_config::DRAIN_SECONDS, crd::RedisSync, names};

/// The pod's grace and what the kubelet needs. Then the object goes in any case: its pod ends without being waited for.
const WAIT_MAX: SignedDuration = SignedDuration::from_secs(DRAIN_SECONDS as i64 + 25);
/// Between two looks; the pod's end is watched as well.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Why the cleanup goes on later.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The finalizer could not be changed.
    #[error("failed to change the finalizers")]
    Finalizer(#[source] kube::Error),
    /// The StatefulSet could not be scaled down.
    #[error("failed to scale the StatefulSet down")]
    ScaleDown(#[source] kube::Error),
}

/// What remains to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The syncer drains: look again after this time.
    Draining(Duration),
    /// Nothing: the object goes.
    Done,
}

/// Sets the finalizer, if it is missing.
pub async fn hold(client: &Client, object: &RedisSync) -> Result<(), CleanupError> {
    if is_held(object) {
        return Ok(());
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(names::FINALIZER.to_owned());
    set_finalizers(client, object, finalizers).await
}

/// Drains the syncer of a deleted object; removes the finalizer when that is done or takes too long.
pub async fn cleanup(
    client: &Client,
    object: &RedisSync,
    observed: &Observed,
    now: Timestamp,
) -> Result<Cleanup, CleanupError> {
    if !is_held(object) {
        return Ok(Cleanup::Done);
    }
    let deleted_at = object.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
    let is_overdue = now.duration_since(deleted_at) >= WAIT_MAX;
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if observed.pod.is_some() && observed.workload.is_some() && !is_overdue {
        scale_down(client, &namespace, &name).await?;
        return Ok(Cleanup::Draining(LOOK_AGAIN));
    }
    if is_overdue {
        warn!(namespace, name, "the syncer did not end in time, the object goes without it");
    }
    let others = object.finalizers().iter().filter(|name| *name != names::FINALIZER).cloned();
    set_finalizers(client, object, others.collect()).await?;
    info!(namespace, name, "the syncer has ended; the record and the data in the sites stay");
    Ok(Cleanup::Done)
}

fn is_held(object: &RedisSync) -> bool {
    object.finalizers().iter().any(|name| name == names::FINALIZER)
}

/// A merge patch of two fields: what is not there is not created by it.
async fn scale_down(client: &Client, namespace: &str, name: &str) -> Result<(), CleanupError> {
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let patch = json!({ "spec": { "replicas": 0 } });
    match api.patch(&names::workload(name), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(err) => Err(CleanupError::ScaleDown(err)),
    }
}

/// Only on the version that was seen: a list is replaced as a whole.
async fn set_finalizers(
    client: &Client,
    object: &RedisSync,
    finalizers: Vec<String>,
) -> Result<(), CleanupError> {
    let api: Api<RedisSync> =
        Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = json!({
        "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers }
    });
    match api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(err) => Err(CleanupError::Finalizer(err)),
    }
}
