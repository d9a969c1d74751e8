//! Follows the master of one end: asks every Sentinel that there is, for ever, and tells who the master is now.
//!
//! The answer is a `watch` value, so a reader that was busy sees the latest. `Unknown` is no word against the master
//! that was followed: a connection that works goes on working when all Sentinels are gone.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tracing::{debug, info, warn};

use super::{
    council::{Council, Report},
    pace::{POLL_INTERVAL, Pace},
    pick::{Candidate, Pick, ResolveFailure},
    voice::{self, VoiceContext},
};
use crate::{address::AddressMap, login::LoginSource};

/// Reports wait here while the follower is busy, which takes microseconds; a full queue delays the voices only.
const REPORTS_MAX: usize = 64;

/// Whom to follow.
#[derive(Clone)]
pub enum FollowTarget {
    /// One server, which is the master by definition.
    Standalone {
        /// Its address.
        address: String,
        /// Where addresses are dialled instead.
        addresses: AddressMap,
    },
    /// The master of this name.
    Sentinel {
        /// The name, as Sentinel knows it.
        master_name: String,
        /// Where Sentinels are asked first; the others are found through them. A service in front of several is fine.
        endpoints: Vec<String>,
        /// How the Sentinels themselves are entered, which may differ from the data nodes.
        login: LoginSource,
        /// Where addresses are dialled instead: those of the endpoints, and all that Sentinels announce.
        addresses: AddressMap,
    },
}

/// What a [`Follower`] is started with.
#[derive(Debug)]
pub struct FollowConfig {
    /// What the log calls it: `source` or `target`; who follows many adds whose.
    pub end: Arc<str>,
    /// The name of our connections in the Sentinels' `CLIENT LIST`.
    pub connection_name: String,
    /// Whom to follow; may change at run time.
    pub target: watch::Receiver<FollowTarget>,
    /// How often each Sentinel is asked, 100 ms to 5 minutes. A message of a failover lets all be asked at once, so
    /// this is how late one is seen whose messages were lost, and how late a Sentinel that is gone loses its vote.
    pub poll_interval: Duration,
}

impl FollowConfig {
    /// At the default pace: each second.
    pub fn new(
        end: impl Into<Arc<str>>,
        connection_name: impl Into<String>,
        target: watch::Receiver<FollowTarget>,
    ) -> Self {
        let (end, connection_name) = (end.into(), connection_name.into());
        Self { end, connection_name, target, poll_interval: POLL_INTERVAL }
    }
}

/// Who the master is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Nobody can tell at the moment.
    Unknown {
        /// Why.
        reason: ResolveFailure,
        /// The same for people, with what each Sentinel said.
        message: String,
    },
    /// This one, as far as Sentinel knows. The node itself is to be asked before it is used.
    Known(Candidate),
}

impl std::fmt::Debug for FollowTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Standalone { address, .. } => write!(f, "Standalone({address})"),
            Self::Sentinel { master_name, endpoints, .. } => {
                write!(f, "Sentinel({master_name} at {endpoints:?})")
            }
        }
    }
}

/// The task that follows. It ends when every receiver of its result is gone.
#[derive(Debug)]
pub struct Follower {
    config: FollowConfig,
    /// What is followed now, to tell what a change changes.
    current: FollowTarget,
    council: Council,
    pace: Pace,
    voices: HashMap<u64, Running>,
    /// Survives times without an answer: its epoch is what a cut-off Sentinel is told by.
    last: Option<Candidate>,
    hints: Arc<watch::Sender<u64>>,
    reports_tx: mpsc::Sender<Report>,
    resolution: watch::Sender<Resolution>,
}

/// A task that ends with its handle.
#[derive(Debug)]
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    /// Starts to follow. A standalone server is known at once.
    pub fn start(mut config: FollowConfig) -> watch::Receiver<Resolution> {
        let now = Instant::now();
        let current = config.target.borrow_and_update().clone();
        let unknown = Resolution::Unknown {
            reason: ResolveFailure::NoSentinelReachable,
            message: "no Sentinel was asked yet".to_owned(),
        };
        let (resolution, receiver) = watch::channel(unknown);
        let pace = Pace::new(config.poll_interval);
        let (reports_tx, reports) = mpsc::channel(REPORTS_MAX);
        let mut follower = Self {
            council: Council::new(current.endpoints(), pace, now),
            pace,
            config,
            current,
            voices: HashMap::new(),
            last: None,
            hints: Arc::new(watch::Sender::new(0)),
            reports_tx,
            resolution,
        };
        if matches!(follower.current, FollowTarget::Standalone { .. }) {
            follower.publish(now);
        }
        tokio::spawn(follower.run(reports));
        receiver
    }

    async fn run(mut self, mut reports: mpsc::Receiver<Report>) {
        let mut tick = interval(self.pace.tick());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Without a writer of the configuration the last one stays.
        let mut is_configurable = true;
        loop {
            tokio::select! {
                biased;
                // The end first: nobody reads what the others would produce.
                () = self.resolution.closed() => return,
                // Then whom to ask, before answers to a question that is not asked any more.
                changed = self.config.target.changed(), if is_configurable => match changed {
                    Ok(()) => self.retarget(Instant::now()),
                    Err(_) => is_configurable = false,
                },
                Some(report) = reports.recv() => self.council.hear(report, Instant::now()),
                _ = tick.tick() => {}
            }
            let now = Instant::now();
            self.reconcile(now);
            self.publish(now);
        }
    }

    /// Takes a changed configuration over.
    fn retarget(&mut self, now: Instant) {
        let target = self.config.target.borrow_and_update().clone();
        if target.master_name() != self.current.master_name()
            && let Some(last) = &mut self.last
        {
            // Epochs of another master do not compare.
            last.config_epoch = None;
        }
        if target.master_name() != self.current.master_name()
            || target.endpoints() != self.current.endpoints()
            || target.addresses() != self.current.addresses()
        {
            // Sentinels that the old endpoints announced, or that were dialled elsewhere, may belong to a deployment
            // that was left.
            info!(end = &*self.config.end, ?target, "following as newly configured");
            self.council = Council::new(target.endpoints(), self.pace, now);
            self.voices.clear();
        } else {
            // What changed may be the password, or TLS: who was refused is asked at once.
            for voice in self.council.drop_silent(now) {
                self.voices.remove(&voice);
            }
        }
        self.current = target;
    }

    /// Starts and stops the tasks that ask.
    fn reconcile(&mut self, now: Instant) {
        let ended = self.voices.iter().filter(|(_, task)| task.0.is_finished());
        for voice in ended.map(|(voice, _)| *voice).collect::<Vec<_>>() {
            self.voices.remove(&voice);
            self.council.drop_voice(voice);
        }
        let Some(master_name) = self.current.master_name() else { return };
        let changes = self.council.reconcile(now);
        for voice in changes.stop {
            self.voices.remove(&voice);
        }
        for (voice, address) in changes.start {
            debug!(end = &*self.config.end, sentinel = %address, "asking a Sentinel");
            let context = VoiceContext {
                voice,
                address,
                end: Arc::clone(&self.config.end),
                pace: self.pace,
                connection_name: self.config.connection_name.clone(),
                master_name: master_name.to_owned(),
                target: self.config.target.clone(),
                hints: Arc::clone(&self.hints),
                reports: self.reports_tx.clone(),
            };
            self.voices.insert(voice, Running(tokio::spawn(voice::run(context))));
        }
    }

    /// Decides, and tells if that changed anything.
    fn publish(&mut self, now: Instant) {
        let resolution = match &self.current {
            FollowTarget::Standalone { address, .. } => {
                Resolution::Known(self.candidate(address.clone(), None, None))
            }
            FollowTarget::Sentinel { .. } => self.weigh(now),
        };
        let end = &*self.config.end;
        match (&resolution, &*self.resolution.borrow()) {
            (Resolution::Known(new), _) if self.last.as_ref() != Some(new) => {
                let old = self.last.as_ref().map(|last| last.address.as_str());
                let sentinel = new.sentinel.as_deref();
                let epoch = new.config_epoch;
                info!(end, old, new = %new.address, epoch, sentinel, "following the master");
                self.last = Some(new.clone());
            }
            (Resolution::Known(new), Resolution::Unknown { .. }) => {
                info!(end, master = %new.address, "the master is known again");
            }
            (Resolution::Unknown { reason, message }, Resolution::Known(_)) => {
                warn!(end, ?reason, why = %message, "no master is known");
            }
            (Resolution::Unknown { reason, message }, Resolution::Unknown { reason: old, .. })
                if reason != old =>
            {
                warn!(end, ?reason, why = %message, "still no master is known");
            }
            _ => {}
        }
        self.resolution.send_if_modified(|current| {
            let is_changed = *current != resolution;
            *current = resolution;
            is_changed
        });
    }

    fn weigh(&mut self, now: Instant) -> Resolution {
        let (pick, message) = self.council.decide(self.last.as_ref(), now);
        match pick {
            Pick::Follow { address, config_epoch, sentinel } => {
                Resolution::Known(self.candidate(address, Some(config_epoch), Some(sentinel)))
            }
            Pick::Keep(last) => {
                let dial = self.current.addresses().peer(&last.address).dial;
                Resolution::Known(Candidate { dial, ..last })
            }
            Pick::Wait(reason) => Resolution::Unknown { reason, message },
        }
    }

    /// The last candidate if nothing changed, so that another Sentinel with the same word is no change.
    fn candidate(
        &self,
        address: String,
        config_epoch: Option<u64>,
        sentinel: Option<String>,
    ) -> Candidate {
        let dial = self.current.addresses().peer(&address).dial;
        match &self.last {
            Some(last) if last.address == address && last.config_epoch == config_epoch => {
                Candidate { dial, ..last.clone() }
            }
            Some(last) if last.address == address => {
                Candidate { address, dial, config_epoch, sentinel, previous: last.previous.clone() }
            }
            last => {
                let previous = last.as_ref().map(|last| last.address.clone());
                Candidate { address, dial, config_epoch, sentinel, previous }
            }
        }
    }
}

impl FollowTarget {
    fn master_name(&self) -> Option<&str> {
        match self {
            Self::Standalone { .. } => None,
            Self::Sentinel { master_name, .. } => Some(master_name),
        }
    }

    /// Where addresses are dialled instead.
    pub fn addresses(&self) -> &AddressMap {
        match self {
            Self::Standalone { addresses, .. } | Self::Sentinel { addresses, .. } => addresses,
        }
    }

    fn endpoints(&self) -> &[String] {
        match self {
            Self::Standalone { .. } => &[],
            Self::Sentinel { endpoints, .. } => endpoints,
        }
    }
}

#[cfg(test)]
mod tests;
