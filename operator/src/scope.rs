//! The watches of one namespace, or of all, and the controller that they trigger.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Node, Pod},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        Controller, WatchStreamExt as _,
        controller::Config,
        events::{Recorder, Reporter},
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use redissync_syncer::{causes::chain, shutdown::Shutdown};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::{
    build::SyncerImage,
    controller::{self, dereference::SecretCache, memory::Memory, nodes::Nodes, observe::Stores},
    crd::RedisSync,
    metrics::Metrics,
    names,
    rollout::Rollout,
    run::RunArgs,
    task::Task,
    trigger::{self, Triggers},
    watches::Watches,
};

/// Passes at a time.
const PASSES_MAX: u16 = 8;
/// Changes that come together are one pass.
const DEBOUNCE: Duration = Duration::from_millis(100);

type Outcome = kube::runtime::controller::Error<controller::ReconcileError, watcher::Error>;

/// What is looked after, and with what.
#[derive(Clone)]
pub struct Scope {
    /// The API server.
    pub client: Client,
    /// The namespace; `None`: all.
    pub namespace: Option<String>,
    /// What the operator was told.
    pub args: RunArgs,
    /// Who may be restarted by an upgrade, over all scopes.
    pub rollout: Arc<Rollout>,
    /// Counts.
    pub metrics: Metrics,
    /// Asks for the end.
    pub shutdown: Shutdown,
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Runs until the end is asked for; passes under way are ended in order.
pub async fn control(scope: Scope) -> anyhow::Result<()> {
    let Scope { client, namespace, args, rollout, metrics, shutdown } = scope;
    let (triggers, mut requests) = Triggers::new();
    let place = Place { client: client.clone(), namespace: namespace.clone() };
    let mut tasks = Vec::new();
    let stores = Stores {
        stateful_sets: place.reflect::<StatefulSet>(&triggers, &mut tasks),
        config_maps: place.reflect::<ConfigMap>(&triggers, &mut tasks),
        pods: place.reflect::<Pod>(&triggers, &mut tasks),
        nodes: namespace.is_none().then(|| Nodes::new(place.reflect_nodes(&mut tasks))),
    };
    tokio::select! {
        // The end first: without rights the stores are never filled.
        biased;
        () = shutdown.requested() => return Ok(()),
        outcome = trigger::discard_until(&mut requests, wait_until_filled(&stores)) => {
            outcome.context("failed to fill the stores")?;
        }
    }
    rollout.watch(stores.stateful_sets.clone());
    let ctx = Arc::new(controller::Context {
        recorder: Recorder::new(
            client.clone(),
            Reporter {
                controller: names::FIELD_MANAGER.into(),
                instance: Some(args.own_name.clone()),
            },
        ),
        image: SyncerImage { name: args.syncer_image, pull_policy: args.syncer_image_pull_policy },
        stores,
        watches: Watches::new(triggers),
        rollout,
        secrets: SecretCache::default(),
        memory: Memory::default(),
        metrics,
        may_hold: namespace.is_none(),
        own_namespace: args.own_namespace,
        report_stand_in: args.report_stand_in,
        client,
    });
    let (reader, objects) = place.objects(Arc::clone(&ctx));
    Controller::for_stream(objects, reader)
        .with_config(Config::default().concurrency(PASSES_MAX).debounce(DEBOUNCE))
        .reconcile_on(requests)
        .graceful_shutdown_on(async move { shutdown.requested().await })
        .run(controller::reconcile, controller::error_policy, Arc::clone(&ctx))
        .for_each(|outcome| {
            if let Err(err) = outcome {
                look_after(err, &ctx);
            }
            std::future::ready(())
        })
        .await;
    drop(tasks);
    Ok(())
}

/// What is left of a pass that did not come about.
fn look_after(err: Outcome, ctx: &controller::Context) {
    match err {
        // A pass that was under way when its object went has left its tasks behind; its own wish to look again ends here.
        kube::runtime::controller::Error::ObjectNotFound(object) => {
            if let Some(namespace) = &object.namespace {
                controller::forget(&ObjectRef::new(&object.name).within(namespace), ctx);
            }
        }
        // Logged where it failed.
        kube::runtime::controller::Error::ReconcilerFailed(..) => {}
        err => {
            warn!(error = %chain(&err), kind = "RedisSync", "a watch failed, it is begun again");
        }
    }
}

/// All stores hold what there is, so that nothing is taken for missing that was only not read yet.
async fn wait_until_filled(stores: &Stores) -> Result<(), reflector::store::WriterDropped> {
    let Stores { stateful_sets, config_maps, pods, nodes } = stores;
    stateful_sets.wait_until_ready().await?;
    config_maps.wait_until_ready().await?;
    pods.wait_until_ready().await?;
    if let Some(nodes) = nodes {
        nodes.wait_until_ready().await?;
    }
    Ok(())
}

/// Where objects are watched.
struct Place {
    client: Client,
    namespace: Option<String>,
}

impl Place {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// The RedisSyncs. Only a changed spec or a deletion leads to a pass, so that a status never triggers itself.
    fn objects(
        &self,
        ctx: Arc<controller::Context>,
    ) -> (
        Store<RedisSync>,
        impl Stream<Item = Result<RedisSync, watcher::Error>> + Send + 'static + use<>,
    ) {
        let (reader, writer) = reflector::store();
        let stream = watcher(self.api::<RedisSync>(), watcher::Config::default())
            .default_backoff()
            .reflect(writer)
            .inspect_ok(move |event| {
                if let watcher::Event::Delete(object) = event {
                    controller::forget(&ObjectRef::from_obj(object), &ctx);
                }
            })
            .applied_objects()
            .predicate_filter(what_is_wanted, Default::default());
        (reader, stream)
    }

    /// A store of what the operator made, and a pass for the object whenever something of it changes.
    fn reflect<K>(&self, triggers: &Triggers, tasks: &mut Vec<Task>) -> Store<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let (reader, writer) = reflector::store();
        let selected = watcher::Config::default().labels(names::MANAGED_SELECTOR);
        let triggers = triggers.clone();
        let stream = watcher(self.api::<K>(), selected)
            .default_backoff()
            .modify(|object| object.managed_fields_mut().clear())
            .reflect(writer)
            .touched_objects();
        tasks.push(Task::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(change) = stream.next().await {
                match change {
                    Ok(object) => {
                        if let Some(reference) = object_of(&object) {
                            triggers.of(reference).fire().await;
                        }
                    }
                    Err(err) => warn!(error = %err, kind = %K::kind(&()), "a watch failed, it is begun again"),
                }
            }
        }));
        reader
    }

    /// A store of the nodes. Their changes trigger nothing: each object is looked at every few seconds anyway.
    fn reflect_nodes(&self, tasks: &mut Vec<Task>) -> Store<Node> {
        let (reader, writer) = reflector::store();
        let stream = watcher(Api::<Node>::all(self.client.clone()), watcher::Config::default())
            .default_backoff()
            .modify(|node| {
                node.managed_fields_mut().clear();
                if let Some(status) = &mut node.status {
                    // Some hundred entries for each node, of no use here.
                    status.images = None;
                }
            })
            .reflect(writer)
            .touched_objects();
        tasks.push(Task::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(change) = stream.next().await {
                if let Err(err) = change {
                    warn!(error = %err, kind = "Node", "a watch failed, it is begun again");
                }
            }
        }));
        reader
    }
}

/// The RedisSync that a thing was made for: by the label that it carries, since a pod's owner is the StatefulSet.
fn object_of(object: &impl Resource) -> Option<ObjectRef<RedisSync>> {
    let name = object.meta().labels.as_ref()?.get("app.kubernetes.io/instance")?;
    Some(ObjectRef::new(name).within(object.meta().namespace.as_deref()?))
}

/// What of an object asks for a pass.
fn what_is_wanted(object: &RedisSync) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    object.metadata.generation.hash(&mut hasher);
    object.metadata.deletion_timestamp.is_some().hash(&mut hasher);
    object.uid().hash(&mut hasher);
    Some(hasher.finish())
}
