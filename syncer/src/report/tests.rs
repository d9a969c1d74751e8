use std::time::Instant;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::{
    contract::{HaltReason, Timestamp, WaitReason},
    state::{HaltDetails, WaitSubject, tests::state},
};

const LIMIT: Duration = Duration::from_secs(10);

async fn start(long_poll: Duration) -> (Arc<LinkState>, ReportServer) {
    let state = Arc::new(state());
    let listen = "127.0.0.1:0".parse().unwrap();
    let server = serve_with(listen, Arc::clone(&state), long_poll).await.unwrap();
    (state, server)
}

async fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn get_report(address: SocketAddr, since: &str) -> SyncReport {
    let (status, body) = request(address, "GET", &format!("/report{since}")).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn all_addresses_are_served_with_or_without_ipv6() {
    let listener = listen_at("[::]:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let taken = listen_at((Ipv6Addr::UNSPECIFIED, port).into()).await.unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_report_is_answered_at_once_unless_the_reader_has_it() {
    let (state, server) = start(LIMIT).await;
    let address = server.address();
    let first = get_report(address, "").await;
    assert_eq!(first.links[0].source.name, "beijing");
    let other = get_report(address, "?since=another-7").await;
    assert_eq!(other.revision, first.revision);

    let since = format!("?since={}", first.revision);
    let poll = tokio::spawn(async move { get_report(address, &since).await });
    let arrived = async {
        while state.watcher_count() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, arrived).await.unwrap();
    state.set_phase(Phase::Streaming);
    let changed = timeout(LIMIT / 2, poll).await.unwrap().unwrap();
    assert_eq!(changed.phase, Phase::Streaming);
    assert_ne!(changed.revision, first.revision);
    server.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_without_a_change_when_its_time_is_up() {
    let (state, server) = start(Duration::from_millis(100)).await;
    let began = Instant::now();
    let since = state.current_revision();
    let report = get_report(server.address(), &format!("?since={since}")).await;
    assert_eq!(report.revision, since);
    assert!(began.elapsed() >= Duration::from_millis(100));
    server.stop().await;
}

#[tokio::test]
async fn a_reader_chooses_how_long_its_poll_may_take() {
    let (state, server) = start(LIMIT * 10).await;
    let (address, since) = (server.address(), state.current_revision());
    let began = Instant::now();
    let report = get_report(address, &format!("?since={since}&wait=1")).await;
    assert_eq!(report.revision, since);
    assert!((Duration::from_secs(1)..LIMIT).contains(&began.elapsed()));
    assert_eq!(get_report(address, "?wait=30").await.revision, since);
    for wait in ["0", "31", "-1", "+1", "1.5", "x", "", "99999999999999999999"] {
        let path = format!("/report?since={since}&wait={wait}");
        let (status, body) = request(address, "GET", &path).await;
        assert_eq!(status, 400, "{wait}");
        assert!(body.contains("wait") && body.contains("from 1 to 30"), "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn both_families_are_listened_at() {
    for listen in ["0.0.0.0:0", "[::]:0", "[::1]:0"] {
        let listen: SocketAddr = listen.parse().unwrap();
        if listen.is_ipv6() && std::net::TcpListener::bind("[::1]:0").is_err() {
            println!("this machine has no IPv6: {listen} is left out");
            continue;
        }
        let server = serve(listen, Arc::new(state())).await.unwrap();
        let port = server.address().port();
        let mut hosts = vec![if listen.is_ipv6() { "[::1]" } else { "127.0.0.1" }];
        if listen.to_string().starts_with("[::]") {
            // Where the system does not say otherwise (net.ipv6.bindv6only), it is both families' address.
            hosts.push("127.0.0.1");
        }
        for host in hosts {
            let address = format!("{host}:{port}").parse().unwrap();
            assert_eq!(request(address, "GET", "/healthz").await.0, 200, "{listen} {host}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn the_end_of_the_process_answers_long_polls() {
    let (state, server) = start(LIMIT * 10).await;
    let address = server.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let since = state.current_revision();
    let head = format!("GET /report?since={since} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Each long poll holds a receiver of the revision, so its count says that the request has arrived.
    let arrived = async {
        while state.watcher_count() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, arrived).await.unwrap();
    let reader = tokio::spawn(async move {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    });
    server.stop().await;
    let answer = timeout(LIMIT, reader).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"phase\""), "{answer}");
}

#[tokio::test]
async fn probes_and_metrics_are_served_and_nothing_else() {
    let (state, server) = start(LIMIT).await;
    let address = server.address();
    assert_eq!(request(address, "GET", "/healthz").await, (200, "ok".to_owned()));
    let (status, reason) = request(address, "GET", "/readyz").await;
    assert_eq!((status, reason.as_str()), (503, "Resolving\n"));
    state.set_phase(Phase::Streaming);
    assert_eq!(request(address, "GET", "/readyz").await.0, 200);
    // A wait and a halt are no reason to kill the process: only readiness tells them.
    state.set_waiting(WaitReason::TargetUnreachable, "gone");
    assert_eq!(request(address, "GET", "/readyz").await.0, 503);
    assert_eq!(request(address, "GET", "/healthz").await.0, 200);
    state.clear_waiting(WaitSubject::Target);
    let (status, text) = request(address, "GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("redissync_phase{phase=\"Streaming\"} 1"), "{text}");
    for (method, path) in
        [("GET", "/"), ("GET", "/reports"), ("GET", "/report/"), ("POST", "/report")]
    {
        assert_eq!(request(address, method, path).await.0, 404, "{method} {path}");
    }
    server.stop().await;
}

#[test]
fn readiness_follows_the_promise() {
    let state = state();
    let ready = || readiness(&state.snapshot());
    state.set_phase(Phase::CatchingUp);
    assert_eq!(ready(), Ok(()));
    state.set_waiting(WaitReason::TargetOutOfMemory, "maxmemory");
    assert_eq!(ready(), Err("TargetOutOfMemory: maxmemory".to_owned()));
    state.clear_waiting(WaitSubject::Target);
    state.set_paused(true);
    assert!(ready().unwrap_err().starts_with("Paused"));
    state.set_paused(false);
    state.set_data_verified(Verification::False, 0);
    assert!(ready().unwrap_err().starts_with("DataVerified"));
    state.set_data_verified(Verification::Unknown, 1);
    assert_eq!(ready(), Ok(()));
    state.set_halt(
        HaltDetails {
            reason: HaltReason::SweepBrake,
            message: "40%".to_owned(),
            remedy: String::new(),
            offset: None,
            copy_id: Some("c1".to_owned()),
        },
        Timestamp::from_millis(5),
    );
    assert_eq!(ready(), Err("SweepBrake: 40%".to_owned()));
    state.clear_halt();
    for phase in [Phase::FullCopy, Phase::Sweeping, Phase::Handshaking, Phase::Draining] {
        state.set_phase(phase);
        assert_eq!(ready(), Err(phase.to_string()));
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_remedy() {
    let (state, server) = start(LIMIT).await;
    let err = serve(server.address(), state).await.unwrap_err().to_string();
    let address = server.address().to_string();
    assert!(err.contains(&address) && err.contains("server.listen"), "{err}");
    server.stop().await;
}

#[tokio::test]
async fn silent_connections_end_and_make_room_for_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounded = BoundedListener::with_limits(listener, 2, Duration::from_millis(100));
    let router = Router::new().route("/", get(|| async { "ok" }));
    let task = tokio::spawn(async move { axum::serve(bounded, router).await });
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(request(address, "GET", "/").await.0, 200);
    let mut rest = Vec::new();
    assert!(matches!(silent[0].read_to_end(&mut rest).await, Ok(0) | Err(_)));
    task.abort();
}
