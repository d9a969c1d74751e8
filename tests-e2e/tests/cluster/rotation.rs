//! Passwords are rotated in both orders: at the servers first, or in the Secret first.

use std::{
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use redis::Connection;
use redissync_e2e::{
    cluster::{Kind, Pair, RedisSet, redis_set::MASTER_NAME, redis_sync::condition_of},
    wait_until,
};
use serde_json::json;

use crate::{
    secrets::search,
    suite::{PATIENCE, SOME, with_pair},
};

/// The kubelet looks at a pod's volumes every minute or so; the operator makes it look sooner.
const MOUNTED_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn passwords_are_rotated_in_both_orders_without_a_full_copy() {
    with_pair("rotation", |suite, pair, traffic| {
        let copy = pair.sync.copy_id(&pair.target)?;
        let sets = [&pair.source, &pair.target];
        let mut passwords: Vec<String> = sets.iter().map(|set| set.password()).collect();
        let uid = pair.sync.pod()?["metadata"]["uid"].clone();

        // The servers first: who is connected stays connected.
        let names = ["servers-first-main-9Xk2", "servers-first-backup-7Qw4"];
        for (set, name) in sets.iter().zip(names) {
            rotate_at_servers(set, name)?;
        }
        traffic.wait_for_more(SOME, PATIENCE)?;
        pair.wait_until_level(PATIENCE)?;
        ensure!(pair.sync.condition("Ready")?.status == "True", "a connection was given up");
        for (set, name) in sets.iter().zip(names) {
            rotate_secret(pair, set, name)?;
        }
        wait_until_mounted(pair, names)?;
        for set in sets {
            kill_connections(set)?;
        }
        goes_on(pair, &copy)?;
        traffic.wait_for_more(SOME, PATIENCE)?;
        passwords.extend(names.map(str::to_owned));

        // The Secret first: whoever connects meanwhile waits, and says for what.
        let names = ["secret-first-main-3Zp8", "secret-first-backup-5Vb6"];
        for (set, name) in sets.iter().zip(names) {
            rotate_secret(pair, set, name)?;
        }
        wait_until_mounted(pair, names)?;
        for set in sets {
            kill_connections(set)?;
        }
        pair.sync.wait_for("both ends to say that a password is refused", PATIENCE, |status| {
            let source = condition_of(status, "SourceReachable");
            let target = condition_of(status, "TargetReachable");
            // The sentinels refuse as well: which refusal is told first does not matter.
            let is_told = [&source, &target].iter().all(|one| one.message.contains("WRONGPASS"));
            is_told.then(|| println!("Secret first: {}; {}", source.message, target.message))
        })?;
        for (set, name) in sets.iter().zip(names) {
            rotate_at_servers(set, name)?;
        }
        goes_on(pair, &copy)?;
        traffic.wait_for_more(SOME, PATIENCE)?;
        passwords.extend(names.map(str::to_owned));

        ensure!(pair.sync.pod()?["metadata"]["uid"] == uid, "the syncer's pod was replaced");
        pair.compare(traffic, false)?;
        search(suite, pair, &passwords)
    });
}

fn goes_on(pair: &Pair, copy: &str) -> Result<()> {
    pair.sync.wait_until_ready(PATIENCE)?;
    pair.wait_until_level(PATIENCE)?;
    ensure!(pair.sync.copy_id(&pair.target)? == copy, "another full copy was made");
    Ok(())
}

/// On every node and every sentinel, as an administrator would.
fn rotate_at_servers(set: &RedisSet, new: &str) -> Result<()> {
    let run = |connection: &mut Connection, words: &[&str]| -> Result<()> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.exec(connection).with_context(|| format!("{} {} failed", words[0], words[1]))
    };
    let mut sentinels = set.connect_sentinels()?;
    for mut node in set.connect_nodes()? {
        run(&mut node, &["CONFIG", "SET", "masterauth", new])?;
        run(&mut node, &["CONFIG", "SET", "requirepass", new])?;
    }
    for sentinel in &mut sentinels {
        run(sentinel, &["SENTINEL", "SET", MASTER_NAME, "auth-pass", new])?;
        run(sentinel, &["SENTINEL", "CONFIG", "SET", "sentinel-pass", new])?;
        run(sentinel, &["ACL", "SETUSER", "default", "resetpass", &format!(">{new}")])?;
    }
    set.set_password(new);
    Ok(())
}

fn rotate_secret(pair: &Pair, set: &RedisSet, new: &str) -> Result<()> {
    let patch = json!({"stringData": {"redis-password": new}});
    pair.cluster.patch(Kind::Secret, &pair.namespace, set.name(), &patch)?;
    // The set's own probes read the file: its kubelet shall look soon.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis().to_string();
    let patch = json!({"metadata": {"annotations": {"redissync-e2e/rotated-at": now}}});
    for pod in set.pods()? {
        pair.cluster.patch(Kind::Pod, &pair.namespace, &pod.name, &patch)?;
    }
    Ok(())
}

/// Until the syncer's own files hold them.
fn wait_until_mounted(pair: &Pair, passwords: [&str; 2]) -> Result<()> {
    let begun = Instant::now();
    let (namespace, pod) = (&pair.namespace, pair.sync.pod_name());
    let pid = pair.cluster.pids_of(namespace, &pod, "syncer", "redissync-syncer")?[0];
    wait_until("the new passwords in the syncer's pod", MOUNTED_WITHIN, || {
        for (site, password) in ["main", "backup"].into_iter().zip(passwords) {
            let file =
                format!("/proc/{}/root/etc/redissync/auth/{site}/password", pid.as_raw_nonzero());
            if fs::read_to_string(file)? != password {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })?;
    println!("mounted after {:.1?}", begun.elapsed());
    Ok(())
}

/// All but our own, so that everybody has to log in anew.
fn kill_connections(set: &RedisSet) -> Result<()> {
    for mut connection in set.connect_nodes()?.into_iter().chain(set.connect_sentinels()?) {
        for kind in ["normal", "replica", "pubsub"] {
            redis::cmd("CLIENT")
                .arg(&["KILL", "TYPE", kind, "SKIPME", "yes"])
                .exec(&mut connection)?;
        }
    }
    Ok(())
}
