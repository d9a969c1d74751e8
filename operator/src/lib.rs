//! Turns `RedisSync` objects into syncers, and shows what they do.
//!
//! The way of one object, step by step, in [`controller`]:
//!
//! ```text
//! RedisSync → dereference → validate → observe → build → plan → apply → update_status
//!             Secrets        pure      stores,   pure    pure    API      API
//!                                      reports
//! ```
//!
//! Between the steps nothing is kept but what a step may lose: the status mirrors (Promise 12), the records in the two
//! sites decide. What there is comes from watches ([`scope`]); what a syncer says comes from a question that is always
//! open ([`report_watch`]); who the masters are comes from the sentinels ([`site_watch`]), with the syncer's own
//! library. Each of them only asks for a pass; the pass looks at everything.
//!
//! The operator depends on the syncer's crate for the contract and for following Sentinel, never the other way round,
//! and it never opens a replication stream (Invariant 17).

pub mod run;
pub mod lease;
pub mod scope;
pub mod trigger;
pub mod task;

pub mod crd;
pub mod names;

pub mod controller;
pub mod build;
pub mod rollout;
pub mod status;
pub mod conditions;
pub mod events;

pub mod watches;
pub mod report_watch;
pub mod report_client;
pub mod site_watch;

pub mod metrics;
pub mod server;
