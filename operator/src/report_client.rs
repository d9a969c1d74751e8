//! Asks a syncer for its report: `GET /report` over HTTP/1.1, a connection for each question, everything bounded.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use redissync_syncer::contract::SyncReport;
use tokio::{net::TcpStream, time::timeout};

/// A report has about 4 KiB for each link; more than this is none.
const REPORT_BYTES_MAX: usize = 1 << 20;
/// A pod in the same cluster answers a connect in far less.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// What an answer may take beyond the wait that was asked for.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Where a syncer's report is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportAddress {
    /// The pod's address and port.
    pub socket: SocketAddr,
    /// Before `/report`; empty but for a stand-in that answers for many.
    pub prefix: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// No connection.
    #[error("failed to connect to {0}: {1}")]
    Connect(SocketAddr, String),
    /// It took a connection and did not answer.
    #[error("{0} did not answer in time")]
    Silent(SocketAddr),
    /// The exchange broke.
    #[error("failed to read the report from {0}: {1}")]
    Exchange(SocketAddr, String),
    /// It answered something else.
    #[error("{0} answered {1} instead of a report")]
    Refused(SocketAddr, StatusCode),
    /// It is no report that this version understands.
    #[error("what {0} answers is no report: {1}")]
    Malformed(SocketAddr, String),
}

/// The report, as soon as it is another than `since`, at the latest after `wait` (whole seconds).
pub async fn get(
    address: &ReportAddress,
    since: Option<&str>,
    wait: Duration,
) -> Result<SyncReport, ReportError> {
    let socket = address.socket;
    let stream = timeout(CONNECT_MAX, TcpStream::connect(socket))
        .await
        .map_err(|_| ReportError::Connect(socket, "no answer".to_owned()))?
        .map_err(|err| ReportError::Connect(socket, err.to_string()))?;
    let answer = exchange(stream, address, since, wait);
    let body =
        timeout(wait + ANSWER_MAX, answer).await.map_err(|_| ReportError::Silent(socket))??;
    serde_json::from_slice(&body).map_err(|err| ReportError::Malformed(socket, err.to_string()))
}

async fn exchange(
    stream: TcpStream,
    address: &ReportAddress,
    since: Option<&str>,
    wait: Duration,
) -> Result<Bytes, ReportError> {
    let socket = address.socket;
    let broken = |err: &dyn std::fmt::Display| ReportError::Exchange(socket, err.to_string());
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|err| broken(&err))?;
    let query = since.map(|revision| format!("?since={revision}&wait={}", wait.as_secs()));
    let request = Request::get(format!("{}/report{}", address.prefix, query.unwrap_or_default()))
        .header(header::HOST, socket.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|err| broken(&err))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|err| broken(&err))?;
        if response.status() != StatusCode::OK {
            return Err(ReportError::Refused(socket, response.status()));
        }
        let body = Limited::new(response.into_body(), REPORT_BYTES_MAX).collect().await;
        Ok(body.map_err(|err| broken(&err))?.to_bytes())
    };
    tokio::select! {
        // The answer first: the connection may end right behind it.
        biased;
        answer = answer => answer,
        outcome = connection => match outcome {
            Ok(()) => Err(broken(&"the connection was closed")),
            Err(err) => Err(broken(&err)),
        },
    }
}
