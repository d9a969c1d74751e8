//! Follows the master of one site for the status and the events, with the syncer's own library. It decides nothing: the
//! syncer follows by itself, also while no operator runs.
//!
//! A sentinel's word is a claim. It is shown once the node itself has answered `ROLE` as a master.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use redissync_syncer::{
    address::AddressMap,
    sentinel::{
        backoff::Backoff,
        confirm::{NotConfirmed, confirm_master},
        follow::{FollowConfig, FollowTarget, Follower, Resolution},
        pick::{Candidate, ResolveFailure},
    },
};
use tokio::{sync::watch, time::sleep};

use crate::{controller::validate::SiteLogins, crd::SiteSpec, task::Task, trigger::Trigger};

/// The name of the operator's connections in `CLIENT LIST`.
const CONNECTION_NAME: &str = "redissync-operator";
/// How often a sentinel is asked. A switch is announced at once; this is for messages that are missed.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteView {
    /// The master that was confirmed last.
    pub master: Option<SiteMaster>,
    /// Why the present one is not known.
    pub problem: Option<String>,
    /// It is not known because the sentinels, or the node, refuse what the operator has from the Secrets, or are not trusted by
    /// it.
    pub is_refused: bool,
}

/// A master that says so itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteMaster {
    /// `host:port`, as it is announced.
    pub address: String,
    /// The sentinels' config epoch.
    pub epoch: Option<u64>,
    /// When it was confirmed.
    pub since: Timestamp,
}

/// A site and where its addresses are dialled.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedSite {
    /// What the user wrote.
    pub site: SiteSpec,
    /// Its `addressMap`, parsed.
    pub addresses: AddressMap,
}

/// The task of one site; it ends with this value.
#[derive(Debug)]
pub struct SiteWatch {
    site: Mutex<WatchedSite>,
    logins: Arc<Mutex<SiteLogins>>,
    target: watch::Sender<FollowTarget>,
    view: watch::Receiver<SiteView>,
    _task: Task,
}

impl SiteWatch {
    /// Starts it. `end` is `source` or `target`, for the log.
    pub fn start(
        end: &'static str,
        site: WatchedSite,
        logins: SiteLogins,
        trigger: Trigger,
    ) -> Self {
        let logins = Arc::new(Mutex::new(logins));
        let (target, targets) = watch::channel(follow_target(&site, &logins));
        let resolutions = Follower::start(FollowConfig {
            end: end.into(),
            connection_name: CONNECTION_NAME.to_owned(),
            target: targets,
            poll_interval: POLL_INTERVAL,
        });
        let (views, view) = watch::channel(SiteView::default());
        let task = Task::spawn(follow(resolutions, Node(Arc::clone(&logins)), views, trigger));
        Self { site: Mutex::new(site), logins, target, view, _task: task }
    }

    /// Takes a changed spec and changed logins over.
    pub fn update(&self, site: WatchedSite, logins: SiteLogins) {
        *lock(&self.logins) = logins;
        let mut known = lock(&self.site);
        if *known != site {
            self.target.send_replace(follow_target(&site, &self.logins));
            *known = site;
        }
    }

    /// What is known.
    pub fn view(&self) -> SiteView {
        self.view.borrow().clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

fn follow_target(
    WatchedSite { site, addresses }: &WatchedSite,
    logins: &Arc<Mutex<SiteLogins>>,
) -> FollowTarget {
    let addresses = addresses.clone();
    match (&site.standalone, &site.sentinel) {
        (_, Some(sentinel)) => {
            let logins = Arc::clone(logins);
            FollowTarget::Sentinel {
                master_name: sentinel.master_name.clone(),
                endpoints: sentinel.endpoints.clone(),
                // Asked for at each connect: a rotated password or certificate counts at once.
                login: Arc::new(move || Ok(lock(&logins).sentinel.clone())),
                addresses,
            }
        }
        (standalone, None) => FollowTarget::Standalone {
            address: standalone.as_ref().map(|node| node.address.clone()).unwrap_or_default(),
            addresses,
        },
    }
}

/// Who is asked what it is.
trait Ask: Send + 'static {
    /// Whether this node is a master.
    fn ask(&self, candidate: &Candidate) -> impl Future<Output = Result<(), NotConfirmed>> + Send;
}

/// The node itself, with the passwords of the moment.
struct Node(Arc<Mutex<SiteLogins>>);

impl Ask for Node {
    async fn ask(&self, candidate: &Candidate) -> Result<(), NotConfirmed> {
        let login = lock(&self.0).data.clone();
        confirm_master(&candidate.peer(), &login, CONNECTION_NAME).await.map(|_| ())
    }
}

/// A node that does not say yet that it is the master is asked again with growing pauses; another master at once, also
/// while the old one leaves a question without an answer.
async fn follow(
    mut resolutions: watch::Receiver<Resolution>,
    node: impl Ask,
    views: watch::Sender<SiteView>,
    trigger: Trigger,
) {
    let mut backoff = Backoff::new();
    loop {
        let resolution = resolutions.borrow_and_update().clone();
        let pause = match resolution {
            Resolution::Unknown { reason, message } => {
                let is_refused =
                    matches!(reason, ResolveFailure::NotAuthorised | ResolveFailure::NotTrusted);
                tell(&views, &trigger, |view| view.miss(message, is_refused)).await;
                None
            }
            Resolution::Known(candidate) => {
                let answer = tokio::select! {
                    biased;
                    changed = resolutions.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        backoff.reset();
                        continue;
                    }
                    answer = node.ask(&candidate) => answer,
                };
                let is_master = answer.is_ok();
                tell(&views, &trigger, |view| view.take(&candidate, answer)).await;
                (!is_master).then(|| backoff.step())
            }
        };
        tokio::select! {
            // Another master first: the old one need not be asked again.
            biased;
            changed = resolutions.changed() => {
                if changed.is_err() {
                    return;
                }
                backoff.reset();
            }
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

impl SiteView {
    /// The master that was known before stays in sight.
    fn miss(&mut self, problem: String, is_refused: bool) {
        (self.problem, self.is_refused) = (Some(problem), is_refused);
    }

    /// What the named node has answered.
    fn take(&mut self, candidate: &Candidate, answer: Result<(), NotConfirmed>) {
        if let Err(problem) = answer {
            let is_refused = matches!(&problem, NotConfirmed::Connection(error) if error.is_refused_login() || error.is_tls());
            let message = format!("{} was named as the master: {problem}", candidate.address);
            return self.miss(message, is_refused);
        }
        (self.problem, self.is_refused) = (None, false);
        let since = match &self.master {
            Some(known) if known.address == candidate.address => known.since,
            _ => Timestamp::now(),
        };
        self.master = Some(SiteMaster {
            address: candidate.address.clone(),
            epoch: candidate.config_epoch,
            since,
        });
    }
}

/// Changes the view, and asks for a reconcile if that made a difference.
async fn tell(
    views: &watch::Sender<SiteView>,
    trigger: &Trigger,
    change: impl FnOnce(&mut SiteView),
) {
    let is_news = views.send_if_modified(|view| {
        let before = view.clone();
        change(view);
        *view != before
    });
    if is_news {
        trigger.fire().await;
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;
    use redissync_syncer::connection::ConnectionError;
    use tokio::time::Instant;

    use super::*;
    use crate::trigger::Triggers;

    /// Nodes that are no masters; it keeps when each was asked.
    #[derive(Clone, Default)]
    struct Replicas(Arc<Mutex<Vec<(String, Instant)>>>);

    impl Ask for Replicas {
        async fn ask(&self, candidate: &Candidate) -> Result<(), NotConfirmed> {
            lock(&self.0).push((candidate.address.clone(), Instant::now()));
            if candidate.address == "silent:1" {
                std::future::pending::<()>().await;
            }
            Err(NotConfirmed::TimedOut { address: candidate.address.clone() })
        }
    }

    impl Replicas {
        /// When it was asked within a time from now on, in milliseconds.
        async fn asked(&self, address: &str, within: Duration) -> Vec<u128> {
            let begun = Instant::now();
            sleep(within).await;
            let asked = lock(&self.0);
            let of = asked.iter().filter(|(of, at)| of == address && *at >= begun);
            of.map(|(_, at)| at.duration_since(begun).as_millis()).collect()
        }
    }

    fn known(address: &str, epoch: u64) -> Resolution {
        Resolution::Known(Candidate {
            address: address.to_owned(),
            dial: address.to_owned(),
            config_epoch: Some(epoch),
            sentinel: None,
            previous: None,
        })
    }

    #[tokio::test]
    async fn a_node_that_is_no_master_is_asked_ever_more_rarely_and_another_one_at_once() {
        let nodes = Replicas::default();
        let (triggers, _requests) = Triggers::new();
        let trigger = triggers.of(ObjectRef::new("cart"));
        let (named, resolutions) = watch::channel(known("old:1", 1));
        let (views, view) = watch::channel(SiteView::default());
        let _task = Task::spawn(follow(resolutions, nodes.clone(), views, trigger));

        let asked = nodes.asked("old:1", Duration::from_secs(4)).await;
        let pauses: Vec<u128> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.len() >= 4 && pauses[0] < 600, "{pauses:?}");
        assert!(pauses[2] >= 390 && pauses[3] >= 790, "{pauses:?}");
        assert!(view.borrow().problem.as_deref().is_some_and(|why| why.contains("old:1")));

        // A failover: the pauses begin anew, so one that takes a moment to say so is seen within two seconds.
        named.send_replace(known("new:1", 2));
        let asked = nodes.asked("new:1", Duration::from_millis(1500)).await;
        assert!(asked.len() >= 3 && asked[0] < 200, "{asked:?}");

        // Who does not answer does not hold up the next one.
        named.send_replace(known("silent:1", 3));
        assert_eq!(nodes.asked("silent:1", Duration::from_millis(300)).await.len(), 1);
        named.send_replace(known("next:1", 4));
        assert!(!nodes.asked("next:1", Duration::from_millis(300)).await.is_empty());
    }

    #[test]
    fn a_refused_password_is_told_apart_from_a_node_that_is_gone() {
        let refused = |error: &str| {
            let refused = ConnectionError::Refused { command: "ROLE".into(), error: error.into() };
            let mut view = SiteView::default();
            let Resolution::Known(candidate) = known("node:1", 1) else { unreachable!() };
            view.take(&candidate, Err(refused.into()));
            view.is_refused
        };
        assert!(refused("NOAUTH Authentication required."));
        assert!(refused("NOPERM this user has no permissions"));
        assert!(!refused("LOADING Redis is loading the dataset in memory"));
    }
}
