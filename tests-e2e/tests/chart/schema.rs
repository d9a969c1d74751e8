//! A manifest against the kind's schema: that its fields exist, have the right type and are complete. The rules in CEL
//! are the API server's to check.

use std::fs;

use redissync_e2e::chart::{parse_yaml, repository};
use serde_json::Value;

/// What is wrong with a RedisSync, one line for each fault.
pub(crate) fn faults_of(manifest: &Value) -> Vec<String> {
    let text = fs::read_to_string(repository().join("crds/redissyncs.redissync.dev.yaml")).unwrap();
    let crd = parse_yaml(&text).unwrap().remove(0);
    let version = &crd["spec"]["versions"][0];
    let api_version =
        format!("{}/{}", crd["spec"]["group"].as_str().unwrap(), version["name"].as_str().unwrap());
    let mut faults = Vec::new();
    if manifest["apiVersion"] != api_version || manifest["kind"] != crd["spec"]["names"]["kind"] {
        faults.push("no RedisSync".to_string());
    }
    for field in manifest.as_object().unwrap().keys() {
        if !["apiVersion", "kind", "metadata", "spec"].contains(&field.as_str()) {
            faults.push(format!("{field}: unknown"));
        }
    }
    check(
        &manifest["spec"],
        &version["schema"]["openAPIV3Schema"]["properties"]["spec"],
        "spec",
        &mut faults,
    );
    faults
}

fn check(value: &Value, schema: &Value, path: &str, faults: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let type_fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        _ => true,
    };
    if !type_fits {
        faults.push(format!("{path}: not of type {}", schema["type"]));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        faults.push(format!("{path}: none of {}", schema["enum"]));
    }
    if let Some(fields) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(required.as_str().unwrap()) {
                faults.push(format!("{path}: lacks {required}"));
            }
        }
        for (name, field) in fields {
            let path = format!("{path}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) => faults.push(format!("{path}: unknown")),
                (Value::Null, others) => check(field, others, &path, faults),
                (known, _) => check(field, known, &path, faults),
            }
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(item, &schema["items"], &format!("{path}[{index}]"), faults);
    }
}
