//! What the scenarios share: the operator, and a namespace that begins and ends clean.

use std::{
    env,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use redissync_e2e::{
    ChartOptions, InstalledChart,
    cluster::{
        Cluster, Kind, Pair, PairOptions,
        pair::{Traffic, clean_namespace},
    },
    install_chart, wait_until,
};
use serde_json::{Value, json};

/// Where the operator is, and its release's name.
pub(crate) const OPERATOR: &str = "redissync-e2e";
/// Keys that are there before the first copy.
const KEYS: u64 = 3000;
/// Two cores carry two Sentinel sets, the cluster and the tests.
pub(crate) const RATE: u32 = 600;
/// Commands between two steps of a scenario: about two seconds of load.
pub(crate) const SOME: u64 = 1200;
/// What a busy machine may take for what takes seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// All namespaces, for an operator that looks after these only.
const SCENARIOS: [&str; 18] = [
    "bootstrap",
    "deleted-pod",
    "killed",
    "source",
    "target",
    "in-place-source",
    "in-place-target",
    "operator-down",
    "kubelet",
    "rotation",
    "paused",
    "halt",
    "brake",
    "upgrade",
    "removal",
    "broken-link",
    "secrets",
    "lost-node",
];

/// The cluster with the operator in it.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) cluster: Cluster,
}

/// Connects and installs the operator, once for all scenarios. It stays when they have ended; `make test-cluster`
/// uninstalls it.
pub(crate) fn suite() -> Result<&'static Suite> {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if SUITE.get().is_none() {
        let cluster = Cluster::connect()?;
        if is_namespaced() {
            for name in SCENARIOS {
                make_namespace(&cluster, &format!("e2e-{name}"))?;
            }
        }
        std::mem::forget(install(&tag())?);
        let _ = SUITE.set(Suite { cluster });
    }
    SUITE.get().context("the suite was just set")
}

/// Installs the operator with images of this tag, or upgrades the one that is there.
pub(crate) fn install(tag: &str) -> Result<InstalledChart> {
    println!("the operator {tag} is installed in {OPERATOR}");
    let mut options = ChartOptions::new(OPERATOR).image_tag(tag);
    if is_namespaced() {
        let names: Vec<String> = SCENARIOS.iter().map(|name| format!("e2e-{name}")).collect();
        options = options.value("watchNamespaces", json!(names));
    }
    install_chart(&options)
}

/// For development beside others in one cluster: the operator looks after the scenarios' namespaces only.
pub(crate) fn is_namespaced() -> bool {
    env::var_os("REDISSYNC_TEST_NAMESPACED").is_some()
}

/// Whether the long form is asked for.
pub(crate) fn is_long() -> bool {
    env::var_os("REDISSYNC_TEST_LONG").is_some()
}

/// The tag of the images under test.
pub(crate) fn tag() -> String {
    env::var("REDISSYNC_TEST_TAG").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}

fn seed() -> u64 {
    let given = env::var("REDISSYNC_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
    })
}

fn make_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    cluster
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .map(|_| ())
}

/// Options of a pair in the scenario's namespace.
pub(crate) fn options(namespace: &str, spec: Value) -> PairOptions {
    let seed = seed();
    println!("{namespace}: seed {seed}");
    PairOptions { namespace: namespace.to_owned(), keys: KEYS, seed, spec, values: Vec::new() }
}

/// Runs a scenario in a clean namespace, which is removed afterwards.
#[track_caller]
pub(crate) fn in_namespace(name: &str, scenario: impl FnOnce(&Suite, &str) -> Result<()>) {
    let begun = Instant::now();
    let namespace = format!("e2e-{name}");
    let outcome = suite().and_then(|suite| {
        clean_namespace(&suite.cluster, &namespace, !is_namespaced())?;
        make_namespace(&suite.cluster, &namespace)?;
        println!("{name}: the scenario begins after {:.1} s", begun.elapsed().as_secs_f64());
        let outcome = scenario(suite, &namespace);
        if outcome.is_ok() || env::var_os("REDISSYNC_TEST_KEEP").is_none() {
            clean_namespace(&suite.cluster, &namespace, !is_namespaced())?;
        }
        outcome
    });
    println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
    if let Err(err) = outcome {
        panic!("{name}: {err:#}");
    }
}

/// The same with a pair that replicates, under load. The scenario ends the traffic, with a comparison.
#[track_caller]
pub(crate) fn with_pair(name: &str, scenario: impl FnOnce(&Suite, &Pair, Traffic) -> Result<()>) {
    with_pair_of(name, json!({}), Vec::new(), scenario);
}

/// The same with more in the spec, and with these values of the sets' charts.
#[track_caller]
pub(crate) fn with_pair_of(
    name: &str,
    spec: Value,
    values: Vec<(&'static str, Value)>,
    scenario: impl FnOnce(&Suite, &Pair, Traffic) -> Result<()>,
) {
    in_namespace(name, |suite, namespace| {
        let options = PairOptions { values, ..options(namespace, spec) };
        let begun = Instant::now();
        let pair = Pair::prepare(&suite.cluster, &options)?;
        let run = || {
            pair.apply(&options.spec)?;
            pair.sync.wait_until_ready(PATIENCE)?;
            println!("{namespace}: Ready after {:.1} s", begun.elapsed().as_secs_f64());
            let traffic = pair.start_traffic(RATE)?;
            traffic.wait_for_more(SOME, PATIENCE)?;
            scenario(suite, &pair, traffic)
        };
        run().map_err(|err| err.context(pair.describe()))
    });
}

/// An operator that was scaled to 0. It comes back when this is dropped.
#[derive(Debug)]
pub(crate) struct OperatorAway<'a>(&'a Cluster);

/// Scales the operator to 0 and waits until it is gone.
pub(crate) fn send_operator_away(cluster: &Cluster) -> Result<OperatorAway<'_>> {
    let away = OperatorAway(cluster);
    scale(cluster, 0)?;
    wait_until("the operator's pods to be gone", PATIENCE, || {
        let pods =
            cluster.list(Kind::Pod, OPERATOR, "app.kubernetes.io/name=redissync-operator")?;
        Ok(pods.is_empty().then_some(()))
    })?;
    Ok(away)
}

impl Drop for OperatorAway<'_> {
    fn drop(&mut self) {
        if let Err(err) = scale(self.0, 1) {
            eprintln!("the operator stays away: {err:#}");
        }
    }
}

fn scale(cluster: &Cluster, replicas: u32) -> Result<()> {
    let name = format!("{OPERATOR}-redissync-operator");
    let patch = json!({"spec": {"replicas": replicas}});
    cluster.patch(Kind::Deployment, OPERATOR, &name, &patch).map(|_| ())
}
