//! What is refused when an object is created.

use serde_json::{Value, json};

use super::{Row, fault, must_be_empty, refusal};
use crate::{sample::change, space::Space};

/// A good one with both kinds of site: what the rows change.
pub(super) fn good(name: &str) -> Value {
    json!({
        "apiVersion": "redissync.dev/v1alpha1",
        "kind": "RedisSync",
        "metadata": {"name": name},
        "spec": {
            "primary": "beijing",
            "sites": [
                {
                    "name": "beijing",
                    "sentinel": {"masterName": "orders", "endpoints": ["10.9.0.1:26379"]},
                    "auth": {"passwordSecretRef": {"name": "redis", "key": "password"}}
                },
                {"name": "shanghai", "standalone": {"address": "10.9.1.1:6379"}}
            ]
        }
    })
}

const SITES: &[Row] = &[
    (
        "/spec/sites/0/standalone: {address: 'a:1'}",
        "spec.sites[0]",
        "exactly one of standalone and sentinel",
    ),
    ("/spec/sites/1/standalone: null", "spec.sites[1]", "exactly one of standalone and sentinel"),
    ("/spec/sites: null", "spec.sites", "Required"),
    ("/spec/sites: []", "spec.sites", "exactly two"),
    ("/spec/sites/1: null", "spec.sites", "exactly two"),
    ("/spec/sites/-: {name: chengdu, standalone: {address: 'a:1'}}", "spec.sites", "exactly two"),
    ("/spec/sites/1/name: beijing", "spec.sites[1]", "Duplicate value"),
    ("/spec/sites/1/name: ''", "spec.sites[1].name", "at least 1 char"),
    ("/spec/sites/1/name: null", "spec.sites[1].name", "Required"),
    ("/spec/sites/1/name: Shanghai", "spec.sites[1].name", "lower case letters, digits and -"),
    ("/spec/sites/1/name: shang_hai", "spec.sites[1].name", "lower case letters, digits and -"),
    ("/spec/sites/1/name: -shanghai", "spec.sites[1].name", "start and end with a letter or digit"),
    ("/spec/sites/1/name: 7", "spec.sites[1].name", "must be of type string"),
    (
        "/spec/sites/1/name: a-name-of-more-than-sixty-three-characters-which-is-too-long-for-a-label",
        "spec.sites[1].name",
        "than 63",
    ),
    ("/spec/primary: chengdu", "spec.primary", "must be the name of one of the two sites"),
    ("/spec/primary: null", "spec.primary", "Required"),
    ("/spec/primary: ''", "spec.primary", "must be the name of one of the two sites"),
    ("/spec/primary: 7", "spec.primary", "must be of type string"),
];

const ADDRESSES: &[Row] = &[
    (
        "/spec/sites/1/standalone/address: redis",
        "spec.sites[1].standalone.address",
        "must be host:port",
    ),
    (
        "/spec/sites/1/standalone/address: 'redis:'",
        "spec.sites[1].standalone.address",
        "must be host:port",
    ),
    (
        "/spec/sites/1/standalone/address: 'redis://a:6379'",
        "spec.sites[1].standalone.address",
        "must be host:port",
    ),
    (
        "/spec/sites/1/standalone/address: 'a b:6379'",
        "spec.sites[1].standalone.address",
        "must be host:port",
    ),
    (
        "/spec/sites/1/standalone/address: ' a:6379'",
        "spec.sites[1].standalone.address",
        "must be host:port",
    ),
    (
        "/spec/sites/1/standalone/address: 'fd00::1:6379'",
        "spec.sites[1].standalone.address",
        "must be host:port",
    ),
    (
        "/spec/sites/1/standalone/address: ''",
        "spec.sites[1].standalone.address",
        "must be host:port",
    ),
    ("/spec/sites/1/standalone: {}", "spec.sites[1].standalone.address", "Required"),
    (
        "/spec/sites/0/sentinel/endpoints/0: '10.9.0.1'",
        "spec.sites[0].sentinel.endpoints",
        "must be host:port",
    ),
    (
        "/spec/sites/0/sentinel/endpoints/-: 'tcp://a:1'",
        "spec.sites[0].sentinel.endpoints",
        "must be host:port",
    ),
    (
        "/spec/sites/0/sentinel/endpoints/-: 'a:1 b:1'",
        "spec.sites[0].sentinel.endpoints",
        "must be host:port",
    ),
    ("/spec/sites/0/sentinel/endpoints: []", "spec.sites[0].sentinel.endpoints", "at least 1 item"),
    ("/spec/sites/0/sentinel/endpoints: null", "spec.sites[0].sentinel.endpoints", "Required"),
    (
        "/spec/sites/0/sentinel/endpoints: 'a:1'",
        "spec.sites[0].sentinel.endpoints",
        "must be of type array",
    ),
    (
        "/spec/sites/0/sentinel/endpoints/-: 26379",
        "spec.sites[0].sentinel.endpoints[1]",
        "must be of type string",
    ),
    (
        "/spec/sites/0/sentinel/masterName: ''",
        "spec.sites[0].sentinel.masterName",
        "at least 1 char",
    ),
    (
        "/spec/sites/0/sentinel/masterName: 'my master'",
        "spec.sites[0].sentinel.masterName",
        "letters, digits and . _ -",
    ),
    ("/spec/sites/0/sentinel/masterName: null", "spec.sites[0].sentinel.masterName", "Required"),
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
        "/spec/sites/0/auth/passwordSecretRef: null",
        "spec.sites[0].auth.passwordSecretRef",
        "Required",
    ),
    (
        "/spec/sites/0/auth/passwordSecretRef/key: null",
        "spec.sites[0].auth.passwordSecretRef.key",
        "Required",
    ),
    (
        "/spec/sites/0/auth/passwordSecretRef/name: ''",
        "spec.sites[0].auth.passwordSecretRef.name",
        "at least 1 char",
    ),
    ("/spec/sites/0/auth/username: ''", "spec.sites[0].auth.username", "at least 1 char"),
    // A password has no place in an object.
    ("/spec/sites/0/auth/password: hunter2", "spec.sites[0].auth.password", "unknown field"),
];

const THE_REST: &[Row] = &[
    ("/spec/pairID: 'a b'", "spec.pairID", "letters, digits and . _ / -"),
    ("/spec/pairID: ''", "spec.pairID", "at least 1 char"),
    ("/spec/pairID: '购物车'", "spec.pairID", "letters, digits and . _ / -"),
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
    (
        "/spec/release: {action: SkipUnit}",
        "spec.release",
        "need offset (see status.links[].halt.offset)",
    ),
    ("/spec/release: {action: RetryUnit, offset: 1, copyID: c}", "spec.release", "no copyID"),
    (
        "/spec/release: {action: AllowSweep, offset: 1}",
        "spec.release",
        "needs copyID (see status.links[].halt.copyID)",
    ),
    ("/spec/release: {action: CopyAgain}", "spec.release", "exactly one of offset and copyID"),
    (
        "/spec/release: {action: CopyAgain, offset: 1, copyID: c}",
        "spec.release",
        "exactly one of offset and copyID",
    ),
    ("/spec/release: {action: skip, offset: 1}", "spec.release.action", "\"SkipUnit\""),
    ("/spec/release: {offset: 1}", "spec.release.action", "Required"),
    (
        "/spec/spool: {maxBytes: lots}",
        "spec.spool.maxBytes",
        "whole amount of bytes of at least 1Mi",
    ),
    (
        "/spec/spool: {maxBytes: '1.5Gi'}",
        "spec.spool.maxBytes",
        "whole amount of bytes of at least 1Mi",
    ),
    (
        "/spec/spool: {maxBytes: 1000Ki}",
        "spec.spool.maxBytes",
        "whole amount of bytes of at least 1Mi",
    ),
    (
        "/spec/spool: {maxBytes: '-1Gi'}",
        "spec.spool.maxBytes",
        "whole amount of bytes of at least 1Mi",
    ),
    (
        "/spec/spool: {maxBytes: 10Gi}",
        "spec.syncer",
        "syncer.storage.size must be larger than spool.maxBytes",
    ),
    (
        "/spec/syncer: {storage: {size: 8Gi}}",
        "spec.syncer",
        "syncer.storage.size must be larger than spool.maxBytes",
    ),
    (
        "/spec/syncer: {storage: {size: big}}",
        "spec.syncer.storage.size",
        "amount of bytes, such as 10Gi",
    ),
    ("/spec/expiry: {grace: soon}", "spec.expiry.grace", "such as 1h or 90m"),
    ("/spec/expiry: {grace: 721h}", "spec.expiry.grace", "at most 720h"),
    ("/spec/expiry: {grace: 3600}", "spec.expiry.grace", "string"),
    (
        "/spec/spool: {retention: {age: tomorrow}}",
        "spec.spool.retention.age",
        "such as 24h or 1h30m",
    ),
    ("/spec/spool: {retention: {age: '30m1h'}}", "spec.spool.retention.age", "largest unit first"),
    ("/spec/spool: {retention: {age: ''}}", "spec.spool.retention.age", "such as 24h or 1h30m"),
    ("/spec/spool: {retention: {age: 9999h}}", "spec.spool.retention.age", "at most 8760h"),
    (
        "/spec/spool: {retention: {bytes: some}}",
        "spec.spool.retention.bytes",
        "whole amount of bytes, such as 1Gi",
    ),
    (
        "/spec/syncer: {storage: {accessMode: ReadWriteMany}}",
        "spec.syncer.storage.accessMode",
        "\"ReadWriteOncePod\"",
    ),
    (
        "/spec/fullCopy: {onExistingData: Flush}",
        "spec.fullCopy.onExistingData",
        "\"Refuse\", \"Sweep\", \"Keep\"",
    ),
    ("/spec/paused: 'yes'", "spec.paused", "must be of type boolean"),
    ("/spec/spool: {maxBytes: 1073741824}", "spec.spool.maxBytes", "must be of type string"),
    ("/spec/syncer: {template: {tolerations: {key: a}}}", "spec.syncer.template.tolerations", ""),
    (
        "/spec/syncer: {template: {affinity: [a]}}",
        "spec.syncer.template.affinity",
        "must be of type object",
    ),
    (
        "/spec/syncer: {template: {affinity: {podAntiAffinty: {}}}}",
        "podAntiAffinty",
        "unknown field",
    ),
    (
        "/spec/syncer: {template: {nodeSelector: {a: 1}}}",
        "spec.syncer.template.nodeSelector.a",
        "must be of type string",
    ),
    (
        "/spec/syncer: {resources: {limits: {memory: [1]}}}",
        "spec.syncer.resources.limits.memory",
        "",
    ),
    ("/spec/failover: true", "spec.failover", "unknown field"),
    ("/spec/Paused: true", "spec.Paused", "unknown field"),
    (
        "/metadata/name: a-name-of-more-than-forty-characters-in-all",
        "metadata.name",
        "at most 40 characters",
    ),
    ("/metadata/name: Cart", "metadata.name", "lower case"),
    ("/metadata/name: cart.eu", "metadata.name", "must have no dot"),
    ("/metadata/name: cart.", "metadata.name", "lower case"),
    ("/spec: null", "spec", "Required"),
    ("/spec/sites/1/standalone: (null)", "spec.sites[1]", "exactly one of standalone and sentinel"),
    (
        "/spec/sites/1/standalone: (null)\n/spec/sites/1/sentinel: (null)",
        "spec.sites[1]",
        "exactly one of standalone and sentinel",
    ),
    ("/spec/release: {action: SkipUnit, offset: (null)}", "spec.release", "need offset"),
];

#[tokio::test]
async fn a_wrong_manifest_is_refused_with_the_field_and_the_remedy() {
    let space = Space::new("refusals").await;
    assert_eq!(refusal(&space, &good("cart")).await, None, "what the rows change is good");
    let mut faults = Vec::new();
    let mut rows = 0;
    for row in SITES.iter().chain(ADDRESSES).chain(THE_REST) {
        let mut object = good("cart");
        change(&mut object, row.0);
        faults.extend(fault(row, refusal(&space, &object).await));
        rows += 1;
    }
    println!("{rows} wrong manifests");
    must_be_empty(&faults);
}

#[tokio::test]
async fn every_form_that_the_fields_promise_is_accepted() {
    let space = Space::new("forms").await;
    for changes in [
        "/spec/sites/1/standalone/address: '[fd00::1]:6379'",
        "/spec/sites/1/standalone/address: 'redis.shop.svc.cluster.local:6379'",
        "/spec/sites/0/addressMap: [{announced: a, dial: b}, {announced: 'a:1', dial: '[fd00::1]:2'}]",
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
