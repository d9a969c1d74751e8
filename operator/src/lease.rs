//! Leader election: of several operators one works, the others wait for its lease. It stands before everything that
//! writes.
//!
//! kube-lease-manager takes the lease and renews it. It says when another has it, but not that it fails to renew: it
//! tries on, while another takes over. So the lease is also looked at here, and what may be done follows from what was
//! seen and from this process's own clock (`hold`). It never says that the lease is held on the word of a renewal
//! that it has not seen.

mod hold;

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep_until, timeout},
};
use tracing::{info, warn};

use self::hold::{Asked, Hold, Standing};
use crate::task::Task;

/// The lease's name, in the operator's own namespace.
const LEASE: &str = "redissync-operator";
/// A leader that is gone without a word is replaced after this time.
const SECONDS: u64 = 15;
/// The leader renews so many seconds before the end: every 5 s. Within the time that [`hold::MARGIN`] leaves, 11 s, a
/// renewal that failed is tried once more and seen.
const GRACE_SECONDS: u64 = 10;
/// From one look at the lease to the next: what a renewal that was not seen yet costs of the time that it gives.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A look without an answer is given up and begun anew: its connection may lead nowhere.
const LOOK_MAX: Duration = Duration::from_secs(3);
/// Giving the lease back spares the next one the rest of it. It is not worth more than this.
const RELEASE_MAX: Duration = Duration::from_secs(3);

/// The lease of this process; or none, where nobody else is to be expected.
#[derive(Debug)]
pub struct Lease(Option<Held>);

#[derive(Debug)]
struct Held {
    lease: Api<v1::Lease>,
    us: String,
    is_leader: watch::Receiver<bool>,
    renewing: JoinHandle<Result<LeaseManager, kube_lease_manager::LeaseManagerError>>,
    /// What was seen since this process leads.
    looks: Option<Looks>,
}

#[derive(Debug)]
struct Looks {
    standing: watch::Receiver<Standing>,
    _task: Task,
}

impl Lease {
    /// Begins to ask for the lease.
    pub async fn ask(client: &Client, namespace: &str, name: &str) -> anyhow::Result<Self> {
        let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
            .with_namespace(namespace)
            .with_identity(name)
            // In this order: the grace must be less than the duration at any time.
            .with_duration(SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
            .with_context(|| format!("failed to prepare the lease {namespace}/{LEASE}"))?;
        let (is_leader, renewing) = manager.watch().await;
        let lease = Api::namespaced(client.clone(), namespace);
        Ok(Self(Some(Held { lease, us: name.to_owned(), is_leader, renewing, looks: None })))
    }

    /// Without an election.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Returns when this process leads.
    pub async fn held(&mut self) -> anyhow::Result<()> {
        let Some(Held { lease, us, is_leader, renewing, looks }) = &mut self.0 else {
            return Ok(());
        };
        if !*is_leader.borrow() {
            info!("another operator may hold the lease: waiting");
        }
        is_leader
            .wait_for(|is_leader| *is_leader)
            .await
            .map_err(|_| anyhow!("the election has ended"))?;
        let (told, mut standing) = watch::channel(Standing::Unconfirmed);
        let task = Task::spawn(look(lease.clone(), us.clone(), told));
        let seen = *standing
            .wait_for(|standing| *standing != Standing::Unconfirmed)
            .await
            .map_err(|_| anyhow!("the lease is not looked at any more"))?;
        if seen == Standing::Lost {
            renewing.abort();
            return Err(anyhow!("the lease was lost to another operator at once"));
        }
        *looks = Some(Looks { standing, _task: task });
        info!("this operator leads");
        Ok(())
    }

    /// Returns when this process does not lead any more, with the reason. From then on the lease is left as it is: it
    /// may be another's already.
    pub async fn lost(&mut self) -> anyhow::Error {
        let Some(Held { is_leader, renewing, looks: Some(looks), .. }) = &mut self.0 else {
            return std::future::pending().await;
        };
        let reason = tokio::select! {
            // Time first: nobody else tells of it.
            biased;
            reason = over(&mut looks.standing) => reason,
            // An election that has ended is a lost one.
            _ = is_leader.wait_for(|is_leader| !is_leader) => anyhow!("the lease was lost to another operator"),
        };
        renewing.abort();
        reason
    }

    /// Gives the lease back, so that the next one need not wait for its end.
    pub async fn release(self) {
        let Some(Held { is_leader, mut renewing, .. }) = self.0 else {
            return;
        };
        drop(is_leader);
        match timeout(RELEASE_MAX, &mut renewing).await {
            Ok(Ok(Ok(_))) => {}
            Ok(Ok(Err(err))) => {
                warn!(error = %err, "the lease was not given back: the next operator waits for its end");
            }
            Ok(Err(err)) => warn!(error = %err, "the election has failed"),
            Err(_) => {
                renewing.abort();
                let seconds = RELEASE_MAX.as_secs();
                warn!(
                    "the lease was not given back within {seconds} s: the next operator waits for its end"
                );
            }
        }
    }
}

/// Returns when the time is over for which the lease was seen renewed, or it was seen with another.
async fn over(standing: &mut watch::Receiver<Standing>) -> anyhow::Error {
    loop {
        let Standing::Until(end) = *standing.borrow_and_update() else {
            return anyhow!("the lease was lost: another operator has it, or it was deleted");
        };
        tokio::select! {
            biased;
            () = sleep_until(end.into()) => {
                let seconds = SECONDS - hold::MARGIN.as_secs();
                return anyhow!(
                    "the lease was not renewed for {seconds} s, another operator may take it: is the API server reachable?"
                );
            }
            outcome = standing.changed() => if outcome.is_err() {
                return anyhow!("the lease is not looked at any more");
            },
        }
    }
}

/// Looks at the lease again and again, until nobody wants to know.
async fn look(lease: Api<v1::Lease>, us: String, told: watch::Sender<Standing>) {
    let mut hold = Hold::new(&us, Duration::from_secs(SECONDS));
    while !told.is_closed() {
        let asked = Asked { at: Instant::now(), clock: Timestamp::now() };
        match timeout(LOOK_MAX, lease.get_opt(LEASE)).await {
            Ok(Ok(seen)) => {
                let spec = seen.as_ref().and_then(|lease| lease.spec.as_ref());
                told.send_replace(hold.saw(asked, spec));
            }
            Ok(Err(err)) => warn!(error = %err, "the lease cannot be read"),
            Err(_) => warn!("the lease cannot be read: no answer within {} s", LOOK_MAX.as_secs()),
        }
        sleep_until((asked.at + LOOK_INTERVAL).into()).await;
    }
}
