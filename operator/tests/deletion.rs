//! The end of an object: its syncer drains first, and nothing is held up for long. These operators look after all
//! namespaces, since only they set finalizers.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Namespace, Pod},
};
use kube::{Api, api::DeleteParams};
use redissync_operator::{crd::RedisSync, names};
use serde_json::json;

use crate::{
    cluster,
    operator_process::{Operator, Setup},
    sample::standalone,
    space::Space,
    stand_in::StandIn,
    wait::until,
};

const SOON: Duration = Duration::from_secs(20);

async fn start(test: &str) -> (Space, StandIn, Operator) {
    let space = Space::new(test).await;
    cluster::must_be_ours(&space.client).await;
    let stand_in = StandIn::start().await;
    let operator = Setup::new().reports(stand_in.address).start().await;
    (space, stand_in, operator)
}

async fn held(space: &Space, name: &str) {
    until("the finalizer is set", SOON, async || {
        let finalizers = space.get(name).await.metadata.finalizers.unwrap_or_default();
        if finalizers == [names::FINALIZER] { Ok(()) } else { Err(finalizers) }
    })
    .await;
}

async fn gone<K>(space: &Space, what: &str, name: &str, within: Duration) -> Duration
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + serde::de::DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let api = space.api::<K>();
    until(&format!("{what} is gone"), within, async || match api.get_opt(name).await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .1
}

#[tokio::test]
async fn an_object_without_a_pod_goes_at_once() {
    let (space, _stand_in, _operator) = start("no-pod").await;
    // A name for which Kubernetes can make no pod: its claim cannot be made without a quota for it.
    no_pods(&space).await;
    space.create(&standalone("cart")).await;
    held(&space, "cart").await;
    space.api::<RedisSync>().delete("cart", &DeleteParams::default()).await.expect("deleted");
    let took = gone::<RedisSync>(&space, "the object", "cart", SOON).await;
    println!("gone after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    gone::<StatefulSet>(&space, "the StatefulSet", &names::workload("cart"), SOON).await;
}

async fn no_pods(space: &Space) {
    let quota: k8s_openapi::api::core::v1::ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}
    }))
    .expect("a quota");
    space.api().create(&Default::default(), &quota).await.expect("a quota");
}

#[tokio::test]
async fn the_syncer_is_scaled_down_before_its_object_goes() {
    let (space, stand_in, _operator) = start("drain").await;
    stand_in.set(&space.name, "cart", json!({}));
    space.create(&standalone("cart")).await;
    space.say_running("cart", true).await;
    held(&space, "cart").await;
    // Holds the pod as a kubelet does while the container drains.
    let pod = names::pod("cart");
    let hold = json!({"metadata": {"finalizers": ["redissync.dev/tests"]}});
    space.merge::<Pod>(&pod, hold).await;
    space.api::<RedisSync>().delete("cart", &DeleteParams::default()).await.expect("deleted");
    until("the StatefulSet is scaled down", SOON, async || {
        let set: StatefulSet =
            space.api().get(&names::workload("cart")).await.expect("it is there");
        let replicas = set.spec.and_then(|spec| spec.replicas);
        if replicas == Some(0) { Ok(()) } else { Err(replicas) }
    })
    .await;
    until("the pod was asked to end", SOON, async || {
        let pod = space.api::<Pod>().get(&pod).await.expect("it is held");
        pod.metadata.deletion_timestamp.ok_or("not yet")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let cart = space.get("cart").await;
    assert!(cart.metadata.deletion_timestamp.is_some(), "it waits for its syncer");
    space.merge::<Pod>(&pod, json!({"metadata": {"finalizers": null}})).await;
    // Nobody ends the container of a pod without a node: the API server takes it away at once.
    let _ = space.api::<Pod>().delete(&pod, &DeleteParams::default().grace_period(0)).await;
    let took = gone::<RedisSync>(&space, "the object", "cart", SOON).await;
    println!("gone {took:?} after its pod");
}

#[tokio::test]
async fn a_namespace_with_objects_in_it_ends_within_a_minute() {
    let (space, stand_in, _operator) = start("namespace").await;
    for name in ["one", "two", "three"] {
        stand_in.set(&space.name, name, json!({}));
        space.create(&standalone(name)).await;
        space.say_running(name, true).await;
        held(&space, name).await;
    }
    let namespaces: Api<Namespace> = Api::all(space.client.clone());
    namespaces.delete(&space.name, &DeleteParams::default()).await.expect("deleted");
    let (_, took) =
        until("the namespace is gone", Duration::from_secs(60), async || {
            match namespaces.get_opt(&space.name).await {
                Ok(None) => Ok(()),
                other => Err(other
                    .map(|it| it.and_then(|it| it.status).and_then(|status| status.conditions))),
            }
        })
        .await;
    println!("the namespace was gone after {took:?}");
}
