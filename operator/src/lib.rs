//! Turns `RedisSync` objects into syncers.
pub mod crd;
pub mod run;
