//! A Sentinel set in pods: the chart `deploy/local/redis-sentinel` as a release. Its nodes announce names that only the
//! cluster's pods can resolve, so every name is looked up among the pods, each time anew.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use redis::Connection;
use serde_json::Value;

use super::{Cluster, Kind, api::is_condition_true};
use crate::{
    LoadEndpoint,
    chart::{helm, repository, run},
    connection::{connect, split_address},
    ledger::{FindMaster, Login},
    master::resolve_master,
    wait_until,
};

/// The name by which the chart's sentinels know the master.
pub const MASTER_NAME: &str = "mymaster";
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// Where the chart keeps the password in its Secret.
const PASSWORD_KEY: &str = "redis-password";
/// Three pods of two containers on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(150);

/// One node of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetPod {
    /// The pod's name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// Whether all its containers are.
    pub is_ready: bool,
}

/// The master of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetMaster {
    /// The pod.
    pub pod: String,
    /// `host:port` as the sentinels announce it, and as a status shows it.
    pub announced: String,
    /// `ip:port`, as it is reached from here.
    pub address: String,
    /// The config epoch, which grows with each failover.
    pub epoch: u64,
}

/// A running release. It is left in the cluster when this is dropped: the namespace goes as a whole.
#[derive(Clone)]
pub struct RedisSet {
    cluster: Cluster,
    namespace: String,
    name: String,
    password: Arc<Mutex<String>>,
}

impl fmt::Debug for RedisSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisSet({}/{})", self.namespace, self.name)
    }
}

impl RedisSet {
    /// Installs the chart, or takes the release that is there, and waits until the set can fail over. `name` must
    /// contain `redis`: the objects are named so.
    pub fn install(
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        values: &[(&str, Value)],
    ) -> Result<Self> {
        let settings = values
            .iter()
            .flat_map(|(path, value)| ["--set-json".to_string(), format!("{path}={value}")]);
        run(helm()?
            .args(["upgrade", "--install", "--create-namespace", name])
            .arg(repository().join("deploy/local/redis-sentinel"))
            .args(["--namespace", namespace, "--wait"])
            .args(["--timeout", &format!("{}s", START_TIMEOUT.as_secs())])
            .args(settings))
        .with_context(|| format!("failed to install the Sentinel set {namespace}/{name}"))?;
        let set = Self::existing(cluster, namespace, name)?;
        set.wait_until_whole(START_TIMEOUT).context(
            "pods are reached by their addresses: a cluster whose pods are not routed to this machine cannot be used",
        )?;
        Ok(set)
    }

    /// A release that is there.
    pub fn existing(cluster: &Cluster, namespace: &str, name: &str) -> Result<Self> {
        let secret = cluster.get(Kind::Secret, namespace, name)?;
        let encoded = secret["data"][PASSWORD_KEY].as_str().unwrap_or_default();
        let password = crate::base64::decode(encoded)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .with_context(|| format!("the Secret {namespace}/{name} holds no password"))?;
        Ok(Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            password: Arc::new(Mutex::new(password)),
        })
    }

    /// The release's name, which the Secret and the Service bear too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the nodes ask for.
    pub fn password(&self) -> String {
        self.password.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that the nodes ask for another password from now on.
    pub fn set_password(&self, password: &str) {
        password.clone_into(&mut self.password.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Its pods that have an address, in the order of their names.
    pub fn pods(&self) -> Result<Vec<SetPod>> {
        let labels = format!("app.kubernetes.io/instance={}", self.name);
        let pods = self.cluster.list(Kind::Pod, &self.namespace, &labels)?;
        let mut pods: Vec<SetPod> = pods
            .iter()
            .filter_map(|pod| {
                Some(SetPod {
                    name: pod["metadata"]["name"].as_str()?.to_owned(),
                    ip: pod["status"]["podIP"].as_str()?.to_owned(),
                    is_ready: is_condition_true(pod, "Ready"),
                })
            })
            .collect();
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(pods)
    }

    /// Who is the master, as the newest word of the sentinels says.
    pub fn master(&self) -> Result<SetMaster> {
        let pods = self.pods()?;
        let endpoints: Vec<String> =
            pods.iter().map(|pod| format!("{}:{SENTINEL_PORT}", pod.ip)).collect();
        let view = resolve_master(&endpoints, MASTER_NAME, Some(&self.password()))?;
        let (host, port) = split_address(&view.address)?;
        // A host name of a pod of a StatefulSet begins with the pod's name.
        let name = host.split('.').next().unwrap_or(host);
        let pod = pods.iter().find(|pod| pod.name == name || pod.ip == host);
        let pod = pod.with_context(|| {
            format!(
                "{}/{}: the sentinels name {host}, which is no pod now",
                self.namespace, self.name
            )
        })?;
        Ok(SetMaster {
            pod: pod.name.clone(),
            address: format!("{}:{port}", pod.ip),
            announced: view.address,
            epoch: view.config_epoch,
        })
    }

    /// A connection to the master.
    pub fn connect_master(&self) -> Result<Connection> {
        connect(&self.master()?.address, Some(&self.password()))
    }

    /// A connection to the data node of each pod.
    pub fn connect_nodes(&self) -> Result<Vec<Connection>> {
        let addresses = self.pods()?.into_iter().map(|pod| format!("{}:{REDIS_PORT}", pod.ip));
        addresses.map(|address| connect(&address, Some(&self.password()))).collect()
    }

    /// A connection to the sentinel of each pod.
    pub fn connect_sentinels(&self) -> Result<Vec<Connection>> {
        let addresses = self.pods()?.into_iter().map(|pod| format!("{}:{SENTINEL_PORT}", pod.ip));
        addresses.map(|address| connect(&address, Some(&self.password()))).collect()
    }

    /// Where a load or a watcher follows the master.
    pub fn endpoint(&self) -> LoadEndpoint {
        LoadEndpoint::Found(Arc::new(self.clone()))
    }

    /// Deletes the master's pod with `--force` and returns who it was.
    pub fn force_delete_master(&self) -> Result<SetMaster> {
        let master = self.master()?;
        self.cluster.delete(Kind::Pod, &self.namespace, &master.pod, Some(0))?;
        Ok(master)
    }

    /// Waits until the sentinels name another master than `old`.
    pub fn wait_until_switched(&self, old: &SetMaster, timeout: Duration) -> Result<SetMaster> {
        wait_until(&format!("{self:?} to switch its master"), timeout, || {
            let master = self.master()?;
            Ok((master.pod != old.pod && master.epoch > old.epoch).then_some(master))
        })
    }

    /// Waits until all pods are ready, and each sentinel sees a master with all its replicas and a quorum.
    pub fn wait_until_whole(&self, timeout: Duration) -> Result<()> {
        wait_until(&format!("{self:?} to be whole"), timeout, || {
            let pods = self.pods()?;
            if let Some(pod) = pods.iter().find(|pod| !pod.is_ready) {
                bail!("{} is not ready", pod.name);
            }
            let master = self.master()?;
            let mut node = connect(&master.address, Some(&self.password()))?;
            let seen = crate::info::info(&mut node, "replication")?;
            let replicas = seen.get("connected_slaves").map_or("0", String::as_str);
            // The syncer at a source counts as one more.
            if replicas.parse::<usize>().unwrap_or_default() + 1 < pods.len() {
                bail!("{} has {replicas} replicas", master.pod);
            }
            for mut sentinel in self.connect_sentinels()? {
                redis::cmd("SENTINEL").arg("CKQUORUM").arg(MASTER_NAME).exec(&mut sentinel)?;
            }
            Ok(Some(()))
        })
    }
}

impl FindMaster for RedisSet {
    fn find_master(&self) -> Result<Login> {
        Ok(Login { address: self.master()?.address, password: Some(self.password()) })
    }
}
