//! The operator is upgraded while three syncers run: they are restarted one after another.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use redis::Connection;
use redissync_e2e::{
    CompareOptions, Load, LoadOptions,
    cluster::{
        Cluster, Kind, RedisSet, RedisSync,
        api::is_condition_true,
        pair::{SOURCE, has_reached, history},
        redis_set::MASTER_NAME,
    },
    compare,
    connection::connect,
    fill, wait_until,
};
use serde_json::json;

use crate::suite::{PATIENCE, RATE, Suite, in_namespace, install, options, tag};

const COUNT: usize = 3;
/// Short against the restart of a pod, which takes seconds.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// Three pods in turn, with a pause of some seconds between them.
const ROLLED_WITHIN: Duration = Duration::from_secs(240);

#[test]
fn an_upgraded_operator_restarts_one_syncer_at_a_time() {
    in_namespace("upgrade", |suite, namespace| {
        let next = next_tag()?;
        let outcome = upgrade(suite, namespace, &next);
        // Those who follow find the images that they were told.
        std::mem::forget(install(&tag())?);
        outcome
    });
}

/// The same images under another tag.
fn next_tag() -> Result<String> {
    env::var("REDISSYNC_TEST_NEXT_TAG").context(
        "REDISSYNC_TEST_NEXT_TAG names no second tag of the images in the cluster: 'make test-cluster' makes one",
    )
}

fn upgrade(suite: &Suite, namespace: &str, next: &str) -> Result<()> {
    let cluster = &suite.cluster;
    let options = options(namespace, json!({}));
    let source = RedisSet::install(cluster, namespace, SOURCE, &[])?;
    fill(&mut source.connect_master()?, options.keys, options.seed)?;
    let mut syncs = Vec::new();
    for number in 0..COUNT {
        start_standalone(cluster, namespace, number)?;
        syncs.push(RedisSync::apply(
            cluster,
            namespace,
            &format!("cart-{number}"),
            &spec(namespace, number),
        )?);
    }
    for sync in &syncs {
        sync.wait_until_ready(PATIENCE)?;
    }
    let load =
        Load::start(LoadOptions::new(source.endpoint()).rate_per_second(RATE).seed(options.seed))?;
    let mut copies = Vec::new();
    for (number, sync) in syncs.iter().enumerate() {
        let mut record = sync.record_at(&mut connect_standalone(cluster, namespace, number)?)?;
        copies.push(record.remove("copyId").context("no copyId")?);
    }

    let watch = PodWatch::start(cluster, namespace, &syncs)?;
    std::mem::forget(install(next)?);
    wait_until("all syncers to run the next image", ROLLED_WITHIN, || {
        for sync in &syncs {
            let pod = sync.pod()?;
            let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            ensure!(image.ends_with(&format!(":{next}")), "{} runs {image}", sync.pod_name());
            ensure!(is_condition_true(&pod, "Ready"), "{} is not ready", sync.pod_name());
        }
        Ok(Some(()))
    })?;
    let away_max = watch.stop()?;
    println!("at most {away_max} of {COUNT} syncers were not ready at a time");
    ensure!(away_max == 1, "{away_max} syncers were not ready at a time");

    for sync in &syncs {
        sync.wait_until_ready(PATIENCE)?;
    }
    let ledger = load.stop()?;
    println!("{ledger}");
    let mut master = source.connect_master()?;
    let end = history(&mut master)?;
    for (number, sync) in syncs.iter().enumerate() {
        let mut target = connect_standalone(cluster, namespace, number)?;
        wait_until("the target to be level", PATIENCE, || {
            has_reached(&sync.record_at(&mut target)?, &end).map(Some)
        })?;
        let record = sync.record_at(&mut target)?;
        ensure!(record["copyId"] == copies[number], "{} was copied again", sync.pod_name());
        let comparison = compare(&mut master, &mut target, &CompareOptions::synced())?;
        ensure!(comparison.is_equal() && comparison.keys > 0, "{comparison}");
        let verified = ledger.verify_exact(&mut target)?;
        ensure!(verified.applied > 0, "the load wrote nothing: {ledger}");
        println!("{comparison}; {verified}");
    }
    Ok(())
}

/// A single Redis, as a target of its own.
fn start_standalone(cluster: &Cluster, namespace: &str, number: usize) -> Result<()> {
    let name = format!("copy-{number}");
    let labels = json!({"app": name});
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "redis",
                "image": "redissync/redis:7.0.15",
                "command": ["redis-server", "--save", "", "--protected-mode", "no", "--dir", "/tmp"],
                "readinessProbe": {"exec": {"command": ["redis-cli", "ping"]}, "periodSeconds": 2},
            }],
        },
    }))?;
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": labels, "ports": [{"name": "redis", "port": 6379}]},
    }))?;
    wait_until(&format!("{name} to be ready"), PATIENCE, || {
        let pod = cluster.get(Kind::Pod, namespace, &name)?;
        Ok(is_condition_true(&pod, "Ready").then_some(()))
    })
}

fn address(cluster: &Cluster, namespace: &str, number: usize) -> Result<String> {
    let pod = cluster.get(Kind::Pod, namespace, &format!("copy-{number}"))?;
    match pod["status"]["podIP"].as_str() {
        Some(ip) => Ok(format!("{ip}:6379")),
        None => bail!("copy-{number} has no address"),
    }
}

fn connect_standalone(cluster: &Cluster, namespace: &str, number: usize) -> Result<Connection> {
    connect(&address(cluster, namespace, number)?, None)
}

fn spec(namespace: &str, number: usize) -> serde_json::Value {
    let auth = json!({"passwordSecretRef": {"name": SOURCE, "key": "redis-password"}});
    json!({
        "primary": "main",
        "sites": [
            {
                "name": "main",
                "sentinel": {
                    "masterName": MASTER_NAME,
                    "endpoints": [format!("{SOURCE}.{namespace}.svc:26379")],
                    "auth": auth,
                },
                "auth": auth,
            },
            {"name": "backup", "standalone": {"address": format!("copy-{number}.{namespace}.svc:6379")}},
        ],
        "spool": {"maxBytes": "256Mi"},
        "syncer": {"storage": {"size": "512Mi"}},
    })
}

/// How many of the syncers' pods were not ready at a time, at most.
struct PodWatch {
    is_ended: Arc<AtomicBool>,
    away_max: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl PodWatch {
    fn start(cluster: &Cluster, namespace: &str, syncs: &[RedisSync]) -> Result<Self> {
        let (is_ended, away_max) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (cluster, namespace) = (cluster.clone(), namespace.to_owned());
        let names: Vec<String> = syncs.iter().map(RedisSync::pod_name).collect();
        let (ended, away) = (Arc::clone(&is_ended), Arc::clone(&away_max));
        let thread = thread::Builder::new().spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if let Ok(pods) =
                    cluster.list(Kind::Pod, &namespace, "app.kubernetes.io/name=redissync-syncer")
                {
                    let is_ready = |name: &String| {
                        pods.iter().any(|pod| {
                            pod["metadata"]["name"] == **name && is_condition_true(pod, "Ready")
                        })
                    };
                    let count = names.iter().filter(|name| !is_ready(name)).count();
                    away.fetch_max(count as u64, Ordering::Relaxed);
                }
                thread::sleep(WATCH_INTERVAL);
            }
        })?;
        Ok(Self { is_ended, away_max, thread })
    }

    fn stop(self) -> Result<u64> {
        self.is_ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the watch of pods panicked"))?;
        Ok(self.away_max.load(Ordering::Relaxed))
    }
}
