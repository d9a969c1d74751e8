//! The program is not needed here: a script stands in for it.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use redissync_e2e::{Syncer, SyncerOptions, syncer::SyncerSite};
use serde_json::json;
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Answers every GET with a report that tells the failpoint, the pause and the arguments.
const STAND_IN: &str = r#"#!/usr/bin/env python3
import http.server, json, os, sys
path = sys.argv[sys.argv.index("--config") + 1]
text = lambda: open(path).read()
listen = [line for line in text().splitlines() if "listen:" in line][0].split("listen: ")[1].strip("'\"")
print("stand-in listens at", listen, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        report = {
            "phase": "Waiting" if "paused: true" in text() else "Streaming",
            "halt": None,
            "failpoint": os.environ.get("REDISSYNC_FAILPOINT"),
            "links": [{
                "target": {"address": "127.0.0.1:1"},
                "offsets": {"checkpoint": 7},
                "lag": {"milliseconds": 3},
                "fullCopies": {"count": 1, "lastReason": "NewLink"},
            }],
        }
        body = json.dumps(report).encode()
        self.send_response(200 if self.path == "/report" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
host, port = listen.rsplit(":", 1)
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"#;

fn stand_in() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("stand-in");
    fs::write(&program, STAND_IN).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (directory, program)
}

fn options() -> SyncerOptions {
    SyncerOptions::new(
        "cart",
        SyncerSite::standalone("beijing", "127.0.0.1:1"),
        SyncerSite::standalone("shanghai", "127.0.0.1:2"),
    )
}

#[test]
fn report_is_read_configuration_is_rewritten_and_the_end_is_seen() {
    let (_directory, program) = stand_in();
    let mut syncer =
        Syncer::start_with_failpoint(&program, &options(), Some("after-exec:2")).unwrap();
    let report = syncer.wait_for_phase("Streaming", TIMEOUT).unwrap();
    assert_eq!(report.0["failpoint"], json!("after-exec:2"));
    assert_eq!(report.checkpoint(), Some(7));
    assert_eq!(report.lag_milliseconds(), Some(3));
    assert_eq!(report.full_copy_count(), Some(1));
    assert_eq!(report.last_full_copy_reason(), "NewLink");
    assert_eq!(report.target_address(), "127.0.0.1:1");
    assert_eq!(report.halt(), None);
    assert_eq!(syncer.http_get("/nothing").unwrap().status, 404);

    syncer.rewrite_config(|options| options.paused = true).unwrap();
    syncer.wait_for_phase("Waiting", TIMEOUT).unwrap();

    syncer.kill9().unwrap();
    assert!(syncer.report().is_err());
    syncer.restart().unwrap();
    let report = syncer.wait_for_phase("Waiting", TIMEOUT).unwrap();
    assert_eq!(report.0["failpoint"], json!(null));
    assert_eq!(syncer.logs().matches("stand-in listens").count(), 2);

    syncer.sigterm().unwrap();
    assert!(!syncer.wait_exit(TIMEOUT).unwrap().success());
    syncer.remove_spool().unwrap();
}

#[test]
fn syncer_that_ends_too_early_fails_the_wait_at_once_and_shows_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("stand-in");
    fs::write(&program, "#!/bin/sh\necho no such option >&2\nexit 3\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut syncer = Syncer::start(&program, &options()).unwrap();
    let err = format!("{:#}", syncer.wait_for_phase("Streaming", TIMEOUT).unwrap_err());
    assert!(err.contains("exit status: 3"), "{err}");
    assert!(err.contains("no such option"), "{err}");
}
