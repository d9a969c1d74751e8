//! The product in a real cluster: the chart's operator, Sentinel sets in pods, load, faults, and at the end of each
//! scenario the comparison of both sides key by key with exact accounts. `make test-cluster` runs it.
//!
//! One operator is installed for all scenarios; each has a namespace of its own, which is removed after it. They run one
//! after another (`--test-threads=1`): some stop the operator or the node.

mod bootstrap;
mod halt;
mod honest;
mod in_place;
mod node;
mod operator_down;
mod removal;
mod rotation;
mod secrets;
mod sites;
mod suite;
mod syncer;
mod upgrade;
