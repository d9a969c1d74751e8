//! Named points at which a test ends the process as a crash would: no destructor runs, nothing is flushed.
//!
//! Compiled in only with the feature `failpoints`; `REDISSYNC_FAILPOINT=<name>[:<n>]` kills at the n-th visit.

/// Every point, in the order of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// `+FULLRESYNC` came; the spool does not know of the copy yet.
    BeforeBeginCopy,
    /// The spool knows of the copy, the record does not.
    AfterBeginCopy,
    /// Within the RDB, as it arrives.
    InRdbReceive,
    /// The RDB is here whole, the index does not say so yet.
    BeforeRdbComplete,
    /// The record says that a copy has begun.
    AfterCopyRecord,
    /// Between two batches of restoring.
    InRestore,
    /// Between two pages of the sweep.
    InSweep,
    /// The data are those of the copy, the record does not say so yet.
    BeforeCopyEnd,
    /// The record says that the copy has ended; the spool still holds it.
    AfterCopyEnd,
    /// A batch is about to be sent.
    BeforeExec,
    /// A batch was sent; its replies were not read.
    AfterExec,
    /// The replies were read and checked; nothing of it is noted yet.
    AfterReplies,
    /// The spool is about to be cut.
    BeforeCut,
    /// The spool was cut and knows the new replid; the target does not.
    AfterCut,
    /// A stream's bytes are spooled, no reader knows of them yet.
    AfterSpooled,
}

impl Failpoint {
    /// All of them: the tests visit each.
    pub const ALL: &[Self] = &[
        Self::BeforeBeginCopy,
        Self::AfterBeginCopy,
        Self::InRdbReceive,
        Self::BeforeRdbComplete,
        Self::AfterCopyRecord,
        Self::InRestore,
        Self::InSweep,
        Self::BeforeCopyEnd,
        Self::AfterCopyEnd,
        Self::BeforeExec,
        Self::AfterExec,
        Self::AfterReplies,
        Self::BeforeCut,
        Self::AfterCut,
        Self::AfterSpooled,
    ];
}

/// The process passes a point.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_point: Failpoint) {}

/// The process passes a point, and ends there if a test says so.
#[cfg(feature = "failpoints")]
pub fn hit(point: Failpoint) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };
    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static VISITS: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("REDISSYNC_FAILPOINT").ok()?;
        let (name, visit) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), visit.parse().ok()?))
    });
    if let Some((name, visit)) = wanted
        && *name == format!("{point:?}")
        && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *visit
    {
        eprintln!("failpoint {point:?}, visit {visit}");
        std::process::abort();
    }
}
