//! The syncer's pod and volume, as far as they are the user's to decide.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};

use super::{Deserialize, JsonSchema, KubeSchema, Serialize};

/// The syncer: one pod with one volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncerSpec {
    /// CPU and memory of the syncer's container. It needs about 20Mi and half a core for each 1,000,000 small writes/s;
    /// memory does not grow with the data, but the largest element of a value and the largest transaction are held whole,
    /// up to 544Mi. Default: requests of 100m and 64Mi, a memory limit of 1Gi. A change restarts the syncer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// The volume for the spool.
    #[serde(default)]
    pub storage: StorageSpec,
    /// Where the pod runs and what it is labelled with. A change restarts the syncer.
    #[serde(default)]
    pub template: TemplateSpec,
}

/// The volume for the spool. A pod that loses it costs at most a full copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("syncer.storage cannot be changed: Kubernetes does not change the claim of a StatefulSet. Delete the RedisSync and create it again: the record in the standby spares the full copy as long as the source's backlog reaches back")
)]
pub struct StorageSpec {
    /// The size of the claim. Must be larger than `spool.maxBytes`. Default 10Gi. Cannot be changed later.
    #[serde(default = "default_size")]
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('1Mi'))").message("syncer.storage.size must be an amount of bytes, such as 10Gi")
    )]
    pub size: String,
    /// The StorageClass. Left out: the cluster's default. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// How the claim is asked for. Default `ReadWriteOncePod`: the cluster itself then sees to it that no second pod has
    /// the volume. `ReadWriteOnce` is for storage that cannot do this; a lock in the volume guards it as well.
    #[serde(default)]
    pub access_mode: AccessMode,
}

/// The access mode of the syncer's claim.
#[expect(missing_docs, reason = "Kubernetes' own words, documented at the field")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    #[default]
    ReadWriteOncePod,
    ReadWriteOnce,
}

impl AccessMode {
    /// As Kubernetes names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOncePod => "ReadWriteOncePod",
            Self::ReadWriteOnce => "ReadWriteOnce",
        }
    }
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self { size: default_size(), storage_class_name: None, access_mode: AccessMode::default() }
    }
}

fn default_size() -> String {
    "10Gi".to_owned()
}

/// What may be added to the syncer's pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateSpec {
    /// Further labels of the pod. Labels of the operator's own are not replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that the pod's node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Rules about nodes and other pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Taints that the pod bears.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,
    /// How pods are spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// The pod's priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// Secrets with the registry's credentials, in the object's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}
