use std::{net::TcpListener, sync::Arc, thread};

use super::*;
use crate::{
    contract::{FullCopyReason, HaltReason, Timestamp, WaitReason},
    report,
    state::{HaltDetails, WaitSubject, tests::state},
};

fn args(config: Option<&str>, url: Option<String>, json: bool) -> StatusArgs {
    StatusArgs { config: config.map(PathBuf::from), url, json }
}

#[test]
fn a_running_syncer_is_shown_in_words_and_as_json() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let state = Arc::new(state());
    let listen = "127.0.0.1:0".parse().unwrap();
    let server = runtime.block_on(report::serve(listen, Arc::clone(&state))).unwrap();
    state.set_phase(Phase::Streaming);
    for path in ["", "/", "/report"] {
        let url = format!("http://{}{path}", server.address());
        let mut output = Vec::new();
        let phase = run(&args(None, Some(url), false), &mut output).unwrap();
        assert_eq!(phase, Phase::Streaming);
        assert!(String::from_utf8(output).unwrap().starts_with("phase       Streaming\n"));
    }
    let mut output = Vec::new();
    run(&args(None, Some(server.address().to_string()), true), &mut output).unwrap();
    let report: SyncReport = serde_json::from_slice(&output).unwrap();
    assert_eq!(report.links[0].target.name, "shanghai");
    runtime.block_on(server.stop());
}

#[test]
fn the_summary_says_what_stands_in_the_way_and_how_to_release_it() {
    let state = state();
    state.set_waiting(WaitReason::SourceUnreachable, "no route\u{1b}[2J");
    let text = summary(&state.snapshot(), None);
    assert!(text.contains("waiting for SourceUnreachable since "), "{text}");
    assert!(!text.contains('\u{1b}'));
    state.clear_waiting(WaitSubject::Source);
    for (reason, offset, copy_id, commands) in [
        (HaltReason::CommandRejected, Some(7), None, &["--skip-unit 7", "--copy-again"][..]),
        (HaltReason::SweepBrake, None, Some("c1"), &["--allow-sweep c1", "--copy-again"]),
        (HaltReason::CorruptRdb, None, Some("c1"), &["--copy-again"]),
    ] {
        state.set_halt(
            HaltDetails {
                reason,
                message: "evidence".to_owned(),
                remedy: "do this".to_owned(),
                offset,
                copy_id: copy_id.map(str::to_owned),
            },
            Timestamp::from_millis(5),
        );
        let text = summary(&state.snapshot(), Some("/etc/cart.yaml".as_ref()));
        let line = |it: &&str| {
            format!("release     redissync-syncer release --config /etc/cart.yaml {it}\n")
        };
        let expected: String = commands.iter().map(line).collect();
        assert!(text.contains(&format!("remedy      do this\n{expected}pair")), "{text}");
    }
}

#[test]
fn the_summary_shows_lag_and_copies() {
    let state = state();
    assert!(summary(&state.snapshot(), None).contains("lag         not known yet\n"));
    state.set_lag(1843, 40, false);
    state.full_copy_started(FullCopyReason::Initial, "c1");
    state.full_copy_totals(None, Some(400));
    state.set_copy_keys_restored(100);
    let text = summary(&state.snapshot(), None);
    for line in [
        "lag         40 ms, 1.8Ki\n",
        "full copies 1, the last for Initial",
        "copying     Preparing c1, 25.0%, 100 keys, 0 bytes",
        "source      beijing (no node yet) (Standalone)\n",
        "spool       0 bytes of 8Gi in 0 segments",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn who_does_not_answer_with_a_report_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let err = run(&args(None, Some(nobody.clone()), false), &mut Vec::new()).unwrap_err();
    assert_eq!(err.to_string(), format!("no syncer answers at {nobody}"));
    for (answer, problem) in [
        ("+PONG\r\n", "speaks no HTTP"),
        ("HTTP/1.0 404 Not Found\r\n\r\n", "404"),
        ("HTTP/1.0 200 OK\r\n\r\n{}", "missing field"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let err = run(&args(None, Some(address), false), &mut Vec::new()).unwrap_err();
        assert!(err.to_string().contains(problem), "{err}");
        server.join().unwrap();
    }
    let err = run(&args(None, Some("https://a:1".to_owned()), false), &mut Vec::new());
    assert!(matches!(err, Err(StatusError::Url { .. })));
}

#[test]
fn the_configuration_says_where_to_ask() {
    for (listen, asked) in [
        ("0.0.0.0:9250", "127.0.0.1:9250"),
        ("[::]:9250", "[::1]:9250"),
        ("10.0.0.1:80", "10.0.0.1:80"),
    ] {
        assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
    }
    let missing = run(&args(Some("/nonexistent"), None, false), &mut Vec::new());
    assert!(matches!(missing, Err(StatusError::Config(_))));
}
