//! What is refused when an object is changed, because it would be another pair.

use serde_json::Value;

use super::{Row, fault, must_be_empty, on_creation::good, refusal_of_change};
use crate::{sample::change, space::Space};

/// Of an object without `pairID`.
const OF_ANY: &[Row<'static>] = &[
    (
        "/spec/primary: shanghai",
        "spec.primary",
        "the cutover is not in this version. Put the old value back",
    ),
    ("/spec/sites/1/name: chengdu", "spec.sites", "Create another RedisSync instead"),
    (
        "/spec/sites/0/name: chengdu\n/spec/primary: chengdu",
        "spec.sites",
        "Create another RedisSync instead",
    ),
    ("/spec/sites/0/sentinel/masterName: payments", "spec.sites", "masterName cannot be changed"),
    (
        "/spec/sites/0/sentinel: null\n/spec/sites/0/standalone: {address: 'a:1'}",
        "spec.sites",
        "cannot change between standalone and sentinel",
    ),
    (
        "/spec/sites/1/standalone: null\n/spec/sites/1/sentinel: {masterName: m, endpoints: ['a:1']}",
        "spec.sites",
        "cannot change between standalone and sentinel",
    ),
    ("/spec/pairID: shop/cart", "spec.pairID", "Create another RedisSync instead"),
    (
        "/spec/syncer/storage/size: 20Gi",
        "spec.syncer.storage",
        "Delete the RedisSync and create it again",
    ),
    (
        "/spec/syncer/storage/storageClassName: fast",
        "spec.syncer.storage",
        "Delete the RedisSync and create it again",
    ),
    (
        "/spec/syncer/storage/accessMode: ReadWriteOnce",
        "spec.syncer.storage",
        "Delete the RedisSync and create it again",
    ),
    ("/spec/spool/maxBytes: 10Gi", "spec.syncer", "must be larger than spool.maxBytes"),
];

/// Of one with it.
const OF_NAMED: &[Row<'static>] = &[
    ("/spec/pairID: shop/other", "spec.pairID", "Create another RedisSync instead"),
    ("/spec/pairID: null", "spec.pairID", "Create another RedisSync instead"),
];

#[tokio::test]
async fn a_change_of_what_identifies_the_pair_is_refused_with_the_remedy() {
    let space = Space::new("changes").await;
    let mut named = good("named");
    change(&mut named, "/spec/pairID: shop/cart");
    let any = create(&space, &good("cart")).await;
    let named = create(&space, &named).await;
    let mut faults = Vec::new();
    for (object, rows) in [(any, OF_ANY), (named, OF_NAMED)] {
        assert_eq!(refusal_of_change(&space, &object).await, None, "no change is no fault");
        for row in rows {
            let mut changed = object.clone();
            change(&mut changed, row.0);
            faults.extend(fault(row, refusal_of_change(&space, &changed).await));
        }
    }
    must_be_empty(&faults);
}

#[tokio::test]
async fn what_does_not_identify_the_pair_may_be_changed() {
    let space = Space::new("changeable").await;
    let object = create(&space, &good("cart")).await;
    let [beijing, shanghai] = [&object["spec"]["sites"][0], &object["spec"]["sites"][1]];
    let turned_round = serde_json::json!([shanghai, beijing]);
    for changes in [
        "/spec/sites/1/standalone/address: 'moved:6379'",
        "/spec/sites/0/sentinel/endpoints: ['a:1', 'b:1']",
        "/spec/sites/0/auth: null",
        "/spec/sites/0/auth/passwordSecretRef/name: other",
        "/spec/sites/1/addressMap: [{announced: a, dial: b}]",
        "/spec/spool/maxBytes: 4Gi",
        "/spec/fullCopy/onExistingData: Sweep",
        "/spec/paused: true",
        "/spec/release: {action: SkipUnit, offset: 7}",
        "/spec/syncer/template/labels: {team: shop}",
        &format!("/spec/sites: {turned_round}"),
    ] {
        let mut changed = object.clone();
        change(&mut changed, changes);
        assert_eq!(refusal_of_change(&space, &changed).await, None, "{changes}");
    }
}

/// As the API server has it, with its defaults.
async fn create(space: &Space, object: &Value) -> Value {
    serde_json::to_value(space.create(object).await).expect("it can be written")
}
