//! A Kubernetes cluster under test: its objects, Sentinel sets that run in it, and faults of pods and of the node.
//!
//! Like the rest of the kit it is blocking: a runtime of its own carries the client. Everything is reached from this
//! machine, so the pods' addresses must be routed to it, as they are in the cluster of `make cluster-up`. In the order
//! in which a test uses them:
//!
//! | module | what it gives |
//! |---|---|
//! | [`api`] | the API server: [`Cluster`] |
//! | [`kubectl`] | what a user would see |
//! | [`redis_set`] | a Sentinel set in pods: [`RedisSet`] |
//! | [`redis_sync`] | the object under test and its record: [`RedisSync`] |
//! | [`pair`] | two sets, an object between them, and the closing comparison: [`Pair`] |
//! | [`process`] | processes of pods, as the node sees them |
//! | [`node`] | the node's kubelet |

pub mod api;
pub mod kubectl;
pub mod node;
pub mod pair;
pub mod process;
pub mod redis_set;
pub mod redis_sync;

pub use api::{Cluster, Kind};
pub use pair::{Pair, PairOptions};
pub use redis_set::RedisSet;
pub use redis_sync::{Ready, RedisSync};
