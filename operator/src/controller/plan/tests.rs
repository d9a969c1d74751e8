use std::time::Duration;

use super::*;
use crate::{
    build::{SyncerImage, build},
    controller::{observe::WorkloadSeen, validate::fixtures::validated},
};

const SPEC: &str = r"
sites:
- {name: beijing, standalone: {address: 'a:1'}}
- {name: shanghai, standalone: {address: 'b:1'}}
primary: beijing
";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The second at which everything is looked at.
const NOW: i64 = 1_000;

struct World {
    sync: ValidatedSync,
    wanted: StatefulSet,
    observed: Observed,
}

/// Everything is as it should be: applied as generation 4, running on a good node.
fn settled() -> World {
    let sync = validated(SPEC);
    let image = SyncerImage { name: "i".into(), pull_policy: "Always".into() };
    let wanted = build(&sync, &image).stateful_set;
    let annotation = |name: &str| wanted.annotations().get(name).cloned();
    let observed = Observed {
        workload: Some(WorkloadSeen {
            owner_uid: Some(sync.uid.clone()),
            template_hash: annotation(names::TEMPLATE_HASH),
            spec_hash: annotation(names::SPEC_HASH),
            generation: 4,
            is_updated: true,
            is_rolled_out: true,
        }),
        config_text: Some(sync.config_text.clone()),
        pod: Some(PodSeen {
            uid: "p".into(),
            node: Some("n".into()),
            is_running: true,
            config_hash: Some(names::hash(&sync.config_text)),
            secret_versions: Some(sync.secret_versions.clone()),
            ..PodSeen::default()
        }),
        node: NodeSeen::Ready,
        is_watching_nodes: true,
        ..Observed::default()
    };
    World { sync, wanted, observed }
}

fn planned(world: &World, applied_generation: Option<i64>, has_turn: bool) -> Plan {
    let circumstances = Circumstances {
        observed: &world.observed,
        wanted: &world.wanted,
        applied_generation,
        has_turn,
        now: at(NOW),
    };
    plan(&world.sync, circumstances)
}

fn silent_for(seconds: u32) -> NodeSeen {
    NodeSeen::NotReady {
        since: at(NOW - i64::from(seconds)),
        seen_for: Duration::from_secs(seconds.into()),
    }
}

type Change = fn(&mut Observed);

fn workload(observed: &mut Observed) -> &mut WorkloadSeen {
    observed.workload.as_mut().unwrap()
}

fn pod(observed: &mut Observed) -> &mut PodSeen {
    observed.pod.as_mut().unwrap()
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    assert_eq!(planned(&settled(), Some(4), false), Plan::default());
}

#[test]
fn the_workload_table() {
    let rows: &[(&str, Change, Option<i64>, bool, WorkloadStep)] = &[
        ("missing", |o| o.workload = None, None, false, WorkloadStep::Apply),
        ("this process has not applied it yet", |_| {}, None, false, WorkloadStep::Apply),
        (
            "somebody has changed it",
            |o| workload(o).generation = 5,
            Some(4),
            false,
            WorkloadStep::Apply,
        ),
        (
            "the spec has changed: at once",
            |o| {
                workload(o).template_hash = None;
                workload(o).spec_hash = Some("old".into());
            },
            Some(4),
            false,
            WorkloadStep::Apply,
        ),
        (
            "the operator has changed: not yet",
            |o| workload(o).template_hash = Some("old".into()),
            Some(4),
            false,
            WorkloadStep::AwaitTurn,
        ),
        (
            "the operator has changed, and was started anew: not yet",
            |o| workload(o).template_hash = Some("old".into()),
            None,
            false,
            WorkloadStep::AwaitTurn,
        ),
        (
            "the operator has changed: its turn",
            |o| workload(o).template_hash = Some("old".into()),
            Some(4),
            true,
            WorkloadStep::Apply,
        ),
        (
            "of an object that is gone",
            |o| workload(o).owner_uid = Some("other".into()),
            None,
            true,
            WorkloadStep::AwaitRemoval,
        ),
    ];
    for (name, change, applied, has_turn, step) in rows {
        let mut world = settled();
        change(&mut world.observed);
        assert_eq!(planned(&world, *applied, *has_turn).workload, *step, "{name}");
    }
}

#[test]
fn the_pod_table() {
    let rows: &[(&str, Change, PodStep)] = &[
        ("no pod yet", |o| o.pod = None, PodStep::Keep),
        ("an older configuration", |o| pod(o).config_hash = Some("old".into()), PodStep::Refresh),
        ("never refreshed", |o| pod(o).config_hash = None, PodStep::Refresh),
        ("a rotated Secret", |o| pod(o).secret_versions = Some("redis:1".into()), PodStep::Refresh),
        (
            "an older configuration, not running: it reads the newest when it starts",
            |o| {
                pod(o).config_hash = None;
                pod(o).is_running = false;
            },
            PodStep::Keep,
        ),
        (
            "an older configuration, ending",
            |o| {
                pod(o).config_hash = None;
                pod(o).is_ending = true;
            },
            PodStep::Keep,
        ),
        ("node silent for 29 s", |o| o.node = silent_for(29), PodStep::Keep),
        ("node silent for 30 s", |o| o.node = silent_for(30), PodStep::ForceDelete),
        (
            "node silent, the pod was asked to end and cannot",
            |o| {
                o.node = silent_for(60);
                pod(o).is_ending = true;
            },
            PodStep::ForceDelete,
        ),
        ("node removed", |o| o.node = NodeSeen::Gone, PodStep::ForceDelete),
        ("nodes are not watched", |o| o.node = NodeSeen::Unknown, PodStep::Keep),
        (
            "node silent by the control plane's clock, which is behind",
            |o| o.node = NodeSeen::NotReady { since: at(0), seen_for: Duration::from_secs(1) },
            PodStep::Keep,
        ),
    ];
    for (name, change, step) in rows {
        let mut world = settled();
        change(&mut world.observed);
        assert_eq!(planned(&world, Some(4), false).pod, *step, "{name}");
    }
}

#[test]
fn the_claim_is_looked_at_after_ten_minutes_without_a_node() {
    let rows: &[(&str, Change, bool)] = &[
        ("scheduled", |_| {}, false),
        ("for 599 s", |o| pod(o).unscheduled_since = Some(at(NOW - 599)), false),
        ("for 600 s", |o| pod(o).unscheduled_since = Some(at(NOW - 600)), true),
        (
            "nodes are not watched",
            |o| {
                o.is_watching_nodes = false;
                pod(o).unscheduled_since = Some(at(NOW - 600));
            },
            false,
        ),
    ];
    for (name, change, is_checked) in rows {
        let mut world = settled();
        change(&mut world.observed);
        assert_eq!(planned(&world, Some(4), false).check_claim, *is_checked, "{name}");
    }
}

#[test]
fn a_changed_configuration_is_applied_whatever_the_workload_waits_for() {
    let mut world = settled();
    world.observed.config_text = Some("old".into());
    workload(&mut world.observed).template_hash = Some("old".into());
    let plan = planned(&world, Some(4), false);
    assert!(plan.apply_config);
    assert_eq!(plan.workload, WorkloadStep::AwaitTurn);
}

#[test]
fn an_invalid_object_changes_nothing_but_a_pod_on_a_lost_node() {
    let mut world = settled();
    world.observed.workload = None;
    world.observed.config_text = None;
    assert_eq!(plan_invalid(&world.observed, at(NOW)), Plan::default());
    world.observed.node = NodeSeen::Gone;
    assert_eq!(plan_invalid(&world.observed, at(NOW)).pod, PodStep::ForceDelete);
}

#[test]
fn a_pod_that_was_not_deleted_after_all_is_not_told_as_replaced() {
    let lost = Plan { pod: PodStep::ForceDelete, ..Plan::default() };
    assert_eq!(lost.clone().once_applied(false).pod, PodStep::Keep);
    assert_eq!(lost.once_applied(true).pod, PodStep::ForceDelete);
}
