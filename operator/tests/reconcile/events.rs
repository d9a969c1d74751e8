//! What is worth an event. Switches of the master need sentinels and are in the tests of the cluster.

use serde_json::json;

use super::{
    bed::{Bed, SOON},
    report::{halt, wait},
};

#[tokio::test]
async fn a_full_copy_a_halt_and_a_lost_readiness_are_events() {
    let bed = Bed::streaming("events").await;
    bed.say(json!({"phase": "FullCopy", "links": [{"fullCopies": {
        "count": 2, "lastReason": "BacklogOverrun", "lastStarted": "2026-11-24T10:00:00.000Z"
    }}]}));
    let note = bed.event("FullCopyStarted").await;
    assert!(note.contains("BacklogOverrun"), "{note}");
    let note = bed.event("NotReady").await;
    assert!(note.contains("FullCopy"), "{note}");
    bed.say(json!({"links": [{"fullCopies": {
        "count": 2, "lastReason": "BacklogOverrun", "lastStarted": "2026-11-24T10:00:00.000Z",
        "lastFinished": "2026-11-24T10:00:05.000Z"
    }}]}));
    bed.event("FullCopyFinished").await;
    bed.event("Ready").await;
    bed.say(halt());
    let note = bed.event("Halted").await;
    for words in ["WRONGTYPE at 4711", "skip it with --skip-unit 4711"] {
        assert!(note.contains(words), "{note}");
    }
    bed.say(json!({}));
    bed.event("Released").await;
    bed.say(wait("SourceUnreachable", "no route"));
    bed.until_ready("False", SOON).await;
}
