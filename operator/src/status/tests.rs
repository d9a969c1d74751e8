use std::sync::Arc;

use redissync_syncer::contract::SyncReport;
use serde_json::{Value, json};

use super::*;
use crate::{
    controller::{
        observe::{PodSeen, WorkloadSeen},
        plan::WorkloadStep,
        validate::{InvalidReason, fixtures::object},
    },
    report_watch::{ReportFailure, ReportView},
    site_watch::SiteMaster,
};

const SPEC: &str = r"
sites:
- {name: beijing, standalone: {address: 'a:1'}}
- {name: shanghai, standalone: {address: 'b:1'}}
primary: beijing
";

/// What a syncer says that streams and is 1,900 bytes behind.
fn report(changes: Value) -> SyncReport {
    let mut report = json!({
        "version": 1, "revision": "x-1", "observedAt": "2026-11-24T10:00:00.500Z", "pairID": "shop/cart",
        "phase": "Streaming", "waitingFor": null, "halt": null, "paused": false, "owner": null,
        "dataVerified": {"status": "True", "uncheckedBatches": 0},
        "links": [{
            "link": "0",
            "source": {"name": "beijing", "address": "a:1", "topology": "Standalone", "reachable": true},
            "target": {"name": "shanghai", "address": "b:1", "topology": "Standalone", "reachable": true},
            "position": {"replid": "ab", "offset": 100, "db": 0},
            "offsets": {"source": 2000, "checkpoint": 100},
            "lag": {"bytes": 1900, "milliseconds": 40, "idle": false},
            "fullCopies": {"count": 1, "lastReason": "Initial"},
            "spool": {"bytes": 1, "maxBytes": 2, "segments": 1},
            "counters": {}
        }]
    });
    for (key, value) in changes.as_object().unwrap() {
        report[key] = value.clone();
    }
    serde_json::from_value(report).unwrap()
}

fn running(report: Option<SyncReport>) -> Observed {
    Observed {
        workload: Some(WorkloadSeen { is_updated: true, ..WorkloadSeen::default() }),
        pod: Some(PodSeen { is_running: true, ..PodSeen::default() }),
        report: ReportView { report: report.map(Arc::new), failure: None },
        ..Observed::default()
    }
}

fn told(observed: &Observed, invalid: Option<&Invalid>, plan: &Plan) -> RedisSyncStatus {
    let mut object = object(SPEC);
    // The spec that the syncer has read.
    object.spec.paused = observed.report.report.as_ref().is_some_and(|report| report.paused);
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    status(Evidence { object: &object, invalid, observed, plan, failure: None, now })
}

/// `Ready=False/Reason Reconciling=True Stalled=False`, as far as it is not quiet.
fn verdict(status: &RedisSyncStatus) -> String {
    let find = |type_: &str| status.conditions.iter().find(|c| c.type_ == type_).unwrap();
    let ready = find("Ready");
    let mut text = format!("{}/{}", ready.status, ready.reason);
    for type_ in ["Reconciling", "Stalled"] {
        if find(type_).status == "True" {
            text.push_str(&format!(" {type_}"));
        }
    }
    text
}

fn wait(reason: &str) -> Value {
    json!({"phase": "Waiting", "waitingFor": {"reason": reason, "message": "m", "since": "2026-11-24T10:00:00Z"}})
}

#[test]
fn the_table_of_what_a_report_means() {
    let halt = json!({"phase": "Halted", "halt": {"reason": "SweepBrake", "message": "m", "remedy": "r", "copyId": "c", "since": "2026-11-24T10:00:00Z"}});
    for (changes, phase, expected) in [
        (json!({}), "Replicating", "True/Replicating"),
        (json!({"phase": "CatchingUp"}), "CatchingUp", "True/CatchingUp Reconciling"),
        (json!({"phase": "FullCopy"}), "FullCopy", "False/FullCopy Reconciling"),
        (json!({"phase": "Sweeping"}), "Sweeping", "False/Sweeping Reconciling"),
        (json!({"phase": "Resolving"}), "Resolving", "False/Resolving Reconciling"),
        (json!({"phase": "Superseded"}), "Superseded", "False/Superseded Reconciling"),
        (wait("TargetUnreachable"), "Waiting", "False/TargetUnreachable Reconciling"),
        (wait("SourceAuth"), "Waiting", "False/SourceAuth Reconciling"),
        (wait("TargetSentinelAuth"), "Waiting", "False/TargetSentinelAuth Reconciling"),
        (wait("TargetNotEmpty"), "Waiting", "False/TargetNotEmpty Stalled"),
        (wait("RoleConflict"), "Waiting", "False/RoleConflict Stalled"),
        (wait("Paused"), "Waiting", "False/Paused"),
        (json!({"paused": true}), "Paused", "False/Paused"),
        (halt, "Halted", "False/SweepBrake Stalled"),
        (
            json!({"dataVerified": {"status": "False", "uncheckedBatches": 1}}),
            "Replicating",
            "False/DataDiffers Stalled",
        ),
        (json!({"phase": "FromTheFuture"}), "Unknown", "False/Unknown Reconciling"),
    ] {
        let status = told(&running(Some(report(changes.clone()))), None, &Plan::default());
        assert_eq!(verdict(&status), expected, "{changes}");
        assert_eq!(status.phase.as_deref(), Some(phase), "{changes}");
    }
}

#[test]
fn the_table_of_no_report() {
    let failure = || ReportFailure { message: "refused".into(), since: Timestamp::UNIX_EPOCH };
    let with = |change: fn(&mut PodSeen), failure: Option<ReportFailure>| {
        let mut observed = running(None);
        change(observed.pod.as_mut().unwrap());
        observed.report.failure = failure;
        observed
    };
    let no_pod = Observed { pod: None, ..running(None) };
    let mut lost_pod = Observed { pod: None, ..running(Some(report(json!({})))) };
    lost_pod.report.failure = Some(failure());
    for (observed, phase, expected) in [
        (lost_pod, "Pending", "False/SyncerPending Reconciling"),
        (no_pod, "Pending", "False/SyncerPending Reconciling"),
        (with(|pod| pod.is_running = false, None), "Pending", "False/SyncerPending Reconciling"),
        (
            with(|pod| pod.is_ending = true, Some(failure())),
            "Unknown",
            "False/SyncerPending Reconciling",
        ),
        (with(|_| {}, None), "Unknown", "False/SyncerPending Reconciling"),
        (with(|_| {}, Some(failure())), "Unknown", "Unknown/SyncerUnreachable Reconciling"),
    ] {
        let status = told(&observed, None, &Plan::default());
        assert_eq!(verdict(&status), expected);
        assert_eq!(status.phase.as_deref(), Some(phase), "{expected}");
    }
}

#[test]
fn numbers_are_those_of_the_report_and_say_as_of_when() {
    let status = told(&running(Some(report(json!({})))), None, &Plan::default());
    assert_eq!(status.lag.as_deref(), Some("40ms"));
    assert_eq!(status.behind.as_deref(), Some("1.8Ki"));
    assert_eq!(status.master.as_deref(), Some("a:1"));
    assert_eq!(status.standby.as_deref(), Some("b:1"));
    assert_eq!(status.observed_at.unwrap().0.to_string(), "2026-11-24T10:00:00Z");
    assert_eq!(status.links[0].position.as_ref().unwrap().offset, 100);
    assert_eq!(status.observed_generation, Some(3));
    let flow = status.flow.unwrap();
    assert_eq!((flow.source.as_str(), flow.target.as_str()), ("beijing", "shanghai"));
}

#[test]
fn a_syncer_that_cannot_be_asked_leaves_old_numbers_with_their_old_time() {
    let mut observed = running(Some(report(json!({}))));
    observed.report.failure =
        Some(ReportFailure { message: "refused".into(), since: Timestamp::UNIX_EPOCH });
    let status = told(&observed, None, &Plan::default());
    assert_eq!(verdict(&status), "Unknown/SyncerUnreachable Reconciling");
    assert_eq!(status.observed_at.unwrap().0.to_string(), "2026-11-24T10:00:00Z");
    let reachable = status.conditions.iter().find(|c| c.type_ == "SourceReachable").unwrap();
    assert_eq!(reachable.status, "Unknown");
}

#[test]
fn an_invalid_object_says_so_while_its_syncer_goes_on() {
    let invalid =
        Invalid { reason: InvalidReason::SecretNotFound, message: "there is no Secret 'x'".into() };
    let status = told(&running(Some(report(json!({})))), Some(&invalid), &Plan::default());
    assert_eq!(verdict(&status), "False/SecretNotFound Stalled");
    assert_eq!(status.phase.as_deref(), Some("Replicating"));
    let status = told(&Observed::default(), Some(&invalid), &Plan::default());
    assert_eq!(status.phase.as_deref(), Some("Invalid"));
}

#[test]
fn a_change_that_is_under_way_is_reconciling_while_the_link_is_ready() {
    let plan = Plan { workload: WorkloadStep::AwaitTurn, ..Plan::default() };
    let status = told(&running(Some(report(json!({})))), None, &plan);
    assert_eq!(verdict(&status), "True/Replicating Reconciling");
    let refused = report(json!({"configError": "unknown field"}));
    assert_eq!(
        verdict(&told(&running(Some(refused)), None, &Plan::default())),
        "True/Replicating Reconciling"
    );
    let mut observed = running(Some(report(json!({}))));
    observed.workload.as_mut().unwrap().is_updated = false;
    assert_eq!(verdict(&told(&observed, None, &Plan::default())), "True/Replicating Reconciling");
}

#[test]
fn a_pause_is_settled_once_the_syncer_has_read_it() {
    let mut object = object(SPEC);
    object.spec.paused = true;
    let told = |changes: Value| {
        let (observed, plan) = (running(Some(report(changes))), Plan::default());
        let now = Timestamp::UNIX_EPOCH;
        let (observed, plan) = (&observed, &plan);
        verdict(&status(Evidence {
            object: &object,
            invalid: None,
            observed,
            plan,
            failure: None,
            now,
        }))
    };
    assert_eq!(told(json!({})), "True/Replicating Reconciling");
    // Its pod is not ready meanwhile, and is not being replaced.
    assert_eq!(told(json!({"paused": true})), "False/Paused");
}

#[test]
fn a_halt_is_shown_with_what_a_release_has_to_name() {
    let halt = json!({"phase": "Halted", "halt": {"reason": "CommandRejected", "message": "WRONGTYPE", "remedy": "Do this", "offset": 77, "since": "2026-11-24T10:00:00Z"}});
    let status = told(&running(Some(report(halt))), None, &Plan::default());
    assert_eq!(status.links[0].halt.as_ref().unwrap().offset, Some(77));
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert!(ready.message.contains("WRONGTYPE") && ready.message.contains("Do this"));
}

#[test]
fn an_erased_status_comes_back_the_same() {
    let observed = running(Some(report(json!({}))));
    let first = told(&observed, None, &Plan::default());
    assert_eq!(told(&observed, None, &Plan::default()), first);
}

#[test]
fn a_restarted_operator_keeps_the_time_of_a_master_that_is_still_the_same() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let seen = |address: &str, second| {
        let mut observed = running(Some(report(json!({}))));
        let master = SiteMaster { address: address.into(), epoch: Some(1), since: at(second) };
        observed.source.master = Some(master);
        observed
    };
    let mut object = object(SPEC);
    let mut told = |observed: &Observed| {
        let (plan, now) = (&Plan::default(), at(9));
        let evidence =
            Evidence { object: &object, invalid: None, observed, plan, failure: None, now };
        let status = status(evidence);
        object.status = Some(status.clone());
        status.sites[0].master_since.clone().unwrap().0
    };
    assert_eq!(told(&seen("m:1", 5)), at(5));
    assert_eq!(told(&seen("m:1", 8)), at(5), "the same, seen anew");
    assert_eq!(told(&seen("n:1", 9)), at(9), "another");
    assert_eq!(told(&seen("m:1", 10)), at(10), "and back");
}

#[test]
fn what_could_not_be_applied_is_told() {
    let object = object(SPEC);
    let told = |observed: &Observed| {
        let (plan, now) = (&Plan::default(), Timestamp::UNIX_EPOCH);
        let failure = Some("exceeded quota");
        status(Evidence { object: &object, invalid: None, observed, plan, failure, now })
    };
    let nothing = told(&Observed::default());
    assert_eq!(verdict(&nothing), "False/ApplyFailed Reconciling");
    assert_eq!(nothing.conditions[0].message, "exceeded quota");
    let runs = told(&running(Some(report(json!({})))));
    assert_eq!(verdict(&runs), "True/Replicating Reconciling", "what runs goes on");
    assert_eq!(runs.conditions[1].reason, "ApplyFailed");
}

#[test]
fn what_a_strange_report_says_still_makes_a_status_that_can_be_written() {
    let mut strange = report(json!({
        "phase": "Waiting",
        "waitingFor": {"reason": "SourceError", "message": "x".repeat(900_000), "since": "2026-11-24T10:00:00Z"},
    }));
    let mut link = strange.links[0].clone();
    link.lag.bytes = Some(u64::MAX);
    strange.links = vec![link.clone(), link.clone()];
    link.link = "1".into();
    strange.links.push(link);
    let status = told(&running(Some(strange)), None, &Plan::default());
    let keys: Vec<&str> = status.links.iter().map(|link| link.key.as_str()).collect();
    assert_eq!(keys, ["0", "1"]);
    assert_eq!(status.behind.as_deref(), Some("8191Pi"));
    assert!(serde_json::to_string(&status).unwrap().len() < 20_000);
}

/// `status/reason`, and the message.
fn condition(report: SyncReport, type_: &str) -> (String, String) {
    let status = told(&running(Some(report)), None, &Plan::default());
    let found = status.conditions.iter().find(|it| it.type_ == type_).unwrap();
    (format!("{}/{}", found.status, found.reason), found.message.clone())
}

#[test]
fn the_preflight_is_one_condition_with_what_is_to_be_done() {
    let check = |check: &str, result: &str| json!({"check": check, "end": "Target", "result": result, "message": "it is so", "advice": "do that"});
    for (checks, expected) in [
        (json!([]), "Unknown/NotCheckedYet"),
        (json!([check("Role", "Passed")]), "True/AllPassed"),
        (json!([check("Role", "Passed"), check("Memory", "Warning")]), "True/PassedWithWarnings"),
        (json!([check("Memory", "Warning"), check("Rights", "Unknown")]), "Unknown/ChecksUnread"),
        (json!([check("Rights", "Unknown"), check("Eviction", "Failed")]), "False/ChecksFailed"),
        // Of a newer version.
        (json!([check("Phase of the moon", "Full")]), "Unknown/ChecksUnread"),
    ] {
        let (told, _) = condition(report(json!({"preflight": checks})), "PreflightPassed");
        assert_eq!(told, expected, "{checks}");
    }
    let checks = json!([check("Memory", "Warning"), check("Eviction", "Failed")]);
    let (_, message) = condition(report(json!({"preflight": checks})), "PreflightPassed");
    assert_eq!(
        message,
        "Eviction of the standby (Failed): it is so -> do that; Memory of the standby (Warning): it is so -> do that"
    );
}

#[test]
fn backlog_and_expiry_are_conditions_and_ready_does_not_depend_on_them() {
    let with = |field: &str, value: Value| {
        let mut report = serde_json::to_value(report(json!({}))).unwrap();
        report["links"][0][field] = value;
        serde_json::from_value::<SyncReport>(report).unwrap()
    };
    let backlog = |health: &str| json!({"health": health, "message": "m", "bytes": 1, "writeBytesPerSecond": 1, "seconds": 1});
    let expiry = |risk: Value| json!({"risk": risk, "message": "m", "clockSkewMilliseconds": 1});
    for (report, type_, expected) in [
        (report(json!({})), "BacklogHealthy", "Unknown/NotMeasuredYet"),
        (with("backlog", backlog("Bridges")), "BacklogHealthy", "True/Bridges"),
        (with("backlog", backlog("TooSmall")), "BacklogHealthy", "False/TooSmall"),
        (with("backlog", backlog("Overrun")), "BacklogHealthy", "False/Overrun"),
        (with("backlog", backlog("FromTheFuture")), "BacklogHealthy", "Unknown/Unknown"),
        (report(json!({})), "ExpiryAtRisk", "Unknown/NotMeasuredYet"),
        (with("expiry", expiry(Value::Null)), "ExpiryAtRisk", "Unknown/DelayUnknown"),
        (with("expiry", expiry("WithinGrace".into())), "ExpiryAtRisk", "False/WithinGrace"),
        (with("expiry", expiry("GraceOff".into())), "ExpiryAtRisk", "False/GraceOff"),
        (with("expiry", expiry("AtRisk".into())), "ExpiryAtRisk", "True/AtRisk"),
        (with("expiry", expiry("Exceeded".into())), "ExpiryAtRisk", "True/Exceeded"),
        (with("evictedSinceCopy", 1999.into()), "DataVerified", "False/KeysEvicted"),
    ] {
        let (told, message) = condition(report.clone(), type_);
        assert_eq!(told, expected, "{message}");
        assert_eq!(condition(report, "Ready").0, "True/Replicating", "{type_}");
    }
}
