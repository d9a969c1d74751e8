use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use kube::{
    api::ObjectMeta,
    runtime::{reflector, watcher},
};

use super::*;

/// How a set is: of the newest template and ready, ready once and not now, or not ready since it was changed.
#[derive(Clone, Copy)]
enum Is {
    Back,
    DownAgain,
    NotBack,
}

fn set(name: &str, is: Is, mark: Option<&str>) -> StatefulSet {
    let current = if matches!(is, Is::NotBack) { "old" } else { "new" };
    StatefulSet {
        metadata: ObjectMeta {
            namespace: Some("n".into()),
            name: Some(names::workload(name)),
            generation: Some(2),
            annotations: mark.map(|mark| BTreeMap::from([(names::TURN.into(), mark.into())])),
            ..ObjectMeta::default()
        },
        status: Some(StatefulSetStatus {
            observed_generation: Some(2),
            current_revision: Some(current.into()),
            update_revision: Some("new".into()),
            updated_replicas: Some(1),
            ready_replicas: Some(i32::from(matches!(is, Is::Back))),
            ..StatefulSetStatus::default()
        }),
        ..StatefulSet::default()
    }
}

fn all<const N: usize>(sets: [StatefulSet; N]) -> All {
    All { sets: sets.map(Arc::new).into(), is_complete: true }
}

/// Of a process that has run for a long time, and the time.
fn settled() -> (Turns, Instant) {
    let started = Instant::now();
    (Turns { started, turn: None }, started + UNWELL_MAX)
}

fn ids() -> [String; 2] {
    ["one", "other"].map(|name| id_of("n", name))
}

#[test]
fn the_next_one_waits_until_the_one_before_is_back() {
    let (mut turns, now) = settled();
    let [one, other] = ids();
    let late = now + SETTLE;
    let down = all([set("one", Is::DownAgain, None), set("other", Is::Back, None)]);
    let back = all([set("one", Is::Back, None)]);
    assert!(turns.take(&one, true, &down, now));
    assert!(turns.take(&one, true, &down, now), "the holder keeps it");
    assert!(!turns.take(&other, true, &back, now), "the stores lag behind");
    assert!(!turns.take(&other, true, &down, late));
    assert!(turns.take(&other, true, &back, late));
}

#[test]
fn one_that_was_not_well_before_holds_the_others_up_for_a_minute_only() {
    let (mut turns, now) = settled();
    let [one, other] = ids();
    let down = all([set("one", Is::NotBack, Some("unwell"))]);
    assert!(turns.take(&one, false, &down, now));
    assert!(!turns.take(&other, true, &down, now + UNWELL_MAX / 2));
    assert!(turns.take(&other, true, &down, now + UNWELL_MAX));
}

#[test]
fn a_deleted_holder_holds_nothing_up() {
    let (mut turns, now) = settled();
    assert!(turns.take("n/gone", true, &all([]), now));
    assert!(turns.take("n/next", true, &all([]), now + SETTLE));
}

/// What a process that has just started finds, and for how long it gives no turn to another one.
#[test]
fn what_an_earlier_process_began_is_waited_for() {
    enum Waits {
        Not,
        AMinute,
        UntilItIsBack,
    }
    use Waits::{AMinute, Not, UntilItIsBack};
    let rows = [
        ("restarted by an upgrade, and not back", Is::NotBack, Some("well"), UntilItIsBack),
        ("the same, and it was not well before", Is::NotBack, Some("unwell"), AMinute),
        ("it says nothing: perhaps the user's change", Is::NotBack, None, AMinute),
        ("it says what nobody knows", Is::NotBack, Some("later"), AMinute),
        ("it was back, and fails for another reason", Is::DownAgain, Some("well"), Not),
        ("it is back", Is::Back, Some("well"), Not),
    ];
    for (what, is, mark, waits) in rows {
        let found = all([set("one", is, mark), set("other", Is::Back, None)]);
        let [one, other] = ids();
        let may = |candidate: &str, after: Duration| {
            let started = Instant::now();
            Turns { started, turn: None }.take(candidate, true, &found, started + after)
        };
        assert_eq!(may(&other, Duration::ZERO), matches!(waits, Not), "{what}");
        assert_eq!(may(&other, UNWELL_MAX), !matches!(waits, UntilItIsBack), "{what}, later");
        assert!(may(&one, Duration::ZERO), "{what}: it holds itself up never");
    }
}

#[test]
fn the_mark_says_how_it_was_before_the_upgrade_that_has_not_succeeded() {
    let rows = [
        ("well, upgraded", Some(set("one", Is::Back, None)), true, Some(Mark::Well)),
        ("not well, upgraded", Some(set("one", Is::DownAgain, None)), true, Some(Mark::Unwell)),
        (
            "broken by an upgrade, again upgraded",
            Some(set("one", Is::NotBack, Some("well"))),
            true,
            Some(Mark::Well),
        ),
        (
            "broken by an upgrade, changed by the user",
            Some(set("one", Is::NotBack, Some("well"))),
            false,
            Some(Mark::Well),
        ),
        (
            "broken by the user, upgraded",
            Some(set("one", Is::NotBack, None)),
            true,
            Some(Mark::Unwell),
        ),
        ("back, changed by the user", Some(set("one", Is::Back, Some("well"))), false, None),
        ("not there yet", None, true, None),
    ];
    for (what, set, is_upgrade, mark) in rows {
        assert_eq!(Mark::next(set.as_ref(), is_upgrade), mark, "{what}");
    }
}

fn wish(sync: &str) -> Wish<'_> {
    Wish { namespace: "n", sync, is_upgrade: true, is_crashing: false }
}

fn store(set: StatefulSet) -> Store<StatefulSet> {
    let (reader, mut writer) = reflector::store();
    writer.apply_watcher_event(&watcher::Event::Apply(set));
    reader
}

#[test]
fn the_turns_are_those_of_all_namespaces_together() {
    let started = Instant::now();
    let rollout = Rollout::new(2, started);
    rollout.watch(store(set("one", Is::Back, None)));
    assert!(!rollout.ask(wish("one"), started).has_turn, "another namespace was not read yet");
    assert!(rollout.ask(wish("one"), started + UNWELL_MAX).has_turn, "it may never be");
    let rollout = Rollout::new(2, started);
    rollout.watch(store(set("one", Is::Back, None)));
    rollout.watch(store(set("other", Is::NotBack, Some("well"))));
    assert!(!rollout.ask(wish("one"), started + UNWELL_MAX).has_turn);
}

#[test]
fn a_syncer_that_crashes_is_upgraded_at_once_and_takes_nobodys_turn() {
    let started = Instant::now();
    let now = started + UNWELL_MAX;
    let rollout = Rollout::new(1, started);
    rollout.watch(store(set("one", Is::NotBack, Some("well"))));
    let crashing = Wish { is_crashing: true, ..wish("other") };
    assert!(!rollout.ask(wish("other"), now).has_turn);
    assert!(rollout.ask(crashing, now).has_turn);
    assert!(!rollout.ask(wish("third"), now + SETTLE).has_turn, "the first one is still not back");
}
