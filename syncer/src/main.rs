//! The `redissync-syncer` command: arguments in, exit code out.

use std::{io, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use redissync_syncer::{
    contract::Phase,
    dead_letters::{self, DeadLettersArgs},
    preflight::command::{self as preflight, PreflightArgs},
    release::{self, ReleaseArgs},
    run::{self, RunArgs},
    status::{self, StatusArgs},
};

/// Copies one Redis or Valkey into another and follows it, exactly.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy and follow until SIGTERM or SIGINT; exit code 0 if it ended in order
    Run(RunArgs),
    /// Show what a running syncer does; exit code 0 if it is Streaming, 1 otherwise
    Status(StatusArgs),
    /// Ask both ends whether the pair will work, and what to change; exit code 0 if nothing failed, 1 otherwise
    Preflight(PreflightArgs),
    /// Decide about a halt; the running syncer takes the decision over within a second
    Release(ReleaseArgs),
    /// Print what the target could not take (`stream.onRejected: DeadLetter`)
    DeadLetters(DeadLettersArgs),
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(code) => code,
        Err(err) => {
            // One format per stream: once the logs run, whatever reads them gets this too.
            if tracing::dispatcher::has_been_set() {
                tracing::error!(error = format!("{err:#}"), "ended");
            } else {
                eprintln!("redissync-syncer: {err:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => {
            run::run(args).context("run")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Release(args) => {
            release::run(&args).context("release")?;
            println!("released");
            Ok(ExitCode::SUCCESS)
        }
        Command::Preflight(args) => {
            let is_well = preflight::run(&args, &mut io::stdout()).context("preflight")?;
            Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::DeadLetters(args) => {
            let count = dead_letters::run(&args, &mut io::stdout()).context("dead-letters")?;
            if !args.resp {
                println!("{count} dead letters");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Status(args) => {
            let phase = status::run(&args, &mut io::stdout()).context("status")?;
            let is_streaming = phase == Phase::Streaming;
            Ok(if is_streaming { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
