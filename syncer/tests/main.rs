//! The syncer as a process between real servers: every fault that a promise names, each test ending in a comparison of
//! both sides key by key.

mod bed;
mod halt;
mod kill;
mod line;
mod pair;
mod refusal;
