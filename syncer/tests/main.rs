//! The syncer as a process between real servers: every fault that a promise names, each test ending in a comparison of
//! both sides key by key.

mod bed;
mod cut;
mod election;
mod expiry;
mod failover;
mod halt;
mod kill;
mod lag;
mod large;
mod line;
mod matrix;
mod modules;
mod pair;
mod preflight;
mod refusal;
mod release;
mod secrets;
mod stream;
mod tls;
mod told;
mod values;
mod versions;
mod wait;
