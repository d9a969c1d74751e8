//! Every metric's name, kind and help, and how a scrape fills them from [`LinkState`]. Nothing is counted
//! here, so a metric and the report can never disagree. Labels are words of the contract only.

use std::sync::Arc;

use prometheus::{
    Registry, TextEncoder,
    core::{Collector, Desc},
    proto,
};

use crate::{
    contract::{Ends, ExpiryRisk, LinkReport, Phase, SyncReport, Verification, WaitReason},
    state::LinkState,
};

/// 1 for the running version: `version`.
pub const BUILD_INFO: &str = "redissync_build_info";
/// 1 for the configured pair: `pair_id`, `source`, `target`.
pub const PAIR_INFO: &str = "redissync_pair_info";
/// 1 for the current phase, 0 for the others: `phase`.
pub const PHASE: &str = "redissync_phase";
/// 1 for each reason that is waited for now, 0 for the others: `reason`.
pub const WAITING: &str = "redissync_waiting";
/// 1 while a halt stands.
pub const HALTED: &str = "redissync_halted";
/// 1 while the configuration says so.
pub const PAUSED: &str = "redissync_paused";
/// 1 if the target's data are known to be right.
pub const DATA_VERIFIED: &str = "redissync_data_verified";
/// Batches in doubt now.
pub const UNCHECKED_BATCHES: &str = "redissync_unchecked_batches";
/// The offset ladder: `rung`.
pub const OFFSET_BYTES: &str = "redissync_offset_bytes";
/// The source's offset less the record's.
pub const LAG_CHECKPOINT_BYTES: &str = "redissync_lag_checkpoint_bytes";
/// How long ago the source's offset first passed the record's.
pub const LAG_MILLISECONDS: &str = "redissync_lag_milliseconds";
/// What the spool takes.
pub const SPOOL_BYTES: &str = "redissync_spool_bytes";
/// What it may take.
pub const SPOOL_BYTES_MAX: &str = "redissync_spool_bytes_max";
/// Its files.
pub const SPOOL_SEGMENTS: &str = "redissync_spool_segments";
/// Full copies started: `reason`.
pub const FULL_COPIES: &str = "redissync_full_copies_total";
/// How far the full copy under way is, 0 to 1.
pub const FULL_COPY_PROGRESS: &str = "redissync_full_copy_progress_ratio";
/// Units of the stream that were confirmed.
pub const UNITS_APPLIED: &str = "redissync_units_applied_total";
/// Commands in them.
pub const COMMANDS_APPLIED: &str = "redissync_commands_applied_total";
/// Bytes taken off the source's sockets.
pub const RECEIVED_BYTES: &str = "redissync_received_bytes_total";
/// Batches that were confirmed.
pub const BATCHES: &str = "redissync_batches_total";
/// Keys restored by full copies.
pub const KEYS_RESTORED: &str = "redissync_keys_restored_total";
/// Keys removed by sweeps.
pub const KEYS_SWEPT: &str = "redissync_keys_swept_total";
/// Keys left out by full copies.
pub const KEYS_LEFT_OUT: &str = "redissync_keys_left_out_total";
/// What the dead-letter file holds.
pub const DEAD_LETTERS: &str = "redissync_dead_letters";
/// Commands dropped on purpose.
pub const COMMANDS_FILTERED: &str = "redissync_commands_filtered_total";
/// Connections made again: `end`.
pub const RECONNECTS: &str = "redissync_reconnects_total";
/// Switches of the master that were followed: `end`.
pub const FAILOVERS: &str = "redissync_failovers_total";
/// Batches whose replies were lost.
pub const BATCHES_UNCHECKED: &str = "redissync_batches_unchecked_total";
/// Source transactions that could not be applied as one.
pub const TRANSACTIONS_TORN: &str = "redissync_transactions_torn_total";
/// Commands of the stream that carry a time of expiry.
pub const COMMANDS_EXPIRING: &str = "redissync_commands_expiring_total";
/// Keys that the target has evicted.
pub const KEYS_EVICTED: &str = "redissync_keys_evicted_total";
/// 1 for the result of each check of the preflight: `check`, `end`, `result`.
pub const PREFLIGHT: &str = "redissync_preflight";
/// How long the source's backlog bridges at the present rate.
pub const BACKLOG_SECONDS: &str = "redissync_source_backlog_seconds";
/// How fast the source's stream grows.
pub const SOURCE_WRITE_RATE: &str = "redissync_source_write_bytes_per_second";
/// The target's clock less the source's.
pub const CLOCK_SKEW: &str = "redissync_clock_skew_milliseconds";
/// 1 for what is known of the grace: `risk`.
pub const EXPIRY_RISK: &str = "redissync_expiry_risk";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
}

use Kind::{Counter, Gauge};

/// Name, kind, the only labels that it has, help.
const METRICS: &[(&str, Kind, &[&str], &str)] = &[
    (BUILD_INFO, Gauge, &["version"], "1 for the running version"),
    (PAIR_INFO, Gauge, &["pair_id", "source", "target"], "1 for the configured pair"),
    (PHASE, Gauge, &["phase"], "1 for the current phase, 0 for the others"),
    (WAITING, Gauge, &["reason"], "1 for each reason that is waited for now, 0 for the others"),
    (HALTED, Gauge, &[], "1 while a halt waits for its release"),
    (PAUSED, Gauge, &[], "1 while the configuration says paused"),
    (DATA_VERIFIED, Gauge, &[], "1 if the target's data are known to be right"),
    (UNCHECKED_BATCHES, Gauge, &[], "Batches whose outcome is in doubt now"),
    (OFFSET_BYTES, Gauge, &["rung"], "The offset ladder in the source's current history"),
    (LAG_CHECKPOINT_BYTES, Gauge, &[], "The source's offset less the record's"),
    (LAG_MILLISECONDS, Gauge, &[], "How long ago the source's offset first passed the record's"),
    (SPOOL_BYTES, Gauge, &[], "Bytes that the spool takes"),
    (SPOOL_BYTES_MAX, Gauge, &[], "Bytes that the spool may take"),
    (SPOOL_SEGMENTS, Gauge, &[], "Files of the spool"),
    (FULL_COPIES, Counter, &["reason"], "Full copies started"),
    (FULL_COPY_PROGRESS, Gauge, &[], "How far the full copy under way is"),
    (UNITS_APPLIED, Counter, &[], "Units of the stream that were confirmed"),
    (COMMANDS_APPLIED, Counter, &[], "Commands in confirmed units"),
    (RECEIVED_BYTES, Counter, &[], "Bytes taken off the source's sockets"),
    (BATCHES, Counter, &[], "Batches that were confirmed"),
    (KEYS_RESTORED, Counter, &[], "Keys restored by full copies"),
    (KEYS_SWEPT, Counter, &[], "Keys removed by sweeps"),
    (KEYS_LEFT_OUT, Counter, &[], "Keys left out by full copies, as fullCopy.onUnsupported allows"),
    (DEAD_LETTERS, Gauge, &[], "What the target could not take, in the dead-letter file"),
    (COMMANDS_FILTERED, Counter, &[], "Commands dropped on purpose"),
    (KEYS_EVICTED, Counter, &[], "Keys that the target has evicted while it was watched"),
    (
        PREFLIGHT,
        Gauge,
        &["check", "end", "result"],
        "1 for the result of each check of the preflight",
    ),
    (
        BACKLOG_SECONDS,
        Gauge,
        &[],
        "Seconds until what the syncer lacks (connected: all of it) is written over in the source's backlog, at the present rate; left out while nothing is written",
    ),
    (SOURCE_WRITE_RATE, Gauge, &[], "How fast the source's stream grows, averaged over a minute"),
    (CLOCK_SKEW, Gauge, &[], "The target's clock less the source's"),
    (
        EXPIRY_RISK,
        Gauge,
        &["risk"],
        "1 for what is known of keys that may run out before their renewal arrives, 0 for the others",
    ),
    (RECONNECTS, Counter, &["end"], "Connections made again after the first"),
    (FAILOVERS, Counter, &["end"], "Switches of the master that were followed"),
    (BATCHES_UNCHECKED, Counter, &[], "Batches whose replies were lost"),
    (TRANSACTIONS_TORN, Counter, &[], "Source transactions that could not be applied as one"),
    (COMMANDS_EXPIRING, Counter, &[], "Commands of the stream that carry a time of expiry"),
];

/// Every metric for whoever renders a page of them: name, `gauge` or `counter`, labels, help.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static str, String, &'static str)> {
    METRICS.iter().map(|(name, kind, labels, help)| {
        let kind = match kind {
            Gauge => "gauge",
            Counter => "counter",
        };
        (*name, kind, labels.join(", "), *help)
    })
}

/// What a scrape needs; made once.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// Registers every metric.
    pub fn new(state: Arc<LinkState>) -> Result<Self, prometheus::Error> {
        let describe = |(name, _, labels, help): &(&str, Kind, &[&str], &str)| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new((*name).to_owned(), (*help).to_owned(), labels, Default::default())
        };
        let descs = METRICS.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
        let registry = Registry::new();
        registry.register(Box::new(LinkCollector { state, descs }))?;
        Ok(Self(registry))
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.0.gather())
    }
}

struct LinkCollector {
    state: Arc<LinkState>,
    descs: Vec<Desc>,
}

impl Collector for LinkCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    /// A metric whose value is not known is left out: a 0 would be a lie.
    fn collect(&self) -> Vec<proto::MetricFamily> {
        let samples = samples(&self.state);
        let family = |(name, kind, labels, help): &(&str, Kind, &[&str], &str)| {
            let metrics: Vec<_> = samples
                .iter()
                .filter(|sample| sample.name == *name)
                .map(|sample| metric(*kind, labels, sample))
                .collect();
            (!metrics.is_empty()).then(|| {
                let mut family = proto::MetricFamily::default();
                family.set_name((*name).to_owned());
                family.set_help((*help).to_owned());
                family.set_field_type(match kind {
                    Gauge => proto::MetricType::GAUGE,
                    Counter => proto::MetricType::COUNTER,
                });
                family.set_metric(metrics);
                family
            })
        };
        METRICS.iter().filter_map(family).collect()
    }
}

struct Sample {
    name: &'static str,
    labels: Vec<String>,
    value: f64,
}

fn metric(kind: Kind, labels: &[&str], sample: &Sample) -> proto::Metric {
    let pairs = labels.iter().zip(&sample.labels).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    let mut metric = proto::Metric::from_label(pairs.collect());
    match kind {
        Gauge => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(sample.value);
            metric.set_gauge(gauge);
        }
        Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(sample.value);
            metric.set_counter(counter);
        }
    }
    metric
}

struct Samples(Vec<Sample>);

impl Samples {
    fn add(&mut self, name: &'static str, value: u64) {
        self.labelled(name, &[], value as f64);
    }

    fn flag(&mut self, name: &'static str, is_set: bool) {
        self.add(name, u64::from(is_set));
    }

    fn known(&mut self, name: &'static str, labels: &[&str], value: Option<u64>) {
        if let Some(value) = value {
            self.labelled(name, labels, value as f64);
        }
    }

    fn labelled(&mut self, name: &'static str, labels: &[&str], value: f64) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.0.push(Sample { name, labels, value });
    }

    fn ends(&mut self, name: &'static str, ends: Ends) {
        self.labelled(name, &["source"], ends.source as f64);
        self.labelled(name, &["target"], ends.target as f64);
    }
}

fn samples(state: &LinkState) -> Vec<Sample> {
    let report = state.snapshot();
    let mut samples = Samples(Vec::new());
    samples.labelled(BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    add_pair(&mut samples, &report);
    let waits = state.waits();
    for reason in WaitReason::ALL {
        let is_waited_for = waits.iter().any(|wait| wait.reason == *reason);
        samples.labelled(WAITING, &[reason.as_str()], f64::from(u8::from(is_waited_for)));
    }
    for (reason, count) in state.full_copies_by_reason() {
        samples.labelled(FULL_COPIES, &[reason.as_str()], count as f64);
    }
    for link in &report.links {
        add_link(&mut samples, link);
    }
    samples.0
}

fn add_pair(samples: &mut Samples, report: &SyncReport) {
    for link in &report.links {
        let labels = [report.pair_id.as_str(), &link.source.name, &link.target.name];
        samples.labelled(PAIR_INFO, &labels, 1.0);
    }
    for phase in Phase::ALL {
        let is_current = *phase == report.phase;
        samples.labelled(PHASE, &[phase.as_str()], f64::from(u8::from(is_current)));
    }
    samples.flag(HALTED, report.halt.is_some());
    samples.flag(PAUSED, report.paused);
    samples.flag(DATA_VERIFIED, report.data_verified.status == Verification::True);
    for check in &report.preflight {
        let labels = [check.check.as_str(), check.end.as_str(), check.result.as_str()];
        samples.labelled(PREFLIGHT, &labels, 1.0);
    }
    samples.add(UNCHECKED_BATCHES, report.data_verified.unchecked_batches);
}

fn add_link(samples: &mut Samples, link: &LinkReport) {
    let offsets = &link.offsets;
    for (rung, offset) in [
        ("source", offsets.source),
        ("received", offsets.received),
        ("spooled", offsets.spooled),
        ("written", offsets.written),
        ("checkpoint", offsets.checkpoint),
        ("confirmed", offsets.confirmed),
        ("durable", offsets.durable),
    ] {
        samples.known(OFFSET_BYTES, &[rung], offset);
    }
    samples.known(LAG_CHECKPOINT_BYTES, &[], link.lag.bytes);
    samples.known(LAG_MILLISECONDS, &[], link.lag.milliseconds);
    samples.add(SPOOL_BYTES, link.spool.bytes);
    samples.add(SPOOL_BYTES_MAX, link.spool.max_bytes);
    samples.add(SPOOL_SEGMENTS, link.spool.segments);
    if let Some(percent) = link.full_copies.progress.as_ref().and_then(|copy| copy.percent) {
        samples.labelled(FULL_COPY_PROGRESS, &[], percent / 100.0);
    }
    let counters = &link.counters;
    samples.add(UNITS_APPLIED, counters.units_applied);
    samples.add(COMMANDS_APPLIED, counters.commands_applied);
    samples.add(RECEIVED_BYTES, counters.bytes_received);
    samples.add(BATCHES, counters.batches);
    samples.add(KEYS_RESTORED, counters.keys_restored);
    samples.add(KEYS_SWEPT, counters.keys_swept);
    samples.add(KEYS_LEFT_OUT, counters.keys_left_out);
    samples.add(DEAD_LETTERS, link.dead_letters);
    samples.add(COMMANDS_FILTERED, counters.commands_filtered);
    samples.ends(RECONNECTS, counters.reconnects);
    samples.ends(FAILOVERS, counters.failovers);
    samples.add(BATCHES_UNCHECKED, counters.unchecked_batches);
    samples.add(TRANSACTIONS_TORN, counters.torn_transactions);
    samples.add(COMMANDS_EXPIRING, counters.expiring_commands);
    samples.add(KEYS_EVICTED, counters.keys_evicted);
    if let Some(backlog) = &link.backlog {
        samples.known(BACKLOG_SECONDS, &[], backlog.seconds);
        samples.add(SOURCE_WRITE_RATE, backlog.write_bytes_per_second);
    }
    if let Some(expiry) = &link.expiry {
        if let Some(skew) = expiry.clock_skew_milliseconds {
            samples.labelled(CLOCK_SKEW, &[], skew as f64);
        }
        for risk in ExpiryRisk::ALL {
            let is_so = expiry.risk == Some(*risk);
            samples.labelled(EXPIRY_RISK, &[risk.as_str()], f64::from(u8::from(is_so)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contract::FullCopyReason, position::Offset, state::tests::state};

    #[test]
    fn a_scrape_shows_what_the_state_holds_and_leaves_out_what_is_unknown() {
        let state = Arc::new(state());
        let metrics = Metrics::new(Arc::clone(&state)).unwrap();
        let before = metrics.text().unwrap();
        assert!(!before.contains(LAG_MILLISECONDS) && !before.contains(OFFSET_BYTES), "{before}");
        state.set_lag(2048, 40, false);
        state.ladder.checkpoint.set(Offset(77));
        state.counts.target_reconnects.add(3);
        state.full_copy_started(FullCopyReason::BacklogOverrun, "c1");
        state.set_waiting(WaitReason::SourceLoading, "");
        let after = metrics.text().unwrap();
        for line in [
            "# TYPE redissync_reconnects_total counter",
            "redissync_lag_milliseconds 40",
            "redissync_offset_bytes{rung=\"checkpoint\"} 77",
            "redissync_reconnects_total{end=\"target\"} 3",
            "redissync_full_copies_total{reason=\"BacklogOverrun\"} 1",
            "redissync_full_copies_total{reason=\"Initial\"} 0",
            "redissync_waiting{reason=\"SourceLoading\"} 1",
            "redissync_waiting{reason=\"Paused\"} 0",
            "redissync_phase{phase=\"Waiting\"} 1",
            "redissync_pair_info{pair_id=\"default\",source=\"beijing\",target=\"shanghai\"} 1",
        ] {
            assert!(after.lines().any(|it| it == line), "{line} is not in\n{after}");
        }
    }

    #[test]
    fn every_sample_has_a_metric_with_its_labels_and_names_follow_the_rules() {
        let state = state();
        for sample in samples(&state) {
            let (_, _, labels, _) =
                METRICS.iter().find(|(name, ..)| *name == sample.name).expect(sample.name);
            assert_eq!(labels.len(), sample.labels.len(), "{}", sample.name);
        }
        for (name, kind, _, _) in METRICS {
            assert!(name.starts_with("redissync_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
        }
    }
}
