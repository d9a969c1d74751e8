//! The chart, the samples and what is written about them, without a cluster.
//!
//! Needs helm; `.ci/helm.sh` finds or builds it.

#![allow(clippy::unwrap_used, reason = "these are tests, their helper functions included")]

mod documents;
mod objects;
mod pod;
mod rights;
mod samples;
mod schema;
mod values;
