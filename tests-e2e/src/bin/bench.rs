//! `make bench`: the syncer against native replication and `redis-cli --pipe`, on the same data in one run.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use redissync_e2e::{
    bench::{self, BenchOptions, Case},
    cleanup::run_and_clean,
    servers::ServerVersion,
};

/// Measures the syncer against native REPLICAOF and redis-cli --pipe; prints a markdown table.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// The syncer's program (a release build).
    #[arg(long)]
    syncer: PathBuf,
    /// Interleaved rounds; the table gives their median and spread.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Only these cases; all if none is named.
    #[arg(long = "case", value_parser = Case::parse)]
    cases: Vec<Case>,
    /// A part of the data, such as 0.05, to see that all of it works.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// The servers: 6.2, 7.0, 7.4, 8.2, valkey-8.1 or valkey-9.1.
    #[arg(long, default_value = "7.0", value_parser = ServerVersion::parse)]
    version: ServerVersion,
    /// Writes what it prints into this file too.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { syncer, pairs, cases, scale, version, write } = Arguments::parse();
    let cases = if cases.is_empty() { Case::ALL.to_vec() } else { cases };
    let options = BenchOptions { syncer, pairs, cases, scale, version, write };
    run_and_clean(move || bench::run(&options).map(|_| true))
}
