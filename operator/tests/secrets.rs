//! A password is in its Secret and nowhere else: not in the log, however loud, not in any object, not in a metric, not in
//! what the process shows of itself. The servers answer as real ones do that repeat what they were sent.

use std::{net::SocketAddr, time::Duration};

use axum::http::Request;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
    events::v1::Event,
};
use kube::{Api, Resource};
use redissync_operator::crd::RedisSync;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use crate::{
    operator_process::Setup,
    sample::{change, sentinel, standalone},
    space::Space,
    stand_in::StandIn,
    wait::until,
};

/// What YAML, JSON, shells, formats and logs stumble over. Each has a plain middle by which it is also found when the
/// rest of it was escaped.
const PASSWORDS: [(&str, &str, &str); 5] = [
    ("data", "\"'`$(id) zq7secretdata7qz {{}}%s\\n", "zq7secretdata7qz"),
    ("sentinel", ": - !!str zq7secretsentinel7qz #&*?|>@", "zq7secretsentinel7qz"),
    ("line", "zq7secretline7qz\u{fc}\u{6f22}\t\n", "zq7secretline7qz"),
    ("url", "redis://u:zq7secreturl7qz@h:1/?a=%00", "zq7secreturl7qz"),
    ("broken", "zq7secretbroken7qz", "zq7secretbroken7qz"),
];

#[tokio::test]
async fn a_password_is_nowhere_but_in_its_secret() {
    let space = Space::new("secrets").await;
    let stand_in = StandIn::start().await;
    for (name, password, _) in PASSWORDS {
        space.put_secret(name, "password", password.as_bytes()).await;
    }
    // Text that is followed by what is no text: refused, and not shown either.
    space.put_secret("broken", "password", b"zq7secretbroken7qz\xff").await;
    let (server, asked) = rude_server().await;
    let operator = Setup::only(&space)
        .reports(stand_in.address)
        .log_filter("info,redissync_operator=trace,redissync_syncer=trace,kube=debug")
        .start()
        .await;
    for object in objects(server) {
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        stand_in.set(&space.name, &name, json!({}));
        space.create(&object).await;
    }
    until("the passwords were sent", Duration::from_secs(30), async || {
        let asked = asked.lock().expect("no holder panics").clone();
        let is_sent = |plain: &str| asked.windows(plain.len()).any(|part| part == plain.as_bytes());
        let sent = PASSWORDS.iter().filter(|(_, _, plain)| is_sent(plain)).count();
        if sent == 4 { Ok(()) } else { Err(String::from_utf8_lossy(&asked).into_owned()) }
    })
    .await;
    // A change of a Secret, and of the object, and a few passes over the rest.
    space.put_secret("data", "password", b"zq7secretdata7qz-rotated").await;
    space.merge::<RedisSync>("standalone", json!({"spec": {"paused": true}})).await;
    sleep(Duration::from_secs(25)).await;

    let mut places = vec![
        ("the log".to_owned(), operator.log()),
        ("the metrics".to_owned(), operator.metrics().await),
        (
            "the command line".to_owned(),
            String::from_utf8_lossy(&operator.proc("cmdline")).into_owned(),
        ),
        (
            "the environment".to_owned(),
            String::from_utf8_lossy(&operator.proc("environ")).into_owned(),
        ),
    ];
    places.push(all::<RedisSync>(&space).await);
    places.push(all::<StatefulSet>(&space).await);
    places.push(all::<ConfigMap>(&space).await);
    places.push(all::<Pod>(&space).await);
    places.push(all::<Event>(&space).await);
    let mut found = Vec::new();
    for (place, text) in &places {
        assert!(!text.is_empty(), "{place} is empty");
        for (name, _, plain) in PASSWORDS {
            found.extend(leak(text, plain).map(|around| format!("{name} in {place}: …{around}…")));
        }
    }
    let log = &places[0].1;
    println!("{} bytes of log, {} places", log.len(), places.len());
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is loud");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// As it is, or in base64 at any of its three alignments.
fn leak(text: &str, plain: &str) -> Option<String> {
    let mut forms = vec![plain.to_owned()];
    forms.extend((0..3).map(|shift| base64_middle(plain.as_bytes(), shift)));
    let at = forms.iter().find_map(|form| text.find(form.as_str()))?;
    let start = (0..=at.saturating_sub(150)).rev().find(|start| text.is_char_boundary(*start))?;
    Some(text[start..].chars().take(300).collect())
}

/// The characters of base64 that depend on these bytes alone, when they follow `shift` others.
fn base64_middle(bytes: &[u8], shift: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = &bytes[(3 - shift) % 3..];
    let groups = whole.chunks_exact(3).flat_map(|group| {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        [18, 12, 6, 0].map(|by| char::from(ALPHABET[(bits >> by & 63) as usize]))
    });
    groups.collect()
}

/// With each kind of password in use.
fn objects(server: SocketAddr) -> Vec<Value> {
    let auth = |secret: &str| {
        format!("{{username: someone, passwordSecretRef: {{name: {secret}, key: password}}}}")
    };
    let mut plain = standalone("standalone");
    change(
        &mut plain,
        &format!(
            "/spec/sites/0/standalone/address: '{server}'\n/spec/sites/0/auth: {}\n/spec/sites/1/auth: {}",
            auth("data"),
            auth("url")
        ),
    );
    change(&mut plain, &format!("/spec/sites/1/standalone/address: 'localhost:{}'", server.port()));
    let mut named = sentinel("named");
    change(
        &mut named,
        &format!(
            "/spec/sites/0/sentinel/endpoints: ['{server}']\n/spec/sites/0/sentinel/auth: {}\n/spec/sites/0/auth: {}",
            auth("sentinel"),
            auth("data")
        ),
    );
    change(
        &mut named,
        &format!(
            "/spec/sites/1/sentinel/endpoints: ['localhost:{}']\n/spec/sites/1/sentinel/auth: {}",
            server.port(),
            auth("line")
        ),
    );
    change(&mut named, "/spec/sites/1/sentinel/masterName: other");
    let mut broken = standalone("broken");
    change(&mut broken, &format!("/spec/sites/0/auth: {}", auth("broken")));
    vec![plain, named, broken]
}

/// Refuses everything and repeats what it was sent, as Redis does with a command that was renamed (`unknown command
/// 'AUTH', with args beginning with: …`). Keeps what it was sent.
async fn rude_server() -> (SocketAddr, std::sync::Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let asked = std::sync::Arc::<std::sync::Mutex<Vec<u8>>>::default();
    let kept = std::sync::Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let kept = std::sync::Arc::clone(&kept);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    kept.lock().expect("no holder panics").extend(&buffer[..count]);
                    let said = String::from_utf8_lossy(&buffer[..count]);
                    let words: Vec<&str> =
                        said.split("\r\n").filter(|word| !word.starts_with(['*', '$'])).collect();
                    let answer = format!(
                        "-ERR unknown command, with args beginning with: '{}'\r\n",
                        words.join("' '")
                    );
                    if stream
                        .write_all(answer.trim_end().replace(['\r', '\n'], " ").as_bytes())
                        .await
                        .is_err()
                        || stream.write_all(b"\r\n").await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

/// All objects of a kind in the namespace, as JSON.
async fn all<K>(space: &Space) -> (String, String)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Serialize
        + Clone
        + std::fmt::Debug,
{
    let api: Api<K> = space.api();
    let path = api.resource_url().to_owned();
    let request = Request::get(&path).body(Vec::new()).expect("a request");
    let text = space.client.request_text(request).await.expect("they can be listed");
    (path, text)
}
