//! The volume of a syncer whose node is gone: given up only where nothing else can reach it. This operator looks after
//! all namespaces, since only such a one sees nodes.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use redissync_operator::names;
use serde_json::{Value, json};

use crate::{cluster, operator_process::Setup, sample::standalone, space::Space, wait::until};

/// A node that was never there is as gone as one that was removed.
const GONE: &str = "redissync-tests-gone";
const SOON: Duration = Duration::from_secs(30);
/// A pass comes at least every 5 s.
const SOME_PASSES: Duration = Duration::from_secs(12);

#[tokio::test]
async fn only_a_volume_that_nothing_but_a_lost_node_can_reach_is_given_up() {
    let space = Space::new("lost-node").await;
    cluster::must_be_ours(&space.client).await;
    let on_the_node = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [GONE]}
    ]}]}});
    let local = json!({"local": {"path": "/nowhere"}, "nodeAffinity": on_the_node});
    let network = json!({"nfs": {"server": "192.0.2.1", "path": "/"}});
    bind(&space, "local", local).await;
    let network = bind(&space, "network", network).await;
    for name in ["local", "network"] {
        space.create(&standalone(name)).await;
    }
    let _operator = Setup::new().start().await;
    for name in ["local", "network"] {
        say_unscheduled_for_long(&space, name).await;
    }
    let claims: Api<PersistentVolumeClaim> = space.api();
    until("the claim of the local volume is deleted", SOON, async || {
        match claims.get_opt(&names::claim("local")).await {
            Ok(Some(claim)) if claim.metadata.deletion_timestamp.is_none() => Err(claim.metadata),
            _ => Ok(()),
        }
    })
    .await;
    tokio::time::sleep(SOME_PASSES).await;
    let since = unscheduled_since(&space.api(), &names::pod("network")).await.expect("it waits");
    let waited = jiff::Timestamp::now().duration_since(since);
    assert!(waited.as_mins() >= 10, "the operator had no reason to look: {waited:?}");
    let claim = claims.get(&names::claim("network")).await.expect("it is there");
    assert_eq!(claim.uid(), network.uid(), "it is the one that was there");
    assert_eq!(claim.metadata.deletion_timestamp, None);
}

/// A claim, made for the node that is gone, and the volume that it is bound to.
async fn bind(space: &Space, sync: &str, volume: Value) -> PersistentVolumeClaim {
    let name = format!("{}-{sync}", space.name);
    let claim_name = names::claim(sync);
    let namespaces: Api<Namespace> = Api::all(space.client.clone());
    let namespace = namespaces.get(&space.name).await.expect("the namespace is there");
    let mut spec = json!({
        "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": space.name, "name": claim_name},
    });
    spec.as_object_mut().expect("a map").extend(volume.as_object().expect("a map").clone());
    let volume: PersistentVolume = serde_json::from_value(json!({
        // It goes with the namespace.
        "metadata": {"name": name, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Namespace", "name": space.name, "uid": namespace.uid()}
        ]},
        "spec": spec,
    }))
    .expect("a volume");
    let volumes: Api<PersistentVolume> = Api::all(space.client.clone());
    volumes.create(&PostParams::default(), &volume).await.expect("the volume is made");
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {
            "name": claim_name, "annotations": {"volume.kubernetes.io/selected-node": GONE},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": name,
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }))
    .expect("a claim");
    space.api().create(&PostParams::default(), &claim).await.expect("the claim is made")
}

/// As if the scheduler had said it eleven minutes ago. After it has said so itself, or it would write its own time over it.
async fn say_unscheduled_for_long(space: &Space, sync: &str) {
    let (pods, pod): (Api<Pod>, _) = (space.api(), names::pod(sync));
    until("the scheduler has found no node", SOON, async || unscheduled_since(&pods, &pod).await)
        .await;
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(11);
    let status = json!({"status": {"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available", "lastTransitionTime": since.to_string(),
    }]}});
    pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("the pod's status is written");
}

async fn unscheduled_since(pods: &Api<Pod>, pod: &str) -> Result<jiff::Timestamp, String> {
    let pod = pods.get(pod).await.map_err(|err| err.to_string())?;
    let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
    let scheduled = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False");
    let since = scheduled.and_then(|it| it.last_transition_time.as_ref()).map(|time| time.0);
    since.ok_or_else(|| format!("{conditions:?}"))
}
