//! What the operator makes for an object, and that it stays so.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret},
};
use kube::api::{DeleteParams, Patch, PatchParams};
use redissync_operator::{crd::RedisSync, names};
use serde_json::json;

use super::bed::{Bed, CART, SOON, condition};
use crate::{
    sample::{change, standalone},
    wait::until,
};

#[tokio::test]
async fn an_object_gets_a_config_map_and_a_stateful_set_that_it_owns() {
    let bed = Bed::new("made").await;
    let object = bed.space.create(&standalone(CART)).await;
    let (set, config_map) = (bed.stateful_set().await, bed.config_map().await);
    for metadata in [&set.metadata, &config_map.metadata] {
        let [owner] = metadata.owner_references.as_deref().unwrap_or_default() else {
            panic!("{metadata:?}");
        };
        assert_eq!((&*owner.kind, &*owner.name), ("RedisSync", CART));
        assert_eq!(Some(&owner.uid), object.metadata.uid.as_ref());
        assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(true)));
    }
    let text = bed.config_text().await;
    for words in [
        &format!("pairID: {}/{CART}", bed.space.name),
        "name: beijing",
        "address: 127.0.0.1:10",
        "paused: false",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let (cart, _) = bed.until_cart("a status", SOON, |cart| cart.status.is_some()).await;
    let ready = condition(&cart, "Ready").expect("Ready");
    assert_eq!((&*ready.status, &*ready.reason), ("False", "SyncerPending"));
    assert_eq!(cart.status.and_then(|status| status.observed_generation), cart.metadata.generation);
}

#[tokio::test]
async fn an_erased_status_comes_back() {
    let bed = Bed::streaming("erased").await;
    let cart = bed.cart().await;
    let api = bed.space.api::<RedisSync>();
    let erase = Patch::Merge(json!({"status": null}));
    api.patch_status(CART, &PatchParams::default(), &erase).await.expect("the status is erased");
    let (back, took) = bed
        .until_cart("the status is back", SOON, |cart| {
            condition(cart, "Ready").is_some_and(|ready| ready.status == "True")
        })
        .await;
    println!("back after {took:?}");
    let links = |cart: RedisSync| cart.status.map(|status| status.links);
    assert_eq!(links(back), links(cart));
}

#[tokio::test]
async fn a_stateful_set_edited_by_hand_is_put_right() {
    let bed = Bed::streaming("edited").await;
    let set = bed.stateful_set().await;
    let wanted = set.spec.clone().expect("a spec");
    let name = names::workload(CART);
    for edit in [
        json!({"spec": {"replicas": 2}}),
        json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}),
    ] {
        bed.space.merge::<StatefulSet>(&name, edit.clone()).await;
        until("the StatefulSet is as before", SOON, async || {
            let spec = bed.stateful_set().await.spec.expect("a spec");
            if spec == wanted { Ok(()) } else { Err((edit.clone(), spec.replicas)) }
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_deleted_comes_back() {
    let bed = Bed::streaming("deleted").await;
    let text = bed.config_text().await;
    let name = names::workload(CART);
    let uid = bed.config_map().await.metadata.uid;
    bed.space.api::<ConfigMap>().delete(&name, &DeleteParams::default()).await.expect("deleted");
    assert_eq!(bed.config_text().await, text);
    assert_ne!(bed.config_map().await.metadata.uid, uid);
    let uid = bed.stateful_set().await.metadata.uid;
    bed.space.api::<StatefulSet>().delete(&name, &DeleteParams::default()).await.expect("deleted");
    until("another StatefulSet is there", SOON, async || {
        let set = bed.stateful_set().await.metadata;
        if set.uid != uid && set.deletion_timestamp.is_none() { Ok(()) } else { Err(set.uid) }
    })
    .await;
}

#[tokio::test]
async fn an_edited_config_map_is_put_right() {
    let bed = Bed::streaming("config").await;
    let text = bed.config_text().await;
    let edit = json!({"data": {names::CONFIG_FILE: "pairID: other"}});
    bed.space.merge::<ConfigMap>(&names::workload(CART), edit).await;
    until("the file is as before", SOON, async || {
        let now = bed.config_text().await;
        if now == text { Ok(()) } else { Err(now) }
    })
    .await;
}

#[tokio::test]
async fn pause_and_release_reach_the_file_and_leave_the_pod_alone() {
    let bed = Bed::streaming("live").await;
    let template = bed.stateful_set().await.spec.expect("a spec").template;
    for (change, words) in [
        (json!({"spec": {"paused": true}}), "paused: true"),
        (json!({"spec": {"release": {"action": "SkipUnit", "offset": 4711}}}), "offset: 4711"),
        (json!({"spec": {"paused": false}}), "paused: false"),
    ] {
        bed.space.merge::<RedisSync>(CART, change).await;
        let (_, took) = until(words, SOON, async || {
            let text = bed.config_text().await;
            if text.contains(words) { Ok(()) } else { Err(text) }
        })
        .await;
        println!("{words}: in the file after {took:?}");
        let set = bed.stateful_set().await;
        assert_eq!(set.spec.expect("a spec").template, template, "{words}");
    }
    // That another field does change the template is what makes the above mean something.
    bed.space
        .merge::<RedisSync>(CART, json!({"spec": {"fullCopy": {"onExistingData": "Keep"}}}))
        .await;
    until("the template has changed", SOON, async || {
        let now = bed.stateful_set().await.spec.expect("a spec").template;
        if now != template { Ok(()) } else { Err("it is the same") }
    })
    .await;
}

#[tokio::test]
async fn an_object_that_has_become_invalid_keeps_its_syncer() {
    let bed = Bed::new("invalid").await;
    bed.space.put_secret("redis", "password", b"secret").await;
    let mut object = standalone(CART);
    change(&mut object, "/spec/sites/0/auth: {passwordSecretRef: {name: redis, key: password}}");
    bed.say(json!({}));
    bed.space.create(&object).await;
    bed.space.say_running(CART, true).await;
    bed.until_ready("True", SOON).await;
    let before = bed.stateful_set().await;
    bed.space.api::<Secret>().delete("redis", &DeleteParams::default()).await.expect("deleted");
    // Secrets are not watched: they are looked at again every few seconds.
    let (ready, took) = bed.until_ready("False", SOON * 3).await;
    println!("the missing Secret was told after {took:?}");
    assert_eq!(ready.reason, "SecretNotFound");
    assert!(
        ready.message.contains("spec.sites[beijing].auth.passwordSecretRef"),
        "{}",
        ready.message
    );
    let cart = bed.cart().await;
    assert_eq!(condition(&cart, "Stalled").map(|it| it.status).as_deref(), Some("True"));
    assert_eq!(cart.status.expect("a status").links.len(), 1, "the numbers go on");
    let after = bed.stateful_set().await;
    assert_eq!(after.metadata.uid, before.metadata.uid);
    assert_eq!(after.spec, before.spec);
    bed.space.put_secret("redis", "password", b"secret").await;
    bed.until_ready("True", SOON * 2).await;
}
