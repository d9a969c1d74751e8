//! `redissync-syncer`: copies one Redis or Valkey into another and follows it, exactly.
//!
//! The modules are declared in the order in which a byte flows:
//!
//! ```text
//! source socket → spool → decode (RDB entries | commands) → filter → route → batch → target socket → replies
//!                                                                        ↘ REPLCONF ACK, lag, /report
//! ```

// What is asked of us, and who we are to the servers.
pub mod contract;
pub mod quantity;
pub mod address;
pub mod credentials;
pub mod tls;
pub mod login;
pub mod config;
pub mod reload;

// Words and connections.
pub mod causes;
pub mod position;
pub mod resp;
pub mod connection;
pub mod sentinel;

// The source's side: from its socket into the spool.
pub mod link;
pub mod gate;
pub mod grace;
pub mod source;
pub mod spool;

// From the spool to a batch: pure.
pub mod rdb;
pub mod decode;
pub mod keys;
pub mod expiry;
pub mod filter;
pub mod translate;
pub mod route;
pub mod terms;
pub mod batch;
pub mod dead_letters;
pub mod record;

// The target's side: from a batch to the confirmed record.
pub mod target;
pub mod preflight;
pub mod apply;

// The process around it, and what it tells.
pub mod pipeline;
pub mod lag;
pub mod state;
pub mod report;
pub mod metrics;
pub mod telemetry;
pub mod shutdown;
pub mod run;
pub mod status;
pub mod release;
pub mod failpoint;
