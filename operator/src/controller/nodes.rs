//! Nodes, as far as it matters for a syncer whether its node is lost. Read in step 3, asked again in step 6; it decides
//! nothing but what "lost" means.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::reflector::{ObjectRef, Store, store::WriterDropped};

/// A node that does not answer for so long is taken for lost: its pod is deleted without waiting for it. If it still
/// runs there, the record in the standby keeps it from writing beside the new one (Promise 7). Shorter, and a kubelet
/// that restarts costs a pod; longer, and the standby grows old.
const NODE_LOST: Duration = Duration::from_secs(30);

/// A node, and how long it has been so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeSeen {
    /// Nodes are not watched, or the pod has none.
    #[default]
    Unknown,
    /// It works.
    Ready,
    /// Its kubelet does not say that it works.
    NotReady {
        /// Since when, by the clock of the control plane.
        since: Timestamp,
        /// For how long this process has seen it so, by its own clock, which nobody sets.
        seen_for: Duration,
    },
    /// It was removed.
    Gone,
}

impl NodeSeen {
    /// The later of both ages counts. The clocks of the control plane and of this machine may differ by more than
    /// `NODE_LOST`: by the node's time alone each one that stumbles would be lost at once.
    pub fn is_lost(self, now: Timestamp) -> bool {
        match self {
            // Kubernetes itself removes the pods of a node that is gone, but only after minutes.
            Self::Gone => true,
            Self::NotReady { since, seen_for } => {
                let told_for = Duration::try_from(now.duration_since(since));
                told_for.is_ok_and(|told_for| told_for.min(seen_for) >= NODE_LOST)
            }
            Self::Ready | Self::Unknown => false,
        }
    }
}

/// What a node's own object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Ready,
    NotReady { since: Timestamp },
    Unknown,
    Gone,
}

impl From<Option<&Node>> for Told {
    fn from(node: Option<&Node>) -> Self {
        let Some(node) = node else {
            return Self::Gone;
        };
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions
            .and_then(|conditions| conditions.iter().find(|condition| condition.type_ == "Ready"));
        match ready {
            Some(ready) if ready.status == "True" => Self::Ready,
            Some(ready) => match &ready.last_transition_time {
                Some(time) => Self::NotReady { since: time.0 },
                None => Self::Unknown,
            },
            None => Self::Unknown,
        }
    }
}

/// Since when this process has seen nodes not ready without interruption. In memory only: a process that has just begun
/// counts anew, which delays and never hastens.
#[derive(Debug, Default)]
struct NodeAges(HashMap<String, Age>);

#[derive(Clone, Copy, Debug)]
struct Age {
    /// The node's own time: another one means that it was ready in between, also where nobody looked.
    told_since: Timestamp,
    seen_since: Instant,
}

impl NodeAges {
    /// Takes a look at one node. `look` is asked for others too: whoever is gone or works again is forgotten, so there
    /// are never more ages than nodes that are not ready.
    fn see(&mut self, name: &str, look: impl Fn(&str) -> Told, now: Instant) -> NodeSeen {
        let told_since = match look(name) {
            Told::NotReady { since } => since,
            other => {
                self.0.remove(name);
                return match other {
                    Told::Ready => NodeSeen::Ready,
                    Told::Gone => NodeSeen::Gone,
                    Told::Unknown | Told::NotReady { .. } => NodeSeen::Unknown,
                };
            }
        };
        let known = self.0.get(name).filter(|age| age.told_since == told_since);
        let age = match known {
            Some(age) => *age,
            None => {
                self.0.retain(|other, _| matches!(look(other), Told::NotReady { .. }));
                let age = Age { told_since, seen_since: now };
                self.0.insert(name.to_owned(), age);
                age
            }
        };
        let seen_for = now.saturating_duration_since(age.seen_since);
        NodeSeen::NotReady { since: told_since, seen_for }
    }
}

/// The nodes that the watch shows, with their ages.
#[derive(Debug)]
pub struct Nodes {
    store: Store<Node>,
    ages: Mutex<NodeAges>,
}

impl Nodes {
    /// Over the store of a watch.
    pub fn new(store: Store<Node>) -> Self {
        Self { store, ages: Mutex::default() }
    }

    /// Returns when the store holds what there is.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.store.wait_until_ready().await
    }

    /// As the watch has it.
    pub fn see(&self, name: &str) -> NodeSeen {
        self.ages().see(name, |name| self.told(name), Instant::now())
    }

    /// As the API server has just told it, which may be ahead of the watch.
    pub fn judge(&self, name: &str, node: Option<&Node>) -> NodeSeen {
        let look = |other: &str| if other == name { Told::from(node) } else { self.told(other) };
        self.ages().see(name, look, Instant::now())
    }

    fn told(&self, name: &str) -> Told {
        Told::from(self.store.get(&ObjectRef::new(name)).as_deref())
    }

    fn ages(&self) -> std::sync::MutexGuard<'_, NodeAges> {
        self.ages.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_node_is_lost_when_both_clocks_say_so() {
        let rows = [
            ("both just below", 29, 29, false),
            ("both", 30, 30, true),
            ("the control plane's clock is an hour behind", 3_600, 0, false),
            ("the control plane's clock is an hour behind, for 30 s", 3_630, 30, true),
            ("the control plane's clock is ahead", -60, 3_600, false),
            ("this process has just begun", 600, 1, false),
        ];
        for (name, told, seen, is_lost) in rows {
            let node = NodeSeen::NotReady {
                since: at(10_000 - told),
                seen_for: Duration::from_secs(seen),
            };
            assert_eq!(node.is_lost(at(10_000)), is_lost, "{name}");
        }
        assert!(NodeSeen::Gone.is_lost(at(0)));
        assert!(!NodeSeen::Ready.is_lost(at(0)) && !NodeSeen::Unknown.is_lost(at(0)));
    }

    #[test]
    fn only_what_was_seen_without_interruption_counts() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let not_ready = |since| Told::NotReady { since: at(since) };
        // What the node says, second by second, and for how long it has been seen not ready then.
        let rows: &[(&str, &[Told], Option<u64>)] = &[
            ("first seen, whatever its own time says", &[not_ready(-9_999)], Some(0)),
            ("for two seconds", &[not_ready(5); 3], Some(2)),
            ("ready in between", &[not_ready(5), Told::Ready, not_ready(7)], Some(0)),
            ("ready in between, unseen", &[not_ready(5), not_ready(7), not_ready(7)], Some(1)),
            ("removed and added again", &[not_ready(5), Told::Gone, not_ready(5)], Some(0)),
            ("says nothing", &[not_ready(5), Told::Unknown], None),
        ];
        for (name, told, seconds) in rows {
            let mut ages = NodeAges::default();
            let mut last = NodeSeen::Unknown;
            for (step, told) in (0_u32..).zip(*told) {
                last = ages.see("n", |_| *told, start + second * step);
            }
            let seen = match last {
                NodeSeen::NotReady { seen_for, .. } => Some(seen_for.as_secs()),
                _ => None,
            };
            assert_eq!(seen, *seconds, "{name}");
            assert_eq!(ages.0.len(), usize::from(seconds.is_some()), "{name}");
        }
    }

    #[test]
    fn nodes_that_work_again_or_are_gone_are_forgotten_though_nobody_asks_for_them() {
        let mut ages = NodeAges::default();
        let now = Instant::now();
        let all_down = |_: &str| Told::NotReady { since: at(1) };
        for name in ["a", "b", "c"] {
            ages.see(name, all_down, now);
        }
        let look = |name: &str| match name {
            "a" => Told::Ready,
            "b" => Told::Gone,
            _ => Told::NotReady { since: at(1) },
        };
        ages.see("d", look, now);
        let mut left: Vec<_> = ages.0.keys().map(String::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["c", "d"]);
    }
}
