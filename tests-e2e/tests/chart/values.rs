//! Values: wrong ones are refused by name, right ones are explained.

use std::fs;

use redissync_e2e::chart::{parse_yaml, render_chart, repository};
use serde_json::{Value, json};

#[test]
fn a_wrong_value_is_refused_and_named() {
    let rows = [
        ("operater", json!({}), "'operater' not allowed"),
        ("operator.replica", json!(1), "'replica' not allowed"),
        ("operator.replicas", json!(-1), "/operator/replicas"),
        ("operator.replicas", json!("two"), "/operator/replicas"),
        ("operator.leaderElection", json!("yes"), "/operator/leaderElection"),
        ("operator.image.pullPolicy", json!("Sometimes"), "/operator/image/pullPolicy"),
        ("operator.image.tag", json!(1.2), "/operator/image/tag"),
        ("syncer.image.digest", json!("sha256:12"), "/syncer/image/digest"),
        ("syncer.image.repository", json!(""), "/syncer/image/repository"),
        ("operator.imagePullSecrets", json!(["registry"]), "/operator/imagePullSecrets/0"),
        ("operator.resources.limits.memory", json!("lots"), "/operator/resources/limits/memory"),
        ("operator.tolerations", json!([{"effect": "NoRun"}]), "/operator/tolerations/0/effect"),
        ("operator.podLabels", json!({"a": true}), "/operator/podLabels/a"),
        ("operator.log.format", json!("xml"), "/operator/log/format"),
        ("watchNamespaces", json!("tools"), "/watchNamespaces"),
        ("watchNamespaces", json!(["Tools"]), "/watchNamespaces/0"),
        ("watchNamespaces", json!(["tools", "tools"]), "/watchNamespaces"),
        ("crds.install", json!("maybe"), "/crds/install"),
        ("metrics.podMonitor.interval", json!("often"), "/metrics/podMonitor/interval"),
        ("networkPolicy.apiServerPorts", json!([0]), "/networkPolicy/apiServerPorts/0"),
        ("networkPolicy.sites", json!([{"cidr": "10.0.0.0/8"}]), "/networkPolicy/sites/0"),
        ("fullnameOverride", json!("Not_A_Name"), "/fullnameOverride"),
    ];
    for (path, value, words) in rows {
        let refused = render_chart("blue", "ops", &[(path, value.clone())]);
        let Err(err) = refused else { panic!("{path}={value} was taken") };
        assert!(err.to_string().contains(words), "{path}={value}: {err}");
    }
}

#[test]
fn values_that_contradict_each_other_are_refused_with_what_to_do() {
    let rows = [
        (
            vec![("operator.replicas", json!(2)), ("operator.leaderElection", json!(false))],
            "Set leaderElection to true, or replicas to 1",
        ),
        (vec![("serviceAccount.create", json!(false))], "name a ServiceAccount that is there"),
    ];
    for (values, words) in rows {
        let err = render_chart("blue", "ops", &values).unwrap_err().to_string();
        assert!(err.contains(words), "{err}");
    }
}

/// The paths of all values; a map that is empty by default is a value.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() && !path.ends_with("resources") => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(field, &path, found);
            }
        }
        _ => found.push(path.to_string()),
    }
}

fn all_values() -> Vec<String> {
    let text =
        fs::read_to_string(repository().join("charts/redissync-operator/values.yaml")).unwrap();
    let mut found = Vec::new();
    paths(&parse_yaml(&text).unwrap()[0], "", &mut found);
    found
}

#[test]
fn every_value_is_explained_to_who_installs() {
    let manual = fs::read_to_string(repository().join("docs/installing.md")).unwrap();
    for path in all_values() {
        assert!(
            manual.contains(&format!("`{path}`")),
            "docs/installing.md does not explain {path}"
        );
    }
}

#[test]
fn every_value_stands_in_the_schema() {
    let path = repository().join("charts/redissync-operator/values.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for path in all_values() {
        let mut at = &schema;
        for name in path.split('.') {
            at = &at["properties"][name];
            if let Some(reference) = at["$ref"].as_str() {
                at = schema.pointer(reference.trim_start_matches('#')).unwrap();
            }
        }
        assert!(!at.is_null(), "values.schema.json does not know {path}");
    }
}
