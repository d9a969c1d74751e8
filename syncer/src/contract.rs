//! The contract between a syncer and whoever runs it: the file that it reads ([`SyncerConfig`]) and the
//! report that it gives ([`SyncReport`]). Types and documentation only; [`crate::config`] validates the one,
//! [`crate::state`] fills the other.
//!
//! Writer and reader may be one version apart. So a report's reader ignores fields and reasons that it does
//! not know, a field is never dropped and never given another meaning, and what is unknown is `null`, not 0.
//! Neither of the two ever carries a password, a key's name or a value.

pub mod words;
pub mod checks;
pub mod settings;
pub mod sync_report;
pub mod timestamp;

pub use checks::{
    BacklogHealth, BacklogReport, Check, CheckName, CheckResult, ExpiryReport, ExpiryRisk,
};
pub use settings::{
    AddressMapping, AuthConfig, EndpointConfig, EvictingTarget, ExpiryConfig, FullCopyConfig,
    OnExistingData, OnRejected, OnUnsupported, PreflightConfig, Publish, ReleaseAction,
    ReleaseConfig, RetentionConfig, SentinelConfig, ServerConfig, SpoolConfig, StandaloneConfig,
    StreamConfig, SyncerConfig, TlsConfig,
};
pub use sync_report::{
    CopyProgress, Counters, DataVerified, EndReport, Ends, FullCopies, Halt, Lag, LinkReport,
    Offsets, Owner, REPORT_VERSION, RecordPosition, SpoolUse, SyncReport, WaitingFor,
};
pub use timestamp::Timestamp;
pub use words::{
    CopyPhase, FullCopyReason, HaltReason, Phase, Topology, Verification, WaitEnd, WaitReason,
};
