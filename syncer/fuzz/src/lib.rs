//! The fuzz targets: what is fed to a parser, and what must hold whatever it is fed. The same functions run under
//! libFuzzer (`make fuzz`) and, over the kept corpus, in the process tests (`syncer/tests/fuzz.rs`).

pub mod pack;
pub mod rdb;
pub mod resp;
pub mod sentinel;
pub mod spool;
