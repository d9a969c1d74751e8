//! The words of a report: phases and reasons. Each word's documentation says what it means and what to do;
//! `description()` gives the same text to whoever renders a page of them.

/// Defines an enum of words that travel as their own names. A reader that meets a word of a newer version
/// reads `Unknown` and still understands the rest of the report.
macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $word:ident,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[doc = $doc])+ $word,)+
            /// A word of a newer version than this reader. Never written.
            #[serde(other)]
            Unknown,
        }

        impl $name {
            /// Every word that may be written, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// The word as it stands in reports and in the labels of metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                    Self::Unknown => "Unknown",
                }
            }

            /// What the word means and what to do, as the documentation has it.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$word => concat!($($doc, "\n"),+),)+
                    Self::Unknown => "a word of a newer version",
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use words;

words! {
    /// What the syncer is doing. A halt shows as `Halted` and a wait as `Waiting`, whatever else goes on.
    Phase {
        /// Asks the sentinels (or the configured address) who the masters are. Lasts moments; else see `waitingFor`.
        Resolving,
        /// Connects, takes the record at the target and agrees with the source on where to go on.
        Handshaking,
        /// Copies every key as of one offset. The target's readers see old or new values; see `fullCopies.progress`.
        FullCopy,
        /// Removes the target's keys that the source no longer has. Follows a full copy.
        Sweeping,
        /// Applies the stream, not yet level with the source.
        CatchingUp,
        /// Applies the stream as it comes. The normal state; an object's status says `Replicating`.
        Streaming,
        /// Cannot go on for now and tries again by itself; `waitingFor` says what for. Nothing is lost.
        Waiting,
        /// Stopped at something that only a human can decide; `halt` says what and how to release it.
        /// Outlives restarts.
        Halted,
        /// Was asked to end: writes what is under way, confirms it, and stops.
        Draining,
        /// Has ended in order.
        Stopped,
        /// Another syncer owns the target. This one writes nothing and takes over only when the owner has
        /// given no sign of life for 30 s. If both were started on purpose, stop one.
        Superseded,
    }
}

words! {
    /// Why the syncer waits. It tries again by itself, with growing pauses; nothing has been applied by halves.
    WaitReason {
        /// No connection to the source's data node. Check the node, the network and the address; if sentinels
        /// announce addresses that cannot be reached from here, `addressMap` helps.
        SourceUnreachable,
        /// No connection to the target's data node. The spool goes on filling meanwhile.
        TargetUnreachable,
        /// The source is loading its data (`LOADING`). Goes on when it has.
        SourceLoading,
        /// The target is loading its data (`LOADING`). Goes on when it has.
        TargetLoading,
        /// The source refused the credentials, or the password file cannot be read. Correct the file or the
        /// user: it is read again at each attempt, no restart is needed.
        SourceAuth,
        /// The target refused the credentials, or the password file cannot be read. Correct the file or the
        /// user: it is read again at each attempt, no restart is needed.
        TargetAuth,
        /// The source and the syncer have no TLS with each other: a certificate that the other end does not accept, a name that
        /// does not stand in it, a file or a key that cannot be used, or one of the two speaks without TLS; the message says
        /// which. Correct the site's `tls`, the files behind it or the server: all is read again at each attempt, no restart
        /// is needed.
        SourceTLS,
        /// The target and the syncer have no TLS with each other: a certificate that the other end does not accept, a name that
        /// does not stand in it, a file or a key that cannot be used, or one of the two speaks without TLS; the message says
        /// which. Correct the site's `tls`, the files behind it or the server: all is read again at each attempt, no restart
        /// is needed.
        TargetTLS,
        /// The source's user may not run a command that replication needs (`NOPERM`). Grant what the message names.
        SourcePermission,
        /// The target's user may not run a command that the syncer itself needs (`NOPERM`). Grant what the message names.
        TargetPermission,
        /// No sentinel of the source names a master that says of itself that it is one. Check the sentinels,
        /// the master's name and a failover that has not ended.
        SourceNoMaster,
        /// No sentinel of the target names a master that says of itself that it is one. Check the sentinels,
        /// the master's name and a failover that has not ended.
        TargetNoMaster,
        /// The source's sentinels refuse the credentials or a command (`NOAUTH`, `WRONGPASS`, `NOPERM`), or their password
        /// file cannot be read; the data nodes were not asked. Correct the site's `sentinel.auth` or the sentinels' user:
        /// the file is read again at each attempt, no restart is needed.
        SourceSentinelAuth,
        /// The target's sentinels refuse the credentials or a command (`NOAUTH`, `WRONGPASS`, `NOPERM`), or their password
        /// file cannot be read; the data nodes were not asked. Correct the site's `sentinel.auth` or the sentinels' user:
        /// the file is read again at each attempt, no restart is needed.
        TargetSentinelAuth,
        /// The source's sentinels and the syncer have no TLS with each other, as for `SourceTLS`; the data nodes were not asked.
        /// Correct the site's `sentinel.tls`, which is apart from `tls`, the files behind it or the sentinels.
        SourceSentinelTLS,
        /// The target's sentinels and the syncer have no TLS with each other, as for `TargetTLS`; the data nodes were not asked.
        /// Correct the site's `sentinel.tls`, which is apart from `tls`, the files behind it or the sentinels.
        TargetSentinelTLS,
        /// The target refuses writes as a replica does (`READONLY`). Passes when its failover has ended.
        TargetReadOnly,
        /// The target is full (`OOM`). Raise its `maxmemory` or free memory: the whole batch was refused and
        /// is sent again.
        TargetOutOfMemory,
        /// The target evicts keys when it is full: `maxmemory` is set and `maxmemory-policy` is not `noeviction`. Nothing is
        /// written to it, since evicted keys would be missing without a word. `CONFIG SET maxmemory-policy noeviction` at
        /// every node of the target, with `CONFIG REWRITE`; or allow it (in a RedisSync `preflight.evictingStandby: Allow`, in
        /// the syncer's file `preflight.evictingTarget: Allow`).
        TargetEvicts,
        /// The target refuses writes because it cannot save (`MISCONF`). Look at its disk and its log.
        TargetMisconf,
        /// A script or a module holds the target (`BUSY`). Wait for it, or end it with `SCRIPT KILL`.
        TargetBusy,
        /// The target is a cluster that does not serve all its slots (`CLUSTERDOWN`).
        TargetClusterDown,
        /// The target refuses writes for want of replicas (`NOREPLICAS`). Bring its replicas back, or lower
        /// `min-replicas-to-write`.
        TargetNoReplicas,
        /// The target refused a whole batch with a word that the syncer does not know; the message has it.
        TargetError,
        /// The source refused with a word that the syncer does not know; the message has it.
        SourceError,
        /// Another process holds the spool directory. Passes when that process has ended.
        SpoolLock,
        /// The spool has reached `spool.maxBytes`, so the source is not read. Goes on when the target has taken
        /// enough; raise `spool.maxBytes` if it happens again.
        SpoolFull,
        /// A full copy failed twice because the spool is too small for it. Raise `spool.maxBytes` to what the
        /// message names and restart.
        SpoolTooSmall,
        /// The spool's disk is full or fails. Nothing more is read from the source until it works again.
        DiskError,
        /// The target holds keys but no record of this pair; nothing was changed. If these keys may go, set
        /// `fullCopy.onExistingData` to `Sweep`, if they shall stay beside the copy, to `Keep`; else the
        /// target's address is wrong.
        TargetNotEmpty,
        /// The source holds this pair's record, so it is this pair's target: the two ends are the wrong way
        /// round. Correct the configuration.
        RoleConflict,
        /// Another syncer owns the target; see the phase of the same name.
        Superseded,
        /// `paused` is set: the source is read and spooled, nothing is applied. Set it to false to go on.
        Paused,
        /// The source's node is a replica whose own master is gone, so that what it has may be old. Passes
        /// when its link is up or another master was elected.
        SourceMasterLinkDown,
        /// The node that was named as the target's master says that it is none. Passes when the failover has ended.
        TargetNotMaster,
        /// The node that was named as the source's master says that it is none. Passes when the failover has ended.
        SourceNotMaster,
    }
}

impl WaitReason {
    /// Whether we are not let in, or do not trust who answers: another password, or other certificates, in the same place may
    /// be right.
    pub const fn is_refused_secret(self) -> bool {
        matches!(
            self,
            Self::SourceAuth
                | Self::TargetAuth
                | Self::SourceSentinelAuth
                | Self::TargetSentinelAuth
                | Self::SourceTLS
                | Self::TargetTLS
                | Self::SourceSentinelTLS
                | Self::TargetSentinelTLS
        )
    }
}

words! {
    /// Why the syncer has halted. A halt is kept in the target's record; `redissync-syncer release` ends it, or
    /// `release` in the configuration.
    HaltReason {
        /// The target rejected one unit of the stream (its first command's error is in the message): wrong
        /// type, missing right, unknown command. Put the cause right at the target, then release with
        /// `--skip-unit OFFSET` (that unit is not applied) or `--copy-again`. With `stream.onRejected: DeadLetter`
        /// such commands are kept aside instead.
        CommandRejected,
        /// The target rejected one key of the full copy. Put the cause right at the target, then release with
        /// `--copy-again`.
        ValueRejected,
        /// The full copy holds what the target cannot have in any form; the list `redissync:<pairID>:0:leftOut` at the
        /// target names the key. Do what the remedy says, then release with `--copy-again`; or let copies leave such keys
        /// out (`fullCopy.onUnsupported: Skip`).
        UnsupportedValue,
        /// The stream holds a command that the target does not know and that nothing else says exactly, or that
        /// this version cannot carry over safely (such as `SWAPDB` with database 0, where the record lives).
        /// Release with `--copy-again`, or skip it knowingly with `--skip-unit OFFSET`.
        UnsupportedCommand,
        /// One unit of the source is larger than what the syncer may hold in memory. Make the source's
        /// transactions and values smaller, then release with `--copy-again`.
        UnitTooLarge,
        /// The sweep after a full copy would delete more than 20 % of the target's keys. If the
        /// source is really that much smaller now, release with `--allow-sweep COPYID`; else it came back
        /// empty or with an old file: put that right first, then release with `--copy-again`.
        SweepBrake,
        /// The full copy's bytes are not a valid RDB (a bad checksum, an impossible length). Release with
        /// `--copy-again`; if it comes back, look at the source's memory and the network.
        CorruptRdb,
        /// The stream's bytes are not valid commands. Release with `--copy-again`; if it comes back, look at
        /// the source's memory and the network.
        CorruptStream,
        /// What the spool holds fails its checksum, where the source no longer has it. Look at the disk, then
        /// release with `--copy-again`.
        CorruptSpool,
    }
}

words! {
    /// Why a full copy was needed.
    FullCopyReason {
        /// The pair's first copy: the target was empty, or the user's consent stood in the configuration.
        Initial,
        /// The target lost this pair's record (it was flushed, or replaced).
        NoRecord,
        /// The source's backlog no longer reaches back to our position. Raise `repl-backlog-size` at the
        /// source to what it writes in the longest cut that it shall outlast.
        BacklogOverrun,
        /// The source failed over to a node that lacked writes which the target has already. They are undone
        /// by the copy and its sweep.
        SourceRollback,
        /// The source has another history (restarted without its data, or a different server).
        HistoryReset,
        /// The spool had to close the source connection for want of room, and the backlog has gone by. Raise
        /// `spool.maxBytes`.
        SpoolFull,
        /// The spool's files were lost or damaged, and the backlog cannot bridge what is missing.
        SpoolLost,
        /// An earlier full copy was cut short and could not be continued.
        InterruptedCopy,
        /// A human asked for it (`release --copy-again`).
        Requested,
    }
}

words! {
    /// Which end a wait concerns.
    WaitEnd {
        /// The site that is read, or the way to it.
        Source,
        /// The site that is written, or the way to it.
        Target,
        /// The syncer itself: its spool, its configuration.
        Neither,
    }
}

impl Default for WaitEnd {
    /// What an older syncer does not say.
    fn default() -> Self {
        Self::Unknown
    }
}

words! {
    /// How a site's nodes are found.
    Topology {
        /// One node at a fixed address.
        Standalone,
        /// The master that the sentinels name.
        Sentinel,
    }
}

words! {
    /// Where a full copy is.
    CopyPhase {
        /// The source was asked and prepares the copy (it forks).
        Preparing,
        /// Keys arrive and are restored.
        Restoring,
        /// Keys that the source no longer has are removed.
        Sweeping,
    }
}

/// Whether the target's data are known to equal the source's as of the record. A reader that meets a word of
/// a newer version takes it for `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Verification {
    /// Every batch's replies were checked.
    True,
    /// A difference was found. Release with `--copy-again`.
    False,
    /// A batch's replies were lost (a kill) and its keys were not compared since.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_travel_as_their_names_and_newer_ones_are_tolerated() {
        for reason in WaitReason::ALL {
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(json, format!("\"{reason}\""));
            assert_eq!(serde_json::from_str::<WaitReason>(&json).unwrap(), *reason);
        }
        assert_eq!(
            serde_json::from_str::<HaltReason>("\"FromTheFuture\"").unwrap(),
            HaltReason::Unknown
        );
        assert_eq!(serde_json::to_string(&Verification::Unknown).unwrap(), "\"Unknown\"");
    }

    #[test]
    fn another_secret_may_help_where_one_is_refused_and_nowhere_else() {
        let helped = WaitReason::ALL.iter().filter(|reason| reason.is_refused_secret());
        let helped: Vec<&str> = helped.map(|reason| reason.as_str()).collect();
        assert_eq!(
            helped,
            [
                "SourceAuth",
                "TargetAuth",
                "SourceTLS",
                "TargetTLS",
                "SourceSentinelAuth",
                "TargetSentinelAuth",
                "SourceSentinelTLS",
                "TargetSentinelTLS"
            ]
        );
    }

    #[test]
    fn every_word_says_what_it_means() {
        for text in WaitReason::ALL.iter().map(|word| word.description()) {
            assert!(text.len() > 20, "{text}");
        }
        assert!(HaltReason::SweepBrake.description().contains("--allow-sweep"));
    }
}
