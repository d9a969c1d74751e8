//! The operator as a process against a real API server. What the pods would do is done by the tests: their reports come
//! from a stand-in, their states are written into their status; no syncer runs, so a cluster without nodes is enough.
//!
//! Each test has a namespace of its own and takes everything away at its end, also when it fails.

mod cluster;
mod operator_process;
mod sample;
mod space;
mod stand_in;
mod wait;

mod deletion;
mod election;
mod explain;
mod lost_node;
mod reconcile;
mod refusals;
mod scale;
mod secrets;
mod upgrade;
