//! Manifests and patches that stand in documents: people paste them.

use std::fs;

use redissync_e2e::chart::{parse_yaml, repository};
use serde_json::{Value, json};

use crate::schema::faults_of;

const DOCUMENTS: [&str; 4] =
    ["README.md", "docs/installing.md", "docs/operations.md", "docs/syncer.md"];

fn text_of(document: &str) -> String {
    fs::read_to_string(repository().join(document)).unwrap()
}

/// What stands between ```` ```yaml ```` and ```` ``` ````.
fn blocks(text: &str) -> Vec<String> {
    let parts = text.split("```yaml\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_manifest_in_a_document_is_one_that_can_be_applied() {
    let mut count = 0;
    for document in DOCUMENTS {
        for block in blocks(&text_of(document)) {
            for object in parse_yaml(&block).unwrap() {
                if object["kind"] == "RedisSync" {
                    assert_eq!(faults_of(&object), Vec::<String>::new(), "{document}: {block}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 0, "no document has a RedisSync");
}

#[test]
fn a_patch_in_a_document_fits_the_kind() {
    let good = parse_yaml(&blocks(&text_of("README.md"))[0]).unwrap().remove(0);
    let mut count = 0;
    for document in DOCUMENTS {
        let text = text_of(document);
        for rest in text.split("kubectl patch redissync").skip(1) {
            let patch = rest.split_once("-p '").and_then(|(_, rest)| rest.split_once('\''));
            let patch: Value = serde_json::from_str(patch.unwrap().0).unwrap();
            let mut object = good.clone();
            for (field, value) in patch["spec"].as_object().into_iter().flatten() {
                object["spec"][field] = value.clone();
            }
            assert_eq!(faults_of(&object), Vec::<String>::new(), "{document}: {patch}");
            count += usize::from(patch["spec"] != json!(null));
        }
    }
    assert!(count >= 2, "only {count} patches were looked at");
}

#[test]
fn an_alert_asks_for_metrics_that_are_there() {
    let metrics = text_of("docs/reference.md") + &text_of("docs/conditions.md");
    let rules = blocks(&text_of("docs/operations.md")).remove(0);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut count = 0;
    for expression in rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
        let names = expression.split(|c: char| !is_part(c));
        for name in names.filter(|name| name.starts_with("redissync_")) {
            assert!(metrics.contains(&format!("| `{name}` |")), "{expression}: there is no {name}");
            count += 1;
        }
    }
    assert!(count >= 7, "only {count} metrics were looked at");
}
