//! The test kit against real servers: a tool that cannot fail proves nothing.
//!
//! Needs the servers that `make servers` fetches.

#![allow(clippy::unwrap_used, reason = "these are tests, their helper functions included")]

mod compare;
mod ledger;
mod node;
mod proxy;
mod sentinel_set;
mod syncer;
