//! What is refused when an object is created.

use serde_json::Value;

use super::{Row, Values, fault, must_be_empty, refusal, rows};
use crate::{
    sample::{change, standalone},
    space::Space,
};

/// A good one with both kinds of site: what the rows change.
pub(super) fn good(name: &str) -> Value {
    let mut object = standalone(name);
    change(
        &mut object,
        "/spec/sites/0/standalone: null\n\
         /spec/sites/0/sentinel: {masterName: orders, endpoints: ['10.9.0.1:26379']}\n\
         /spec/sites/0/auth: {passwordSecretRef: {name: redis, key: password}}\n\
         /spec/syncer: null",
    );
    object
}

/// Values of one field; the refusal names it.
const OF_A_FIELD: &[Values] = &[
    ("/spec", "Required", &["null"]),
    ("/spec/failover", "unknown field", &["true"]),
    ("/spec/Paused", "unknown field", &["true"]),
    ("/metadata/name", "at most 40 characters", &["a-name-of-more-than-forty-characters-in-all"]),
    ("/metadata/name", "must have no dot", &["cart.eu"]),
    ("/metadata/name", "lower case", &["Cart", "cart."]),
    ("/spec/primary", "must be the name of one of the two sites", &["chengdu", "''"]),
    ("/spec/primary", "Required", &["null"]),
    ("/spec/primary", "must be of type string", &["7"]),
    ("/spec/pairID", "letters, digits and . _ / -", &["'a b'", "'购物车'"]),
    ("/spec/pairID", "at least 1 char", &["''"]),
    ("/spec/paused", "must be of type boolean", &["'yes'"]),
    ("/spec/sites", "Required", &["null"]),
    ("/spec/sites", "exactly two", &["[]"]),
    ("/spec/sites/1/name", "at least 1 char", &["''"]),
    ("/spec/sites/1/name", "Required", &["null"]),
    ("/spec/sites/1/name", "lower case letters, digits and -", &["Shanghai", "shang_hai"]),
    ("/spec/sites/1/name", "start and end with a letter or digit", &["-shanghai"]),
    ("/spec/sites/1/name", "must be of type string", &["7"]),
    (
        "/spec/sites/1/name",
        "than 63",
        &["a-name-of-more-than-sixty-three-characters-which-is-too-long-for-a-label"],
    ),
    (
        "/spec/sites/1/standalone/address",
        "must be host:port",
        &[
            "redis",
            "'redis:'",
            "'redis://a:6379'",
            "'a b:6379'",
            "' a:6379'",
            "'fd00::1:6379'",
            "''",
        ],
    ),
    ("/spec/sites/1/standalone/address", "Required", &["null"]),
    (
        "/spec/sites/0/sentinel/endpoints",
        "must be host:port",
        &["['10.9.0.1']", "['a:1', 'tcp://a:1']", "['a:1 b:1']"],
    ),
    ("/spec/sites/0/sentinel/endpoints", "at least 1 item", &["[]"]),
    ("/spec/sites/0/sentinel/endpoints", "Required", &["null"]),
    ("/spec/sites/0/sentinel/endpoints", "must be of type array", &["'a:1'"]),
    ("/spec/sites/0/sentinel/endpoints/0", "must be of type string", &["26379"]),
    ("/spec/sites/0/sentinel/masterName", "at least 1 char", &["''"]),
    ("/spec/sites/0/sentinel/masterName", "letters, digits and . _ -", &["'my master'"]),
    ("/spec/sites/0/sentinel/masterName", "Required", &["null"]),
    ("/spec/sites/0/auth/passwordSecretRef", "Required", &["null"]),
    ("/spec/sites/0/auth/passwordSecretRef/key", "Required", &["null"]),
    ("/spec/sites/0/auth/passwordSecretRef/name", "at least 1 char", &["''"]),
    ("/spec/sites/0/auth/username", "at least 1 char", &["''"]),
    (
        "/spec/sites/1/tls/serverName",
        "without a port",
        &["'redis.shop:6379'", "'10.0.0.1:1'", "'redis shop'"],
    ),
    ("/spec/sites/1/tls/serverName", "at least 1 char", &["''"]),
    ("/spec/sites/1/tls/caSecretRef/name", "at least 1 char", &["''"]),
    ("/spec/sites/1/tls/certificateSecretRef/name", "at least 1 char", &["''"]),
    ("/spec/sites/0/sentinel/tls/serverName", "without a port", &["'sentinel:26379'"]),
    ("/spec/sites/1/tls/insecureSkipVerify", "unknown field", &["true"]),
    // A password has no place in an object.
    ("/spec/sites/0/auth/password", "unknown field", &["hunter2"]),
    (
        "/spec/spool/maxBytes",
        "whole amount of bytes of at least 1Mi",
        &["lots", "'1.5Gi'", "1000Ki", "'-1Gi'"],
    ),
    ("/spec/spool/maxBytes", "must be of type string", &["1073741824"]),
    ("/spec/spool/retention/age", "such as 24h or 1h30m", &["tomorrow", "''"]),
    ("/spec/spool/retention/age", "largest unit first", &["'30m1h'"]),
    ("/spec/spool/retention/age", "at most 8760h", &["9999h"]),
    ("/spec/expiry/grace", "such as 1h or 90m", &["soon"]),
    ("/spec/expiry/grace", "at most 720h", &["721h"]),
    ("/spec/expiry/grace", "string", &["3600"]),
    ("/spec/spool/retention/bytes", "whole amount of bytes, such as 1Gi", &["some"]),
    ("/spec/fullCopy/onExistingData", "\"Refuse\", \"Sweep\", \"Keep\"", &["Flush"]),
    ("/spec/syncer/storage/size", "amount of bytes, such as 10Gi", &["big"]),
    ("/spec/syncer/storage/accessMode", "\"ReadWriteOncePod\"", &["ReadWriteMany"]),
    ("/spec/syncer/template/tolerations", "", &["{key: a}"]),
    ("/spec/syncer/template/affinity", "must be of type object", &["[a]"]),
    ("/spec/syncer/template/nodeSelector/a", "must be of type string", &["1"]),
    ("/spec/syncer/resources/limits/memory", "", &["[1]"]),
    (
        "/spec/release",
        "need offset (see status.links[].halt.offset)",
        &["{action: SkipUnit}", "{action: SkipUnit, offset: (null)}"],
    ),
    ("/spec/release", "no copyID", &["{action: RetryUnit, offset: 1, copyID: c}"]),
    (
        "/spec/release",
        "needs copyID (see status.links[].halt.copyID)",
        &["{action: AllowSweep, offset: 1}"],
    ),
    (
        "/spec/release",
        "exactly one of offset and copyID",
        &["{action: CopyAgain}", "{action: CopyAgain, offset: 1, copyID: c}"],
    ),
];

/// Changes whose refusal names another field than the one that was changed.
const OF_FIELDS_TOGETHER: &[Row<'static>] = &[
    (
        "/spec/sites/0/standalone: {address: 'a:1'}",
        "spec.sites[0]",
        "exactly one of standalone and sentinel",
    ),
    ("/spec/sites/1/standalone: null", "spec.sites[1]", "exactly one of standalone and sentinel"),
    ("/spec/sites/1/standalone: (null)", "spec.sites[1]", "exactly one of standalone and sentinel"),
    (
        "/spec/sites/1/standalone: (null)\n/spec/sites/1/sentinel: (null)",
        "spec.sites[1]",
        "exactly one of standalone and sentinel",
    ),
    ("/spec/sites/1: null", "spec.sites", "exactly two"),
    ("/spec/sites/-: {name: chengdu, standalone: {address: 'a:1'}}", "spec.sites", "exactly two"),
    ("/spec/sites/1/name: beijing", "spec.sites[1]", "Duplicate value"),
    (
        "/spec/sites/0/addressMap: [{announced: a, dial: b}, {announced: a, dial: c}]",
        "spec.sites[0].addressMap[1]",
        "Duplicate value",
    ),
    (
        "/spec/sites/0/addressMap: [{announced: 'a b', dial: b}]",
        "spec.sites[0].addressMap[0].announced",
        "must be host or host:port",
    ),
    (
        "/spec/sites/0/addressMap: [{announced: a, dial: 'redis://b'}]",
        "spec.sites[0].addressMap[0].dial",
        "must be host or host:port",
    ),
    ("/spec/sites/0/addressMap: [{announced: a}]", "spec.sites[0].addressMap[0].dial", "Required"),
    (
        "/spec/release: {action: SkipUnit, offset: -1}",
        "spec.release.offset",
        "greater than or equal to 0",
    ),
    (
        "/spec/release: {action: SkipUnit, offset: 1.5}",
        "spec.release.offset",
        "must be of type integer",
    ),
    ("/spec/release: {action: skip, offset: 1}", "spec.release.action", "\"SkipUnit\""),
    ("/spec/release: {offset: 1}", "spec.release.action", "Required"),
    (
        "/spec/spool/maxBytes: 10Gi",
        "spec.syncer",
        "syncer.storage.size must be larger than spool.maxBytes",
    ),
    (
        "/spec/syncer/storage/size: 8Gi",
        "spec.syncer",
        "syncer.storage.size must be larger than spool.maxBytes",
    ),
    ("/spec/syncer/template/affinity: {podAntiAffinty: {}}", "podAntiAffinty", "unknown field"),
];

#[tokio::test]
async fn a_wrong_manifest_is_refused_with_the_field_and_the_remedy() {
    let space = Space::new("refusals").await;
    assert_eq!(refusal(&space, &good("cart")).await, None, "what the rows change is good");
    let of_a_field = OF_A_FIELD.iter().flat_map(rows);
    let together = OF_FIELDS_TOGETHER
        .iter()
        .map(|&(changes, field, remedy)| (changes.to_owned(), field.to_owned(), remedy));
    let mut faults = Vec::new();
    let mut count = 0;
    for (changes, field, remedy) in of_a_field.chain(together) {
        let mut object = good("cart");
        change(&mut object, &changes);
        let message = refusal(&space, &object).await;
        faults.extend(fault(&(&changes, &field, remedy), message));
        count += 1;
    }
    println!("{count} wrong manifests");
    must_be_empty(&faults);
}

#[tokio::test]
async fn every_form_that_the_fields_promise_is_accepted() {
    let space = Space::new("forms").await;
    for changes in [
        "/spec/sites/1/standalone/address: '[fd00::1]:6379'",
        "/spec/sites/1/standalone/address: 'redis.shop.svc.cluster.local:6379'",
        "/spec/sites/0/addressMap: [{announced: a, dial: b}, {announced: 'a:1', dial: '[fd00::1]:2'}]",
        "/spec/sites/1/tls: {}\n/spec/sites/0/sentinel/tls: {serverName: 'fd00::1'}",
        "/spec/sites/1/tls: {serverName: 10.0.0.1}\n/spec/sites/0/tls: (null)",
        "/spec/sites/0/tls: {caSecretRef: {name: a}, certificateSecretRef: {name: b}, serverName: redis.shop.svc}",
        "/spec/pairID: shop/cart_1.x-y",
        "/spec/spool: {maxBytes: 1Mi, retention: {bytes: '0', age: 90s}}",
        "/spec/spool: {retention: {age: 8760h}}",
        "/spec/spool: {retention: {age: 1h30m}}",
        "/spec/spool: {maxBytes: 20Gi}\n/spec/syncer: {storage: {size: 21Gi}}",
        "/spec/syncer: {storage: {accessMode: ReadWriteOnce, storageClassName: fast}}",
        "/spec/release: {action: CopyAgain, copyID: c}",
        "/spec/release: {action: SkipUnit, offset: 0}",
        "/spec/primary: shanghai",
        "/spec/syncer: {template: {tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]}}",
        "/spec/syncer: {resources: {limits: {memory: 1Gi, cpu: 1}}}",
        "/spec/paused: true",
        "/spec/preflight: {evictingStandby: Allow}",
        "/spec/preflight: (null)",
        "/spec/sites/0/standalone: (null)",
        "/spec/sites/1/sentinel: (null)",
        "/spec/sites/0/auth: (null)\n/spec/pairID: (null)\n/spec/release: (null)",
        "/spec/sites/0/auth/username: (null)",
        "/spec/spool: {retention: {bytes: (null)}}",
        "/spec/spool: (null)\n/spec/syncer: {template: (null), storage: {storageClassName: (null)}}",
        "/metadata/name: a-name-of-forty-characters-is-the-limits",
        "/metadata/name: 7-cart",
    ] {
        let mut object = good("cart");
        change(&mut object, changes);
        assert_eq!(refusal(&space, &object).await, None, "{changes}");
    }
}
