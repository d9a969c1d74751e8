//! Which objects the chart makes, and when.

use std::fs;

use redissync_e2e::chart::{ChartValues, lint_chart, parse_yaml, render_chart, repository};
use serde_json::{Value, json};

/// Everything that can be switched on, and the forms that templates branch on.
pub(crate) fn everything() -> Vec<(&'static str, Value)> {
    vec![
        ("metrics.service.enabled", json!(true)),
        ("metrics.podMonitor.enabled", json!(true)),
        ("metrics.podMonitor.interval", json!("30s")),
        ("metrics.podMonitor.labels", json!({"release": "prometheus"})),
        ("networkPolicy.enabled", json!(true)),
        ("networkPolicy.sites", json!([{"ipBlock": {"cidr": "10.1.0.0/16"}}])),
        ("networkPolicy.metricsFrom", json!([{"namespaceSelector": {}}])),
        ("commonLabels", json!({"team": "data"})),
        ("serviceAccount.annotations", json!({"a": "b"})),
        ("operator.imagePullSecrets", json!([{"name": "registry"}])),
    ]
}

pub(crate) fn render(values: &ChartValues<'_>) -> Vec<Value> {
    // Neither name is the product's, so swapped ones are seen.
    render_chart("blue", "ops", values).unwrap()
}

pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

pub(crate) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "objects of kind {kind}");
    found[0]
}

fn kinds(values: &ChartValues<'_>) -> Vec<String> {
    let mut kinds: Vec<_> =
        render(values).iter().map(|object| object["kind"].as_str().unwrap().to_string()).collect();
    kinds.sort();
    kinds
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

#[test]
fn a_strict_lint_passes_with_the_defaults_and_with_everything() {
    lint_chart(&[]).unwrap();
    lint_chart(&everything()).unwrap();
}

#[test]
fn the_chart_has_the_version_of_the_workspace() {
    let chart = parse_yaml(&read("charts/redissync-operator/Chart.yaml")).unwrap();
    let cargo = read("Cargo.toml");
    let version = cargo.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
    assert_eq!(chart[0]["version"], version.trim_matches('"'));
    assert_eq!(chart[0]["appVersion"], version.trim_matches('"'));
}

#[test]
fn each_switch_adds_or_removes_its_objects() {
    let default = kinds(&[]);
    let rows: [(&str, Value, &[&str], &[&str]); 9] = [
        ("metrics.service.enabled", json!(true), &["Service"], &[]),
        ("metrics.podMonitor.enabled", json!(true), &["PodMonitor", "PodMonitor"], &[]),
        ("networkPolicy.enabled", json!(true), &["NetworkPolicy"], &[]),
        ("crds.install", json!(false), &[], &["CustomResourceDefinition"]),
        ("serviceAccount", json!({"create": false, "name": "mine"}), &[], &["ServiceAccount"]),
        ("operator.leaderElection", json!(false), &[], &["Role", "RoleBinding"]),
        ("rbac.aggregate", json!(false), &[], &["ClusterRole", "ClusterRole"]),
        (
            "rbac.create",
            json!(false),
            &[],
            &[
                "ClusterRole",
                "ClusterRole",
                "ClusterRole",
                "ClusterRoleBinding",
                "Role",
                "RoleBinding",
            ],
        ),
        (
            "watchNamespaces",
            json!(["tools", "shop"]),
            &["Role", "Role", "RoleBinding", "RoleBinding"],
            &["ClusterRole", "ClusterRole", "ClusterRole", "ClusterRoleBinding"],
        ),
    ];
    for (path, value, more, fewer) in rows {
        let mut expected = default.clone();
        for kind in fewer {
            expected.remove(expected.iter().position(|known| known == kind).unwrap());
        }
        expected.extend(more.iter().map(ToString::to_string));
        expected.sort();
        assert_eq!(kinds(&[(path, value)]), expected, "{path}");
    }
}

#[test]
fn the_kind_is_the_generated_one_and_outlives_the_release() {
    let objects = render(&[]);
    let mut crd = only(&objects, "CustomResourceDefinition").clone();
    assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    crd["metadata"] = json!({"name": crd["metadata"]["name"]});
    assert_eq!(crd, parse_yaml(&read("crds/redissyncs.redissync.dev.yaml")).unwrap()[0]);
}

#[test]
fn every_object_is_named_labelled_and_in_its_namespace_even_with_the_longest_release_name() {
    let release = "a".repeat(53);
    for object in render_chart(&release, "ops", &everything()).unwrap() {
        let (kind, metadata) = (object["kind"].as_str().unwrap(), &object["metadata"]);
        let name = metadata["name"].as_str().unwrap();
        assert!(name.len() <= 63, "{kind} {name}");
        assert_eq!(metadata["labels"]["team"], "data", "{kind} {name}");
        assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], release, "{kind} {name}");
        let is_global = kind.starts_with("Cluster") || kind == "CustomResourceDefinition";
        let namespace = if is_global { Value::Null } else { json!("ops") };
        assert_eq!(metadata["namespace"], namespace, "{kind} {name}");
    }
}

#[test]
fn names_that_look_like_numbers_stay_names() {
    let objects = render_chart("7", "42", &[("watchNamespaces", json!(["007"]))]).unwrap();
    for object in &objects {
        let (metadata, kind) = (&object["metadata"], &object["kind"]);
        assert!(metadata["namespace"].is_string() || kind == "CustomResourceDefinition", "{kind}");
        assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "7", "{kind}");
    }
}

#[test]
fn pod_monitors_find_the_operator_and_the_syncers_where_they_are() {
    let select = |values: &ChartValues<'_>| {
        let objects = render(values);
        let monitors = of_kind(&objects, "PodMonitor");
        for monitor in &monitors {
            assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["port"], "http");
            assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["interval"], "30s");
            assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
        }
        monitors[1]["spec"]["namespaceSelector"].clone()
    };
    let mut values = everything();
    assert_eq!(select(&values), json!({"any": true}));
    values.push(("watchNamespaces", json!(["tools"])));
    assert_eq!(select(&values), json!({"matchNames": ["tools"]}));
}

#[test]
fn the_network_policy_lets_the_operator_reach_what_it_asks() {
    let objects = render(&everything());
    let spec = &only(&objects, "NetworkPolicy")["spec"];
    assert_eq!(spec["ingress"][0]["ports"], json!([{"port": "http", "protocol": "TCP"}]));
    assert_eq!(spec["ingress"][0]["from"], json!([{"namespaceSelector": {}}]));
    let ports = |rule: usize| spec["egress"][rule]["ports"].as_array().unwrap().len();
    assert_eq!([ports(0), ports(1), ports(2)], [2, 2, 1]);
    assert_eq!(spec["egress"][2]["ports"][0]["port"], 9250);
    assert_eq!(spec["egress"][3], json!({"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}));

    let anywhere = render(&[("networkPolicy.enabled", json!(true))]);
    assert_eq!(only(&anywhere, "NetworkPolicy")["spec"]["egress"][3], json!({}));
}
