//! `redissync-operator run`: what surrounds the controller. The lease first, then the watches, then the passes.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use kube::Client;
use redissync_syncer::{
    shutdown::Shutdown,
    telemetry::{self, LogFormat},
};
use tracing::{info, warn};

use crate::{lease::Lease, metrics::Metrics, rollout::Rollout, scope, server};

/// One thread is enough for a hundred objects: everything waits for the network.
const WORKER_THREADS: usize = 2;
/// How long passes that are under way may take to end. Each waits for the API server, which may be away; with the lease's
/// release it is well within the 30 s after which Kubernetes kills.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// The arguments of `redissync-operator run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The image that syncers run
    #[arg(long, env = "REDISSYNC_SYNCER_IMAGE", value_name = "IMAGE")]
    pub syncer_image: String,
    /// When that image is pulled: Always, IfNotPresent or Never
    #[arg(
        long,
        env = "REDISSYNC_SYNCER_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"],
        value_name = "POLICY"
    )]
    pub syncer_image_pull_policy: String,
    /// Namespaces to look after, separated by commas; left out: all. With namespaces no node is watched, so a syncer
    /// on a lost node waits until the node comes back or is removed
    #[arg(
        long = "watch-namespaces",
        env = "REDISSYNC_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACES"
    )]
    pub watch_namespaces: Vec<String>,
    /// The namespace of the operator's lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "default", value_name = "NAMESPACE")]
    pub own_namespace: String,
    /// The name of this process in the lease
    #[arg(long, env = "POD_NAME", default_value = "redissync-operator", value_name = "NAME")]
    pub own_name: String,
    /// Whether to wait for the lease before anything is done
    #[arg(long, env = "REDISSYNC_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// `address:port` of `/metrics`, `/healthz` and `/readyz`
    #[arg(long, env = "REDISSYNC_LISTEN", default_value = "[::]:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// How the log looks
    #[arg(long, value_enum, default_value = "json", env = "REDISSYNC_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Ask this address for the reports of all syncers, under `/<namespace>/<name>/report`. For tests of many objects
    #[arg(long, hide = true, value_name = "ADDRESS")]
    pub report_stand_in: Option<SocketAddr>,
}

/// Runs until a signal asks for the end, or the lease is lost.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    telemetry::init(args.log_format).context("failed to start the logs")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let outcome = runtime.block_on(run_until_stopped(args));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn run_until_stopped(args: RunArgs) -> anyhow::Result<()> {
    // More than one TLS provider may be compiled in by a dependency; this one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shutdown = Shutdown::on_signals().context("failed to install the signal handlers")?;
    let metrics = Metrics::new().context("failed to register the metrics")?;
    let _server = server::serve(args.listen, metrics.clone()).await?;
    let client = Client::try_default().await.context("failed to find a Kubernetes API server")?;
    info!(version = env!("CARGO_PKG_VERSION"), syncer_image = args.syncer_image, "started");

    let mut lease = if args.leader_election {
        Lease::ask(&client, &args.own_namespace, &args.own_name).await?
    } else {
        Lease::none()
    };
    tokio::select! {
        biased;
        () = shutdown.requested() => {
            lease.release().await;
            return Ok(());
        }
        outcome = lease.held() => outcome?,
    }
    metrics.set_leader(true);
    let control = control(client, &args, metrics.clone(), shutdown.clone());
    let outcome = tokio::select! {
        // The lease first: who does not lead must not write.
        biased;
        reason = lease.lost() => Err(reason),
        outcome = control => Ok(outcome),
        () = overdue(&shutdown) => {
            warn!("passes under way did not end within {} s and are dropped", DRAIN_MAX.as_secs());
            Ok(Ok(()))
        }
    };
    metrics.set_leader(false);
    // A lost lease is not given back: it would be taken from whoever has it now.
    let outcome = outcome?;
    lease.release().await;
    outcome
}

/// Returns when the end was asked for and should have come.
async fn overdue(shutdown: &Shutdown) {
    shutdown.requested().await;
    tokio::time::sleep(DRAIN_MAX).await;
}

/// Looks after all namespaces, or after each of those that were named, until it is told to stop.
async fn control(
    client: Client,
    args: &RunArgs,
    metrics: Metrics,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let named = args.watch_namespaces.iter().filter(|name| !name.is_empty()).cloned();
    let mut scopes: Vec<Option<String>> = named.map(Some).collect();
    if scopes.is_empty() {
        scopes.push(None);
    }
    let rollout = Arc::new(Rollout::new(scopes.len(), Instant::now()));
    let scopes = scopes.into_iter().map(|namespace| {
        scope::control(scope::Scope {
            client: client.clone(),
            namespace,
            args: args.clone(),
            rollout: Arc::clone(&rollout),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        })
    });
    futures::future::try_join_all(scopes).await.map(|_| ())
}
