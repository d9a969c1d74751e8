//! The `redissync-syncer` command.
fn main() {}
