//! docs/crd.md: the schema as tables, one for each object within the kind, then its rules.

use std::fmt::Write as _;

use anyhow::Context as _;
use kube::CustomResourceExt as _;
use redissync_operator::crd::RedisSync;
use serde_json::Value;

use crate::cell;

/// Fields of Kubernetes' own types, which its documentation explains.
const FOREIGN: [(&str, &str); 6] = [
    ("resources", "as in a container: `requests` and `limits`"),
    ("affinity", "as in a pod"),
    ("tolerations", "as in a pod"),
    ("topologySpreadConstraints", "as in a pod"),
    ("imagePullSecrets", "as in a pod: a list of `name`"),
    (
        "conditions",
        "as everywhere: `type`, `status`, `reason`, `message`, `lastTransitionTime`, `observedGeneration`",
    ),
];

/// The whole page.
pub(crate) fn page() -> anyhow::Result<String> {
    let crd = serde_json::to_value(RedisSync::crd()).context("failed to render the CRD")?;
    let version = &crd["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut out =
        String::from("<!-- Written by `make reference` from the code. Do not edit. -->\n\n");
    writeln!(out, "# The kind RedisSync\n\n{}\n", text(schema))?;
    writeln!(
        out,
        "`apiVersion: {}/{}`, `kind: {}`. `kubectl explain redissync.spec` prints the same. A field that is not here is \
         refused by `kubectl apply`. [Samples](../deploy/samples), [operations](operations.md), [conditions](conditions.md).",
        crd["spec"]["group"].as_str().unwrap_or_default(),
        version["name"].as_str().unwrap_or_default(),
        crd["spec"]["names"]["kind"].as_str().unwrap_or_default(),
    )?;
    rules(&mut out, schema)?;
    columns(&mut out, &version["additionalPrinterColumns"])?;
    for part in ["spec", "status"] {
        object(&mut out, part, &schema["properties"][part])?;
    }
    Ok(out)
}

/// What `kubectl get` shows.
fn columns(out: &mut String, columns: &Value) -> anyhow::Result<()> {
    writeln!(
        out,
        "\n## Columns of `kubectl get redissync`\n\n| column | from | what |\n|---|---|---|"
    )?;
    for column in columns.as_array().into_iter().flatten() {
        let field = |name: &str| column[name].as_str().unwrap_or_default().to_owned();
        let wide = if column["priority"].as_i64().unwrap_or_default() > 0 {
            " (with `-o wide`)"
        } else {
            ""
        };
        writeln!(
            out,
            "| {}{wide} | `{}` | {} |",
            field("name").to_uppercase(),
            cell(&field("jsonPath")),
            cell(&field("description"))
        )?;
    }
    Ok(())
}

/// One object: its text, a table of its fields, its rules; then the objects within.
fn object(out: &mut String, path: &str, schema: &Value) -> anyhow::Result<()> {
    writeln!(out, "\n## `{path}`\n\n{}\n", text(schema))?;
    writeln!(out, "| field | type | default | what |\n|---|---|---|---|")?;
    let mut within = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|known| known == name));
        let foreign = FOREIGN.iter().find(|(known, _)| known == name).map(|(_, note)| *note);
        let mut about = text(field);
        if let Some(note) = foreign {
            write!(about, " Written {note}.")?;
        }
        let default = if is_required { "required".to_owned() } else { default(field) };
        writeln!(out, "| `{name}` | {} | {default} | {} |", kind(field), cell(&about))?;
        if foreign.is_none() {
            within.extend(inner(&format!("{path}.{name}"), field));
        }
    }
    rules(out, schema)?;
    for (path, schema) in within {
        object(out, &path, schema)?;
    }
    Ok(())
}

/// The object that a field is, or is a list of.
fn inner<'a>(path: &str, field: &'a Value) -> Option<(String, &'a Value)> {
    if !field["properties"].is_null() {
        return Some((path.to_owned(), field));
    }
    let items = &field["items"];
    (!items["properties"].is_null()).then(|| (format!("{path}[]"), items))
}

/// The object's rules, and those of its fields that are no objects: these have no table of their own.
fn rules(out: &mut String, schema: &Value) -> anyhow::Result<()> {
    let own = messages(schema).into_iter().map(|message| format!("- {}.", cell(&message)));
    let fields = schema["properties"].as_object().into_iter().flatten();
    let plain = fields.filter(|(name, field)| {
        field["properties"].is_null() && !FOREIGN.iter().any(|(known, _)| known == name)
    });
    let of_fields = plain.flat_map(|(name, field)| {
        messages(field).into_iter().map(move |message| format!("- `{name}`: {}.", cell(&message)))
    });
    let lines: Vec<String> = own.chain(of_fields).collect();
    if !lines.is_empty() {
        writeln!(out, "\n{}", lines.join("\n"))?;
    }
    Ok(())
}

fn messages(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["message"].as_str()).map(str::to_owned).collect()
}

fn text(schema: &Value) -> String {
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The type with its bounds, such as `string, 1 to 63 long`.
fn kind(field: &Value) -> String {
    if let Some(words) = field["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        return words.collect::<Vec<_>>().join(", ");
    }
    let type_ = field["type"].as_str().unwrap_or("any");
    let number = |name: &str| field[name].as_i64();
    match type_ {
        "array" => {
            let of = field["items"]["type"].as_str().unwrap_or("any");
            format!("list of {of}{}", bounds(number("minItems"), number("maxItems"), " entries"))
        }
        "object" if !field["additionalProperties"].is_null() => "map of string".to_owned(),
        "string" if field["format"] == "date-time" => "time".to_owned(),
        "string" => format!("string{}", bounds(number("minLength"), number("maxLength"), " long")),
        _ => format!("{type_}{}", bounds(number("minimum"), number("maximum"), "")),
    }
}

fn bounds(least: Option<i64>, most: Option<i64>, unit: &str) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
        (Some(least), None) => format!(", at least {least}{unit}"),
        (None, Some(most)) => format!(", at most {most}{unit}"),
        (None, None) => String::new(),
    }
}

/// The default; of an object none, its fields have theirs.
fn default(field: &Value) -> String {
    match &field["default"] {
        Value::Null | Value::Object(_) => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
