//! The HTTP server: `/report`, `/metrics`, `/healthz`, `/readyz`. It reads [`LinkState`] and decides nothing;
//! without it the syncer would copy just the same. What it answers holds no key names, values or secrets.

mod listener;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tracing::{error, info};

use self::listener::BoundedListener;
use crate::{
    contract::{Phase, SyncReport, Verification},
    metrics::Metrics,
    shutdown::{Shutdown, ShutdownTrigger},
    state::LinkState,
};

/// How long a report is held back at most while nothing changes, in seconds. Below the 60 s after which proxies
/// commonly give up; a reader that wants to notice a syncer that hangs asks for less.
const WAIT_MAX: u64 = 30;
/// What the end of the process grants to answers under way.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The address is taken or not ours.
    #[error(
        "failed to listen at {address} (server.listen): choose a free port, or end the process that holds it"
    )]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// The metrics do not fit together: a fault of this program.
    #[error("failed to register the metrics")]
    Metrics(#[source] prometheus::Error),
}

/// A running server.
#[derive(Debug)]
pub struct ReportServer {
    address: SocketAddr,
    stop: ShutdownTrigger,
    task: JoinHandle<()>,
}

struct Context {
    state: Arc<LinkState>,
    metrics: Metrics,
    stopping: Shutdown,
    wait_max: Duration,
}

/// Binds the address and serves until [`ReportServer::stop`].
pub async fn serve(listen: SocketAddr, state: Arc<LinkState>) -> Result<ReportServer, ReportError> {
    serve_with(listen, state, Duration::from_secs(WAIT_MAX)).await
}

async fn serve_with(
    listen: SocketAddr,
    state: Arc<LinkState>,
    wait_max: Duration,
) -> Result<ReportServer, ReportError> {
    let bind = |source| ReportError::Bind { address: listen, source };
    let listener = listen_at(listen).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let metrics = Metrics::new(Arc::clone(&state)).map_err(ReportError::Metrics)?;
    let (stop, stopping) = Shutdown::manual();
    let context = Context { state, metrics, stopping: stopping.clone(), wait_max };
    let server = axum::serve(BoundedListener::new(listener), router(context))
        .with_graceful_shutdown(async move { stopping.requested().await });
    let task = tokio::spawn(async move {
        if let Err(err) = server.await {
            error!(error = %err, "the HTTP server ended");
        }
    });
    info!(%address, "the HTTP server listens");
    Ok(ReportServer { address, stop, task })
}

/// Listens; where the system has no IPv6, at all IPv4 addresses instead of at all of both.
pub async fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        // The first error is told: a port that is taken is taken in both families.
        Err(err) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await.map_err(|_| err)
        }
        outcome => outcome,
    }
}

impl ReportServer {
    /// Where it listens; with port 0 in the configuration the port that was found.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the long polls and ends. Connections that linger are cut.
    pub async fn stop(mut self) {
        self.stop.request();
        if timeout(STOP_GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn router(context: Context) -> Router {
    let not_found = || async { StatusCode::NOT_FOUND };
    Router::new()
        .route("/report", get(report))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .with_state(Arc::new(context))
}

#[derive(Deserialize)]
struct ReportQuery {
    since: Option<String>,
    wait: Option<String>,
}

/// Seconds; `None` if they are no number from 1 to [`WAIT_MAX`].
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let seconds = text.parse().ok().filter(|seconds| is_number && (1..=WAIT_MAX).contains(seconds));
    seconds.map(Duration::from_secs)
}

async fn report(State(context): State<Arc<Context>>, Query(query): Query<ReportQuery>) -> Response {
    let wait = match query.wait.as_deref() {
        None => context.wait_max,
        Some(text) => match seconds(text) {
            Some(wait) => wait.min(context.wait_max),
            None => {
                let text: String = text.chars().take(20).collect();
                let message = format!(
                    "wait: {text:?} is out of range: give whole seconds from 1 to {WAIT_MAX}\n"
                );
                return (StatusCode::BAD_REQUEST, message).into_response();
            }
        },
    };
    if let Some(since) = query.since {
        until_changed(&context, &since, wait).await;
    }
    Json(context.state.snapshot()).into_response()
}

/// Returns at once if the reader's revision is not the current one (another process's never is).
async fn until_changed(context: &Context, since: &str, wait: Duration) {
    let mut revisions = context.state.revisions();
    let is_other = revisions.wait_for(|_| context.state.current_revision() != since);
    tokio::select! {
        // A change and the time limit lead to the same answer, so their rank does not matter.
        _ = timeout(wait, is_other) => {}
        // The process ends: readers get the last state instead of a cut connection.
        () = context.stopping.requested() => {}
    }
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    match context.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(err) => {
            error!(error = %err, "failed to write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readyz(State(context): State<Arc<Context>>) -> Response {
    match readiness(&context.state.snapshot()) {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Ready: a whole copy of the source is in the target and the stream goes on. Being behind is ready (the lag
/// says how far); a wait, a halt, a pause, a copy under way, a known difference are not (Invariant 9).
pub fn readiness(report: &SyncReport) -> Result<(), String> {
    if let Some(halt) = &report.halt {
        return Err(format!("{}: {}", halt.reason, halt.message));
    }
    if let Some(wait) = &report.waiting_for {
        return Err(format!("{}: {}", wait.reason, wait.message));
    }
    if report.paused {
        return Err("Paused: the configuration says so".to_owned());
    }
    if report.data_verified.status == Verification::False {
        return Err("DataVerified: the target's data differ from the source's".to_owned());
    }
    match report.phase {
        Phase::CatchingUp | Phase::Streaming => Ok(()),
        phase => Err(phase.to_string()),
    }
}

#[cfg(test)]
mod tests;
