//! The object under test: its spec, what its status says, and the record in the target, which is the truth.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, bail};
use redis::Connection;
use serde_json::{Value, json};

use super::{Cluster, Kind, RedisSet};
use crate::wait_until;

/// The condition `Ready`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ready {
    /// True, False or Unknown; empty where there is none yet.
    pub status: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// A RedisSync object.
#[derive(Debug, Clone)]
pub struct RedisSync {
    cluster: Cluster,
    namespace: String,
    name: String,
}

impl RedisSync {
    /// Applies an object with this spec.
    pub fn apply(cluster: &Cluster, namespace: &str, name: &str, spec: &Value) -> Result<Self> {
        cluster.apply(&json!({
            "apiVersion": "redissync.dev/v1alpha1",
            "kind": "RedisSync",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }))?;
        Ok(Self::existing(cluster, namespace, name))
    }

    /// An object that is there.
    pub fn existing(cluster: &Cluster, namespace: &str, name: &str) -> Self {
        Self { cluster: cluster.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The name of its syncer's pod.
    pub fn pod_name(&self) -> String {
        format!("{}-redissync-0", self.name)
    }

    /// Merges into the spec.
    pub fn patch_spec(&self, spec: &Value) -> Result<()> {
        let patch = json!({"spec": spec});
        self.cluster.patch(Kind::RedisSync, &self.namespace, &self.name, &patch).map(|_| ())
    }

    /// The whole object.
    pub fn object(&self) -> Result<Value> {
        self.cluster.get(Kind::RedisSync, &self.namespace, &self.name)
    }

    /// Its status.
    pub fn status(&self) -> Result<Value> {
        Ok(self.object()?["status"].take())
    }

    /// A condition of its status.
    pub fn condition(&self, type_: &str) -> Result<Ready> {
        Ok(condition_of(&self.status()?, type_))
    }

    /// Waits for a status.
    pub fn wait_for<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T> {
        wait_until(what, timeout, || {
            let status = self.status()?;
            match look(&status) {
                Some(value) => Ok(Some(value)),
                None => bail!("the status is {}", brief(&status)),
            }
        })
    }

    /// Waits until `Ready` is True for the spec as it is now.
    pub fn wait_until_ready(&self, timeout: Duration) -> Result<Value> {
        wait_until("Ready to be True", timeout, || {
            let object = self.object()?;
            let status = &object["status"];
            let is_current = status["observedGeneration"] == object["metadata"]["generation"];
            if is_current && condition_of(status, "Ready").status == "True" {
                return Ok(Some(status.clone()));
            }
            bail!("the status is {}", brief(status))
        })
    }

    /// Waits until `Ready` is not True, and says what it says.
    pub fn wait_until_not_ready(&self, timeout: Duration) -> Result<Ready> {
        self.wait_for("Ready to be False", timeout, |status| {
            let ready = condition_of(status, "Ready");
            (!ready.status.is_empty() && ready.status != "True").then_some(ready)
        })
    }

    /// Waits until `Ready` has this reason.
    pub fn wait_for_reason(&self, reason: &str, timeout: Duration) -> Result<Value> {
        self.wait_for(&format!("the reason {reason}"), timeout, |status| {
            (condition_of(status, "Ready").reason == reason).then(|| status.clone())
        })
    }

    /// The events about it with this reason, the newest last.
    pub fn events(&self, reason: &str) -> Result<Vec<Value>> {
        let uid = self.object()?["metadata"]["uid"].take();
        let mut events = self.cluster.list(Kind::Event, &self.namespace, "")?;
        events.retain(|event| {
            event["reason"] == reason
                && event["regarding"]["kind"] == "RedisSync"
                // Events outlive their object, whose name may be another's by now.
                && event["regarding"]["uid"] == uid
        });
        events.sort_by_key(|event| event["eventTime"].as_str().map(str::to_owned));
        Ok(events)
    }

    /// Waits for an event with this reason: the status comes first.
    pub fn wait_for_event(&self, reason: &str, timeout: Duration) -> Result<Value> {
        wait_until(&format!("an event {reason}"), timeout, || Ok(self.events(reason)?.pop()))
    }

    /// The record in the target: what has been applied, and by which copy it began.
    pub fn record(&self, target: &RedisSet) -> Result<HashMap<String, String>> {
        self.record_at(&mut target.connect_master()?)
            .with_context(|| format!("no record in {target:?}"))
    }

    /// The same at any server.
    pub fn record_at(&self, target: &mut Connection) -> Result<HashMap<String, String>> {
        let key = format!("redissync:{}/{}:0", self.namespace, self.name);
        let record: HashMap<String, String> = redis::cmd("HGETALL").arg(&key).query(target)?;
        if record.is_empty() {
            bail!("there is no key {key}");
        }
        Ok(record)
    }

    /// Names the last full copy.
    pub fn copy_id(&self, target: &RedisSet) -> Result<String> {
        self.record(target)?.remove("copyId").context("the record has no copyId")
    }

    /// The syncer's pod.
    pub fn pod(&self) -> Result<Value> {
        self.cluster.get(Kind::Pod, &self.namespace, &self.pod_name())
    }
}

/// A condition of a status.
pub fn condition_of(status: &Value, type_: &str) -> Ready {
    let conditions = status["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == type_));
    let text =
        |field: &str| found.and_then(|one| one[field].as_str()).unwrap_or_default().to_owned();
    Ready { status: text("status"), reason: text("reason"), message: text("message") }
}

/// What of a status a failed wait should tell.
fn brief(status: &Value) -> String {
    let Ready { status: ready, reason, message } = condition_of(status, "Ready");
    format!(
        "phase {} Ready={ready} {reason}: {message} (master {}, standby {}, lag {}, generation {})",
        status["phase"],
        status["master"],
        status["standby"],
        status["lag"],
        status["observedGeneration"]
    )
}
