//! An operator with another syncer image restarts the syncers one after another.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use redissync_operator::names;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    operator_process::Setup, sample::standalone, space::Space, stand_in::StandIn, wait::until,
};

const NAMES: [&str; 3] = ["one", "two", "three"];
const SOON: Duration = Duration::from_secs(30);
/// Longer than the operator takes between two looks, and than its turns take to settle.
const LONG_ENOUGH: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_new_image_goes_from_one_syncer_to_the_next_and_stops_where_it_does_not_work() {
    let space = Space::new("upgrade").await;
    let stand_in = StandIn::start().await;
    let setup = || Setup::only(&space).reports(stand_in.address);
    let first = setup().image("redissync-syncer:first").start().await;
    for name in NAMES {
        stand_in.set(&space.name, name, json!({}));
        space.create(&standalone(name)).await;
        space.say_running(name, true).await;
    }
    drop(first);
    let _second = setup().image("redissync-syncer:second").start().await;
    let mut done: Vec<&str> = Vec::new();
    for round in 1..=NAMES.len() {
        let (changed, _) = until("the next one has the new image", SOON, async || {
            let changed = changed(&space).await;
            if changed.len() >= round { Ok(changed) } else { Err(changed) }
        })
        .await;
        // Its pod is not ready: a version that does not work stops here.
        sleep(LONG_ENOUGH).await;
        assert_eq!(self::changed(&space).await, changed, "no other one while its pod is not back");
        assert_eq!(changed.len(), round, "{changed:?}");
        let newest = *changed.iter().find(|name| !done.contains(name)).expect("one more");
        println!("round {round}: {newest}");
        done.push(newest);
        space.say_running(newest, true).await;
    }
}

#[tokio::test]
async fn an_operator_that_is_restarted_in_the_middle_gives_no_second_turn() {
    let space = Space::new("upgrade-restart").await;
    let stand_in = StandIn::start().await;
    let setup = || Setup::only(&space).reports(stand_in.address);
    let first = setup().image("redissync-syncer:first").start().await;
    for name in NAMES {
        stand_in.set(&space.name, name, json!({}));
        space.create(&standalone(name)).await;
        space.say_running(name, true).await;
    }
    drop(first);
    let second = setup().image("redissync-syncer:second").start().await;
    let at_least = async |count: usize| {
        let (changed, _) = until("so many have the new image", SOON, async || {
            let changed = changed(&space).await;
            if changed.len() >= count { Ok(changed) } else { Err(changed) }
        })
        .await;
        changed
    };
    let broken = at_least(1).await;
    drop(second);
    let _third = setup().image("redissync-syncer:second").start().await;
    sleep(LONG_ENOUGH).await;
    assert_eq!(changed(&space).await, broken, "the one before is still not back");

    // What crashes has nothing to lose, and takes nobody's turn.
    let crashing = *NAMES.iter().find(|name| !broken.contains(name)).expect("two are left");
    space.say_crashing(crashing).await;
    at_least(2).await;
    sleep(LONG_ENOUGH).await;
    let two = changed(&space).await;
    assert!(two.len() == 2 && two.contains(&crashing), "{two:?} with {crashing}, after {broken:?}");

    for name in two {
        space.say_running(name, true).await;
    }
    at_least(3).await;
}

/// Whose StatefulSet has the new image.
async fn changed(space: &Space) -> Vec<&'static str> {
    let mut changed = Vec::new();
    for name in NAMES {
        let set: StatefulSet = space.api().get(&names::workload(name)).await.expect("it is there");
        let image = set.spec.and_then(|spec| spec.template.spec?.containers.first()?.image.clone());
        if image.as_deref() == Some("redissync-syncer:second") {
            changed.push(name);
        }
    }
    changed
}

#[tokio::test]
async fn a_restart_of_the_operator_alone_changes_no_stateful_set() {
    let space = Space::new("restart").await;
    let stand_in = StandIn::start().await;
    let setup = || Setup::only(&space).reports(stand_in.address);
    let first = setup().start().await;
    stand_in.set(&space.name, "one", json!({}));
    space.create(&standalone("one")).await;
    space.say_running("one", true).await;
    let generation = async || {
        let set: StatefulSet = space.api().get(&names::workload("one")).await.expect("it is there");
        set.metadata.generation
    };
    let before = generation().await;
    drop(first);
    let second = setup().start().await;
    until("the second one has looked at it", SOON, async || {
        let passes = second.metric("redissync_operator_reconciles_total").await;
        if passes >= 2.0 { Ok(()) } else { Err(passes) }
    })
    .await;
    assert_eq!(generation().await, before);
}
