//! Step 4, pure: from a validated object to the Kubernetes objects that run its syncer.

pub mod config_map;
pub mod stateful_set;
pub mod syncer_config;

use k8s_openapi::{
    api::{apps::v1::StatefulSet, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::api::ObjectMeta;

use crate::{controller::validate::ValidatedSync, names};

/// What the operator itself was told about syncers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncerImage {
    /// The image.
    pub name: String,
    /// When it is pulled.
    pub pull_policy: String,
}

/// All that is made for one object. Destructure it without `..`, so that a new one cannot be forgotten.
#[derive(Clone, Debug)]
pub struct Resources {
    /// The syncer's configuration.
    pub config_map: ConfigMap,
    /// The syncer's pod and volume.
    pub stateful_set: StatefulSet,
}

/// Builds all of it.
pub fn build(sync: &ValidatedSync, image: &SyncerImage) -> Resources {
    Resources {
        config_map: config_map::build(sync),
        stateful_set: stateful_set::build(sync, image),
    }
}

/// The metadata that everything has: name, labels, and the owner with which it goes.
fn metadata(sync: &ValidatedSync) -> ObjectMeta {
    ObjectMeta {
        name: Some(names::workload(&sync.name)),
        namespace: Some(sync.namespace.clone()),
        labels: Some(names::labels(&sync.name)),
        owner_references: Some(vec![OwnerReference {
            api_version: "redissync.dev/v1alpha1".to_owned(),
            kind: "RedisSync".to_owned(),
            name: sync.name.clone(),
            uid: sync.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
