//! Follows the configuration file while the syncer runs. `paused`, `release`, addresses, credentials and TLS are
//! taken over; every other change is named in log and report and waits for a restart; a file that cannot be used changes nothing.
//!
//! The content is polled: watches on files miss what Kubernetes does to a mounted ConfigMap (it swaps a
//! symbolic link two levels up), and one read of a small file each second costs nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    config::{self, ConfigError, Endpoint, Site, ValidatedConfig},
    state::LinkState,
};

const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Starts the task; it ends when nobody holds the receiver any more. Needs a runtime.
pub fn watch(
    path: PathBuf,
    initial: ValidatedConfig,
    state: Arc<LinkState>,
) -> watch::Receiver<Arc<ValidatedConfig>> {
    watch_every(path, initial, state, POLL_INTERVAL)
}

fn watch_every(
    path: PathBuf,
    initial: ValidatedConfig,
    state: Arc<LinkState>,
    interval: Duration,
) -> watch::Receiver<Arc<ValidatedConfig>> {
    let (sender, receiver) = watch::channel(Arc::new(initial));
    tokio::spawn(async move {
        let mut seen = None;
        while !sender.is_closed() {
            // Compared with what was loaded at the start too: it may have changed in between.
            let content = read(&path).await;
            if seen.as_ref() != Some(&content) {
                take_over(&sender, &content, &state);
                seen = Some(content);
            }
            tokio::time::sleep(interval).await;
        }
    });
    receiver
}

/// An error is kept as text: to compare it with the next.
async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let path = path.to_owned();
    let outcome = tokio::task::spawn_blocking(move || config::read(&path)).await;
    match outcome {
        Ok(content) => content.map_err(|err| with_source(&err)),
        Err(err) => Err(err.to_string()),
    }
}

fn with_source(err: &ConfigError) -> String {
    match std::error::Error::source(err) {
        Some(source) => format!("{err}: {source}"),
        None => err.to_string(),
    }
}

fn take_over(
    sender: &watch::Sender<Arc<ValidatedConfig>>,
    content: &Result<Vec<u8>, String>,
    state: &LinkState,
) {
    let parsed = match content {
        Ok(content) => config::parse(content).map_err(|err| err.to_string()),
        Err(err) => Err(err.clone()),
    };
    let wanted = match parsed {
        Ok(wanted) => wanted,
        Err(error) => {
            warn!(error, "the changed configuration cannot be used, the old one stays");
            state.set_config_error(Some(error));
            return;
        }
    };
    let current = Arc::clone(&sender.borrow());
    let (merged, ignored) = merge(&current, wanted);
    if !ignored.is_empty() {
        let fields = ignored.join(", ");
        warn!(fields, "a change of these needs a restart, until then the old values stay");
    }
    state.set_config_error(None);
    state.set_pending_restart(ignored);
    if merged != *current {
        info!(paused = merged.paused, "the changed configuration is taken over");
        sender.send_replace(Arc::new(merged));
    }
}

/// What to go on with, and the fields whose change needs a restart.
fn merge(current: &ValidatedConfig, wanted: ValidatedConfig) -> (ValidatedConfig, Vec<String>) {
    let ValidatedConfig {
        pair_id,
        source,
        target,
        on_existing_data,
        grace,
        on_unsupported,
        evicting_target,
        on_rejected,
        publish,
        spool,
        paused,
        release,
        listen,
        drain,
    } = wanted;
    let mut ignored = Vec::new();
    let mut note = |field: &str, is_changed: bool| {
        if is_changed {
            ignored.push(field.to_owned());
        }
    };
    note("pairID", pair_id != current.pair_id);
    let full_copy = (on_existing_data, on_unsupported);
    note("fullCopy", full_copy != (current.on_existing_data, current.on_unsupported));
    note("expiry", grace != current.grace);
    note("stream.publish", publish != current.publish);
    note("spool", spool != current.spool);
    note("server", listen != current.listen);
    note("drainSeconds", drain != current.drain);
    let source = merge_site("source", &current.source, source, &mut note);
    let target = merge_site("target", &current.target, target, &mut note);
    let merged = ValidatedConfig {
        source,
        target,
        evicting_target,
        on_rejected,
        paused,
        release,
        ..current.clone()
    };
    (merged, ignored)
}

/// A site of another identity is another site: nothing of it is taken over, its credentials neither.
fn merge_site(
    field: &str,
    current: &Site,
    wanted: Site,
    note: &mut impl FnMut(&str, bool),
) -> Site {
    let is_same_name = wanted.name == current.name;
    let is_same_data = wanted.endpoint.is_same_identity(&current.endpoint);
    note(&format!("{field}.name"), !is_same_name);
    let identity = match (&wanted.endpoint, &current.endpoint) {
        (Endpoint::Sentinel { .. }, Endpoint::Sentinel { .. }) => "sentinel.masterName",
        (Endpoint::Sentinel { .. }, Endpoint::Standalone { .. }) => "sentinel",
        (Endpoint::Standalone { .. }, _) => "standalone",
    };
    note(&format!("{field}.{identity}"), !is_same_data);
    if is_same_name && is_same_data { wanted } else { current.clone() }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    const INITIAL: &str = "source: {name: a, standalone: {address: 'a:1'}}\n\
        target: {name: b, sentinel: {masterName: m, endpoints: ['b:1']}}\n\
        spool: {dir: /s}\npaused: false\n";

    fn parsed(text: &str) -> ValidatedConfig {
        config::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_may_change_while_running_is_taken_over() {
        let current = parsed(INITIAL);
        for (old, new, is_taken, ignored) in [
            ("paused: false", "paused: true", true, ""),
            ("paused: false", "release: {action: SkipUnit, offset: 7}", true, ""),
            ("paused: false", "preflight: {evictingTarget: Allow}", true, ""),
            ("a:1", "a2:1", true, ""),
            ("'b:1'", "'b:1', 'b:2'", true, ""),
            ("['b:1']", "['b:1'], auth: {passwordFile: /p}", true, ""),
            ("name: a,", "name: a, auth: {passwordFile: /p},", true, ""),
            ("name: a,", "name: a, tls: {serverName: x},", true, ""),
            ("['b:1']", "['b:1'], tls: {}", true, ""),
            ("name: a,", "name: a, addressMap: [{announced: a, dial: x}],", true, ""),
            ("name: a", "name: c", false, "source.name"),
            ("masterName: m", "masterName: n", false, "target.sentinel.masterName"),
            (
                "standalone: {address: 'a:1'}",
                "sentinel: {masterName: m, endpoints: ['a:1']}",
                false,
                "source.sentinel",
            ),
            ("dir: /s", "dir: /t", false, "spool"),
            ("dir: /s", "dir: /s, maxBytes: 1Gi", false, "spool"),
            ("paused: false", "paused: false\npairID: x", false, "pairID"),
            ("paused: false", "paused: false\nfullCopy: {onExistingData: Keep}", false, "fullCopy"),
            ("paused: false", "paused: false\nserver: {listen: '127.0.0.1:1'}", false, "server"),
            ("paused: false", "paused: false\ndrainSeconds: 5", false, "drainSeconds"),
        ] {
            let wanted = parsed(&INITIAL.replace(old, new));
            assert_ne!(wanted, current, "{new}");
            let (merged, fields) = merge(&current, wanted.clone());
            assert_eq!(fields.join(","), ignored, "{new}");
            assert_eq!(merged, if is_taken { wanted } else { current.clone() }, "{new}");
        }
    }

    #[test]
    fn one_ignored_field_does_not_hold_up_the_others() {
        let wanted = INITIAL.replace("false", "true").replace("/s", "/t");
        let (merged, ignored) = merge(&parsed(INITIAL), parsed(&wanted));
        assert!(merged.paused);
        assert_eq!(merged.spool.dir, Path::new("/s"));
        assert_eq!(ignored, ["spool"]);
    }

    async fn until(
        receiver: &mut watch::Receiver<Arc<ValidatedConfig>>,
        is_right: impl Fn(&ValidatedConfig) -> bool,
    ) {
        let wait = receiver.wait_for(|config| is_right(config));
        tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_swapped_symbolic_link_is_followed_and_a_broken_file_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let [path, one, two] =
            ["config.yaml", "one", "two"].map(|name| directory.path().join(name));
        fs::write(&one, INITIAL).unwrap();
        fs::write(&two, INITIAL.replace("false", "true")).unwrap();
        symlink(&one, &path).unwrap();
        let poll = Duration::from_millis(5);
        let state = Arc::new(LinkState::new(&parsed(INITIAL), "n".to_owned()));
        let mut receiver = watch_every(path.clone(), parsed(INITIAL), Arc::clone(&state), poll);

        let swapped = directory.path().join("swap");
        symlink(&two, &swapped).unwrap();
        fs::rename(&swapped, &path).unwrap();
        until(&mut receiver, |config| config.paused).await;

        for broken in ["source: [", ""] {
            fs::write(&two, broken).unwrap();
            let quiet = tokio::time::timeout(poll * 20, receiver.changed()).await;
            assert!(quiet.is_err(), "{broken}");
            assert!(state.snapshot().config_error.is_some(), "{broken}");
        }
        // As an operator of a newer version may write it: refused whole, and told.
        fs::write(&two, format!("{INITIAL}novelty: 1\n")).unwrap();
        assert!(tokio::time::timeout(poll * 20, receiver.changed()).await.is_err());
        let error = state.snapshot().config_error.unwrap();
        assert!(error.contains("unknown field `novelty`"), "{error}");
        fs::remove_file(&two).unwrap();
        assert!(tokio::time::timeout(poll * 20, receiver.changed()).await.is_err());
        assert!(state.snapshot().config_error.unwrap().contains("failed to read"));

        fs::write(&two, INITIAL.replace("a:1", "moved:1").replace("/s", "/t")).unwrap();
        until(&mut receiver, |config| !config.paused).await;
        let report = state.snapshot();
        assert_eq!((report.config_error, report.pending_restart), (None, vec!["spool".to_owned()]));
        let address = receiver.borrow().source.endpoint.clone();
        assert_eq!(address, parsed(&INITIAL.replace("a:1", "moved:1")).source.endpoint);
    }
}
