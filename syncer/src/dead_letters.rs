//! Dead letters: what the target could not take, kept where a human finds it. A file in the spool's directory, written
//! by the target's side before the batch that goes on without the unit; read by `redissync-syncer dead-letters`.
//!
//! It holds what the users' commands held, so only its owner may read it, and nothing of it is ever logged.

mod file;
mod letter;
mod print;

pub use self::{
    file::{Appended, DeadLetterFile, FILE_BYTES_MAX, FILE_NAME},
    letter::{Cause, Letter},
    print::{DeadLettersArgs, run},
};
