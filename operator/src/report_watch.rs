//! A task for each syncer that always holds a question open at `/report`, so a change of state is known at once. It
//! writes nothing: it keeps the latest view and asks for a reconcile.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use redissync_syncer::contract::{HaltReason, Phase, SyncReport, Verification, WaitReason};
use tokio::{sync::watch, time::sleep};

use crate::{
    report_client::{self, ReportAddress},
    task::Task,
    trigger::Trigger,
};

/// How long the syncer may hold an answer back. Short, since a syncer that hangs is told by its silence, and a broken
/// link has to be in the status within 10 s.
const WAIT: Duration = Duration::from_secs(4);
/// Between attempts where there is no answer.
const PAUSE: Duration = Duration::from_secs(1);
/// A syncer that reports another state all the time is not asked more often than this.
const PACE: Duration = Duration::from_millis(200);

/// What is known of a syncer.
#[derive(Clone, Debug, Default)]
pub struct ReportView {
    /// The last report that was read.
    pub report: Option<Arc<SyncReport>>,
    /// Since when it cannot be read, and why; `None` while it can.
    pub failure: Option<ReportFailure>,
}

/// A report that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFailure {
    /// Why.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// The task of one syncer; it ends with this value.
#[derive(Debug)]
pub struct ReportWatch {
    address: watch::Sender<Option<ReportAddress>>,
    view: watch::Receiver<ReportView>,
    _task: Task,
}

impl ReportWatch {
    /// Starts it.
    pub fn start(trigger: Trigger) -> Self {
        let (address, addresses) = watch::channel(None);
        let (views, view) = watch::channel(ReportView::default());
        let task = Task::spawn(follow(addresses, views, trigger));
        Self { address, view, _task: task }
    }

    /// Tells where the syncer is now; `None`: it has no pod with an address.
    pub fn set_address(&self, address: Option<ReportAddress>) {
        self.address.send_if_modified(|current| {
            let is_changed = *current != address;
            *current = address;
            is_changed
        });
    }

    /// What is known.
    pub fn view(&self) -> ReportView {
        self.view.borrow().clone()
    }
}

async fn follow(
    mut addresses: watch::Receiver<Option<ReportAddress>>,
    views: watch::Sender<ReportView>,
    trigger: Trigger,
) {
    loop {
        let Some(address) = addresses.borrow_and_update().clone() else {
            if views.send_if_modified(lose) {
                trigger.fire().await;
            }
            if addresses.changed().await.is_err() {
                return;
            }
            continue;
        };
        let since = known_revision(&views);
        let outcome = tokio::select! {
            // A new address first: an answer from the old one is of no use.
            biased;
            changed = addresses.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            outcome = report_client::get(&address, since.as_deref(), WAIT) => outcome,
        };
        let is_failed = outcome.is_err();
        let is_news = views.send_if_modified(|view| match outcome {
            Ok(report) => take(view, report),
            Err(err) => fail(view, err.to_string()),
        });
        if is_news {
            trigger.fire().await;
        }
        sleep(if is_failed { PAUSE } else { PACE }).await;
    }
}

/// Only while the report can be read: after a failure the answer must come at once.
fn known_revision(views: &watch::Sender<ReportView>) -> Option<String> {
    let view = views.borrow();
    if view.failure.is_some() {
        return None;
    }
    view.report.as_ref().map(|report| report.revision.clone())
}

/// Takes a report over; true if the state has changed and not only numbers.
fn take(view: &mut ReportView, report: SyncReport) -> bool {
    let was_failed = view.failure.take().is_some();
    let is_other = view.report.as_ref().is_none_or(|known| state(known) != state(&report));
    view.report = Some(Arc::new(report));
    was_failed || is_other
}

/// There is nobody to ask any more: what was said last does not hold for what comes.
fn lose(view: &mut ReportView) -> bool {
    view.report.is_some() && fail(view, "its pod is gone, or has no address yet".to_owned())
}

fn fail(view: &mut ReportView, message: String) -> bool {
    let is_first = view.failure.is_none();
    let since = view.failure.as_ref().map_or_else(Timestamp::now, |failure| failure.since);
    view.failure = Some(ReportFailure { message, since });
    is_first
}

/// What of a report is state: its change is shown at once. The rest are numbers.
fn state(report: &SyncReport) -> impl PartialEq {
    let ends = report.links.iter().map(|link| (link.source.clone(), link.target.clone()));
    let copies = report.links.iter().map(|link| {
        let copies = &link.full_copies;
        (copies.count, copies.last_finished, copies.progress.as_ref().map(|copy| copy.phase))
    });
    State {
        phase: report.phase,
        waits: report.waits.iter().map(|wait| wait.reason).collect(),
        wait: report.waiting_for.as_ref().map(|wait| wait.reason),
        halt: report.halt.as_ref().map(|halt| HaltState {
            reason: halt.reason,
            offset: halt.offset,
            copy_id: halt.copy_id.clone(),
            // Whoever has written a release waits for the word that it does not count.
            ignored_release: halt.ignored_release.clone(),
        }),
        verified: report.data_verified.status,
        is_paused: report.paused,
        rest: (
            ends.collect::<Vec<_>>(),
            copies.collect::<Vec<_>>(),
            report.config_error.clone(),
            report.pending_restart.clone(),
        ),
    }
}

#[derive(PartialEq)]
struct State<T> {
    phase: Phase,
    waits: Vec<WaitReason>,
    wait: Option<WaitReason>,
    halt: Option<HaltState>,
    verified: Verification,
    is_paused: bool,
    rest: T,
}

#[derive(PartialEq)]
struct HaltState {
    reason: HaltReason,
    offset: Option<u64>,
    copy_id: Option<String>,
    ignored_release: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> SyncReport {
        with(json!({}))
    }

    /// A report in which these fields are others.
    fn with(changes: serde_json::Value) -> SyncReport {
        let mut report = json!({
            "version": 1, "revision": "x-1", "observedAt": "2026-11-24T10:00:00Z", "pairID": "shop/cart",
            "phase": "Streaming", "waitingFor": null, "halt": null, "paused": false, "owner": null,
            "dataVerified": {"status": "True", "uncheckedBatches": 0}, "links": [],
        });
        let serde_json::Value::Object(changes) = changes else { panic!("no fields: {changes}") };
        report.as_object_mut().unwrap().extend(changes);
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn a_change_of_state_is_shown_at_once_and_numbers_are_not() {
        let time = "2026-11-24T10:00:00Z";
        let wait = |reason: &str, message: &str| json!({"reason": reason, "message": message, "since": time, "end": "Source"});
        let halt = |change: serde_json::Value| {
            let mut halt = json!({"reason": "CommandRejected", "message": "m", "remedy": "r", "offset": 7, "since": time});
            halt.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!({"halt": halt})
        };
        let rows = [
            ("the phase", json!({}), json!({"phase": "FullCopy"}), true),
            ("paused", json!({}), json!({"paused": true}), true),
            ("a wait", json!({}), json!({"waits": [wait("SourceAuth", "a")]}), true),
            (
                "a wait's words",
                json!({"waits": [wait("SourceAuth", "a")]}),
                json!({"waits": [wait("SourceAuth", "b")]}),
                false,
            ),
            ("a halt", json!({}), halt(json!({})), true),
            ("a halt at another unit", halt(json!({})), halt(json!({"offset": 8})), true),
            ("a halt of another copy", halt(json!({})), halt(json!({"copyId": "c"})), true),
            (
                "a release that is ignored",
                halt(json!({})),
                halt(json!({"ignoredRelease": "another offset"})),
                true,
            ),
            (
                "another release that is ignored",
                halt(json!({"ignoredRelease": "another offset"})),
                halt(json!({"ignoredRelease": "another action"})),
                true,
            ),
            ("a file that is refused", json!({}), json!({"configError": "e"}), true),
            (
                "when it was observed",
                json!({}),
                json!({"observedAt": "2026-11-24T10:00:09Z"}),
                false,
            ),
            (
                "how many batches are unchecked",
                json!({"dataVerified": {"status": "Unknown", "uncheckedBatches": 1}}),
                json!({"dataVerified": {"status": "Unknown", "uncheckedBatches": 2}}),
                false,
            ),
            (
                "whether batches are unchecked",
                json!({}),
                json!({"dataVerified": {"status": "Unknown", "uncheckedBatches": 1}}),
                true,
            ),
        ];
        for (name, before, after, is_state) in rows {
            let mut view = ReportView { report: Some(Arc::new(with(before))), failure: None };
            assert_eq!(take(&mut view, with(after)), is_state, "{name}");
        }
    }

    #[test]
    fn what_a_syncer_said_does_not_outlive_its_pod() {
        let mut view = ReportView::default();
        assert!(!lose(&mut view), "nobody was heard yet");
        assert!(view.failure.is_none());
        assert!(take(&mut view, report()));
        assert!(lose(&mut view));
        assert!(view.failure.is_some() && view.report.is_some(), "old numbers with their old time");
        assert!(!lose(&mut view), "told once");
        assert!(take(&mut view, report()));
        assert!(view.failure.is_none());
    }
}
