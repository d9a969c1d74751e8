//! Asks a syncer for its report: `GET /report` over HTTP/1.1, a connection for each question, everything bounded.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    runtime::reflector::{ObjectRef, Store},
};
use redissync_syncer::contract::{REPORT_VERSION, SyncReport};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    controller::{observe::PodSeen, validate},
    crd::RedisSync,
    names,
};

/// A report has about 4 KiB for each link; more than this is none.
const REPORT_BYTES_MAX: usize = 1 << 20;
/// A pod in the same cluster answers a connect in far less.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// What an answer may take beyond the wait that was asked for.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The longest that a pairID may be.
const PAIR_ID_SHOWN: usize = 253;

/// Where a syncer's report is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportAddress {
    /// The pod's address and port.
    pub socket: SocketAddr,
    /// Before `/report`; empty but for a stand-in that answers for many.
    pub prefix: String,
    /// The pair that is asked for.
    pub pair_id: String,
}

impl ReportAddress {
    /// Of an object's syncer; `None` while its pod has no address. A stand-in goes before the pod.
    pub fn of(object: &RedisSync, pods: &Store<Pod>, stand_in: Option<SocketAddr>) -> Option<Self> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let pair_id = validate::pair_id(object);
        if let Some(socket) = stand_in {
            return Some(Self { socket, prefix: format!("/{namespace}/{name}"), pair_id });
        }
        let pod = pods.get(&ObjectRef::new(&names::pod(&name)).within(&namespace))?;
        let address = PodSeen::from(&*pod).address?;
        let socket = SocketAddr::new(address, names::HTTP_PORT);
        Some(Self { socket, prefix: String::new(), pair_id })
    }
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
    /// Its fields have a meaning that this version does not know.
    #[error(
        "{0} reports in version {1}, this operator knows version {REPORT_VERSION}: upgrade the operator"
    )]
    Newer(SocketAddr, u32),
    /// A pod's address is given to another pod once it is gone.
    #[error("{0} reports for the pair '{1}': it is another pair's syncer")]
    Foreign(SocketAddr, String),
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
    read(&body, address)
}

/// The report, if it is that of the pair, in a version that is known.
fn read(
    body: &[u8],
    ReportAddress { socket, pair_id, .. }: &ReportAddress,
) -> Result<SyncReport, ReportError> {
    let malformed = |err: serde_json::Error| ReportError::Malformed(*socket, err.to_string());
    let report: SyncReport = serde_json::from_slice(body).map_err(malformed)?;
    if report.version > REPORT_VERSION {
        return Err(ReportError::Newer(*socket, report.version));
    }
    if report.pair_id != *pair_id {
        let other = report.pair_id.chars().take(PAIR_ID_SHOWN).collect();
        return Err(ReportError::Foreign(*socket, other));
    }
    Ok(report)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_pairs_own_report_in_a_known_version_is_taken() {
        let address = ReportAddress {
            socket: ([10, 0, 0, 1], 9250).into(),
            prefix: String::new(),
            pair_id: "shop/cart".to_owned(),
        };
        let told = |version: u32, pair_id: &str| {
            let report = json!({
                "version": version, "revision": "x-1", "observedAt": "2026-11-24T10:00:00Z", "pairID": pair_id,
                "phase": "Streaming", "waitingFor": null, "halt": null, "paused": false, "owner": null,
                "dataVerified": {"status": "True", "uncheckedBatches": 0}, "links": [], "aNovelty": 1,
            });
            read(report.to_string().as_bytes(), &address)
        };
        assert_eq!(told(1, "shop/cart").unwrap().pair_id, "shop/cart");
        assert!(matches!(told(1, "shop/other"), Err(ReportError::Foreign(..))));
        assert!(matches!(told(2, "shop/cart"), Err(ReportError::Newer(_, 2))));
        assert!(matches!(read(b"<html>", &address), Err(ReportError::Malformed(..))));
    }
}
