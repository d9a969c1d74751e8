//! What the schema cannot know: the running operator says it, in the conditions.

use std::time::Duration;

use serde_json::Value;

use super::{Row, must_be_empty};
use crate::{
    operator_process::Operator,
    sample::{change, sentinel, standalone},
    space::Space,
    wait::until,
};

const WITHIN: Duration = Duration::from_secs(20);

/// Changes, the reason, and words of the message.
const ROWS: &[(Row<'static>, &[&str])] = &[
    (
        (
            "/spec/sites/0/auth: {passwordSecretRef: {name: nowhere, key: password}}",
            "SecretNotFound",
            "spec.sites[beijing].auth.passwordSecretRef",
        ),
        &["no Secret 'nowhere'", "create it"],
    ),
    (
        (
            "/spec/sites/1/auth: {passwordSecretRef: {name: good, key: passwort}}",
            "SecretInvalid",
            "spec.sites[shanghai].auth.passwordSecretRef",
        ),
        &["'good' has no key 'passwort'", "add it"],
    ),
    (
        (
            "/spec/sites/1/auth: {passwordSecretRef: {name: empty, key: password}}",
            "SecretInvalid",
            "spec.sites[shanghai].auth.passwordSecretRef",
        ),
        &["holds no password", "must be text of 1 byte"],
    ),
    (
        (
            "/spec/sites/1/auth: {passwordSecretRef: {name: newline, key: password}}",
            "SecretInvalid",
            "spec.sites[shanghai].auth.passwordSecretRef",
        ),
        &["holds no password", "must be text of 1 byte"],
    ),
    (
        (
            "/spec/sites/1/auth: {passwordSecretRef: {name: binary, key: password}}",
            "SecretInvalid",
            "spec.sites[shanghai].auth.passwordSecretRef",
        ),
        &["holds no password", "must be text"],
    ),
    (
        (
            "/spec/sites/0/tls: {caSecretRef: {name: nowhere}}",
            "SecretNotFound",
            "spec.sites[beijing].tls.caSecretRef",
        ),
        &["no Secret 'nowhere'", "create it"],
    ),
    (
        (
            "/spec/sites/1/tls: {caSecretRef: {name: good, key: password}}",
            "SecretInvalid",
            "spec.sites[shanghai].tls",
        ),
        &["key 'password' of the Secret 'good' holds no certificate", "BEGIN CERTIFICATE"],
    ),
    (
        (
            "/spec/sites/0/standalone/address: 'a:0'",
            "InvalidSpec",
            "spec.sites[beijing].standalone.address",
        ),
        &["a:0", "the port must be a number from 1 to 65535"],
    ),
    (
        (
            "/spec/sites/1/standalone/address: 'a:70000'",
            "InvalidSpec",
            "spec.sites[shanghai].standalone.address",
        ),
        &["a:70000", "the port must be a number from 1 to 65535"],
    ),
    (
        ("/spec/sites/1/standalone/address: '127.0.0.1:9'", "InvalidSpec", "spec.sites"),
        &["127.0.0.1:9", "name the other server"],
    ),
];

/// The same, of sites with sentinels.
const OF_SENTINELS: &[(Row<'static>, &[&str])] = &[
    (
        (
            "/spec/sites/0/sentinel/auth: {passwordSecretRef: {name: nowhere, key: password}}",
            "SecretNotFound",
            "spec.sites[beijing].sentinel.auth.passwordSecretRef",
        ),
        &["no Secret 'nowhere'", "create it"],
    ),
    (
        (
            "/spec/sites/0/sentinel/tls: {certificateSecretRef: {name: good}}",
            "SecretInvalid",
            "spec.sites[beijing].sentinel.tls.certificateSecretRef",
        ),
        &["the Secret 'good' has no key 'tls.crt'"],
    ),
    (
        (
            "/spec/sites/0/sentinel/endpoints: ['a:70000']",
            "InvalidSpec",
            "spec.sites[beijing].sentinel.endpoints",
        ),
        &["a:70000", "the port must be a number from 1 to 65535"],
    ),
    (
        (
            "/spec/sites/0/addressMap: [{announced: a, dial: 'b:0'}]",
            "InvalidSpec",
            "spec.sites[beijing].addressMap",
        ),
        &["b:0", "port"],
    ),
];

#[tokio::test]
async fn what_the_schema_cannot_know_is_told_by_the_conditions() {
    let space = Space::new("conditions").await;
    for (name, value) in
        [("good", &b"secret"[..]), ("empty", b""), ("newline", b"\n"), ("binary", b"\xff\xfe\x00")]
    {
        space.put_secret(name, "password", value).await;
    }
    let _operator = Operator::start_in(&space).await;
    let of = |base: fn(&str) -> Value, prefix: &'static str| {
        move |(index, row): (usize, &'static (Row<'static>, &'static [&'static str]))| {
            let name = format!("{prefix}-{index}");
            (base(&name), name, row)
        }
    };
    let cases = ROWS.iter().enumerate().map(of(standalone, "plain"));
    let mut faults = Vec::new();
    let cases: Vec<_> =
        cases.chain(OF_SENTINELS.iter().enumerate().map(of(sentinel, "sentinel"))).collect();
    for (object, _, ((changes, ..), _)) in &cases {
        let mut object = object.clone();
        change(&mut object, changes);
        space.create(&object).await;
    }
    for (_, name, ((changes, reason, field), words)) in cases {
        let (ready, _) = until("Ready is told", WITHIN, async || {
            let object = space.get(&name).await;
            let ready = condition(&object, "Ready").ok_or("no condition yet")?;
            if ready.1 == "SyncerPending" { Err("it is taken for good") } else { Ok(ready) }
        })
        .await;
        let object = space.get(&name).await;
        let stalled = condition(&object, "Stalled").map(|stalled| stalled.0);
        let (status, told, message) = &ready;
        let all: Vec<&str> = words.iter().chain([field]).copied().collect();
        let lacks = all.iter().find(|words| !message.contains(**words));
        if status != "False"
            || told != reason
            || lacks.is_some()
            || stalled.as_deref() != Some("True")
        {
            faults.push(format!(
                "{changes}: {status}/{told}, Stalled={stalled:?}, lacks {lacks:?}: {message}"
            ));
        }
    }
    must_be_empty(&faults);
}

/// Status, reason and message.
fn condition(
    object: &redissync_operator::crd::RedisSync,
    type_: &str,
) -> Option<(String, String, String)> {
    let status = object.status.as_ref()?;
    let found = status.conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}
