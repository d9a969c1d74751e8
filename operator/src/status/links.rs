//! A syncer's report as the status shows it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use redissync_syncer::contract::{self, EndReport, FullCopies, LinkReport, SyncReport};

use super::text;
use crate::crd::{
    CopyStatus, EndStatus, FullCopiesStatus, HaltStatus, LinkStatus, OffsetsStatus, PositionStatus,
    SpoolStatus, WaitStatus,
};

/// A cluster has some hundred shards at most; an object has to fit into 1.5 MiB.
const LINKS_MAX: usize = 256;

/// Kubernetes' integers are signed; an offset that does not fit is centuries away.
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A report's time as Kubernetes has it: to the second.
pub fn time(time: contract::Timestamp) -> Timestamp {
    let seconds = time.as_millis().div_euclid(1000);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// All links of a report. Waits and halts are the process's; they stand at each of its links.
pub fn links(report: &SyncReport) -> Vec<LinkStatus> {
    let mut links: Vec<LinkStatus> = Vec::new();
    for link in report.links.iter().take(LINKS_MAX) {
        // The API server refuses a status in which a key stands twice.
        if links.iter().all(|known| known.key != link.link) {
            links.push(status(report, link));
        }
    }
    links
}

fn status(report: &SyncReport, link: &LinkReport) -> LinkStatus {
    LinkStatus {
        key: link.link.clone(),
        source: Some(end(&link.source)),
        target: Some(end(&link.target)),
        position: link.position.as_ref().map(|position| PositionStatus {
            replid: position.replid.clone(),
            offset: signed(position.offset),
            db: i64::from(position.db),
        }),
        offsets: Some(OffsetsStatus {
            source: link.offsets.source.map(signed),
            received: link.offsets.received.map(signed),
            spooled: link.offsets.spooled.map(signed),
            written: link.offsets.written.map(signed),
            checkpoint: link.offsets.checkpoint.map(signed),
            confirmed: link.offsets.confirmed.map(signed),
            durable: link.offsets.durable.map(signed),
        }),
        lag_milliseconds: link.lag.milliseconds.map(signed),
        lag_bytes: link.lag.bytes.map(signed),
        full_copies: Some(copies(&link.full_copies)),
        spool: Some(SpoolStatus {
            bytes: signed(link.spool.bytes),
            max_bytes: signed(link.spool.max_bytes),
        }),
        dead_letters: (link.dead_letters > 0).then(|| signed(link.dead_letters)),
        waiting_for: report.waiting_for.as_ref().map(|wait| WaitStatus {
            reason: wait.reason.to_string(),
            message: text::short(&wait.message),
            since: Time(time(wait.since)),
        }),
        halt: report.halt.as_ref().map(|halt| HaltStatus {
            reason: halt.reason.to_string(),
            message: text::short(&halt.message),
            remedy: text::short(&halt.remedy),
            offset: halt.offset.map(signed),
            copy_id: halt.copy_id.clone(),
            since: Time(time(halt.since)),
        }),
    }
}

fn end(end: &EndReport) -> EndStatus {
    EndStatus { site: end.name.clone(), address: end.address.clone() }
}

fn copies(copies: &FullCopies) -> FullCopiesStatus {
    FullCopiesStatus {
        count: signed(copies.count),
        last_reason: copies.last_reason.map(|reason| reason.to_string()),
        last_started_at: copies.last_started.map(|at| Time(time(at))),
        last_finished_at: copies.last_finished.map(|at| Time(time(at))),
        progress: copies.progress.as_ref().map(|copy| CopyStatus {
            phase: format!("{:?}", copy.phase),
            copy_id: copy.copy_id.clone(),
            bytes_received: signed(copy.bytes_received),
            bytes_total: copy.bytes_total.map(signed),
            keys_restored: signed(copy.keys_restored),
            keys_total: copy.keys_total.map(signed),
            percent: copy.percent.map(|percent| percent.clamp(0.0, 100.0) as i64),
            seconds_left: copy.seconds_left.map(signed),
        }),
    }
}
