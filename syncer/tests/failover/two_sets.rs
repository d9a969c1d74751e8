//! A Sentinel-managed set at each end, and the syncer between them in its stream.

use anyhow::{Result, ensure};
use redissync_e2e::{
    compare::{CompareOptions, compare},
    ledger::{Load, LoadOptions},
    sentinel_set::{SentinelSet, SetOptions},
    servers::ServerVersion,
    syncer::{Syncer, SyncerSite},
};

use super::{fill_set, syncer_options};
use crate::bed::{PATIENCE, binary, seed, wait_for_all};

pub(super) struct TwoSets {
    pub(super) source: SentinelSet,
    pub(super) target: SentinelSet,
    pub(super) syncer: Syncer,
}

impl TwoSets {
    pub(super) fn start(
        version: ServerVersion,
        source: &SetOptions,
        target: &SetOptions,
    ) -> Result<Self> {
        let mut source = SentinelSet::start(version, source)?;
        let target = SentinelSet::start(version, target)?;
        // So many that the keys of a second's load are less than what the sweep's brake lets pass.
        fill_set(&mut source, 40_000)?;
        let options = syncer_options(
            SyncerSite::sentinel_set("beijing", &source),
            SyncerSite::sentinel_set("shanghai", &target),
        );
        let mut syncer = Syncer::start(&binary(), &options)?;
        syncer.wait_for_phase("Streaming", PATIENCE)?;
        Ok(Self { source, target, syncer })
    }

    /// A load that follows the source's master.
    pub(super) fn load(&self, rate: u32) -> Result<Load> {
        let options = LoadOptions::new(self.source.load_endpoint());
        Load::start(options.rate_per_second(rate).seed(seed()))
    }

    pub(super) fn full_copies(&self) -> Result<u64> {
        Ok(self.syncer.report()?.full_copy_count().unwrap_or(0))
    }

    /// Waits until the master of the target's day has what the master of the source's day has.
    pub(super) fn wait_for_all(&mut self) -> Result<()> {
        let source = self.source.current_master()?;
        let target = self.target.current_master()?;
        let mut connection = self.source.node(source)?.connect()?;
        let (source, target) = (self.source.node(source)?.port(), self.target.node(target)?.port());
        let is_at = |address: &str, port: u16| address.ends_with(&format!(":{port}"));
        self.syncer.wait_for("both masters to be followed", PATIENCE, |report| {
            report.phase() == "Streaming"
                && is_at(report.source_address(), source)
                && is_at(report.target_address(), target)
        })?;
        wait_for_all(&mut self.syncer, &mut connection)
    }

    /// Ends the load, and compares both sides. The source's master may have failed over, and lost what it would.
    pub(super) fn finish(self, load: Load) -> Result<()> {
        self.finish_with(load, &CompareOptions::synced())
    }

    /// The same with a say in what counts as equal.
    pub(super) fn finish_with(mut self, load: Load, options: &CompareOptions) -> Result<()> {
        let ledger = load.stop()?;
        self.wait_for_all()?;
        let mut target = self.target.connect_master()?;
        let verified = ledger.verify_not_repeated(&mut target)?;
        let comparison = compare(&mut self.source.connect_master()?, &mut target, options)?;
        ensure!(comparison.is_equal(), "source and target differ: {comparison}");
        println!("{ledger}\n{verified}\n{} keys equal", comparison.keys);
        ensure!(verified.applied > 0, "nothing was written");
        Ok(())
    }
}
