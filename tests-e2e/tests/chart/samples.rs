//! What people copy: the samples and the manifest in the chart's notes.

use std::{collections::BTreeMap, fs};

use redissync_e2e::chart::{parse_yaml, repository};
use serde_json::{Value, json};

use crate::{objects, schema::faults_of};

/// The samples, by file name.
fn samples() -> BTreeMap<String, Vec<Value>> {
    let directory = repository().join("deploy/samples");
    let files = fs::read_dir(directory).unwrap().map(Result::unwrap);
    files
        .map(|file| {
            let objects = parse_yaml(&fs::read_to_string(file.path()).unwrap()).unwrap();
            (file.file_name().into_string().unwrap(), objects)
        })
        .collect()
}

#[test]
fn each_sample_is_complete_and_has_no_field_that_the_kind_lacks() {
    let mut count = 0;
    for (file, objects) in samples() {
        assert!(!objects.is_empty(), "{file} is empty");
        for object in objects.iter().filter(|object| object["kind"] != "NetworkPolicy") {
            assert_eq!(faults_of(object), Vec::<String>::new(), "{file}");
            let names: Vec<_> = object["spec"]["sites"]
                .as_array()
                .unwrap()
                .iter()
                .map(|site| &site["name"])
                .collect();
            assert_eq!(names.len(), 2, "{file}");
            assert!(names.contains(&&object["spec"]["primary"]), "{file}: primary names no site");
            count += 1;
        }
    }
    assert!(count >= 4, "only {count} samples were looked at");
}

#[test]
fn a_fault_in_a_manifest_is_seen() {
    let good = samples()["with-template.yaml"][0].clone();
    let rows: [(&str, Value, &str); 6] = [
        ("/kind", json!("RedisSink"), "no RedisSync"),
        (
            "/spec/sites/0/sentinel/masterName",
            json!(7),
            "spec.sites[0].sentinel.masterName: not of type",
        ),
        (
            "/spec/syncer/storage/accessMode",
            json!("Once"),
            "spec.syncer.storage.accessMode: none of",
        ),
        ("/spec/sites/1/auth", json!({"secret": "x"}), "spec.sites[1].auth.secret: unknown"),
        ("/spec/sites/1/auth", json!({}), "spec.sites[1].auth: lacks \"passwordSecretRef\""),
        (
            "/spec/syncer/template",
            json!({"labels": {"a": 1}}),
            "spec.syncer.template.labels.a: not of type",
        ),
    ];
    for (pointer, value, words) in rows {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let faults = faults_of(&bad);
        assert!(faults.iter().any(|fault| fault.starts_with(words)), "{pointer}: {faults:?}");
    }
}

#[test]
fn the_network_policy_is_for_those_pods_that_the_chart_takes_for_syncers() {
    let sample = &samples()["network-policy.yaml"][0];
    let rendered = objects::render(&objects::everything());
    let monitors = objects::of_kind(&rendered, "PodMonitor");
    assert_eq!(sample["spec"]["podSelector"], monitors[1]["spec"]["selector"]);
}

#[test]
fn the_manifest_in_the_notes_is_one_that_can_be_applied() {
    let path = repository().join("charts/redissync-operator/templates/NOTES.txt");
    let notes = fs::read_to_string(path).unwrap();
    let manifest: String = notes
        .lines()
        .skip_while(|line| !line.contains("apiVersion:"))
        .take_while(|line| line.starts_with("    "))
        // Only the namespace is filled in by the template.
        .map(|line| match line.split_once("{{") {
            Some((field, _)) => format!("{field}tools\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let objects = parse_yaml(&manifest).unwrap();
    assert_eq!(faults_of(&objects[0]), Vec::<String>::new(), "{manifest}");
}
