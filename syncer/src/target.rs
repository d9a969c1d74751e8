//! The target's side: what writes to the target, and everything that makes it the only writer (Promise 7).
//!
//! Every connection that writes is named, and compares the record in every MULTI ([`guarded`]). The owner takes
//! the record on every connect ([`take_over`]).

pub mod error;
pub mod examine;
pub mod guarded;
pub mod knows;
pub mod key_set;
pub mod modules;
pub mod way;

pub mod commands;
pub mod restore;
pub mod temporary;
pub mod whole;

pub mod sweep;
pub mod take_over;
