//! The `redissync-operator` command: arguments in, exit code out.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kube::CustomResourceExt as _;
use redissync_operator::{
    crd::RedisSync,
    run::{self, RunArgs},
};

/// Turns RedisSync objects into syncers, and shows what they do.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reconcile until SIGTERM or SIGINT
    Run(RunArgs),
    /// Print the CustomResourceDefinition as YAML
    Crd,
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            if tracing::dispatcher::has_been_set() {
                tracing::error!(error = format!("{err:#}"), "ended");
            } else {
                eprintln!("redissync-operator: {err:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run::run(args).context("run"),
        Command::Crd => {
            print!(
                "{}",
                serde_yaml::to_string(&RedisSync::crd()).context("failed to print the CRD")?
            );
            Ok(())
        }
    }
}
