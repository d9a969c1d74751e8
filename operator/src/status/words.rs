//! What each word of the conditions and events means and what to do: the operator's own. Those of the syncer are in its
//! contract, with their texts. `make reference` writes a page of both.
//!
//! Nothing is decided from these texts. A word that is said without standing here fails the test below.

/// A word, what it means, what to do.
pub type Word = (&'static str, &'static str);

/// Reasons of `Ready` that no report says.
pub const UNREPORTED: &[Word] = &[
    (
        "InvalidSpec",
        "The object contradicts itself in a way that the API server could not see. The message names the field, its value and what to write instead. What runs already goes on as it was.",
    ),
    (
        "SecretNotFound",
        "A Secret that the object names is not in its namespace. Create it, or correct the name: it is looked for every 10 s. What runs already goes on.",
    ),
    (
        "SecretInvalid",
        "The Secret has no such key, or the key holds no password (text of 1 byte to 64 KiB), or the operator may not read it. The message says which.",
    ),
    (
        "ApplyFailed",
        "The API server refuses what the operator wants to make: a quota, a right, an admission rule, a name that is taken. The message has its words. Tried again with growing pauses, up to a minute.",
    ),
    (
        "SyncerPending",
        "The syncer's pod is being created or replaced, or cannot start; the message has Kubernetes' reason. If it stays: `kubectl describe pod NAME-redissync-0` (image, volume, quota, place).",
    ),
    (
        "SyncerUnreachable",
        "The pod runs, but its report cannot be read on port 9250. The syncer may work all the same. Look at the pod's log and at network policies between the operator and the pod.",
    ),
];

/// Reasons of `Ready` that follow from a report without standing in it as a wait, a halt or a phase.
pub const CONCLUDED: &[Word] = &[
    ("Replicating", "All is well: each write of the primary goes to the standby as it comes."),
    (
        "Paused",
        "`spec.paused` is true: the source is read and spooled, nothing is written to the standby. Set it to false to go on.",
    ),
    (
        "DataDiffers",
        "The standby's data were found to differ from the primary's. This version looks for no differences; a newer syncer may say so.",
    ),
];

/// Reasons of `Reconciling` where the pair itself is well, and a change is under way.
pub const RECONCILING: &[Word] = &[
    ("UpToDate", "Nothing is under way (status False)."),
    ("Applying", "The syncer's objects are being applied. Lasts moments."),
    (
        "ApplyFailed",
        "A change could not be applied, see the table of `Ready`. The syncer goes on as it was.",
    ),
    ("RollingOut", "The syncer's pod is being replaced."),
    (
        "UpgradePending",
        "The operator was upgraded; this syncer is restarted when its turn comes. If it stays, the syncer whose turn it is does not become ready: look at that one.",
    ),
    (
        "RemovalPending",
        "Objects of a deleted RedisSync of the same name are still being removed. Lasts as long as its pod drains.",
    ),
    (
        "ConfigurationRefused",
        "The syncer cannot use the configuration that the operator wrote and goes on with its last one: it is of an older version than the operator. Lasts until its restart.",
    ),
    ("RestartPending", "The syncer has read a change that it takes over when it restarts."),
];

/// Reasons of `Stalled` beside those of `Ready`.
pub const STALLED: &[Word] =
    &[("NothingToDecide", "Nobody has to decide anything (status False).")];

/// Reasons of `SourceReachable` and `TargetReachable` beside what is waited for.
pub const REACHABLE: &[Word] = &[
    ("Connected", "The syncer is connected."),
    ("NotConnected", "It is not, and names no reason for it."),
    ("NotConnectedYet", "It has not tried yet."),
    ("SyncerNotHeard", "The syncer's report cannot be read, so nobody knows."),
];

/// Reasons of `Synced` beside the phases.
pub const SYNCED: &[Word] = &[
    ("Level", "The standby is level with the primary but for the writes of this moment."),
    ("SyncerNotHeard", "The syncer's report cannot be read, so nobody knows."),
];

/// Reasons of `DataVerified`.
pub const DATA_VERIFIED: &[Word] = &[
    ("RepliesChecked", "Every command's reply was read, and none was an error."),
    (
        "RepliesLost",
        "A process or a node ended between a batch and its replies: the batch is in the standby with its position, but whether each of its commands was accepted, nobody saw. Or commands went to the dead letters (`status.links[].deadLetters`). The next full copy settles it.",
    ),
    ("DataDiffers", "See `Ready`."),
    (
        "KeysEvicted",
        "The standby has evicted keys since the last full copy, and lacks them until the next one (status False). `CONFIG SET maxmemory-policy noeviction` at its nodes, more memory, then a copy. Counted for as long as the syncer's process lives.",
    ),
    ("SyncerNotHeard", "The syncer's report cannot be read, so nobody knows."),
];

/// Reasons of `PreflightPassed`.
pub const PREFLIGHT_PASSED: &[Word] = &[
    ("AllPassed", "Nothing to do."),
    (
        "PassedWithWarnings",
        "It works, but not in every case (status True): the message has each warning with what to do. See [preflight](operations.md#preflight).",
    ),
    (
        "ChecksFailed",
        "Something does not work, or costs data or a full copy sooner or later (status False): the message has it with what to do. Only an evicting standby holds anything up. See [preflight](operations.md#preflight).",
    ),
    (
        "ChecksUnread",
        "Nothing failed, but something could not be read (status Unknown): the message names the right that is missing.",
    ),
    ("NotCheckedYet", "The syncer has just started."),
    ("SyncerNotHeard", "The syncer's report cannot be read, so nobody knows."),
];

/// Reasons of `BacklogHealthy` beside those of the report.
pub const BACKLOG_HEALTHY: &[Word] = &[
    (
        "NotMeasuredYet",
        "The source's stream was not measured yet, or the source keeps no backlog before its first replica.",
    ),
    ("SyncerNotHeard", "The syncer's report cannot be read, so nobody knows."),
];

/// Reasons of `ExpiryAtRisk` beside those of the report.
pub const EXPIRY_AT_RISK: &[Word] = &[
    (
        "DelayUnknown",
        "How late writes are applied is not known (before the first copy, with the source away), or a node does not tell its time: then grant `+time`.",
    ),
    ("NotMeasuredYet", "The syncer has just started."),
    ("SyncerNotHeard", "The syncer's report cannot be read, so nobody knows."),
];

/// Reasons of events.
pub const EVENTS: &[Word] = &[
    ("Ready", "Normal. `Ready` has become True."),
    ("NotReady", "Warning. `Ready` was True and is False now; the note has the reason."),
    (
        "MasterSwitched",
        "Normal. A site has another master: the note has the site, the old one, the new one and the epoch.",
    ),
    ("FullCopyStarted", "Normal. With the reason of the copy."),
    ("FullCopyFinished", "Normal."),
    ("Halted", "Warning. Something that only you can decide; the note has what and how."),
    ("Released", "Normal. A halt has ended."),
    ("SyncerReplaced", "Warning. The node of the syncer's pod is lost; the pod was deleted."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::controller::validate::InvalidReason;

    /// What stands between quotes and looks like a reason.
    fn quoted(source: &str) -> BTreeSet<&str> {
        let is_word = |text: &&str| {
            text.len() > 2
                && text.starts_with(|c: char| c.is_ascii_uppercase())
                && text.chars().all(|c| c.is_ascii_alphabetic())
        };
        source.split('"').skip(1).step_by(2).filter(is_word).collect()
    }

    fn words(tables: &[&[Word]]) -> BTreeSet<&'static str> {
        tables.iter().flat_map(|table| table.iter().map(|(word, _)| *word)).collect()
    }

    #[test]
    fn every_reason_that_a_condition_may_have_is_explained_and_no_other() {
        let mut said = quoted(include_str!("findings.rs"));
        said.extend(quoted(include_str!("outlook.rs")));
        // The ends, by which waits are told apart, and a phase, which the contract explains.
        for other in ["Source", "Target", "CatchingUp"] {
            said.remove(other);
        }
        let invalid = [
            InvalidReason::InvalidSpec,
            InvalidReason::SecretNotFound,
            InvalidReason::SecretInvalid,
        ];
        said.extend(invalid.map(InvalidReason::as_str));
        let explained =
            words(&[UNREPORTED, CONCLUDED, RECONCILING, STALLED, REACHABLE, SYNCED, DATA_VERIFIED])
                .into_iter()
                .chain(words(&[PREFLIGHT_PASSED, BACKLOG_HEALTHY, EXPIRY_AT_RISK]))
                .collect::<BTreeSet<_>>();
        assert_eq!(said, explained);
    }

    #[test]
    fn every_event_is_explained_and_no_other() {
        let source = include_str!("../events.rs");
        let said: BTreeSet<&str> = ["normal(", "warning("]
            .into_iter()
            .flat_map(|call| source.split(call).skip(1))
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .collect();
        assert_eq!(said, words(&[EVENTS]));
    }
}
