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
        confirm::confirm_master,
        follow::{FollowConfig, FollowTarget, Follower, Resolution},
        pick::Candidate,
    },
};
use tokio::{sync::watch, time::sleep};

use crate::{controller::validate::SiteCredentials, crd::SiteSpec, task::Task, trigger::Trigger};

/// The name of the operator's connections in `CLIENT LIST`.
const CONNECTION_NAME: &str = "redissync-operator";
/// Between two questions to a node that does not say yet that it is the master.
const CONFIRM_PAUSE: Duration = Duration::from_secs(1);
/// How often a sentinel is asked. A switch is announced at once; this is for messages that are missed.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteView {
    /// The master that was confirmed last.
    pub master: Option<SiteMaster>,
    /// Why the present one is not known.
    pub problem: Option<String>,
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
    credentials: Arc<Mutex<SiteCredentials>>,
    target: watch::Sender<FollowTarget>,
    view: watch::Receiver<SiteView>,
    _task: Task,
}

impl SiteWatch {
    /// Starts it. `end` is `source` or `target`, for the log.
    pub fn start(
        end: &'static str,
        site: WatchedSite,
        credentials: SiteCredentials,
        trigger: Trigger,
    ) -> Self {
        let credentials = Arc::new(Mutex::new(credentials));
        let (target, targets) = watch::channel(follow_target(&site, &credentials));
        let resolutions = Follower::start(FollowConfig {
            end: end.into(),
            connection_name: CONNECTION_NAME.to_owned(),
            target: targets,
            poll_interval: POLL_INTERVAL,
        });
        let (views, view) = watch::channel(SiteView::default());
        let task = Task::spawn(follow(resolutions, Arc::clone(&credentials), views, trigger));
        Self { site: Mutex::new(site), credentials, target, view, _task: task }
    }

    /// Takes a changed spec and changed passwords over.
    pub fn update(&self, site: WatchedSite, credentials: SiteCredentials) {
        *lock(&self.credentials) = credentials;
        let mut known = lock(&self.site);
        if *known != site {
            self.target.send_replace(follow_target(&site, &self.credentials));
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
    credentials: &Arc<Mutex<SiteCredentials>>,
) -> FollowTarget {
    let addresses = addresses.clone();
    match (&site.standalone, &site.sentinel) {
        (_, Some(sentinel)) => {
            let credentials = Arc::clone(credentials);
            FollowTarget::Sentinel {
                master_name: sentinel.master_name.clone(),
                endpoints: sentinel.endpoints.clone(),
                // Asked for at each connect: a rotated password counts at once.
                auth: Arc::new(move || Ok(lock(&credentials).sentinel.clone())),
                addresses,
            }
        }
        (standalone, None) => FollowTarget::Standalone {
            address: standalone.as_ref().map(|node| node.address.clone()).unwrap_or_default(),
            addresses,
        },
    }
}

async fn follow(
    mut resolutions: watch::Receiver<Resolution>,
    credentials: Arc<Mutex<SiteCredentials>>,
    views: watch::Sender<SiteView>,
    trigger: Trigger,
) {
    loop {
        let resolution = resolutions.borrow_and_update().clone();
        let is_settled = match resolution {
            Resolution::Unknown { message, .. } => {
                tell(&views, &trigger, |view| view.problem = Some(message)).await;
                true
            }
            Resolution::Known(candidate) => {
                confirm(&candidate, &credentials, &views, &trigger).await
            }
        };
        tokio::select! {
            // Another master first: the old one need not be asked again.
            biased;
            changed = resolutions.changed() => if changed.is_err() { return },
            () = sleep(CONFIRM_PAUSE), if !is_settled => {}
        }
    }
}

/// True if the node says that it is the master.
async fn confirm(
    candidate: &Candidate,
    credentials: &Mutex<SiteCredentials>,
    views: &watch::Sender<SiteView>,
    trigger: &Trigger,
) -> bool {
    let credentials = lock(credentials).data.clone();
    match confirm_master(&candidate.peer(), credentials.as_ref(), CONNECTION_NAME).await {
        Ok(_) => {
            tell(views, trigger, |view| {
                view.problem = None;
                let is_same =
                    view.master.as_ref().is_some_and(|known| known.address == candidate.address);
                let since = match &view.master {
                    Some(known) if is_same => known.since,
                    _ => Timestamp::now(),
                };
                view.master = Some(SiteMaster {
                    address: candidate.address.clone(),
                    epoch: candidate.config_epoch,
                    since,
                });
            })
            .await;
            true
        }
        Err(problem) => {
            let message = format!("{} was named as the master: {problem}", candidate.address);
            tell(views, trigger, |view| view.problem = Some(message)).await;
            false
        }
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
