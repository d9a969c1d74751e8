//! Answers in the syncers' stead: `/<namespace>/<name>/report`, held back as a syncer does while nothing is new.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use redissync_syncer::contract::{SyncReport, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

/// The longest that an answer is held back, as in the syncer.
const WAIT_MAX: u64 = 30;

/// A server with a report for each object that the test has told of.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    reports: Reports,
    task: JoinHandle<()>,
}

type Reports = Arc<Mutex<HashMap<String, watch::Sender<Said>>>>;

/// What one syncer says.
#[derive(Clone)]
struct Said {
    report: SyncReport,
    /// It takes questions and does not answer.
    is_silent: bool,
}

#[derive(Deserialize)]
struct Asked {
    since: Option<String>,
    wait: Option<u64>,
}

impl StandIn {
    /// Starts it; it knows no object yet and answers 404.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let reports = Reports::default();
        let router = Router::new()
            .route("/{namespace}/{name}/report", get(answer))
            .with_state(Arc::clone(&reports));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the stand-in serves");
        });
        Self { address, reports, task }
    }

    /// Lets a syncer speak that streams: `changes` replaces fields of its report.
    pub(crate) fn set(&self, namespace: &str, name: &str, changes: Value) {
        let key = format!("{namespace}/{name}");
        let mut all = self.reports.lock().expect("no holder panics");
        let number = all.get(&key).map_or(0, |said| number(&said.borrow().report)) + 1;
        let said = Said { report: report(&key, number, changes), is_silent: false };
        match all.get(&key) {
            Some(sender) => drop(sender.send_replace(said)),
            None => drop(all.insert(key, watch::channel(said).0)),
        }
    }

    /// From now on it hangs.
    pub(crate) fn silence(&self, namespace: &str, name: &str) {
        let all = self.reports.lock().expect("no holder panics");
        let said = all.get(&format!("{namespace}/{name}")).expect("it has spoken before");
        said.send_modify(|said| said.is_silent = true);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(reports): State<Reports>,
    Path((namespace, name)): Path<(String, String)>,
    Query(Asked { since, wait }): Query<Asked>,
) -> Result<Json<SyncReport>, StatusCode> {
    let said = {
        let all = reports.lock().expect("no holder panics");
        all.get(&format!("{namespace}/{name}")).map(watch::Sender::subscribe)
    };
    let mut said = said.ok_or(StatusCode::NOT_FOUND)?;
    let is_news = |said: &Said| !said.is_silent && since.as_ref() != Some(&said.report.revision);
    let wait = Duration::from_secs(wait.unwrap_or(WAIT_MAX).min(WAIT_MAX));
    let outcome = timeout(wait, said.wait_for(is_news))
        .await
        .map(|said| said.map(|said| said.report.clone()));
    if let Ok(Ok(report)) = outcome {
        return Ok(Json(report));
    }
    if said.borrow().is_silent {
        std::future::pending::<()>().await;
    }
    let report = said.borrow().report.clone();
    Ok(Json(report))
}

fn number(report: &SyncReport) -> u64 {
    report.revision.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// What a syncer says that streams, level with its source.
fn report(pair_id: &str, number: u64, changes: Value) -> SyncReport {
    let end = |name: &str, address: &str| json!({"name": name, "address": address, "topology": "Standalone", "reachable": true});
    let mut report = json!({
        "version": 1, "revision": format!("stand-in-{number}"), "observedAt": Timestamp::now().to_string(),
        "pairID": pair_id, "phase": "Streaming", "waitingFor": null, "halt": null, "paused": false, "owner": null,
        "dataVerified": {"status": "True", "uncheckedBatches": 0},
        "links": [{
            "link": "0",
            "source": end("beijing", "127.0.0.1:9"), "target": end("shanghai", "127.0.0.1:10"),
            "position": {"replid": "ab".repeat(20), "offset": 100, "db": 0},
            "offsets": {
                "source": 2000, "received": 2000, "spooled": 2000, "written": 2000, "checkpoint": 100, "confirmed": 100,
                "durable": 100
            },
            "lag": {"bytes": 1900, "milliseconds": 40, "idle": false},
            "fullCopies": {"count": 1, "lastReason": "Initial"},
            "spool": {"bytes": 4096, "maxBytes": 8192, "segments": 1},
            "counters": {}
        }]
    });
    merge(&mut report, changes);
    serde_json::from_value(report).expect("it is a report")
}

/// Maps are merged, a list's first item with the first item of the change, everything else is replaced.
fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(changes)) if into.len() == changes.len() => {
            into.iter_mut().zip(changes).for_each(|(into, change)| merge(into, change));
        }
        (into, changes) => *into = changes,
    }
}
