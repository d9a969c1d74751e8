//! `redissync-syncer run`: brings up what surrounds the pipeline, runs it, and takes everything down in order.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinError};
use tracing::info;

use crate::{
    config::{self, ConfigError, ValidatedConfig},
    contract::Phase,
    pipeline::{self, PipelineContext, PipelineError},
    reload,
    report::{self, ReportError},
    shutdown::Shutdown,
    state::{LinkState, publish_numbers},
    telemetry::{self, LogFormat, TelemetryError},
};

/// One thread for the sockets and the spool, one for decoding: the pipeline's stages have no use for more.
const WORKER_THREADS: usize = 2;
/// What blocking calls may still take when everything else has ended.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

/// The arguments of `redissync-syncer run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// How the log looks
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error("invalid configuration")]
    Config(#[source] ConfigError),
    /// The logs cannot be started.
    #[error("failed to start the logs")]
    Telemetry(#[source] TelemetryError),
    /// The system gave no random bytes.
    #[error("failed to draw the process's nonce: {0}")]
    Nonce(String),
    /// The system gave no threads.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    /// The signal handlers cannot be installed.
    #[error("failed to install the signal handlers")]
    Signals(#[source] io::Error),
    /// The HTTP server cannot be started.
    #[error("failed to start the HTTP server")]
    Report(#[source] ReportError),
    /// The pipeline met something that it cannot wait out.
    #[error("the pipeline failed")]
    Pipeline(#[source] PipelineError),
    /// The pipeline panicked: a fault of this program.
    #[error("the pipeline panicked")]
    Panic(#[source] JoinError),
    /// Draining took longer than it may; what is in the target stays right.
    #[error("did not end in order within {} s (drainSeconds)", .0.as_secs())]
    DrainTimeout(Duration),
}

/// Runs until a signal asks for the end.
pub fn run(args: RunArgs) -> Result<(), RunError> {
    let config = config::load(&args.config).map_err(RunError::Config)?;
    telemetry::init(args.log_format).map_err(RunError::Telemetry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::on_signals().map_err(RunError::Signals)?;
        run_until(args.config, config, shutdown).await
    });
    runtime.shutdown_timeout(RUNTIME_GRACE);
    outcome
}

async fn run_until(
    path: PathBuf,
    config: ValidatedConfig,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let (version, pair_id) = (env!("CARGO_PKG_VERSION"), config.pair_id.as_str());
    info!(version, pair_id, source = config.source.name, target = config.target.name, "started");
    let (listen, drain) = (config.listen, config.drain);
    let state = Arc::new(LinkState::new(&config, nonce()?));
    let server = report::serve(listen, Arc::clone(&state)).await.map_err(RunError::Report)?;
    let config = reload::watch(path, config, Arc::clone(&state));
    let numbers = tokio::spawn(publish_numbers(Arc::clone(&state)));
    let pause = tokio::spawn(show_pause(config.clone(), Arc::clone(&state)));

    let context = PipelineContext { config, state: Arc::clone(&state), shutdown: shutdown.clone() };
    let mut pipeline = tokio::spawn(pipeline::run(context));
    let outcome = tokio::select! {
        // First, so that a pipeline that ends in time is never called late.
        biased;
        outcome = &mut pipeline => match outcome {
            Ok(outcome) => outcome.map_err(RunError::Pipeline),
            Err(err) => Err(RunError::Panic(err)),
        },
        () = overdue(&shutdown, &state, drain) => Err(RunError::DrainTimeout(drain)),
    };

    // The server goes last: its readers see how it ended.
    pipeline.abort();
    state.set_phase(Phase::Stopped);
    server.stop().await;
    numbers.abort();
    pause.abort();
    outcome
}

/// Completes when draining has taken longer than it may.
async fn overdue(shutdown: &Shutdown, state: &LinkState, drain: Duration) {
    shutdown.requested().await;
    state.set_phase(Phase::Draining);
    tokio::time::sleep(drain).await;
}

async fn show_pause(mut config: watch::Receiver<Arc<ValidatedConfig>>, state: Arc<LinkState>) {
    while config.changed().await.is_ok() {
        let paused = config.borrow_and_update().paused;
        state.set_paused(paused);
    }
}

fn nonce() -> Result<String, RunError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|err| RunError::Nonce(err.to_string()))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(directory: &tempfile::TempDir) -> (PathBuf, ValidatedConfig) {
        let path = directory.path().join("config.yaml");
        let text = "source: {name: a, standalone: {address: 'a:1'}}\n\
            target: {name: b, standalone: {address: 'b:1'}}\n\
            spool: {dir: /s}\nserver: {listen: '127.0.0.1:0'}\n";
        fs::write(&path, text).unwrap();
        let config = config::load(&path).unwrap();
        (path, config)
    }

    #[tokio::test]
    async fn it_ends_in_order_when_it_is_asked_to() {
        let directory = tempfile::tempdir().unwrap();
        let (path, config) = config(&directory);
        let (trigger, shutdown) = Shutdown::manual();
        let running = tokio::spawn(run_until(path, config, shutdown));
        trigger.request();
        let outcome = tokio::time::timeout(Duration::from_secs(10), running).await;
        outcome.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_address_in_use_ends_it_with_a_clear_error() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut config) = config(&directory);
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        config.listen = holder.local_addr().unwrap();
        let (_trigger, shutdown) = Shutdown::manual();
        let err = run_until(path, config, shutdown).await.unwrap_err();
        assert!(matches!(err, RunError::Report(ReportError::Bind { .. })), "{err}");
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(nonce().unwrap(), nonce().unwrap());
    }
}
