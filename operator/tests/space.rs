//! A namespace of one test. At its end it is deleted, with finalizers taken off: the operator may be gone by then.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Pod, Secret},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use redissync_operator::{crd::RedisSync, names};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{cluster, wait::until};

/// How the names of these namespaces begin.
pub(crate) const PREFIX: &str = "redissync-api-";

/// A namespace and a client.
pub(crate) struct Space {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Space {
    /// Creates it. What an earlier run left behind because it was killed goes first.
    pub(crate) async fn new(test: &str) -> Self {
        let client = cluster::client().await;
        let name = format!("{PREFIX}{test}-{:08x}", random());
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &namespace).await.expect("a namespace is created");
        Self { client, name }
    }

    /// The objects of one kind in it.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates a RedisSync from what a user would write.
    pub(crate) async fn create(&self, object: &Value) -> RedisSync {
        let object: RedisSync = serde_json::from_value(object.clone()).expect("it is a RedisSync");
        self.api().create(&PostParams::default(), &object).await.expect("the object is accepted")
    }

    /// Changes an object by a merge patch.
    pub(crate) async fn merge<K>(&self, name: &str, patch: Value) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let patch = Patch::Merge(patch);
        self.api::<K>()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .expect("the patch is taken")
    }

    /// Creates a Secret, or replaces its content.
    pub(crate) async fn put_secret(&self, name: &str, key: &str, value: &[u8]) {
        let secret = Secret {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([(key.to_owned(), ByteString(value.to_vec()))])),
            ..Secret::default()
        };
        let params = PatchParams::apply("redissync-tests").force();
        let api: Api<Secret> = self.api();
        api.patch(name, &params, &Patch::Apply(patchable(&secret))).await.expect("a Secret is put");
    }

    /// What a kubelet would say of a syncer's pod: its container runs and is ready, or it runs and is not.
    pub(crate) async fn say_running(&self, sync: &str, is_ready: bool) {
        let pod = names::pod(sync);
        until("the pod is there", Duration::from_secs(20), async || {
            self.api::<Pod>().get(&pod).await
        })
        .await;
        let now = jiff::Timestamp::now().to_string();
        let ready = if is_ready { "True" } else { "False" };
        let status = json!({ "status": {
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": ready, "lastTransitionTime": now},
                {"type": "ContainersReady", "status": ready, "lastTransitionTime": now},
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
            ],
            "containerStatuses": [{
                "name": names::CONTAINER, "image": "x", "imageID": "x", "ready": is_ready, "restartCount": 0,
                "started": true, "state": {"running": {"startedAt": now}}
            }]
        }});
        let api: Api<Pod> = self.api();
        api.patch_status(&pod, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the pod's status is written");
    }

    /// What a kubelet would say of a syncer that has ended again and again.
    pub(crate) async fn say_crashing(&self, sync: &str) {
        let status = json!({ "status": {
            "phase": "Running",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
            "containerStatuses": [{
                "name": names::CONTAINER, "image": "x", "imageID": "x", "ready": false, "restartCount": 7,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}
            }]
        }});
        let api: Api<Pod> = self.api();
        api.patch_status(&names::pod(sync), &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the pod's status is written");
    }

    /// The object as it is.
    pub(crate) async fn get(&self, name: &str) -> RedisSync {
        self.api().get(name).await.expect("the object is there")
    }
}

/// With its kind, as server-side apply demands.
fn patchable<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Value {
    let mut value = serde_json::to_value(object).expect("objects can be written as JSON");
    value["apiVersion"] = K::api_version(&()).into();
    value["kind"] = K::kind(&()).into();
    value
}

impl Drop for Space {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A thread and a runtime of its own: this also runs while a panic unwinds through a runtime.
        let ended = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime starts")
                .block_on(remove(&name));
        })
        .join();
        if ended.is_err() {
            eprintln!("the namespace {} could not be removed", self.name);
        }
    }
}

async fn remove(namespace: &str) {
    let client = cluster::client().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let _ = namespaces.delete(namespace, &DeleteParams::background()).await;
    free::<RedisSync>(&client, namespace).await;
    // A test may hold a pod, as its kubelet would.
    free::<Pod>(&client, namespace).await;
}

/// Deletes all of a kind and takes their finalizers off.
async fn free<K>(client: &Client, namespace: &str)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let objects: Api<K> = Api::namespaced(client.clone(), namespace);
    let Ok(all) = objects.list(&Default::default()).await else { return };
    let held = all.items.iter().map(Resource::meta).filter(|meta| meta.finalizers.is_some());
    for name in held.filter_map(|meta| meta.name.as_deref()) {
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let _ = objects.delete(name, &DeleteParams::default()).await;
        let _ = objects.patch(name, &PatchParams::default(), &free).await;
    }
}

/// Enough to tell two runs apart.
fn random() -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) as u32
}
