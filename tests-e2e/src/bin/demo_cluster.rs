//! `make demo`: a cluster, the operator, two Sentinel sets, one manifest, and a failover before the user's eyes.

use std::process::ExitCode;

use clap::Parser;
use redissync_e2e::demo::cluster::{self, ClusterDemoOptions};

/// Shows the operator between two Sentinel sets of one cluster while the source fails over under load.
#[derive(Debug, Parser)]
#[command(name = "demo-cluster")]
struct Arguments {
    /// The tag of the images, which must be in the cluster.
    #[arg(long)]
    tag: String,
    /// Keys that are there before the object is applied.
    #[arg(long, default_value_t = 10_000)]
    keys: u64,
    /// Writes each second.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Seconds of load before the failover, and after it.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(3..=3600))]
    seconds: u64,
}

fn main() -> ExitCode {
    let Arguments { tag, keys, rate, seconds } = Arguments::parse();
    match cluster::run(&ClusterDemoOptions { tag, keys, rate, seconds }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}
