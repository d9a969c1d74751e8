//! Manifests that must be refused, each with a message that names the field and says what to do; and good ones that must
//! be taken.

mod on_change;
mod on_creation;
mod when_running;

use axum::http::{Request, request};
use kube::Error;
use serde_json::{Value, json};

use crate::{cluster, space::Space};

/// What is changed in a good object (`path: value`, `null` takes away), and what the refusal has to say.
type Row<'a> = (&'a str, &'a str, &'a str);

/// The path of a field, what the refusal has to say beside the field, and the values that it must not have.
type Values = (&'static str, &'static str, &'static [&'static str]);

/// One row for each value.
fn rows(&(path, remedy, values): &Values) -> impl Iterator<Item = (String, String, &'static str)> {
    values.iter().map(move |value| (format!("{path}: {value}"), named(path), remedy))
}

/// A path as refusals write it: `/spec/sites/1/name` is `spec.sites[1].name`.
fn named(path: &str) -> String {
    let mut name = String::new();
    for part in path.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => name += &format!("[{index}]"),
            Err(_) if name.is_empty() => name += part,
            Err(_) => name += &format!(".{part}"),
        }
    }
    name
}

/// Sends it as `kubectl create --dry-run=server` does; the message of the refusal.
async fn refusal(space: &Space, object: &Value) -> Option<String> {
    send(space, Request::post(url(space, "")), object).await
}

/// The same for a change of an object that exists.
async fn refusal_of_change(space: &Space, object: &Value) -> Option<String> {
    let name = object["metadata"]["name"].as_str().expect("it has a name");
    send(space, Request::put(url(space, name)), object).await
}

/// Strict, as kubectl asks: a field that does not exist is refused and not dropped.
fn url(space: &Space, name: &str) -> String {
    let path = format!("/apis/redissync.dev/v1alpha1/namespaces/{}/redissyncs/{name}", space.name);
    format!("{}?dryRun=All&fieldValidation=Strict", path.trim_end_matches('/'))
}

async fn send(space: &Space, request: request::Builder, object: &Value) -> Option<String> {
    let body = serde_json::to_vec(object).expect("it can be written");
    let request = request.header("content-type", "application/json").body(body).expect("a request");
    match space.client.request::<Value>(request).await {
        Ok(_) => None,
        Err(Error::Api(status)) => Some(status.message.clone()),
        Err(err) => panic!("the API server did not answer: {err}"),
    }
}

/// One line for each row whose message lacks something; empty if all is well.
fn fault(row: &Row<'_>, message: Option<String>) -> Option<String> {
    let (changes, field, remedy) = row;
    match message {
        None => Some(format!("{changes}: was accepted")),
        Some(message) => {
            let lacks = [field, remedy].into_iter().find(|words| !message.contains(**words))?;
            Some(format!("{changes}: lacks {lacks:?}: {message}"))
        }
    }
}

fn must_be_empty(faults: &[String]) {
    assert!(faults.is_empty(), "{} rows:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn the_definition_applies_without_a_warning() {
    let client = cluster::client().await;
    let request = Request::patch(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/redissyncs.redissync.dev\
         ?fieldManager=redissync-tests&force=true&dryRun=All&fieldValidation=Strict",
    )
    .header("content-type", "application/apply-patch+yaml")
    .body(serde_json::to_vec(&cluster::crd()).expect("it can be written").into())
    .expect("it is a request");
    let response = client.send(request).await.expect("the API server answers");
    let warnings: Vec<_> = response.headers().get_all("warning").iter().collect();
    assert!(response.status().is_success(), "{response:?}");
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[tokio::test]
async fn the_samples_are_accepted() {
    let space = Space::new("samples").await;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/samples");
    let mut accepted = 0;
    for entry in std::fs::read_dir(directory).expect("the samples are there") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("it is text");
        for document in serde_yaml::Deserializer::from_str(&text) {
            let mut object: Value = serde::Deserialize::deserialize(document).expect("it is YAML");
            if object["kind"] != "RedisSync" {
                continue;
            }
            object["metadata"]["namespace"] = json!(space.name);
            assert_eq!(refusal(&space, &object).await, None, "{}", path.display());
            accepted += 1;
        }
    }
    assert!(accepted >= 4, "only {accepted} samples were found in {directory}");
}
