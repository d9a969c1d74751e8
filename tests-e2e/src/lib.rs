//! Real servers, loads, faults and comparisons: what the process tests, the demo and the benchmark share.
//!
//! Everything here is plain threads and blocking sockets. Every process and thread belongs to a value and ends with
//! it, so a failed test leaves nothing behind. In the order in which a test uses them:
//!
//! | module | what it gives |
//! |---|---|
//! | [`servers`] | which server versions there are, and where their programs lie (`make servers` fetches them) |
//! | [`port`] | loopback ports that nobody else gets |
//! | [`process`] | one child process: signals, exit, and the end of it on drop |
//! | [`node`] | one Redis or Valkey server: [`Node`] |
//! | [`sentinel_set`] | a master, its replicas and its sentinels: [`SentinelSet`] |
//! | [`master`] | who is the master, asked of the sentinels |
//! | [`proxy`] | a link that can be cut, silenced or slowed: [`Proxy`] |
//! | [`syncer`] | the program under test: [`Syncer`] |
//! | [`ledger`] | a load with exact accounts: [`Load`], [`Ledger`], [`TornPairWatcher`], [`fill`] |
//! | [`compare`](mod@compare) | both sides key by key: [`compare()`] |
//! | [`chart`] | the operator's chart, rendered or installed: [`install_chart`] |
//! | `cluster` | a Kubernetes cluster, with the feature `cluster`: objects, Sentinel sets in pods, faults |
//! | [`kubeconfig`] | which cluster is meant |
//! | [`wait`] | waiting for a condition with a deadline: [`wait_until`] |
//! | [`cleanup`], [`usage`] | an end that leaves nothing behind, and what a process has used |
//! | [`demo`], [`bench`](mod@bench) | what `make demo` and `make bench` run |
//! | [`connection`], [`info`], [`random`], [`base64`] | a client connection, its INFO as a map, seeded numbers, a code |

pub mod base64;
pub mod bench;
pub mod chart;
pub mod cleanup;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod compare;
pub mod connection;
pub mod demo;
pub mod info;
pub mod kubeconfig;
pub mod ledger;
pub mod master;
pub mod node;
pub mod port;
pub mod process;
pub mod proxy;
pub mod random;
pub mod sentinel_set;
pub mod servers;
pub mod syncer;
pub mod tls;
pub mod usage;
pub mod wait;

pub use chart::{ChartOptions, InstalledChart, install_chart};
pub use compare::{CompareOptions, Comparison, compare};
pub use ledger::{
    FindMaster, Ledger, Load, LoadEndpoint, LoadOptions, Login, TornPairWatcher, fill,
};
pub use node::{Node, NodeOptions};
pub use proxy::{Mode, Proxy};
pub use sentinel_set::{SentinelSet, SetOptions};
pub use servers::ServerVersion;
pub use syncer::{Syncer, SyncerOptions};
pub use wait::wait_until;
