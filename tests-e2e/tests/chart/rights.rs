//! What the operator may do: exactly what it does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::objects::{of_kind, render};

/// Group, resource, verbs: all that the operator may do where it looks after objects.
const RIGHTS: [(&str, &str, &[&str]); 9] = [
    ("redissync.dev", "redissyncs", &["list", "watch", "patch"]),
    ("redissync.dev", "redissyncs/status", &["patch"]),
    ("redissync.dev", "redissyncs/finalizers", &["update"]),
    ("apps", "statefulsets", &["get", "list", "watch", "create", "patch"]),
    ("", "configmaps", &["get", "list", "watch", "create", "patch"]),
    ("", "pods", &["list", "watch", "patch", "delete"]),
    ("", "persistentvolumeclaims", &["get", "delete"]),
    ("", "secrets", &["get"]),
    ("events.k8s.io", "events", &["create", "patch"]),
];

/// Of the cluster itself, so only where all namespaces are looked after.
const CLUSTER: [(&str, &str, &[&str]); 2] =
    [("", "nodes", &["get", "list", "watch"]), ("", "persistentvolumes", &["get"])];
const LEASES: (&str, &str, &[&str]) =
    ("coordination.k8s.io", "leases", &["get", "create", "patch"]);

type Grants = BTreeSet<(String, String, String)>;

fn expected(rows: &[(&str, &str, &[&str])]) -> Grants {
    rows.iter()
        .flat_map(|(group, resource, verbs)| {
            verbs.iter().map(|verb| (group.to_string(), resource.to_string(), verb.to_string()))
        })
        .collect()
}

fn granted(role: &Value) -> Grants {
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let words = rule[field].as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_string()).collect()
    };
    let mut grants = Grants::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    grants.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    grants
}

fn named<'a>(objects: &[&'a Value], name: &str) -> &'a Value {
    objects.iter().find(|object| object["metadata"]["name"] == name).unwrap()
}

#[test]
fn for_all_namespaces_it_has_these_rights_and_no_others() {
    let objects = render(&[]);
    let role = named(&of_kind(&objects, "ClusterRole"), "blue-redissync-operator");
    assert_eq!(granted(role), expected(&[&RIGHTS[..], &CLUSTER].concat()));

    let roles = of_kind(&objects, "Role");
    assert_eq!(roles.len(), 1);
    assert_eq!(roles[0]["metadata"]["namespace"], "ops");
    assert_eq!(granted(roles[0]), expected(&[LEASES]));
}

#[test]
fn for_named_namespaces_it_has_no_right_outside_of_them_but_its_lease() {
    let objects = render(&[("watchNamespaces", json!(["tools", "shop"]))]);
    assert!(of_kind(&objects, "ClusterRole").is_empty());
    assert!(of_kind(&objects, "ClusterRoleBinding").is_empty());

    let mut seen = Vec::new();
    for role in of_kind(&objects, "Role") {
        let is_lease = role["metadata"]["name"] == "blue-redissync-operator-lease";
        let rows = if is_lease { &[LEASES][..] } else { &RIGHTS[..] };
        assert_eq!(granted(role), expected(rows));
        seen.push((role["metadata"]["namespace"].as_str().unwrap(), is_lease));
    }
    assert_eq!(seen, [("tools", false), ("shop", false), ("ops", true)]);
}

#[test]
fn every_binding_is_the_operators_own_account_to_a_role_that_is_there() {
    for values in [vec![], vec![("watchNamespaces", json!(["tools"]))]] {
        let objects = render(&values);
        let bindings =
            [of_kind(&objects, "RoleBinding"), of_kind(&objects, "ClusterRoleBinding")].concat();
        assert_eq!(bindings.len(), 2);
        for binding in bindings {
            let account = json!([{"kind": "ServiceAccount", "name": "blue-redissync-operator", "namespace": "ops"}]);
            assert_eq!(binding["subjects"], account);
            let role = &binding["roleRef"];
            let is_there = |object: &&Value| {
                object["kind"] == role["kind"]
                    && object["metadata"]["name"] == role["name"]
                    && object["metadata"]["namespace"] == binding["metadata"]["namespace"]
            };
            assert!(objects.iter().any(|object| is_there(&object)), "{role}");
        }
    }
}

#[test]
fn people_get_no_right_to_the_status() {
    let objects = render(&[]);
    let roles = of_kind(&objects, "ClusterRole");
    let read = &["get", "list", "watch"][..];
    let rows =
        [("redissync.dev", "redissyncs", read), ("redissync.dev", "redissyncs/status", read)];
    assert_eq!(granted(named(&roles, "redissync-view")), expected(&rows));
    let write = &["create", "update", "patch", "delete", "deletecollection"][..];
    assert_eq!(
        granted(named(&roles, "redissync-edit")),
        expected(&[("redissync.dev", "redissyncs", write)])
    );
    let label = |role: &str, to: &str| {
        named(&roles, role)["metadata"]["labels"]
            [format!("rbac.authorization.k8s.io/aggregate-to-{to}")]
        .as_str()
        .map(str::to_string)
    };
    assert_eq!(label("redissync-view", "view").as_deref(), Some("true"));
    assert_eq!(label("redissync-edit", "edit").as_deref(), Some("true"));
    assert_eq!(label("redissync-edit", "view"), None);
    assert_eq!(label("blue-redissync-operator", "view"), None);
}
