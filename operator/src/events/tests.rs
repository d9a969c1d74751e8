use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::crd::{SiteRole, SiteStatus};

fn time(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn site(master: &str, epoch: i64) -> SiteStatus {
    SiteStatus {
        name: "beijing".into(),
        role: SiteRole::Primary,
        master: Some(master.into()),
        master_since: Some(time(1)),
        epoch: Some(epoch),
        message: None,
    }
}

fn told(old: &RedisSyncStatus, new: &RedisSyncStatus) -> Vec<(String, String)> {
    let note = |event: Event| (event.reason, event.note.unwrap_or_default());
    events(Some(old), new, &Plan::default()).into_iter().map(note).collect()
}

#[test]
fn a_switch_is_told_with_both_masters_and_the_epoch_once() {
    let old = RedisSyncStatus { sites: vec![site("a:1", 4)], ..Default::default() };
    let new = RedisSyncStatus { sites: vec![site("b:1", 5)], ..Default::default() };
    let [(reason, note)] = told(&old, &new).try_into().unwrap();
    assert_eq!(reason, "MasterSwitched");
    assert_eq!(note, "site beijing: master a:1 was switched to b:1, epoch 5");
    assert_eq!(told(&new, &new), []);
    assert_eq!(told(&RedisSyncStatus::default(), &new), [], "the first master is no switch");
}

#[test]
fn two_switches_are_two_events_of_different_actions() {
    let [a, b, c] = [("a:1", 4), ("b:1", 5), ("c:1", 6)].map(|(master, epoch)| RedisSyncStatus {
        sites: vec![site(master, epoch)],
        ..Default::default()
    });
    let action = |old, new| events(Some(old), new, &Plan::default()).remove(0).action;
    assert_ne!(action(&a, &b), action(&b, &c));
}

#[test]
fn a_full_copy_is_told_with_its_reason() {
    let copies = |started, finished| RedisSyncStatus {
        full_copies: Some(FullCopiesStatus {
            count: 1,
            last_reason: Some("BacklogOverrun".into()),
            last_started_at: Some(time(started)),
            last_finished_at: finished,
            progress: None,
        }),
        ..Default::default()
    };
    let started = told(&RedisSyncStatus::default(), &copies(5, None));
    assert_eq!(
        started,
        [("FullCopyStarted".into(), "a full copy was started: BacklogOverrun".into())]
    );
    let finished = told(&copies(5, None), &copies(5, Some(time(9))));
    assert_eq!(finished[0].0, "FullCopyFinished");
}

#[test]
fn readiness_is_told_when_it_changes() {
    let ready = |status: &str| RedisSyncStatus {
        conditions: vec![Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: "R".into(),
            message: "m".into(),
            observed_generation: None,
            last_transition_time: time(1),
        }],
        ..Default::default()
    };
    assert_eq!(told(&ready("False"), &ready("True"))[0].0, "Ready");
    assert_eq!(told(&ready("True"), &ready("False"))[0], ("NotReady".into(), "R: m".into()));
    assert_eq!(told(&ready("False"), &ready("Unknown")), []);
}

#[test]
fn a_long_note_is_cut() {
    let event = warning("Halted", "x", "é".repeat(2000));
    assert!(event.note.unwrap().len() <= 1000);
}
