//! A master, its replicas and its sentinels: one site that fails over by itself.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, bail};
use redis::Connection;

use crate::{
    connection::{connect, connect_with_timeout, split_address},
    info::info,
    ledger::LoadEndpoint,
    master::{MasterView, SENTINEL_TIMEOUT, master_view, resolve_master},
    node::{Node, NodeOptions},
    servers::ServerVersion,
    tls::TlsFiles,
    wait::wait_until,
};

/// Sentinels find each other by messages every two seconds, and replicas copy an empty master at once.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A sentinel that did not take part in a failover learns of it by such a message.
const AGREEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a set is started with.
#[derive(Debug, Clone)]
pub struct SetOptions {
    /// For every data node. The password is also what sentinels and replicas give.
    pub node: NodeOptions,
    /// What the sentinels ask of clients and of each other.
    pub sentinel_password: Option<String>,
    /// The name under which the sentinels know the master.
    pub master_name: String,
    /// How long a node must not answer until a sentinel holds it for down. Not 1000 ms or less: to a new master a
    /// sentinel sends its first PING only after a second (sentinel.c, `sentinel_ping_period`), so that all of them may
    /// hold it for down at once and fail over a second time (seen with Valkey 9.1).
    pub down_after: Duration,
    /// How long a failover may take; after a failed one, twice this passes before the next.
    pub failover_timeout: Duration,
    /// How many replicas are turned to a new master at once.
    pub parallel_syncs: u32,
    /// How many replicas the master has.
    pub replica_count: usize,
    /// How many sentinels there are; the quorum is their majority.
    pub sentinel_count: usize,
    /// Nodes and sentinels name `localhost` and not its address (6.2 and newer).
    pub announces_hostnames: bool,
}

impl Default for SetOptions {
    /// Three data nodes and three sentinels that fail over within about three seconds.
    fn default() -> Self {
        Self {
            node: NodeOptions::new(),
            sentinel_password: None,
            master_name: "mymaster".to_string(),
            down_after: Duration::from_millis(1500),
            failover_timeout: Duration::from_secs(8),
            parallel_syncs: 2,
            replica_count: 2,
            sentinel_count: 3,
            announces_hostnames: false,
        }
    }
}

impl SetOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks clients of the data nodes for a password.
    pub fn password(mut self, password: &str) -> Self {
        self.node = self.node.password(password);
        self
    }

    /// Asks clients of the sentinels for a password.
    pub fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinel_password = Some(password.to_string());
        self
    }

    /// Makes nodes and sentinels name `localhost` and not its address (6.2 and newer).
    pub fn announcing_hostnames(mut self) -> Self {
        self.announces_hostnames = true;
        self.node = self.node.option("replica-announce-ip", "localhost");
        self
    }

    /// Names the master.
    pub fn master_name(mut self, name: &str) -> Self {
        self.master_name = name.to_string();
        self
    }

    /// Makes nodes and sentinels speak TLS only, with each other too.
    pub fn tls(mut self, files: &TlsFiles) -> Self {
        self.node = self.node.tls(files);
        self
    }

    /// Adds a line to the configuration of every data node.
    pub fn option(mut self, key: &str, value: impl ToString) -> Self {
        self.node = self.node.option(key, value);
        self
    }

    /// Sets how long a node must be silent to be held for down.
    pub fn down_after(mut self, down_after: Duration) -> Self {
        self.down_after = down_after;
        self
    }
}

/// A running set. Nodes keep their index for life, whoever is the master.
#[derive(Debug)]
pub struct SentinelSet {
    options: SetOptions,
    nodes: Vec<Node>,
    sentinels: Vec<Node>,
}

impl SentinelSet {
    /// Starts all of it, node 0 as the master, and waits until it is healthy.
    pub fn start(version: ServerVersion, options: &SetOptions) -> Result<Self> {
        let master = Node::start(version, &options.node)?;
        let replica = options.node.clone().replica_of(&master.address());
        let mut nodes = vec![master];
        for _ in 0..options.replica_count {
            nodes.push(Node::start(version, &replica)?);
        }
        let mut set = Self { options: options.clone(), nodes, sentinels: Vec::new() };
        // A sentinel asks the master for its replicas at once, and then every ten seconds: it should find them.
        wait_until("the replicas to be online", START_TIMEOUT, || set.check_nodes(0).map(Some))?;
        let sentinel = set.sentinel_options()?;
        for _ in 0..options.sentinel_count {
            set.sentinels.push(Node::start_sentinel(version, &sentinel)?);
        }
        set.wait_until_healthy(START_TIMEOUT)?;
        Ok(set)
    }

    fn sentinel_options(&self) -> Result<NodeOptions> {
        let options = &self.options;
        let name = &options.master_name;
        let quorum = options.sentinel_count / 2 + 1;
        let port = self.node(0)?.port();
        let mut lines = Vec::new();
        let mut host = "127.0.0.1";
        if options.announces_hostnames {
            host = "localhost";
            lines = vec!["resolve-hostnames yes".to_string(), "announce-hostnames yes".to_string()];
        }
        lines.extend([
            format!("monitor {name} {host} {port} {quorum}"),
            format!("down-after-milliseconds {name} {}", options.down_after.as_millis()),
            format!("failover-timeout {name} {}", options.failover_timeout.as_millis()),
            format!("parallel-syncs {name} {}", options.parallel_syncs),
        ]);
        if let Some(password) = &options.node.password {
            lines.push(format!("auth-pass {name} {password}"));
        }
        if let Some(password) = &options.sentinel_password {
            lines.push(format!("sentinel-pass {password}"));
        }
        Ok(NodeOptions {
            password: options.sentinel_password.clone(),
            replica_of: None,
            tls: options.node.tls.clone(),
            lines: lines.into_iter().map(|line| ("sentinel".to_string(), line)).collect(),
        })
    }

    /// The sentinels' addresses.
    pub fn endpoints(&self) -> Vec<String> {
        self.sentinels.iter().map(Node::address).collect()
    }

    /// The name under which the sentinels know the master.
    pub fn master_name(&self) -> &str {
        &self.options.master_name
    }

    /// The data nodes' password.
    pub fn password(&self) -> Option<&str> {
        self.options.node.password.as_deref()
    }

    /// The sentinels' password.
    pub fn sentinel_password(&self) -> Option<&str> {
        self.options.sentinel_password.as_deref()
    }

    /// The certificates of all of it, if it speaks TLS.
    pub fn tls(&self) -> Option<&TlsFiles> {
        self.options.node.tls.as_ref()
    }

    /// Where a load finds the master of the day.
    pub fn load_endpoint(&self) -> LoadEndpoint {
        LoadEndpoint::Sentinel {
            endpoints: self.endpoints(),
            master_name: self.options.master_name.clone(),
            password: self.options.node.password.clone(),
            sentinel_password: self.options.sentinel_password.clone(),
        }
    }

    /// How many data nodes there are, dead ones included.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// A data node.
    pub fn node(&self, index: usize) -> Result<&Node> {
        self.nodes.get(index).with_context(|| format!("the set has no node {index}"))
    }

    /// A data node, to kill or freeze it.
    pub fn node_mut(&mut self, index: usize) -> Result<&mut Node> {
        self.nodes.get_mut(index).with_context(|| format!("the set has no node {index}"))
    }

    /// A sentinel, to kill or freeze it.
    pub fn sentinel_mut(&mut self, index: usize) -> Result<&mut Node> {
        self.sentinels.get_mut(index).with_context(|| format!("the set has no sentinel {index}"))
    }

    /// The newest word of the sentinels about the master.
    pub fn master_view(&self) -> Result<MasterView> {
        resolve_master(&self.endpoints(), self.master_name(), self.sentinel_password())
    }

    /// The index of the node that the sentinels hold for the master.
    pub fn current_master(&self) -> Result<usize> {
        let address = self.master_view()?.address;
        self.index_of(&address)
            .with_context(|| format!("the sentinels name {address}, which is no node of the set"))
    }

    /// The address of the node that the sentinels hold for the master.
    pub fn master_address(&self) -> Result<String> {
        Ok(self.master_view()?.address)
    }

    /// A connection to the master of the moment.
    pub fn connect_master(&self) -> Result<Connection> {
        connect(&self.master_address()?, self.password())
    }

    /// Kills the master of the moment and returns its index. The sentinels promote another after `down_after`.
    pub fn kill_master9(&mut self) -> Result<usize> {
        let index = self.current_master()?;
        self.node_mut(index)?.kill9()?;
        Ok(index)
    }

    /// Asks the sentinels for a failover while the master lives, and returns at once with the index of the old master.
    pub fn failover(&mut self) -> Result<usize> {
        let old = self.current_master()?;
        let mut refusals = Vec::new();
        for endpoint in self.endpoints() {
            let asked = self.connect_sentinel(&endpoint).and_then(|mut connection| {
                redis::cmd("SENTINEL")
                    .arg("FAILOVER")
                    .arg(self.master_name())
                    .exec(&mut connection)
                    .with_context(|| format!("{endpoint} refused a failover"))
            });
            match asked {
                Ok(()) => return Ok(old),
                Err(err) => refusals.push(format!("{err:#}")),
            }
        }
        bail!("no sentinel began a failover: {}", refusals.join("; "))
    }

    /// Waits until another node than `old` is the master, in the sentinels' word and its own.
    pub fn wait_for_new_master(&self, old: usize, timeout: Duration) -> Result<usize> {
        wait_until(&format!("a master other than node {old}"), timeout, || {
            let index = self.current_master()?;
            if index == old {
                bail!("the sentinels still name node {old}");
            }
            let role = info(&mut self.node(index)?.connect()?, "replication")?;
            if role.get("role").map(String::as_str) != Some("master") {
                bail!("node {index} says of itself: {:?}", role.get("role"));
            }
            Ok(Some(index))
        })
    }

    /// Starts a dead node again, empty, as a replica of the master of the moment.
    ///
    /// While the sentinels still name the node itself, this is refused: an empty master would empty its replicas. It
    /// waits until all of them name the same other node.
    pub fn revive(&mut self, index: usize) -> Result<()> {
        let master = self.current_master()?;
        if master == index {
            bail!("the sentinels still hold node {index} for the master");
        }
        let address = self.node(master)?.address();
        self.wait_until_agreed(master)?;
        let node = self.node_mut(index)?;
        if node.is_running() {
            bail!("node {index} is alive");
        }
        node.set_replica_of(Some(&address));
        node.restart_empty()
    }

    fn connect_sentinel(&self, endpoint: &str) -> Result<Connection> {
        connect_with_timeout(endpoint, self.sentinel_password(), SENTINEL_TIMEOUT)
    }

    /// Waits until every sentinel that answers names this node.
    fn wait_until_agreed(&self, master: usize) -> Result<()> {
        wait_until(&format!("all sentinels to name node {master}"), AGREEMENT_TIMEOUT, || {
            for endpoint in self.endpoints() {
                let view = self
                    .connect_sentinel(&endpoint)
                    .and_then(|mut connection| master_view(&mut connection, self.master_name()));
                // A dead or frozen sentinel has no say.
                if let Ok(view) = view
                    && self.index_of(&view.address) != Some(master)
                {
                    bail!("{endpoint} names {}", view.address);
                }
            }
            Ok(Some(()))
        })
    }

    /// Changes an option of every data node; dead ones take it when they are revived.
    pub fn config_set(&mut self, key: &str, value: &str) -> Result<()> {
        for node in &mut self.nodes {
            if node.is_running() {
                node.config_set(key, value)?;
            } else {
                node.set_option(key, value);
            }
        }
        Ok(())
    }

    /// Waits until one node is the master, all others are its online replicas, and every sentinel sees just that.
    /// Returns the master's index.
    ///
    /// After an asked failover this takes ten seconds and more: sentinels turn a living old master into a replica only
    /// when it has called itself a master for that long.
    pub fn wait_until_healthy(&self, timeout: Duration) -> Result<usize> {
        wait_until("the sentinel set to be healthy", timeout, || {
            let master = self.current_master()?;
            self.check_nodes(master)?;
            self.check_sentinels(master)?;
            Ok(Some(master))
        })
    }

    /// An error says what is missing.
    fn check_nodes(&self, master: usize) -> Result<()> {
        let master_node = self.node(master)?;
        let seen = info(&mut master_node.connect()?, "replication")?;
        let role = seen.get("role").map(String::as_str).unwrap_or_default();
        if role != "master" {
            bail!("node {master} is {role}, not master");
        }
        for (index, node) in self.nodes.iter().enumerate().filter(|(index, _)| *index != master) {
            let port = format!("port={},state=online", node.port());
            if !seen.values().any(|value| value.contains(&port)) {
                bail!("the master does not see node {index} online");
            }
            let own = info(&mut node.connect()?, "replication")?;
            let field = |name: &str| own.get(name).map(String::as_str).unwrap_or_default();
            if field("master_port") != master_node.port().to_string()
                || field("master_link_status") != "up"
            {
                bail!(
                    "node {index} is {} of port {}, link {}",
                    field("role"),
                    field("master_port"),
                    field("master_link_status")
                );
            }
        }
        Ok(())
    }

    fn check_sentinels(&self, master: usize) -> Result<()> {
        for endpoint in self.endpoints() {
            let mut connection = self.connect_sentinel(&endpoint)?;
            let view = master_view(&mut connection, self.master_name())?;
            if self.index_of(&view.address) != Some(master) || view.flags != "master" {
                bail!("sentinel {endpoint} sees the master {} as {}", view.address, view.flags);
            }
            if view.other_sentinels != self.sentinels.len() - 1 {
                bail!("sentinel {endpoint} knows {} others", view.other_sentinels);
            }
            let replicas: Vec<HashMap<String, String>> = redis::cmd("SENTINEL")
                // Every version knows the old word.
                .arg("SLAVES")
                .arg(self.master_name())
                .query(&mut connection)
                .with_context(|| format!("failed to ask {endpoint} for the replicas"))?;
            for (index, node) in self.nodes.iter().enumerate().filter(|(index, _)| *index != master)
            {
                let port = node.port().to_string();
                let flags = replicas
                    .iter()
                    .find(|replica| replica.get("port") == Some(&port))
                    .and_then(|replica| replica.get("flags"))
                    .map_or("nothing", String::as_str);
                if flags != "slave" {
                    bail!("sentinel {endpoint} sees node {index} as {flags}");
                }
            }
        }
        Ok(())
    }

    /// Which node has this address.
    pub fn index_of(&self, address: &str) -> Option<usize> {
        let (_, port) = split_address(address).ok()?;
        self.nodes.iter().position(|node| node.port() == port)
    }
}
