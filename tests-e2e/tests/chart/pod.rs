//! The operator's pod.

use std::fs;

use redissync_e2e::chart::{ChartValues, repository};
use serde_json::{Value, json};

use crate::objects::{everything, only, render};

fn deployment(values: &ChartValues<'_>) -> Value {
    only(&render(values), "Deployment").clone()
}

fn pod(values: &ChartValues<'_>) -> Value {
    deployment(values)["spec"]["template"].clone()
}

fn variable(pod: &Value, name: &str) -> Option<Value> {
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    env.iter().find(|variable| variable["name"] == name).cloned()
}

#[test]
fn the_pod_meets_the_restricted_pod_security_standard() {
    for values in [vec![], everything()] {
        let spec = pod(&values)["spec"].clone();
        let security = &spec["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["runAsUser"], 65532);
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(spec["containers"].as_array().unwrap().len(), 1);
        let container = &spec["containers"][0]["securityContext"];
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["capabilities"], json!({"drop": ["ALL"]}));
        for field in ["hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"] {
            assert!(spec[field].is_null(), "{field}");
        }
    }
}

#[test]
fn by_default_one_operator_of_the_charts_version_runs_within_its_limits() {
    let deployment = deployment(&[]);
    assert_eq!(deployment["spec"]["replicas"], 1);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "redissync/operator:0.1.0");
    assert_eq!(container["args"], json!(["run"]));
    let resources =
        json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}});
    assert_eq!(container["resources"], resources);
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "http"}));
    }
    assert_eq!(container["ports"], json!([{"name": "http", "containerPort": 8080}]));
}

#[test]
fn what_is_set_arrives_in_the_pod() {
    let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}});
    let toleration = json!([{"key": "dedicated", "operator": "Exists"}]);
    let rows = [
        ("operator.imagePullSecrets", json!([{"name": "registry"}]), "/spec/imagePullSecrets"),
        ("operator.nodeSelector", json!({"zone": "b"}), "/spec/nodeSelector"),
        ("operator.affinity", affinity, "/spec/affinity"),
        ("operator.tolerations", toleration, "/spec/tolerations"),
        ("operator.priorityClassName", json!("high"), "/spec/priorityClassName"),
        ("operator.podAnnotations", json!({"note": "1"}), "/metadata/annotations"),
        (
            "operator.resources",
            json!({"limits": {"cpu": 2, "memory": "1Gi"}, "requests": null}),
            "/spec/containers/0/resources",
        ),
        ("operator.image.pullPolicy", json!("Always"), "/spec/containers/0/imagePullPolicy"),
    ];
    for (path, value, pointer) in rows {
        let mut expected = value.clone();
        if let Some(fields) = expected.as_object_mut() {
            fields.retain(|_, field| !field.is_null());
        }
        let pod = pod(&[(path, value)]);
        assert_eq!(pod.pointer(pointer), Some(&expected), "{path}");
    }
    let annotated = deployment(&[("operator.annotations", json!({"owner": "data"}))]);
    assert_eq!(annotated["metadata"]["annotations"], json!({"owner": "data"}));
}

#[test]
fn an_image_is_its_digest_else_its_tag_else_the_charts_version() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for name in ["operator", "syncer"] {
        let image = |fields: Value| {
            let repository = fields.as_object().unwrap().get("repository").cloned();
            let mut values = json!({"repository": repository.unwrap_or_else(|| json!("r/x"))});
            values.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let pod = pod(&[(&format!("{name}.image"), values)]);
            match name {
                "operator" => pod["spec"]["containers"][0]["image"].clone(),
                _ => variable(&pod, "REDISSYNC_SYNCER_IMAGE").unwrap()["value"].clone(),
            }
        };
        assert_eq!(image(json!({})), "r/x:0.1.0");
        assert_eq!(image(json!({"tag": "1.2"})), "r/x:1.2");
        assert_eq!(image(json!({"tag": "1.2", "digest": digest})), format!("r/x@{digest}"));
        assert_eq!(image(json!({"repository": "host:5000/r/x"})), "host:5000/r/x:0.1.0");
    }
}

#[test]
fn labels_of_the_user_never_replace_those_that_the_deployment_selects_by() {
    let theirs = json!({"app.kubernetes.io/name": "other", "app.kubernetes.io/instance": "other", "tier": "ops"});
    let deployment =
        deployment(&[("operator.podLabels", theirs.clone()), ("commonLabels", theirs)]);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["tier"], "ops");
    for (label, value) in deployment["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&labels[label], value, "{label}");
    }
}

#[test]
fn namespaces_are_named_to_the_operator_only_where_some_are() {
    assert_eq!(variable(&pod(&[]), "REDISSYNC_WATCH_NAMESPACES"), None);
    let named = pod(&[("watchNamespaces", json!(["tools", "shop"]))]);
    assert_eq!(variable(&named, "REDISSYNC_WATCH_NAMESPACES").unwrap()["value"], "tools,shop");
}

#[test]
fn every_variable_is_one_that_the_operator_reads() {
    let arguments = fs::read_to_string(repository().join("operator/src/run.rs")).unwrap();
    let pod = pod(&[("watchNamespaces", json!(["tools"]))]);
    for variable in pod["spec"]["containers"][0]["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        let is_read = name == "RUST_LOG" || arguments.contains(&format!("env = \"{name}\""));
        assert!(is_read, "operator/src/run.rs does not read {name}");
        assert!(variable["value"].is_string() || variable["valueFrom"].is_object(), "{name}");
    }
}
