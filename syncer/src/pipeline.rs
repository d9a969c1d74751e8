//! Wires the two sides of a link: the source's side fills the spool, the target's side empties it.
//!
//! ```text
//! Follower(source) → SourceSide → Spool → Applier ← Follower(target)
//!                        ↑ goal, acknowledged ↲
//! ```

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    apply::Applier,
    causes,
    config::{Endpoint, Site, ValidatedConfig},
    contract::{Phase, WaitReason},
    link::Link,
    preflight,
    sentinel::follow::{FollowConfig, FollowTarget, Follower, Resolution},
    shutdown::Shutdown,
    source::{SourceSide, poll},
    spool::{Spool, SpoolError, SpoolOptions},
    state::{End, LinkState, WaitSubject},
};

/// How often lag and the spool's size are shown.
const SHOW_INTERVAL: Duration = Duration::from_millis(100);
/// A spool that cannot be opened is tried again.
const SPOOL_RETRY: Duration = Duration::from_secs(1);
/// Behind by less, the target has caught up.
const CAUGHT_UP_MS: u64 = 1000;
/// Behind by more, it has to catch up again.
const LEFT_BEHIND_MS: u64 = 5000;

/// What the process gives the pipeline.
#[derive(Clone, Debug)]
pub struct PipelineContext {
    /// The configuration as it is now.
    pub config: watch::Receiver<Arc<ValidatedConfig>>,
    /// Where the pipeline tells what it does.
    pub state: Arc<LinkState>,
    /// When to end.
    pub shutdown: Shutdown,
}

/// Why the pipeline ended without being asked to.
pub type PipelineError = Box<dyn std::error::Error + Send + Sync>;

/// Runs until asked to end, then drains.
pub async fn run(context: PipelineContext) -> Result<(), PipelineError> {
    let PipelineContext { config, state, shutdown } = context;
    let settings = Arc::clone(&config.borrow());
    let Some(spool) = open_spool(&settings, &state, &shutdown).await else {
        return Ok(());
    };
    let nonce = state.nonce().to_owned();
    let link = Arc::new(Link::new(config.clone(), Arc::clone(&state), spool, shutdown.clone()));
    let source = follow(&config, "source", |config| &config.source, &link.names.reader);
    let target = follow(&config, "target", |config| &config.target, &link.names.reader);
    let (polls, poll_receiver) = watch::channel(poll::Poll::default());
    let mut helpers = JoinSet::new();
    helpers.spawn(show_epoch(Arc::clone(&state), End::Source, source.clone()));
    helpers.spawn(show_epoch(Arc::clone(&state), End::Target, target.clone()));
    helpers.spawn(preflight::watch::run(Arc::clone(&link), source.clone(), target.clone()));
    helpers.spawn(poll::run(Arc::clone(&link), source.clone(), polls));
    helpers.spawn(show(Arc::clone(&link), poll_receiver.clone()));
    let applier = tokio::spawn(Applier::new(Arc::clone(&link), target, nonce).run());
    let source_side = tokio::spawn(SourceSide::new(Arc::clone(&link), source, poll_receiver).run());
    // A task that panics takes the process with it: a restart finds the record as it is.
    tokio::select! {
        ended = async { tokio::try_join!(applier, source_side) } => ended.map(|_| ()).map_err(Into::into),
        _ = helpers.join_next() => Err("a task that shows the link's state has ended".into()),
    }
}

/// Opens the spool, waiting for another process to leave it. `None`: an orderly end came first.
async fn open_spool(
    config: &ValidatedConfig,
    state: &LinkState,
    shutdown: &Shutdown,
) -> Option<Spool> {
    let settings = &config.spool;
    let options = SpoolOptions {
        dir: settings.dir.clone(),
        max_bytes: settings.max_bytes,
        retention_bytes: settings.retention_bytes,
        retention_age: settings.retention_age,
        segment_bytes: segment_bytes(settings.max_bytes),
    };
    loop {
        let error = match Spool::open(options.clone()) {
            Ok(spool) => {
                state.clear_waiting(WaitSubject::Spool);
                return Some(spool);
            }
            // Nothing in it can be trusted, and it is only a cache: the source's backlog or a copy has the rest.
            Err(SpoolError::Corrupt { path, what }) => {
                tracing::error!(path = %path.display(), what, "the spool is damaged: it is emptied");
                match Spool::erase(options.clone()) {
                    Ok(spool) => return Some(spool),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        let reason = match &error {
            SpoolError::Locked { .. } => WaitReason::SpoolLock,
            error if error.is_over_budget() => WaitReason::SpoolFull,
            _ => WaitReason::DiskError,
        };
        state.set_waiting(reason, causes::chain(&error));
        tokio::select! {
            () = shutdown.requested() => return None,
            () = tokio::time::sleep(SPOOL_RETRY) => {}
        }
    }
}

/// A small spool needs small segments: only whole ones can be dropped.
fn segment_bytes(max_bytes: u64) -> u64 {
    SpoolOptions::SEGMENT_BYTES.min((max_bytes / 16).max(64 << 10))
}

/// Follows a site's master through failovers and changes of the configuration.
pub fn follow(
    config: &watch::Receiver<Arc<ValidatedConfig>>,
    end: &'static str,
    site: fn(&ValidatedConfig) -> &Site,
    connection_name: &str,
) -> watch::Receiver<Resolution> {
    let (sender, target) = watch::channel(follow_target(site(&config.borrow())));
    let mut config = config.clone();
    tokio::spawn(async move {
        let mut known = site(&config.borrow()).clone();
        while config.changed().await.is_ok() {
            let site = site(&config.borrow_and_update()).clone();
            if site.endpoint != known.endpoint || site.addresses != known.addresses {
                sender.send_replace(follow_target(&site));
                known = site;
            }
        }
        // The configuration stays as it is from here on.
        sender.closed().await;
    });
    Follower::start(FollowConfig::new(end, connection_name, target))
}

fn follow_target(site: &Site) -> FollowTarget {
    let addresses = site.addresses.clone();
    match &site.endpoint {
        Endpoint::Standalone { address } => {
            FollowTarget::Standalone { address: address.to_string(), addresses }
        }
        Endpoint::Sentinel { master_name, endpoints, login } => {
            let login = login.clone();
            FollowTarget::Sentinel {
                master_name: master_name.clone(),
                endpoints: endpoints.iter().map(ToString::to_string).collect(),
                login: Arc::new(move || login.read()),
                addresses,
            }
        }
    }
}

/// Shows the epoch under which an end's master is named. While nobody can tell, the last one stays.
async fn show_epoch(state: Arc<LinkState>, end: End, mut resolution: watch::Receiver<Resolution>) {
    loop {
        if let Resolution::Known(candidate) = &*resolution.borrow_and_update() {
            state.set_epoch(end, candidate.config_epoch);
        }
        if resolution.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Shows lag, phase and the spool's size while they change.
async fn show(link: Arc<Link>, poll: watch::Receiver<poll::Poll>) {
    let mut tick = interval(SHOW_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let usage = link.spool.usage();
        link.state.spool_bytes.set(usage.bytes);
        link.state.spool_segments.set(usage.segments as u64);
        let Some(checkpoint) = link.state.ladder.checkpoint.get() else {
            link.state.clear_lag();
            continue;
        };
        let Some(behind) = link.lag().behind(std::time::Instant::now(), checkpoint) else {
            link.state.clear_lag();
            continue;
        };
        if behind.bytes == 0 && poll.borrow().failing_since.is_some() {
            // Nothing is known to be behind, and the source cannot be asked: that is no lag of 0 (Promise 9).
            link.state.clear_lag();
            continue;
        }
        link.state.set_lag(behind.bytes, behind.milliseconds, behind.is_idle);
        match link.state.phase() {
            Phase::CatchingUp if behind.milliseconds < CAUGHT_UP_MS => {
                link.state.set_phase(Phase::Streaming);
            }
            Phase::Streaming if behind.milliseconds > LEFT_BEHIND_MS => {
                link.state.set_phase(Phase::CatchingUp);
            }
            _ => {}
        }
    }
}
