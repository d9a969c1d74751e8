use serde_json::Value;

use super::*;
use crate::{controller::validate::fixtures::validated, names};

fn image() -> SyncerImage {
    SyncerImage { name: "syncer:1".to_owned(), pull_policy: "IfNotPresent".to_owned() }
}

fn stateful_set(spec: &str) -> Value {
    serde_json::to_value(build(&validated(spec), &image()).stateful_set).unwrap()
}

fn hashes(spec: &str, image: &SyncerImage) -> [String; 2] {
    let annotations = build(&validated(spec), image).stateful_set.metadata.annotations.unwrap();
    [names::TEMPLATE_HASH, names::SPEC_HASH].map(|name| annotations[name].clone())
}

const SPEC: &str = r"
sites:
- name: beijing
  sentinel: {masterName: m, endpoints: ['s:1'], auth: {passwordSecretRef: {name: sentinels, key: pw}}}
  auth: {passwordSecretRef: {name: redis, key: redis-password}}
- name: shanghai
  standalone: {address: 'h:1'}
primary: beijing
";

#[test]
fn the_pod_meets_the_restricted_standard_and_holds_no_token() {
    let set = stateful_set(SPEC);
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"]["drop"][0], "ALL");
}

#[test]
fn every_name_is_the_objects_and_the_claim_is_for_one_pod() {
    let set = stateful_set(SPEC);
    assert_eq!(set["metadata"]["name"], "cart-redissync");
    assert_eq!(set["metadata"]["ownerReferences"][0]["uid"], "u-1");
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    for (key, value) in set["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&labels[key], value, "{key}");
    }
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(claim["spec"]["accessModes"][0], "ReadWriteOncePod");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "10Gi");
}

#[test]
fn passwords_are_files_at_the_paths_that_the_configuration_names() {
    let sync = validated(SPEC);
    let resources = build(&sync, &image());
    let pod = resources.stateful_set.spec.unwrap().template.spec.unwrap();
    let config = &resources.config_map.data.unwrap()[names::CONFIG_FILE];
    for (secret, key, path) in [
        ("redis", "redis-password", "/etc/redissync/auth/beijing"),
        ("sentinels", "pw", "/etc/redissync/auth/beijing.sentinel"),
    ] {
        let volumes = pod.volumes.as_ref().unwrap();
        let volume = volumes
            .iter()
            .find(|volume| {
                volume.secret.as_ref().is_some_and(|s| s.secret_name.as_deref() == Some(secret))
            })
            .unwrap();
        assert_eq!(volume.secret.as_ref().unwrap().items.as_ref().unwrap()[0].key, key);
        let mounts = pod.containers[0].volume_mounts.as_ref().unwrap();
        let mount = mounts.iter().find(|mount| mount.name == volume.name).unwrap();
        assert_eq!(mount.mount_path, path);
        assert!(config.contains(&format!("{path}/password")), "{config}");
    }
}

const TLS: &str = "tls: {caSecretRef: {name: authority, key: root.pem}, certificateSecretRef: {name: own}, serverName: redis.example}";

#[test]
fn what_tls_needs_is_in_files_at_the_paths_that_the_configuration_names() {
    let sentinel = "endpoints: ['s:1'], tls: {certificateSecretRef: {name: watcher}},";
    let spec = SPEC.replace("endpoints: ['s:1'],", sentinel).replace(
        "standalone: {address: 'h:1'}",
        &format!("standalone: {{address: 'h:1'}}\n  {TLS}"),
    );
    let resources = build(&validated(&spec), &image());
    let set = serde_json::to_value(resources.stateful_set).unwrap();
    let pod = &set["spec"]["template"]["spec"];
    let config = &resources.config_map.data.unwrap()[names::CONFIG_FILE];
    let items = |files: &[(&str, &str)]| -> Value {
        files.iter().map(|(key, path)| serde_json::json!({"key": key, "path": path})).collect()
    };
    let own = [("tls.crt", "tls.crt"), ("tls.key", "tls.key")];
    for (volume, directory, sources) in [
        ("tls-0-sentinel", "/etc/redissync/tls/beijing.sentinel", vec![("watcher", items(&own))]),
        (
            "tls-1-data",
            "/etc/redissync/tls/shanghai",
            vec![("authority", items(&[("root.pem", "ca.crt")])), ("own", items(&own))],
        ),
    ] {
        let find = |list: &Value| {
            list.as_array().unwrap().iter().find(|entry| entry["name"] == volume).cloned().unwrap()
        };
        let projected = &find(&pod["volumes"])["projected"];
        assert_eq!(projected["defaultMode"], 0o440);
        let expected: Value = sources
            .into_iter()
            .map(|(name, items)| serde_json::json!({"secret": {"name": name, "items": items}}))
            .collect();
        assert_eq!(projected["sources"], expected);
        let mount = find(&pod["containers"][0]["volumeMounts"]);
        assert_eq!((&mount["mountPath"], &mount["readOnly"]), (&directory.into(), &true.into()));
        for file in ["tls.crt", "tls.key"] {
            assert!(config.contains(&format!("{directory}/{file}")), "{config}");
        }
    }
    assert!(config.contains("caFile: /etc/redissync/tls/shanghai/ca.crt"), "{config}");
    assert!(config.contains("serverName: redis.example"), "{config}");
    // A name alone needs no file, and no restart.
    let named = SPEC.replace("'h:1'}", "'h:1'}\n  tls: {serverName: x}");
    assert_eq!(hashes(&named, &image()), hashes(SPEC, &image()));
    assert_ne!(hashes(&spec, &image())[1], hashes(SPEC, &image())[1]);
}

#[test]
fn only_what_needs_a_restart_changes_the_template() {
    let before = hashes(SPEC, &image());
    for (change, needs_restart) in [
        ("paused: true", false),
        ("release: {action: SkipUnit, offset: 7}", false),
        ("preflight: {evictingStandby: Allow}", false),
        ("spool: {maxBytes: 4Gi}", true),
        ("fullCopy: {onExistingData: Sweep}", true),
        ("syncer: {template: {nodeSelector: {disk: fast}}}", true),
        ("syncer: {resources: {limits: {memory: 2Gi}}}", true),
    ] {
        let after = hashes(&format!("{SPEC}{change}\n"), &image());
        assert_eq!(before[0] != after[0], needs_restart, "template: {change}");
        assert_eq!(before[1] != after[1], needs_restart, "spec: {change}");
    }
    let moved = hashes(&SPEC.replace("h:1", "other:1").replace("'s:1'", "'s:2'"), &image());
    assert_eq!(before, moved, "endpoints are taken over while it runs");
}

#[test]
fn another_image_is_the_operators_change_and_not_the_objects() {
    let newer = SyncerImage { name: "syncer:2".to_owned(), ..image() };
    let (before, after) = (hashes(SPEC, &image()), hashes(SPEC, &newer));
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1], after[1]);
}

/// If this fails, a new field is written out with its default, or one is written differently: each spec's hash changes with
/// the operator's upgrade, each upgrade is taken for the user's change, and all syncers are restarted at once instead of
/// in turn. Leave the field out while it has its default (`skip_serializing_if`).
#[test]
fn the_hash_of_a_spec_is_the_same_in_every_version_of_the_operator() {
    assert_eq!(hashes(SPEC, &image())[1], "7e73b03cc577d6d3");
    let full = format!(
        "{SPEC}spool: {{maxBytes: 4Gi, retention: {{bytes: 1Gi, age: 1h}}}}\nfullCopy: {{onExistingData: Sweep}}\n\
        syncer: {{resources: {{limits: {{cpu: 1, memory: 2Gi}}}}, storage: {{size: 6Gi, storageClassName: fast}}, \
        template: {{labels: {{a: b}}, nodeSelector: {{disk: fast}}}}}}\n"
    );
    assert_eq!(hashes(&full, &image())[1], "cc5755202e2d5424");
}

#[test]
fn the_order_of_the_sites_is_of_no_meaning() {
    let spec =
        SPEC.replace("  auth: {passwordSecretRef: {name: redis, key: redis-password}}\n", "");
    let swapped = r"
sites:
- name: shanghai
  standalone: {address: 'h:1'}
- name: beijing
  sentinel: {masterName: m, endpoints: ['s:1'], auth: {passwordSecretRef: {name: sentinels, key: pw}}}
primary: beijing
";
    assert_eq!(hashes(&spec, &image())[0], hashes(swapped, &image())[0]);
}

#[test]
fn the_users_labels_do_not_replace_the_operators() {
    let spec = format!(
        "{SPEC}syncer: {{template: {{labels: {{team: shop, app.kubernetes.io/name: other}}}}}}\n"
    );
    let set = stateful_set(&spec);
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["team"], "shop");
    assert_eq!(labels["app.kubernetes.io/name"], names::SYNCER_APP);
}

/// The golden file says what a change would cost.
#[test]
fn what_kubernetes_does_not_let_anybody_change_is_the_same_in_every_version() {
    let golden: Value = serde_yaml::from_str(include_str!("immutable.yaml")).unwrap();
    let storage =
        "syncer: {storage: {size: 20Gi, storageClassName: fast, accessMode: ReadWriteOnce}}\n";
    for (which, spec) in [("without", SPEC.to_owned()), ("with", format!("{SPEC}{storage}"))] {
        let mut built = stateful_set(&spec)["spec"].clone();
        for may_change in [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ] {
            built.as_object_mut().unwrap().remove(may_change);
        }
        assert_eq!(built, golden[which], "{which} storage settings");
    }
}

/// Every syncer that runs with the oldest operator knows these. It refuses a file with any other, and one that restarts
/// before its turn in an upgrade reads the new operator's file: a field that comes later has to be left out while it has
/// its default (`skip_serializing_if`), and then this list stays as it is. These themselves are always written, so that a
/// default that changes in the syncer changes no pair.
#[test]
fn the_file_of_an_object_that_sets_nothing_has_these_fields_and_no_others() {
    const ALWAYS: [&str; 12] = [
        "drainSeconds",
        "fullCopy.onExistingData",
        "pairID",
        "paused",
        "server.listen",
        "source.name",
        "source.standalone.address",
        "spool.dir",
        "spool.maxBytes",
        "spool.retention.age",
        "target.name",
        "target.standalone.address",
    ];
    const OF_SENTINELS: [&str; 5] = [
        "source.auth.passwordFile",
        "source.sentinel.auth.passwordFile",
        "source.sentinel.endpoints",
        "source.sentinel.masterName",
        "source.name",
    ];
    let minimal = "primary: a\nsites: [{name: a, standalone: {address: 'a:1'}}, {name: b, standalone: {address: 'b:1'}}]";
    assert_eq!(fields(minimal), ALWAYS);
    let of_source: Vec<String> =
        fields(SPEC).into_iter().filter(|field| field.starts_with("source.")).collect();
    let mut expected = OF_SENTINELS;
    expected.sort_unstable();
    assert_eq!(of_source, expected);
}

/// The paths of the fields in the syncer's file, sorted.
fn fields(spec: &str) -> Vec<String> {
    fn walk(path: &str, value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                let dot = if path.is_empty() { "" } else { "." };
                walk(&format!("{path}{dot}{key}"), value, into);
            }),
            _ => into.push(path.to_owned()),
        }
    }
    let mut paths = Vec::new();
    walk("", &serde_yaml::from_str(&validated(spec).config_text).unwrap(), &mut paths);
    paths.sort_unstable();
    paths
}
