//! The documentation of the fields is the manual: every field has one, in the words of users.

use std::{process::Command, time::Duration};

use axum::http::Request;
use serde_json::Value;

use crate::{cluster, wait::until};

/// A sentence needs as many characters.
const CHARACTERS_MIN: usize = 20;
/// How long an API server takes to serve the documentation of a kind that was just changed.
const SERVED_WITHIN: Duration = Duration::from_secs(30);
/// Words of the implementation that mean nothing to a reader of YAML.
const FOREIGN_WORDS: [&str; 12] = [
    "::",
    "`None`",
    "Option<",
    "Vec<",
    "BTreeMap",
    "serde",
    "[`",
    "struct ",
    "enum ",
    "u64",
    "impl ",
    "RedisSyncSpec",
];

#[tokio::test]
async fn every_field_is_documented_in_the_words_of_users() {
    let schema = served_schema().await;
    let mut faults = Vec::new();
    let mut fields = 0;
    for part in ["spec", "status"] {
        let place = format!("redissync.{part}");
        visit(&place, &schema["properties"][part], true, &mut |path, is_ours, field| {
            fields += 1;
            faults.extend(fault(path, is_ours, field));
        });
    }
    println!("{fields} fields");
    assert!(fields > 100, "the schema has only {fields} fields");
    assert!(faults.is_empty(), "{} fields:\n{}", faults.len(), faults.join("\n"));
}

fn fault(path: &str, is_ours: bool, field: &Value) -> Option<String> {
    let text = field["description"].as_str().unwrap_or_default();
    if text.chars().count() < if is_ours { CHARACTERS_MIN } else { 1 } {
        return Some(format!("{path}: {text:?}"));
    }
    let word = FOREIGN_WORDS.iter().find(|word| is_ours && text.contains(**word))?;
    Some(format!("{path}: {word:?} in {text:?}"))
}

/// Calls for the field and for all below. What Kubernetes itself has documented is not ours.
fn visit(path: &str, field: &Value, is_ours: bool, call: &mut dyn FnMut(&str, bool, &Value)) {
    call(path, is_ours, field);
    let below = [
        &field["properties"],
        &field["items"]["properties"],
        &field["additionalProperties"]["properties"],
    ];
    for (name, child) in below.into_iter().filter_map(Value::as_object).flatten() {
        let is_borrowed = [
            "affinity",
            "tolerations",
            "topologySpreadConstraints",
            "imagePullSecrets",
            "resources",
            "conditions",
        ]
        .iter()
        .any(|last| path.ends_with(&format!(".{last}")));
        visit(&format!("{path}.{name}"), child, is_ours && !is_borrowed, call);
    }
}

/// As `kubectl explain` gets it.
async fn served_schema() -> Value {
    let request = Request::get("/openapi/v3/apis/redissync.dev/v1alpha1")
        .body(Vec::new())
        .expect("a request");
    let client = cluster::client().await;
    let document: Value =
        client.request(request).await.expect("the API server has a document of the kind");
    document["components"]["schemas"]["dev.redissync.v1alpha1.RedisSync"].clone()
}

#[tokio::test]
async fn kubectl_explains_spec_and_status_to_the_last_field() {
    drop(cluster::client().await);
    for (arguments, words) in [
        (vec!["redissync"], "keeps a Redis or Valkey deployment in a second site equal"),
        (vec!["redissync.spec"], "The two sites, by name"),
        (vec!["redissync.spec", "--recursive"], "passwordSecretRef"),
        (vec!["redissync.spec.sites"], "Failovers are followed without a new full copy"),
        (vec!["redissync.spec.sites.sentinel"], "masterName"),
        (vec!["redissync.spec.sites.tls"], "no way to leave the verification out"),
        (vec!["redissync.spec.sites.sentinel.tls.caSecretRef"], "cert-manager"),
        (vec!["redissync.spec.fullCopy"], "TargetNotEmpty"),
        (vec!["redissync.spec.release"], "SkipUnit"),
        (vec!["redissync.status"], "observedAt"),
        (vec!["redissync.status.links.offsets"], "checkpoint"),
    ] {
        // Right behind a change of the kind the API server may still tell the text before it.
        let look = async || {
            let text = explain(&arguments);
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if flat.contains(words) { Ok(text) } else { Err(text) }
        };
        let (text, _) = until(&format!("{arguments:?} has {words:?}"), SERVED_WITHIN, look).await;
        assert!(!text.contains("<no description>"), "{arguments:?}:\n{text}");
    }
}

fn explain(arguments: &[&str]) -> String {
    let output = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(cluster::kubeconfig())
        .arg("explain")
        .args(arguments)
        .output()
        .expect("kubectl is not here: 'make test-api' finds the cluster's own, else install it");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}
