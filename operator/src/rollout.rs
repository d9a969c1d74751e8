//! Takes turns: when the operator itself has changed, syncers are restarted one after another, and the next only when
//! the one before is back. A new version that does not work stops at the first, also when the operator is restarted
//! meanwhile. Asked by each pass between build and plan; it never holds back a change that the user made.

mod mark;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    ResourceExt as _,
    runtime::reflector::{ObjectRef, Store},
};

pub use self::mark::Mark;
use crate::{controller::observe::WorkloadSeen, names};

/// After a turn was given, until the stores show its effect.
const SETTLE: Duration = Duration::from_secs(5);
/// A syncer whose link was not well before its turn (its standby is down, say) need not be well after it: it holds the
/// others up for this time only. The same for what an earlier process left unfinished without a word about it.
const UNWELL_MAX: Duration = Duration::from_secs(60);

/// The turns of one operator, over all namespaces that it looks after.
#[derive(Debug)]
pub struct Rollout {
    /// How many stores there will be.
    scopes: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stores: Vec<Store<StatefulSet>>,
    turns: Turns,
}

/// What a pass wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The object's namespace.
    pub namespace: &'a str,
    /// Its name.
    pub sync: &'a str,
    /// Whether its StatefulSet differs from the wanted one only because the operator has changed.
    pub is_upgrade: bool,
    /// Whether its syncer starts and ends again and again: it has nothing to lose.
    pub is_crashing: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Whether an upgrade may be applied now.
    pub has_turn: bool,
    /// What has to stand on the StatefulSet if it is applied.
    pub mark: Option<Mark>,
}

impl Rollout {
    /// For so many scopes. Each brings its store once that is filled.
    pub fn new(scopes: usize, now: Instant) -> Self {
        let state = State { stores: Vec::new(), turns: Turns { started: now, turn: None } };
        Self { scopes, state: Mutex::new(state) }
    }

    /// A scope's StatefulSets, all of them read.
    pub fn watch(&self, store: Store<StatefulSet>) {
        self.state().stores.push(store);
    }

    /// Asks for a turn, if one is needed.
    pub fn ask(&self, wish: Wish<'_>, now: Instant) -> Leave {
        let Wish { namespace, sync, is_upgrade, is_crashing } = wish;
        let mut state = self.state();
        let State { stores, turns } = &mut *state;
        let reference = ObjectRef::new(&names::workload(sync)).within(namespace);
        let set = stores.iter().find_map(|store| store.get(&reference));
        let mark = Mark::next(set.as_deref(), is_upgrade);
        // What crashes is not made worse, and takes nobody's turn.
        let has_turn = is_upgrade
            && (is_crashing || {
                let all = All {
                    sets: stores.iter().flat_map(Store::state).collect(),
                    is_complete: stores.len() >= self.scopes,
                };
                turns.take(&id_of(namespace, sync), mark == Some(Mark::Well), &all, now)
            });
        Leave { has_turn, mark }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// The operator's StatefulSets as they are.
#[derive(Debug)]
struct All {
    sets: Vec<Arc<StatefulSet>>,
    /// Whether those of all scopes are there.
    is_complete: bool,
}

/// Who has the turn, pure.
#[derive(Debug)]
struct Turns {
    /// When this process began.
    started: Instant,
    turn: Option<Turn>,
}

#[derive(Debug)]
struct Turn {
    /// `namespace/name` of the StatefulSet.
    holder: String,
    since: Instant,
    /// Whether its link was well when it got the turn.
    was_well: bool,
}

impl Turns {
    /// Whether this StatefulSet may be changed now; `was_well`: its link worked before the upgrade.
    fn take(&mut self, candidate: &str, was_well: bool, all: &All, now: Instant) -> bool {
        if let Some(Turn { holder, since, was_well }) = &self.turn {
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
            if is_awaited && all.sets.iter().any(|set| id(set) == *holder && !is_back(set)) {
                return false;
            }
        }
        if self.is_held_up(candidate, all, now) {
            return false;
        }
        self.turn = Some(Turn { holder: candidate.to_owned(), since: now, was_well });
        true
    }

    /// By what an earlier process began: the set that it broke says so itself. What does not say anything (a change of
    /// the user's, or an older operator's) may be a turn; it is waited for as for one that was not well, since it could
    /// be unfinished for weeks.
    fn is_held_up(&self, candidate: &str, all: &All, now: Instant) -> bool {
        let is_young = now.duration_since(self.started) < UNWELL_MAX;
        let is_awaited = |set: &StatefulSet| {
            id(set) != candidate
                && !mark::is_finished(set)
                && (is_young || Mark::on(set) == Some(Mark::Well))
        };
        // A namespace that cannot be read holds up the others no longer than one that is not well.
        (is_young && !all.is_complete) || all.sets.iter().any(|set| is_awaited(set))
    }
}

/// `namespace/name`.
fn id(set: &StatefulSet) -> String {
    format!("{}/{}", set.namespace().unwrap_or_default(), set.name_any())
}

/// The same for an object whose StatefulSet need not exist.
fn id_of(namespace: &str, sync: &str) -> String {
    format!("{namespace}/{}", names::workload(sync))
}

#[cfg(test)]
mod tests;
