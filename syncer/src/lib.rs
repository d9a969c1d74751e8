//! `redissync-syncer`: copies one Redis or Valkey into another and follows it, exactly.
//!
//! The modules are declared in the order in which a byte flows:
//!
//! ```text
//! source socket → spool → decode (RDB entries | commands) → filter → route → batch → target socket → replies
//!                                                                        ↘ REPLCONF ACK, lag, /report
//! ```

pub mod position;
pub mod resp;
pub mod rdb;
pub mod sentinel;
pub mod source;
pub mod spool;
pub mod target;
