//! Where nothing changes, nothing is written but the refresh of the numbers.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Resource, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use redissync_operator::{crd::RedisSync, names};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::bed::{Bed, CART};
use crate::space::Space;

const WATCHED: Duration = Duration::from_secs(30);
/// The pod that was just said to run is refreshed, the roll-out is noticed.
const SETTLE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn at_rest_nothing_is_written_at_all() {
    let bed = Bed::streaming("rest").await;
    let writes = writes(&bed).await;
    println!("{writes:?}");
    assert_eq!(writes, counts(0), "writes in {WATCHED:?}");
}

#[tokio::test]
async fn of_a_syncer_whose_numbers_change_only_the_status_is_written() {
    let bed = Bed::streaming("refreshed").await;
    let (address, namespace) = (&bed.stand_in, bed.space.name.clone());
    let speak = async {
        for number in 0_u64.. {
            address.set(
                &namespace,
                CART,
                json!({"links": [{"offsets": {"source": 10_000 + number}}]}),
            );
            sleep(Duration::from_millis(500)).await;
        }
    };
    let writes = tokio::select! {
        writes = writes(&bed) => writes,
        () = speak => unreachable!("it speaks on and on"),
    };
    println!("{writes:?}");
    let refreshes = writes["RedisSync"];
    assert!((3..=7).contains(&refreshes), "one in five seconds: {writes:?}");
    assert_eq!(writes, counts(refreshes));
}

fn counts(of_object: usize) -> BTreeMap<&'static str, usize> {
    BTreeMap::from([("RedisSync", of_object), ("StatefulSet", 0), ("ConfigMap", 0), ("Pod", 0)])
}

/// Versions of the object and of what was made for it, seen by a watch.
async fn writes(bed: &Bed) -> BTreeMap<&'static str, usize> {
    sleep(SETTLE).await;
    let workload = names::workload(CART);
    let pod = names::pod(CART);
    let until = Instant::now() + WATCHED;
    let counts = [
        ("RedisSync", count::<RedisSync>(&bed.space, CART, until)),
        ("StatefulSet", count::<StatefulSet>(&bed.space, &workload, until)),
        ("ConfigMap", count::<ConfigMap>(&bed.space, &workload, until)),
        ("Pod", count::<Pod>(&bed.space, &pod, until)),
    ];
    sleep_until(until).await;
    let mut writes = BTreeMap::new();
    for (kind, count) in counts {
        writes.insert(kind, count.await.expect("the watch did not panic"));
    }
    writes
}

/// Counts until then; the first one seen is where it starts.
fn count<K>(space: &Space, name: &str, until: Instant) -> JoinHandle<usize>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug
        + Send
        + 'static,
{
    let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = watcher(space.api::<K>(), one).applied_objects().boxed();
    tokio::spawn(async move {
        let mut versions = Vec::new();
        while let Ok(change) = timeout_at(until, changes.try_next()).await {
            let object = change.expect("the watch goes on").expect("it does not end");
            versions.push(object.resource_version());
        }
        versions.dedup();
        versions.len().checked_sub(1).expect("the object was seen at least once")
    })
}
