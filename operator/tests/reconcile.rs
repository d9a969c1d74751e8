//! From an object to what runs its syncer, and from the syncer's report to the status.

mod bed;
mod events;
mod repair;
mod report;
mod rest;
