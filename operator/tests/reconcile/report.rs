//! What the syncer says is what the status shows: at once when a state changes, numbers now and then.

use std::time::{Duration, Instant};

use redissync_operator::crd::RedisSync;
use serde_json::json;
use tokio::time::sleep;

use super::bed::{Bed, SOON, condition};

/// Promised for a change of state; the API server and the watch are in it.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Between two writes of mere numbers.
const REFRESH: Duration = Duration::from_secs(5);

#[tokio::test]
async fn the_status_has_the_reports_numbers() {
    let bed = Bed::streaming("numbers").await;
    let status = bed.cart().await.status.expect("a status");
    assert_eq!(status.phase.as_deref(), Some("Replicating"));
    assert_eq!(status.primary.as_deref(), Some("beijing"));
    assert_eq!(status.master.as_deref(), Some("127.0.0.1:9"));
    assert_eq!(status.standby.as_deref(), Some("127.0.0.1:10"));
    assert_eq!((status.lag.as_deref(), status.behind.as_deref()), (Some("40ms"), Some("1.8Ki")));
    let flow = status.flow.expect("a flow");
    assert_eq!((&*flow.source, &*flow.target), ("beijing", "shanghai"));
    let [link] = status.links.as_slice() else { panic!("{:?}", status.links) };
    assert_eq!((link.lag_milliseconds, link.lag_bytes), (Some(40), Some(1900)));
    let offsets = link.offsets.as_ref().expect("offsets");
    assert_eq!((offsets.source, offsets.checkpoint), (Some(2000), Some(100)));
    let position = link.position.as_ref().expect("a position");
    assert_eq!((position.offset, &*position.replid), (100, &*"ab".repeat(20)));
    let spool = link.spool.as_ref().expect("a spool");
    assert_eq!((spool.bytes, spool.max_bytes), (4096, 8192));
    assert_eq!(status.full_copies.map(|copies| copies.count), Some(1));
}

#[tokio::test]
async fn a_change_of_state_is_shown_within_a_second() {
    let bed = Bed::streaming("at-once").await;
    let mut slowest = Duration::ZERO;
    for round in 0..5 {
        bed.say(wait("TargetUnreachable", &format!("round {round}")));
        let (ready, took) = bed.until_ready("False", SOON).await;
        assert_eq!(ready.reason, "TargetUnreachable");
        slowest = slowest.max(took);
        bed.say(json!({}));
        slowest = slowest.max(bed.until_ready("True", SOON).await.1);
    }
    println!("the slowest of ten changes took {slowest:?}");
    assert!(slowest <= AT_ONCE, "{slowest:?}");
}

#[tokio::test]
async fn mere_numbers_are_written_at_most_every_five_seconds() {
    let bed = Bed::streaming("refresh").await;
    let offset = |cart: &RedisSync| cart.status.as_ref()?.links.first()?.offsets.as_ref()?.source;
    let started = Instant::now();
    let mut versions = vec![bed.cart().await.metadata.resource_version];
    let mut shown = Vec::new();
    for number in 0.. {
        if started.elapsed() > REFRESH * 4 {
            break;
        }
        bed.say(json!({"links": [{"offsets": {"source": 10_000 + number}}]}));
        sleep(Duration::from_millis(250)).await;
        let cart = bed.cart().await;
        if versions.last() != Some(&cart.metadata.resource_version) {
            versions.push(cart.metadata.resource_version.clone());
            shown.push(offset(&cart));
        }
    }
    println!("writes in {:?}: {}", started.elapsed(), shown.len());
    assert!((2..=5).contains(&shown.len()), "{shown:?}");
    assert!(shown.last().copied().flatten() > Some(10_000), "{shown:?}");
}

#[tokio::test]
async fn a_halt_is_shown_with_its_remedy() {
    let bed = Bed::streaming("halts").await;
    bed.say(halt());
    let (ready, took) = bed.until_ready("False", SOON).await;
    assert!(took <= AT_ONCE, "{took:?}");
    assert_eq!(ready.reason, "CommandRejected");
    for words in ["WRONGTYPE at 4711", "skip it with --skip-unit 4711"] {
        assert!(ready.message.contains(words), "{}", ready.message);
    }
    let cart = bed.cart().await;
    assert_eq!(condition(&cart, "Stalled").map(|stalled| stalled.status).as_deref(), Some("True"));
    let halt =
        cart.status.and_then(|status| status.links.into_iter().next()?.halt).expect("a halt");
    assert_eq!((halt.offset, &*halt.reason), (Some(4711), "CommandRejected"));
}

/// As a syncer that hangs, and as one whose port is closed.
#[tokio::test]
async fn a_syncer_that_stops_answering_makes_ready_unknown_within_ten_seconds() {
    let within = Duration::from_secs(10);
    let bed = Bed::streaming("silence").await;
    bed.stand_in.silence(&bed.space.name, "cart");
    let before = bed.cart().await.status.and_then(|status| status.observed_at);
    let (ready, took) = bed.until_ready("Unknown", within * 2).await;
    println!("a hanging syncer was told after {took:?}");
    assert!(took <= within, "{took:?}");
    assert_eq!(ready.reason, "SyncerUnreachable");
    sleep(Duration::from_secs(6)).await;
    let cart = bed.cart().await;
    let status = cart.status.as_ref().expect("a status");
    assert_eq!(status.observed_at, before, "the numbers are as old as they are");
    assert_eq!(status.phase.as_deref(), Some("Unknown"));
    for type_ in ["SourceReachable", "TargetReachable", "Synced"] {
        assert_eq!(
            condition(&cart, type_).map(|it| it.status).as_deref(),
            Some("Unknown"),
            "{type_}"
        );
    }
    // It is back.
    bed.say(json!({}));
    let (_, took) = bed.until_ready("True", SOON).await;
    println!("its return was told after {took:?}");
    let Bed { stand_in, space, operator: _operator } = bed;
    drop(stand_in);
    let closed = Instant::now();
    crate::wait::until("Ready=Unknown", within * 2, async || {
        let ready = condition(&space.get("cart").await, "Ready");
        if ready.as_ref().is_some_and(|ready| ready.status == "Unknown") {
            Ok(())
        } else {
            Err(ready)
        }
    })
    .await;
    println!("a closed port was told after {:?}", closed.elapsed());
    assert!(closed.elapsed() <= within, "{:?}", closed.elapsed());
}

pub(super) fn wait(reason: &str, message: &str) -> serde_json::Value {
    let wait = json!({"reason": reason, "message": message, "since": "2026-11-24T10:00:00Z"});
    json!({"phase": "Waiting", "waitingFor": wait, "waits": [wait]})
}

pub(super) fn halt() -> serde_json::Value {
    json!({"phase": "Halted", "halt": {
        "reason": "CommandRejected", "message": "WRONGTYPE at 4711", "remedy": "skip it with --skip-unit 4711",
        "offset": 4711, "since": "2026-11-24T10:00:00Z"
    }})
}
