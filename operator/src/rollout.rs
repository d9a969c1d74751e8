//! Takes turns: when the operator itself has changed, syncers are restarted one after another, and the next only when
//! the one before is back. A new version that does not work stops at the first.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;

use crate::{controller::observe::WorkloadSeen, names};

/// After a turn was given, until the stores show its effect.
const SETTLE: Duration = Duration::from_secs(5);
/// A syncer whose link was not well before its turn (its standby is down, say) need not be well after it: it holds the
/// others up for this time only.
const UNWELL_MAX: Duration = Duration::from_secs(60);

/// Who has the turn.
#[derive(Debug, Default)]
pub struct Rollout(Mutex<Option<Turn>>);

#[derive(Debug)]
struct Turn {
    /// `namespace/name` of the StatefulSet.
    holder: String,
    since: Instant,
    /// Whether its link was well when it got the turn.
    was_well: bool,
}

impl Rollout {
    /// Whether this StatefulSet may be changed now. `is_well`: its link works. `all` are the operator's StatefulSets as
    /// they are.
    pub fn take_turn<'a>(
        &self,
        candidate: &str,
        is_well: bool,
        all: impl IntoIterator<Item = &'a StatefulSet>,
        now: Instant,
    ) -> bool {
        let mut turn = self.0.lock().expect("no holder of this lock panics");
        if let Some(Turn { holder, since, was_well }) = &*turn {
            if holder == candidate {
                return true;
            }
            let elapsed = now.duration_since(*since);
            if elapsed < SETTLE {
                return false;
            }
            // The holder is on its way as long as its pod is not back. One that was deleted holds nothing up.
            let is_back = |set: &StatefulSet| WorkloadSeen::from(set).is_rolled_out;
            let is_awaited = *was_well || elapsed < UNWELL_MAX;
            if is_awaited && all.into_iter().any(|set| id(set) == *holder && !is_back(set)) {
                return false;
            }
        }
        *turn = Some(Turn { holder: candidate.to_owned(), since: now, was_well: is_well });
        true
    }
}

/// `namespace/name`.
pub fn id(set: &StatefulSet) -> String {
    format!("{}/{}", set.namespace().unwrap_or_default(), set.name_any())
}

/// The same for an object whose StatefulSet need not exist.
pub fn id_of(namespace: &str, sync: &str) -> String {
    format!("{namespace}/{}", names::workload(sync))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSetStatus;
    use kube::api::ObjectMeta;

    use super::*;

    fn set(name: &str, is_ready: bool) -> StatefulSet {
        StatefulSet {
            metadata: ObjectMeta {
                namespace: Some("n".into()),
                name: Some(names::workload(name)),
                generation: Some(2),
                ..ObjectMeta::default()
            },
            status: Some(StatefulSetStatus {
                observed_generation: Some(2),
                current_revision: Some("r".into()),
                update_revision: Some("r".into()),
                ready_replicas: Some(i32::from(is_ready)),
                ..StatefulSetStatus::default()
            }),
            ..StatefulSet::default()
        }
    }

    #[test]
    fn the_next_one_waits_until_the_one_before_is_back() {
        let rollout = Rollout::default();
        let start = Instant::now();
        let late = start + SETTLE;
        let [one, other] = ["one", "other"].map(|name| id_of("n", name));
        let down = [set("one", false), set("other", true)];
        assert!(rollout.take_turn(&one, true, &down, start));
        assert!(rollout.take_turn(&one, true, &down, start), "the holder keeps it");
        assert!(
            !rollout.take_turn(&other, true, &[set("one", true)], start),
            "the stores lag behind"
        );
        assert!(!rollout.take_turn(&other, true, &down, late));
        assert!(rollout.take_turn(&other, true, &[set("one", true)], late));
    }

    #[test]
    fn one_that_was_not_well_before_holds_the_others_up_for_a_minute_only() {
        let rollout = Rollout::default();
        let start = Instant::now();
        let [one, other] = ["one", "other"].map(|name| id_of("n", name));
        let down = [set("one", false)];
        assert!(rollout.take_turn(&one, false, &down, start));
        assert!(!rollout.take_turn(&other, true, &down, start + UNWELL_MAX / 2));
        assert!(rollout.take_turn(&other, true, &down, start + UNWELL_MAX));
    }

    #[test]
    fn a_deleted_holder_holds_nothing_up() {
        let rollout = Rollout::default();
        let start = Instant::now();
        assert!(rollout.take_turn("n/gone", true, &[], start));
        assert!(rollout.take_turn("n/next", true, &[], start + SETTLE));
    }
}
