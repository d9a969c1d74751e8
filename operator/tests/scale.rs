//! A hundred objects: what the operator needs for them, and how much it writes at rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
    events::v1::Event,
};
use kube::{
    Resource, ResourceExt as _,
    api::ObjectMeta,
    runtime::{WatchStreamExt as _, watcher},
};
use redissync_operator::crd::RedisSync;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{operator_process::Setup, sample, space::Space, stand_in::StandIn, wait::until};

const OBJECTS: usize = 100;
/// Promised: what one pod of the operator may take.
const PEAK_KIB_MAX: u64 = 64 << 10;
/// Promised: what the API server may be burdened with.
const WRITES_PER_SECOND_MAX: f64 = 20.0;
/// Kubernetes itself makes a pod and a claim for each object meanwhile.
const FILLED: Duration = Duration::from_secs(240);
/// A syncer's numbers change so often.
const NUMBERS: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_hundred_standalone_pairs_fit_into_64_mib_and_twenty_writes_a_second() {
    hundred("hundred", sample::standalone).await;
}

#[tokio::test]
async fn a_hundred_pairs_whose_sentinels_refuse_connections_fit_as_well() {
    hundred("hundred-sentinel", sample::sentinel).await;
}

async fn hundred(test: &str, object: fn(&str) -> Value) {
    let space = Space::new(test).await;
    let stand_in = Arc::new(StandIn::start().await);
    let operator = Setup::only(&space).reports(stand_in.address).log_filter("warn").start().await;
    let names: Vec<String> = (0..OBJECTS).map(|index| format!("pair-{index}")).collect();
    let started = Instant::now();
    for name in &names {
        stand_in.set(&space.name, name, json!({}));
        space.create(&object(name)).await;
    }
    until("all of them are told to be ready", FILLED, async || {
        let all: Vec<RedisSync> =
            space.api().list(&Default::default()).await.expect("a list").items;
        let ready = all.iter().filter(|object| is_ready(object)).count();
        if ready == OBJECTS { Ok(()) } else { Err(ready) }
    })
    .await;
    println!("{OBJECTS} objects were ready after {:?}", started.elapsed());
    until("Kubernetes has made every pod", FILLED, async || {
        let pods: Vec<Pod> = space.api().list(&Default::default()).await.expect("a list").items;
        if pods.len() == OBJECTS { Ok(()) } else { Err(pods.len()) }
    })
    .await;
    let _speaking = Speaking::start(&stand_in, &space, names);
    sleep(Duration::from_secs(15)).await;

    let version: fn(&ObjectMeta) -> Option<String> = |object| object.resource_version.clone();
    let counters = [
        Counter::start::<RedisSync>(&space, "", version),
        Counter::start::<StatefulSet>(&space, "", version),
        Counter::start::<ConfigMap>(&space, "", version),
        // Kubernetes tells again and again, in the pod too, that there is no node for it. All that the operator could do to a
        // pod that does not run is to delete it; then another one has its name.
        Counter::start::<Pod>(&space, "", |pod| pod.uid.clone()),
        Counter::start::<Event>(&space, "reportingController=redissync-operator", version),
    ];
    sleep(Duration::from_secs(3)).await;
    let ticks = cpu_ticks(&operator);
    let before: Vec<usize> = counters.iter().map(Counter::seen).collect();
    let passes = operator.metric("redissync_operator_reconciles_total").await;
    let since = Instant::now();
    sleep(REST).await;
    let seconds = since.elapsed().as_secs_f64();
    let writes: Vec<usize> =
        counters.iter().zip(before).map(|(counter, before)| counter.seen() - before).collect();
    let writes_per_second = writes.iter().sum::<usize>() as f64 / seconds;
    let passes = operator.metric("redissync_operator_reconciles_total").await - passes;
    let failed = operator
        .metrics()
        .await
        .lines()
        .any(|line| line.contains("outcome=\"error\"") && !line.ends_with(" 0"));
    let peak = operator.peak_kib();
    println!(
        "{test}: peak {:.1} MiB; in {seconds:.0} s: {writes_per_second:.1} writes/s (objects, sets, configurations, pods, \
         events: {writes:?}), {:.1} passes/s, {:.1} % of a core",
        peak as f64 / 1024.0,
        passes / seconds,
        (cpu_ticks(&operator) - ticks) as f64 / seconds,
    );
    assert!(peak <= PEAK_KIB_MAX, "{peak} KiB");
    assert!(writes_per_second <= WRITES_PER_SECOND_MAX, "{writes_per_second} a second");
    assert!(writes[0] > 0, "the numbers are refreshed");
    assert_eq!(writes[1..], [0; 4], "nothing else is written");
    assert!(!failed, "passes have failed:\n{}", operator.log());
}

fn is_ready(object: &RedisSync) -> bool {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Hundredths of a second that the process has used.
fn cpu_ticks(operator: &crate::operator_process::Operator) -> u64 {
    let stat = String::from_utf8(operator.proc("stat")).expect("it is text");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    ticks(11) + ticks(12)
}

/// Every syncer has other numbers every two seconds, spread over them.
struct Speaking(JoinHandle<()>);

impl Speaking {
    fn start(stand_in: &Arc<StandIn>, space: &Space, names: Vec<String>) -> Self {
        let (stand_in, namespace) = (Arc::clone(stand_in), space.name.clone());
        let mut ticks = interval(NUMBERS / u32::try_from(names.len()).expect("not so many"));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(tokio::spawn(async move {
            for (number, name) in names.iter().cycle().enumerate() {
                ticks.tick().await;
                let numbers = json!({"links": [{
                    "offsets": {"source": 10_000 + number}, "lag": {"milliseconds": number % 900, "bytes": number}
                }]});
                stand_in.set(&namespace, name, numbers);
            }
        }))
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts the changes of one kind in the namespace: how often an object was seen with another mark.
struct Counter {
    seen: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Counter {
    fn start<K>(space: &Space, fields: &str, mark: fn(&ObjectMeta) -> Option<String>) -> Self
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + DeserializeOwned
            + Clone
            + std::fmt::Debug
            + Send
            + 'static,
    {
        let seen = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&seen);
        let selected = watcher::Config::default().fields(fields);
        let mut changes = watcher(space.api::<K>(), selected).touched_objects().boxed();
        let task = tokio::spawn(async move {
            let mut last = std::collections::HashMap::new();
            while let Ok(Some(object)) = changes.try_next().await {
                let mark = mark(object.meta());
                if last.insert(object.name_any(), mark.clone()) != Some(mark) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { seen, task }
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}
