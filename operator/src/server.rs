//! The operator's own HTTP server: `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use redissync_syncer::report::listen_at;
use tracing::{error, info};

use crate::{metrics::Metrics, task::Task};

/// The address is taken or not ours.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen at {0} (--listen): choose a free port")]
pub struct ListenError(SocketAddr, #[source] std::io::Error);

/// Serves until the task is dropped. A process that waits for the lease is ready: it can take over.
pub async fn serve(listen: SocketAddr, metrics: Metrics) -> Result<Task, ListenError> {
    let listener = listen_at(listen).await.map_err(|err| ListenError(listen, err))?;
    info!(address = %listen, "the HTTP server listens");
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
        .route("/metrics", get(move || async move { text(&metrics) }));
    Ok(Task::spawn(async move {
        if let Err(err) = axum::serve(listener, router).await {
            error!(error = %err, "the HTTP server ended");
        }
    }))
}

fn text(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(err) => (StatusCode::INTERNAL_SERVER_ERROR, err.to_string()).into_response(),
    }
}
