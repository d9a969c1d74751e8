//! The operator's metrics. Those of the syncers are the syncers' own.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// Every metric that the operator has.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    passes: IntCounterVec,
    pass_seconds: Histogram,
    objects: IntGauge,
    is_leader: IntGauge,
}

impl Metrics {
    /// Registers them.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let passes = IntCounterVec::new(
            Opts::new("redissync_operator_reconciles_total", "Passes over an object, by outcome"),
            &["outcome"],
        )?;
        let pass_seconds = Histogram::with_opts(
            HistogramOpts::new("redissync_operator_reconcile_seconds", "How long a pass took")
                .buckets(vec![0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
        )?;
        let objects =
            IntGauge::new("redissync_operator_objects", "RedisSync objects that are looked after")?;
        let is_leader =
            IntGauge::new("redissync_operator_leader", "1 if this process holds the lease")?;
        registry.register(Box::new(passes.clone()))?;
        registry.register(Box::new(pass_seconds.clone()))?;
        registry.register(Box::new(objects.clone()))?;
        registry.register(Box::new(is_leader.clone()))?;
        Ok(Self { registry, passes, pass_seconds, objects, is_leader })
    }

    /// A pass has ended.
    pub fn passed(&self, is_good: bool, took: Duration) {
        self.passes.with_label_values(&[if is_good { "ok" } else { "error" }]).inc();
        self.pass_seconds.observe(took.as_secs_f64());
    }

    /// How many objects there are.
    pub fn set_objects(&self, count: usize) {
        self.objects.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether this process leads.
    pub fn set_leader(&self, is_leader: bool) {
        self.is_leader.set(i64::from(is_leader));
    }

    /// In Prometheus' text format.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
