//! The RDB: every key of a source as of one offset, and the format in which single values travel.
//!
//! Sans-io: the spool's bytes are pushed in, events come out ([`decode`]). A value is not decoded
//! but cut out by its boundaries and sent on as a RESTORE payload ([`dump`]), if the target can
//! take it ([`support`]). Nothing here opens a socket, reads a clock, or guesses: a byte whose
//! meaning is not certain stops the copy with a reason.

pub mod error;
pub mod value;

mod length;
mod lzf;
mod packed;

mod skip;

pub mod crc64;
pub mod event;

pub mod decode;

pub mod dump;
pub mod support;

pub mod backlen;
mod field_expiry;

pub mod element;
pub mod elements;
