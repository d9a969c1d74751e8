//! What of a turn outlives the operator, pure: a word on the StatefulSet, and what Kubernetes itself remembers of it.
//!
//! The word alone decides nothing: it counts only as long as the change has not succeeded.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;

use crate::{controller::observe::WorkloadSeen, names};

/// How a syncer's link was when an upgrade restarted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It worked: if it does not come back, the upgrade is to blame.
    Well,
    /// It did not (its standby is down, say), so it need not work afterwards.
    Unwell,
}

impl Mark {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Unwell => "unwell",
        }
    }

    /// What stands on a StatefulSet; a word that this version does not know is none.
    pub(super) fn on(set: &StatefulSet) -> Option<Self> {
        let word = set.annotations().get(names::TURN)?;
        [Self::Well, Self::Unwell].into_iter().find(|mark| mark.as_str() == word)
    }

    /// What has to stand on it when it is applied next. The mark of a change that has not succeeded stays, whoever
    /// changes the set meanwhile: a second try on a syncer that the first one broke must not make it one that was not
    /// well before.
    pub(super) fn next(set: Option<&StatefulSet>, is_upgrade: bool) -> Option<Self> {
        let set = set?;
        if !is_finished(set) {
            return Self::on(set).or(is_upgrade.then_some(Self::Unwell));
        }
        let is_well = WorkloadSeen::from(set).is_rolled_out;
        is_upgrade.then_some(if is_well { Self::Well } else { Self::Unwell })
    }

    /// Puts it on a StatefulSet that is about to be applied. It is no part of the hashes.
    pub fn put(mark: Option<Self>, set: &mut StatefulSet) {
        if let Some(mark) = mark {
            set.annotations_mut().insert(names::TURN.to_owned(), mark.as_str().to_owned());
        }
    }
}

/// Whether its pod has been ready since its template was changed last. Kubernetes remembers it: the current revision
/// becomes the updated one when the new pod is ready for the first time, and stays so when it is not ready later.
pub(super) fn is_finished(set: &StatefulSet) -> bool {
    let status = set.status.clone().unwrap_or_default();
    status.observed_generation.unwrap_or_default() >= set.metadata.generation.unwrap_or_default()
        && status.current_revision == status.update_revision
}
