//! Two Sentinel sets in one namespace with a RedisSync between them, and the comparison that ends each scenario.

use std::{collections::HashMap, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use redis::Connection;
use serde_json::{Value, json};

use super::{Cluster, Kind, RedisSet, RedisSync, redis_set::MASTER_NAME};
use crate::{
    CompareOptions, Comparison, Ledger, Load, LoadOptions, TornPairWatcher, compare, fill,
    info::info,
    ledger::{TornPairs, Verified},
    wait_until,
};

/// The releases' names: those that `deploy/samples/same-cluster.yaml` speaks of.
pub const SOURCE: &str = "redis-sentinel";
/// The target's.
pub const TARGET: &str = "redis-sentinel-bak";
/// The object's name.
pub const SYNC: &str = "cart";
/// The databases that the load writes.
pub const DATABASES: [u32; 3] = [0, 1, 5];
/// For what takes seconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What a pair is started with.
#[derive(Debug, Clone)]
pub struct PairOptions {
    /// Where; it is made if it is not there.
    pub namespace: String,
    /// Keys that the source has before the object is applied.
    pub keys: u64,
    /// Decides the keys and the load.
    pub seed: u64,
    /// Merged into the spec.
    pub spec: Value,
    /// Values of both sets' charts.
    pub values: Vec<(&'static str, Value)>,
}

/// Both sets and the object.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The API server.
    pub cluster: Cluster,
    /// The namespace of everything.
    pub namespace: String,
    /// The set that takes the writes.
    pub source: RedisSet,
    /// The set that is kept equal.
    pub target: RedisSet,
    /// The object between them.
    pub sync: RedisSync,
    seed: u64,
}

/// Load at the source and a watcher at the target.
#[derive(Debug)]
pub struct Traffic {
    load: Load,
    watcher: TornPairWatcher,
    /// The last full copy when the watcher began.
    copy: String,
    /// The source's epoch when the load began.
    epoch: u64,
}

/// What the closing comparison found in order.
#[derive(Debug)]
pub struct Agreement {
    /// The load's accounts.
    pub ledger: Ledger,
    /// At the source.
    pub at_source: Verified,
    /// At the target.
    pub at_target: Verified,
    /// Key by key.
    pub comparison: Comparison,
    /// What the watcher saw.
    pub pairs: TornPairs,
}

impl Pair {
    /// Two sets, keys in the source, and an object that is Ready.
    pub fn start(cluster: &Cluster, options: &PairOptions) -> Result<Self> {
        let pair = Self::prepare(cluster, options)?;
        pair.apply(&options.spec)?;
        pair.sync.wait_until_ready(PATIENCE)?;
        Ok(pair)
    }

    /// Two sets and keys in the source, without the object.
    pub fn prepare(cluster: &Cluster, options: &PairOptions) -> Result<Self> {
        let pair = Self::install(cluster, &options.namespace, options.seed, &options.values)?;
        fill(&mut pair.source.connect_master()?, options.keys, options.seed)?;
        Ok(pair)
    }

    /// The two sets alone, or those that are there.
    pub fn install(
        cluster: &Cluster,
        namespace: &str,
        seed: u64,
        values: &[(&str, Value)],
    ) -> Result<Self> {
        let (source, target) = thread::scope(|scope| {
            let source = scope.spawn(|| RedisSet::install(cluster, namespace, SOURCE, values));
            let target = RedisSet::install(cluster, namespace, TARGET, values);
            (source.join(), target)
        });
        Ok(Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            source: source.map_err(|_| anyhow::anyhow!("an installation panicked"))??,
            target: target?,
            sync: RedisSync::existing(cluster, namespace, SYNC),
            seed,
        })
    }

    /// Applies the object, with `extra` merged into its spec.
    pub fn apply(&self, extra: &Value) -> Result<()> {
        RedisSync::apply(&self.cluster, &self.namespace, SYNC, &self.spec(extra)).map(|_| ())
    }

    /// The spec of an object between the two sets.
    pub fn spec(&self, extra: &Value) -> Value {
        let mut spec = json!({
            "primary": "main",
            "sites": [self.site("main", &self.source), self.site("backup", &self.target)],
            "spool": {"maxBytes": "512Mi"},
            "syncer": {"storage": {"size": "1Gi"}},
        });
        merge(&mut spec, extra);
        spec
    }

    fn site(&self, name: &str, set: &RedisSet) -> Value {
        let auth = json!({"passwordSecretRef": {"name": set.name(), "key": "redis-password"}});
        json!({
            "name": name,
            "sentinel": {
                "masterName": MASTER_NAME,
                "endpoints": [format!("{}.{}.svc:26379", set.name(), self.namespace)],
                "auth": auth,
            },
            "auth": auth,
        })
    }

    /// Load at the source, and a watcher at the target. The first full copy must have ended.
    pub fn start_traffic(&self, rate_per_second: u32) -> Result<Traffic> {
        let options = LoadOptions::new(self.source.endpoint())
            .rate_per_second(rate_per_second)
            .seed(self.seed);
        let epoch = self.source.master()?.epoch;
        Ok(Traffic {
            epoch,
            load: Load::start(options)?,
            watcher: TornPairWatcher::follow(self.target.endpoint(), &DATABASES)?,
            copy: self.sync.copy_id(&self.target)?,
        })
    }

    /// Waits until the target's record has passed what the source has now: by the servers' own words.
    pub fn wait_until_level(&self, timeout: Duration) -> Result<()> {
        let end = history(&mut self.source.connect_master()?)?;
        wait_until("the target to be level with the source", timeout, || {
            has_reached(&self.sync.record(&self.target)?, &end).map(Some)
        })
    }

    /// Ends the traffic and compares everything: accounts at both ends, key by key, and torn pairs.
    ///
    /// A failover of the source may take acknowledged writes back with the old master, since its replication is
    /// asynchronous. Then the accounts bound both sides from above, and the two must hold the same. Where one may be but
    /// was not, by the sentinels' epoch, the accounts are exact all the same.
    pub fn compare(&self, traffic: Traffic, may_source_fail_over: bool) -> Result<Agreement> {
        let Traffic { load, watcher, copy, epoch } = traffic;
        let ledger = load.stop()?;
        println!("{ledger}");
        self.wait_until_level(PATIENCE)?;
        let pairs = watcher.stop()?;
        let (mut source, mut target) =
            (self.source.connect_master()?, self.target.connect_master()?);
        let comparison = compare(&mut source, &mut target, &CompareOptions::synced())?;
        ensure!(comparison.is_equal() && comparison.keys > 0, "{comparison}");
        let has_source_failed_over = may_source_fail_over && self.source.master()?.epoch != epoch;
        let verify = |connection: &mut Connection| {
            if has_source_failed_over {
                ledger.verify_not_repeated(connection)
            } else {
                ledger.verify_exact(connection)
            }
        };
        let at_source = verify(&mut source).context("at the source")?;
        let at_target = verify(&mut target).context("at the target")?;
        ensure!(
            at_source.applied == at_target.applied && at_target.applied > 0,
            "the source holds {} counted writes, the target {}",
            at_source.applied,
            at_target.applied
        );
        let TornPairs { read, torn, examples } = &pairs;
        ensure!(*read > 0, "the watcher of pairs read nothing");
        // A full copy restores key by key, and promises no more than that.
        let is_followed = self.sync.copy_id(&self.target)? == copy;
        ensure!(
            *torn == 0 || !is_followed,
            "{torn} of {read} pairs were seen torn: {}",
            examples.join("; ")
        );
        let copied = if is_followed { "" } else { ", in part during a full copy" };
        println!("{comparison}; {at_target}; {read} pairs seen, {torn} torn{copied}");
        Ok(Agreement { ledger, at_source, at_target, comparison, pairs })
    }

    /// A file of what went on, for a scenario that failed.
    pub fn describe(&self) -> String {
        let pod = self.sync.pod_name();
        let text = |what: Result<String>| what.unwrap_or_else(|err| format!("{err:#}"));
        let status = self.sync.status().map(|status| format!("{status:#}"));
        let log = self.cluster.logs(&self.namespace, &pod, "syncer", false);
        let log = log.map(|log| tail(&log, 30));
        let events = self.cluster.kubectl(&[
            "get",
            "events",
            "-n",
            &self.namespace,
            "--sort-by=.lastTimestamp",
        ]);
        let events = events.map(|events| tail(&events, 30));
        format!("status: {}\nsyncer's log:\n{}\nevents:\n{}", text(status), text(log), text(events))
    }
}

impl Traffic {
    /// Commands that were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.load.counts().acknowledged
    }

    /// Waits until the load has gone on by so many acknowledged commands.
    pub fn wait_for_more(&self, commands: u64, timeout: Duration) -> Result<()> {
        let end = self.acknowledged() + commands;
        wait_until(&format!("{commands} more commands"), timeout, || {
            Ok((self.acknowledged() >= end).then_some(()))
        })
    }
}

/// Removes what a scenario left in a namespace, and the namespace too if `is_whole`.
pub fn clean_namespace(cluster: &Cluster, namespace: &str, is_whole: bool) -> Result<()> {
    if cluster.find(Kind::Namespace, "", namespace)?.is_none() {
        return Ok(());
    }
    if is_whole {
        cluster.delete(Kind::Namespace, "", namespace, None)?;
        return wait_until(&format!("the namespace {namespace} to be gone"), PATIENCE, || {
            Ok(cluster.find(Kind::Namespace, "", namespace)?.is_none().then_some(()))
        });
    }
    for object in cluster.list(Kind::RedisSync, namespace, "")? {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        cluster.delete(Kind::RedisSync, namespace, name, None)?;
    }
    wait_until("the RedisSync objects to be gone", PATIENCE, || {
        Ok(cluster.list(Kind::RedisSync, namespace, "")?.is_empty().then_some(()))
    })?;
    for release in [SOURCE, TARGET] {
        if cluster.find(Kind::StatefulSet, namespace, &format!("{release}-node"))?.is_some() {
            crate::chart::run(crate::chart::helm()?.args([
                "uninstall",
                release,
                "--namespace",
                namespace,
                "--wait",
                "--timeout",
                "120s",
            ]))?;
        }
    }
    for pod in cluster.list(Kind::Pod, namespace, "")? {
        if pod["metadata"]["ownerReferences"].is_null() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            cluster.delete(Kind::Pod, namespace, name, Some(0))?;
        }
    }
    Ok(())
}

/// Whether a record has passed this end of a history; the error says where it is.
pub fn has_reached(record: &HashMap<String, String>, end: &(String, u64)) -> Result<()> {
    let (replid, offset) = end;
    let field = |name: &str| record.get(name).map_or("", String::as_str);
    let reached = field("offset").parse::<u64>().unwrap_or_default();
    ensure!(
        field("replid") == replid && reached >= *offset && field("copyPhase") == "Complete",
        "the source is at {replid} {offset}, the record says {record:?}"
    );
    Ok(())
}

/// The replid and the offset of a master.
pub fn history(master: &mut Connection) -> Result<(String, u64)> {
    let seen = info(master, "replication")?;
    let field = |name: &str| seen.get(name).with_context(|| format!("INFO tells no {name}"));
    let offset = field("master_repl_offset")?.parse().context("the offset is no number")?;
    Ok((field("master_replid")?.clone(), offset))
}

/// Objects are merged, all else is replaced.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, from) => *into = from.clone(),
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
