//! No password anywhere but in the Secrets, and pods that can do nothing in the cluster.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use redissync_e2e::{
    base64,
    cluster::{Kind, Pair},
    syncer::http,
};

use crate::suite::{OPERATOR, Suite, with_pair};

/// What Kubernetes lets everybody do: ask about themselves, and read what the API server is.
const BASICS: [&str; 4] = ["selfsubject", "localsubject", "[/", "Resources"];

#[test]
fn passwords_are_nowhere_but_in_secrets_and_pods_can_do_nothing() {
    with_pair("secrets", |suite, pair, traffic| {
        pair.compare(traffic, false)?;
        search(suite, pair, &[pair.source.password(), pair.target.password()])?;
        check_rights(pair)
    });
}

/// Looks for the passwords, raw and as Base64, in everything that people and machines read.
pub(crate) fn search(suite: &Suite, pair: &Pair, passwords: &[String]) -> Result<()> {
    let mut texts = Vec::new();
    let cluster = &suite.cluster;
    let syncer = pair.sync.pod_name();
    let operators =
        cluster.list(Kind::Pod, OPERATOR, "app.kubernetes.io/name=redissync-operator")?;
    let operator = operators.first().context("no operator runs")?;
    let name = operator["metadata"]["name"].as_str().unwrap_or_default();
    texts.push(("the operator's log", cluster.logs(OPERATOR, name, "operator", false)?));
    texts.push(("the syncer's log", cluster.logs(&pair.namespace, &syncer, "syncer", false)?));
    if let Ok(log) = cluster.logs(&pair.namespace, &syncer, "syncer", true) {
        texts.push(("the log of the syncer before", log));
    }
    for kinds in ["redissyncs,configmaps,statefulsets,pods,events", "events.events.k8s.io"] {
        for namespace in [OPERATOR, &pair.namespace] {
            let printed = cluster.kubectl(&["get", kinds, "-n", namespace, "-o", "yaml"])?;
            texts.push(("the objects and events", printed));
        }
    }
    let address = |pod: &serde_json::Value, port: u16| {
        format!("{}:{port}", pod["status"]["podIP"].as_str().unwrap_or_default())
    };
    texts.push(("the operator's metrics", http::get(&address(operator, 8080), "/metrics")?.body));
    for path in ["/metrics", "/report", "/readyz"] {
        texts.push((
            "what the syncer serves",
            http::get(&address(&pair.sync.pod()?, 9250), path)?.body,
        ));
    }
    for (namespace, pod, container) in
        [(OPERATOR, name, "operator"), (&pair.namespace, &syncer, "syncer")]
    {
        let program = format!("redissync-{container}");
        for pid in cluster.pids_of(namespace, pod, container, &program)? {
            for file in ["cmdline", "environ"] {
                let text = fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero()))?;
                texts.push((
                    "arguments and environment",
                    String::from_utf8_lossy(&text).into_owned(),
                ));
            }
        }
    }
    for password in passwords {
        ensure!(password.len() >= 8, "a password so short would be found by chance");
        for needle in [password.clone(), base64::encode(password.as_bytes())] {
            for (place, text) in &texts {
                // A place that is empty would prove nothing.
                ensure!(!text.is_empty(), "{place}: nothing to search");
                if let Some(line) = text.lines().find(|line| line.contains(&needle)) {
                    bail!("a password stands in {place}: {line}");
                }
            }
        }
    }
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    println!("{} passwords are in none of {} texts ({bytes} bytes)", passwords.len(), texts.len());
    Ok(())
}

fn check_rights(pair: &Pair) -> Result<()> {
    let pod = pair.sync.pod()?;
    ensure!(pod["spec"]["automountServiceAccountToken"] == false, "a token is mounted");
    let pids = pair.cluster.pids_of(
        &pair.namespace,
        &pair.sync.pod_name(),
        "syncer",
        "redissync-syncer",
    )?;
    for pid in pids {
        let token = format!("/proc/{}/root/var/run/secrets/kubernetes.io", pid.as_raw_nonzero());
        ensure!(!fs::exists(&token)?, "{token} is there");
    }
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    let who = format!("--as=system:serviceaccount:{}:{account}", pair.namespace);
    let listed = pair.cluster.kubectl(&["auth", "can-i", "--list", &who, "-n", &pair.namespace])?;
    let rights: Vec<&str> = listed
        .lines()
        .filter(|line| !BASICS.iter().any(|basic| line.trim_start().starts_with(basic)))
        .collect();
    ensure!(rights.is_empty(), "the syncer's account may do more: {rights:?}");
    println!("the syncer's pod has no token, and its account no rights");
    Ok(())
}
