//! `make demo`: two sites fail over before the user's eyes while a load runs, and not a write is lost or repeated.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use redissync_e2e::{
    cleanup::run_and_clean,
    demo::{self, DemoOptions},
    servers::ServerVersion,
};

/// Shows the syncer between two Sentinel-managed sets while both fail over under load.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// The syncer's program (a release build).
    #[arg(long)]
    syncer: PathBuf,
    /// How long the load runs beside the syncer.
    #[arg(long, default_value_t = 36, value_parser = clap::value_parser!(u64).range(20..=3600))]
    seconds: u64,
    /// The servers: 6.2, 7.0, 7.4, 8.2, valkey-8.1 or valkey-9.1.
    #[arg(long, default_value = "7.0", value_parser = ServerVersion::parse)]
    version: ServerVersion,
    /// Keys that are there before the syncer starts.
    #[arg(long, default_value_t = 60_000)]
    keys: u64,
    /// Writes each second.
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
}

fn main() -> ExitCode {
    let Arguments { syncer, seconds, version, keys, rate } = Arguments::parse();
    let options = DemoOptions { syncer, seconds, version, keys, rate };
    run_and_clean(move || demo::run(&options))
}
