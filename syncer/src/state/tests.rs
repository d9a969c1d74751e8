use std::{sync::Arc, time::Duration};

use super::*;
use crate::position::Offset;

pub(crate) fn state() -> LinkState {
    let config = crate::config::parse(
        b"source: {name: beijing, standalone: {address: 'a:1'}}\n\
          target: {name: shanghai, sentinel: {masterName: m, endpoints: ['b:1']}}\n\
          spool: {dir: /s}",
    );
    LinkState::new(&config.unwrap(), "n0".to_owned())
}

#[test]
fn a_change_of_state_is_a_new_revision_and_the_same_again_is_none() {
    let state = state();
    let changes: &[&dyn Fn(&LinkState)] = &[
        &|state| state.set_phase(Phase::Streaming),
        &|state| state.set_waiting(WaitReason::SourceUnreachable, "gone"),
        &|state| state.set_owner(3, "n0"),
        &|state| state.set_address(End::Target, "b:6379"),
        &|state| state.set_paused(true),
        &|state| state.set_data_verified(Verification::Unknown, 2),
        &|state| state.clear_waiting(WaitSubject::Source),
    ];
    for change in changes {
        let before = state.current_revision();
        change(&state);
        let after = state.current_revision();
        assert_ne!(before, after);
        change(&state);
        assert_eq!(after, state.current_revision());
    }
    assert!(state.current_revision().starts_with("n0-"));
}

#[test]
fn numbers_do_not_change_the_revision_by_themselves() {
    let state = state();
    let before = state.current_revision();
    state.ladder.received.set(Offset(9));
    state.counts.batches.add(1);
    state.set_lag(1, 2, false);
    assert_eq!(before, state.current_revision());
    let link = &state.snapshot().links[0];
    assert_eq!(link.offsets.received, Some(9));
    assert_eq!(link.offsets.durable, None);
    assert_eq!(link.lag.milliseconds, Some(2));
    state.clear_lag();
    assert_eq!(state.snapshot().links[0].lag.bytes, None);
}

#[test]
fn each_other_node_that_is_connected_is_a_switch_that_was_followed() {
    let state = state();
    for address in ["a:1", "a:1", "b:1", "a:1"] {
        state.set_address(End::Source, address);
    }
    state.set_address(End::Target, "t:1");
    let failovers = state.snapshot().links[0].counters.failovers;
    assert_eq!((failovers.source, failovers.target), (2, 0));
}

#[test]
fn the_end_of_one_wait_does_not_hide_another() {
    let state = state();
    state.set_phase(Phase::Streaming);
    state.set_waiting(WaitReason::SourceUnreachable, "no route");
    state.set_waiting(WaitReason::TargetLoading, "loading");
    assert_eq!(state.snapshot().waiting_for.unwrap().reason, WaitReason::TargetLoading);
    state.clear_waiting(WaitSubject::Target);
    assert_eq!(state.snapshot().waiting_for.unwrap().reason, WaitReason::SourceUnreachable);
    assert_eq!(state.phase(), Phase::Waiting);
    state.clear_waiting(WaitSubject::Source);
    assert_eq!(state.phase(), Phase::Streaming);
}

#[test]
fn all_waits_are_told_with_the_end_that_they_concern() {
    let state = state();
    for (reason, end) in [
        (WaitReason::Superseded, WaitEnd::Target),
        (WaitReason::TargetUnreachable, WaitEnd::Target),
        (WaitReason::TargetSentinelAuth, WaitEnd::Target),
        (WaitReason::SourceLoading, WaitEnd::Source),
        (WaitReason::SourceSentinelAuth, WaitEnd::Source),
        (WaitReason::SpoolFull, WaitEnd::Neither),
        (WaitReason::Paused, WaitEnd::Neither),
    ] {
        state.set_waiting(reason, "why");
        let report = state.snapshot();
        let last = report.waits.last().unwrap();
        assert_eq!((last.reason, last.end), (reason, end));
        assert_eq!(report.waiting_for.as_ref(), report.waits.first());
    }
    assert_eq!(state.snapshot().waits.len(), 5);
    let ends = [
        (WaitReason::TargetNotEmpty, WaitEnd::Target),
        (WaitReason::RoleConflict, WaitEnd::Source),
    ];
    for (reason, end) in ends {
        state.set_waiting(reason, "why");
        assert_eq!(state.snapshot().waits[0].end, end);
    }
}

#[test]
fn an_end_is_reachable_while_its_node_answers() {
    let state = state();
    let end = |end| {
        let link = state.snapshot().links.remove(0);
        let report = if end == End::Source { link.source } else { link.target };
        (report.reachable, report.last_error)
    };
    assert_eq!(end(End::Target), (None, None));
    state.set_waiting(WaitReason::TargetUnreachable, "refused");
    assert_eq!(end(End::Target), (Some(false), Some("refused".to_owned())));
    // It answers, though not as one would wish.
    state.set_waiting(WaitReason::TargetLoading, "loading");
    assert_eq!(end(End::Target), (Some(true), None));
    state.clear_waiting(WaitSubject::Target);
    state.set_address(End::Target, "b:1");
    assert_eq!(end(End::Target), (Some(true), None));
    state.set_answer(End::Source, Err("timed out".to_owned()));
    assert_eq!(end(End::Source), (Some(false), Some("timed out".to_owned())));
    let before = state.current_revision();
    state.set_answer(End::Source, Err("still".to_owned()));
    assert_eq!(before, state.current_revision());
    state.set_answer(End::Source, Ok(()));
    assert_ne!(before, state.current_revision());
    assert_eq!(end(End::Source), (Some(true), None));
    state.set_waiting(WaitReason::SourceNoMaster, "no Sentinel");
    assert_eq!(end(End::Source).0, Some(false));
    state.set_epoch(End::Source, Some(7));
    assert_eq!(state.snapshot().links[0].source.epoch, Some(7));
}

/// What the first version's syncer wrote.
const OLD_REPORT: &str = r#"{"version":1,"revision":"n0-1","observedAt":"2026-11-24T12:00:00.000Z","pairID":"p",
    "phase":"Waiting","waitingFor":{"reason":"SourceUnreachable","message":"m","since":"2026-11-24T12:00:00.000Z"},
    "halt":{"reason":"SweepBrake","message":"m","remedy":"r","copyId":"c1","since":"2026-11-24T12:00:00.000Z"},
    "dataVerified":{"status":"True","uncheckedBatches":0},"paused":false,"owner":null,"links":[{"link":"0",
    "source":{"name":"a","address":null,"topology":"Standalone"},
    "target":{"name":"b","address":"b:1","topology":"Sentinel"},"position":null,"offsets":{},"lag":{},
    "fullCopies":{},"spool":{},"counters":{}}]}"#;

#[test]
fn an_older_syncers_report_is_read() {
    let report: SyncReport = serde_json::from_str(OLD_REPORT).unwrap();
    assert_eq!(report.waiting_for.unwrap().end, WaitEnd::Unknown);
    assert_eq!(
        (report.waits.len(), report.config_error, report.pending_restart.len()),
        (0, None, 0)
    );
    let target = &report.links[0].target;
    assert_eq!((target.reachable, target.epoch), (None, None));
}

#[test]
fn a_wait_keeps_its_beginning_while_its_message_changes() {
    let state = state();
    state.set_waiting(WaitReason::TargetAuth, "first try");
    let first = state.snapshot().waiting_for.unwrap();
    let revision = state.current_revision();
    state.set_waiting(WaitReason::TargetAuth, "second try");
    let second = state.snapshot().waiting_for.unwrap();
    assert_eq!((first.since, second.message.as_str()), (second.since, "second try"));
    assert_eq!(revision, state.current_revision());
}

#[test]
fn the_phase_never_contradicts_a_halt_or_a_wait() {
    let state = state();
    state.set_phase(Phase::Streaming);
    state.set_waiting(WaitReason::Superseded, "another owner");
    assert_eq!(state.phase(), Phase::Superseded);
    state.set_halt(
        HaltDetails {
            reason: HaltReason::CommandRejected,
            message: "WRONGTYPE".to_owned(),
            remedy: "release".to_owned(),
            offset: Some(7),
            copy_id: None,
        },
        Timestamp::from_millis(5),
    );
    assert_eq!(state.phase(), Phase::Halted);
    state.clear_halt();
    state.clear_waiting(WaitSubject::Pair);
    assert_eq!(state.phase(), Phase::Streaming);
    state.set_phase(Phase::Draining);
    state.set_phase(Phase::Streaming);
    state.set_waiting(WaitReason::TargetUnreachable, "gone");
    assert_eq!(state.phase(), Phase::Draining);
    state.set_phase(Phase::Stopped);
    assert_eq!(state.phase(), Phase::Stopped);
}

#[test]
fn a_full_copy_takes_the_phase_with_it() {
    let state = state();
    state.full_copy_started(FullCopyReason::NoRecord, "c1");
    assert_eq!(state.phase(), Phase::FullCopy);
    state.full_copy_phase(CopyPhase::Sweeping);
    assert_eq!(state.phase(), Phase::Sweeping);
    state.full_copy_finished();
    assert_eq!(state.phase(), Phase::CatchingUp);
    let copies = &state.snapshot().links[0].full_copies;
    assert_eq!((copies.count, copies.last_reason), (1, Some(FullCopyReason::NoRecord)));
    assert!(copies.last_finished.is_some());
}

#[test]
fn the_report_has_the_documented_shape() {
    let state = state();
    let replid = "8d3c1f5e0b6a49f2a7c4e1d09b8f6a5c3e2d1f00".parse().unwrap();
    state.set_position(Position { replid, offset: Offset(42) }, DbIndex(3));
    state.set_address(End::Source, "10.0.0.1:6379");
    let json = serde_json::to_value(state.snapshot()).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["pairID"], "default");
    assert_eq!(json["phase"], "Resolving");
    assert_eq!(json["waitingFor"], serde_json::Value::Null);
    assert_eq!(json["halt"], serde_json::Value::Null);
    assert_eq!(json["dataVerified"]["status"], "Unknown");
    let link = &json["links"][0];
    assert_eq!(link["source"]["address"], "10.0.0.1:6379");
    assert_eq!(link["target"]["topology"], "Sentinel");
    assert_eq!(link["position"]["db"], 3);
    assert_eq!(link["offsets"]["checkpoint"], serde_json::Value::Null);
    assert_eq!(link["fullCopies"]["progress"], serde_json::Value::Null);
    assert_eq!(link["counters"]["reconnects"]["source"], 0);
    assert_eq!(link["spool"]["maxBytes"], 8_u64 << 30);
    assert_eq!(link["lag"]["idle"], false);
}

#[test]
fn a_reader_ignores_fields_and_words_that_it_does_not_know() {
    let state = state();
    let mut json = serde_json::to_value(state.snapshot()).unwrap();
    json["phase"] = "Levitating".into();
    json["novelty"] = 1.into();
    json["links"][0]["counters"]["novelty"] = 1.into();
    json["links"][0]["counters"].as_object_mut().unwrap().remove("failovers");
    let report: SyncReport = serde_json::from_value(json).unwrap();
    assert_eq!(report.phase, Phase::Unknown);
}

#[tokio::test]
async fn changed_numbers_are_published_and_unchanged_ones_are_not() {
    let state = Arc::new(state());
    let mut revisions = state.revisions();
    let publisher = {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            numbers::publish_numbers_every(&state, Duration::from_millis(5)).await;
        })
    };
    let quiet = tokio::time::timeout(Duration::from_millis(100), revisions.changed()).await;
    assert!(quiet.is_err());
    state.counts.batches.add(1);
    tokio::time::timeout(Duration::from_secs(5), revisions.changed()).await.unwrap().unwrap();
    publisher.abort();
}
