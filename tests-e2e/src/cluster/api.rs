//! The API server, blocking: objects as JSON, so that a test sees what a user sees.

use std::{fmt, future::Future, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{chart::parse_yaml, kubeconfig};

/// Who changes objects, as server-side apply wants to know.
const FIELD_MANAGER: &str = "redissync-e2e";

/// An answer takes milliseconds; a busy machine of two cores takes seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A kind of object that tests look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `v1`.
    ConfigMap,
    /// `apps/v1`.
    Deployment,
    /// `events.k8s.io/v1`.
    Event,
    /// `v1`, without a namespace.
    Namespace,
    /// `v1`, without a namespace.
    Node,
    /// `v1`.
    PersistentVolumeClaim,
    /// `v1`.
    Pod,
    /// `redissync.dev/v1alpha1`.
    RedisSync,
    /// `v1`.
    Secret,
    /// `v1`.
    Service,
    /// `apps/v1`.
    StatefulSet,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::ConfigMap,
        Self::Deployment,
        Self::Event,
        Self::Namespace,
        Self::Node,
        Self::PersistentVolumeClaim,
        Self::Pod,
        Self::RedisSync,
        Self::Secret,
        Self::Service,
        Self::StatefulSet,
    ];

    const fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Event => ("events.k8s.io", "v1", "Event", "events"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Node => ("", "v1", "Node", "nodes"),
            Self::PersistentVolumeClaim => {
                ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
            }
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::RedisSync => ("redissync.dev", "v1alpha1", "RedisSync", "redissyncs"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
        }
    }

    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.parts();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

/// A connection to the API server; clones share it.
#[derive(Clone)]
pub struct Cluster {
    runtime: Arc<Runtime>,
    client: Client,
    kubeconfig: PathBuf,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("kubeconfig", &self.kubeconfig).finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster that `KUBECONFIG` names, or that of `make cluster-up`.
    pub fn connect() -> Result<Self> {
        let kubeconfig = kubeconfig::path()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("failed to start a runtime for the client of the cluster")?;
        let client = runtime.block_on(async {
            let read = Kubeconfig::read_from(&kubeconfig)
                .with_context(|| format!("failed to read {}", kubeconfig.display()))?;
            let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("{} cannot be used", kubeconfig.display()))?;
            config.connect_timeout = Some(TIMEOUT);
            config.read_timeout = Some(TIMEOUT);
            let client = Client::try_from(config).context("failed to make a client")?;
            let version = client.apiserver_version().await.with_context(|| {
                format!("the cluster that {} names does not answer", kubeconfig.display())
            })?;
            println!("cluster of {}, Kubernetes {}", kubeconfig.display(), version.git_version);
            anyhow::Ok(client)
        })?;
        Ok(Self { runtime: Arc::new(runtime), client, kubeconfig })
    }

    /// The file that names it, for programs that are started.
    pub fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &kind.resource())
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
        }
    }

    /// One object, if it is there. Kinds without a namespace have an empty one.
    pub fn find(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        let found = self
            .wait(self.api(kind, namespace).get_opt(name))
            .with_context(|| format!("failed to get {kind:?} {namespace}/{name}"))?;
        found.map(as_json).transpose()
    }

    /// One object.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value> {
        self.find(kind, namespace, name)?
            .with_context(|| format!("there is no {kind:?} {namespace}/{name}"))
    }

    /// The objects with these labels (`a=b,c=d`, or all), of one namespace or of all (``).
    pub fn list(&self, kind: Kind, namespace: &str, labels: &str) -> Result<Vec<Value>> {
        let listed = self
            .wait(self.api(kind, namespace).list(&ListParams::default().labels(labels)))
            .with_context(|| format!("failed to list {kind:?} in {namespace}"))?;
        listed.items.into_iter().map(as_json).collect()
    }

    /// Applies one object on the server, as `kubectl apply --server-side --force-conflicts` does.
    pub fn apply(&self, object: &Value) -> Result<Value> {
        let word = object["kind"].as_str().unwrap_or_default();
        let kind = Kind::ALL.into_iter().find(|kind| kind.parts().2 == word);
        let kind = kind.with_context(|| format!("the kit does not know the kind '{word}'"))?;
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let how = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self
            .wait(self.api(kind, namespace).patch(name, &how, &Patch::Apply(object)))
            .with_context(|| format!("failed to apply {kind:?} {namespace}/{name}"))?;
        as_json(applied)
    }

    /// Applies each document of a manifest.
    pub fn apply_yaml(&self, text: &str) -> Result<()> {
        for object in parse_yaml(text)? {
            self.apply(&object)?;
        }
        Ok(())
    }

    /// Merges `patch` into an object, as `kubectl patch --type=merge` does.
    pub fn patch(&self, kind: Kind, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        let how = PatchParams::default();
        let patched = self
            .wait(self.api(kind, namespace).patch(name, &how, &Patch::Merge(patch)))
            .with_context(|| format!("failed to patch {kind:?} {namespace}/{name}"))?;
        as_json(patched)
    }

    /// Deletes an object; one that is not there is no error. `grace_seconds` 0 is `--force`.
    pub fn delete(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        grace_seconds: Option<u32>,
    ) -> Result<()> {
        let how = DeleteParams { grace_period_seconds: grace_seconds, ..DeleteParams::default() };
        match self.wait(self.api(kind, namespace).delete(name, &how)) {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(err) => {
                Err(err).with_context(|| format!("failed to delete {kind:?} {namespace}/{name}"))
            }
        }
    }

    /// The log of a pod's container; `is_previous` is that of the container before this one.
    pub fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        is_previous: bool,
    ) -> Result<String> {
        let how = LogParams {
            container: Some(container.to_owned()),
            previous: is_previous,
            ..LogParams::default()
        };
        self.wait(Api::<Pod>::namespaced(self.client.clone(), namespace).logs(pod, &how))
            .with_context(|| format!("failed to read the log of {namespace}/{pod} {container}"))
    }
}

fn as_json(object: DynamicObject) -> Result<Value> {
    serde_json::to_value(object).context("an object is no JSON")
}

/// Whether a condition such as `Ready` of an object is True.
pub fn is_condition_true(object: &Value, type_: &str) -> bool {
    object["status"]["conditions"].as_array().is_some_and(|conditions| {
        conditions.iter().any(|one| one["type"] == type_ && one["status"] == "True")
    })
}
