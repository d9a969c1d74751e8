//! Leader election: of several operators one works, the others wait for its lease.

use anyhow::{Context as _, anyhow};
use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::{sync::watch, task::JoinHandle};
use tracing::info;

/// The lease's name, in the operator's own namespace.
const LEASE: &str = "redissync-operator";
/// A leader that is gone without a word is replaced after this time.
const SECONDS: u64 = 15;
/// The leader renews so many seconds before the end.
const GRACE_SECONDS: u64 = 5;

/// The lease of this process; or none, where nobody else is to be expected.
#[derive(Debug)]
pub struct Lease(Option<Held>);

#[derive(Debug)]
struct Held {
    is_leader: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, kube_lease_manager::LeaseManagerError>>,
}

impl Lease {
    /// Begins to ask for the lease.
    pub async fn ask(client: &Client, namespace: &str, name: &str) -> anyhow::Result<Self> {
        let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
            .with_namespace(namespace)
            .with_identity(name)
            .with_duration(SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
            .with_context(|| format!("failed to prepare the lease {namespace}/{LEASE}"))?;
        let (is_leader, task) = manager.watch().await;
        Ok(Self(Some(Held { is_leader, task })))
    }

    /// Without an election.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Returns when this process leads.
    pub async fn held(&mut self) -> anyhow::Result<()> {
        let Some(Held { is_leader, .. }) = &mut self.0 else {
            return Ok(());
        };
        if !*is_leader.borrow() {
            info!("another operator may hold the lease: waiting");
        }
        is_leader
            .wait_for(|is_leader| *is_leader)
            .await
            .map_err(|_| anyhow!("the election has ended"))?;
        info!("this operator leads");
        Ok(())
    }

    /// Returns when this process does not lead any more.
    pub async fn lost(&mut self) {
        match &mut self.0 {
            // An election that has ended is a lost one.
            Some(Held { is_leader, .. }) => drop(is_leader.wait_for(|is_leader| !is_leader).await),
            None => std::future::pending().await,
        }
    }

    /// Gives the lease back, so that the next one need not wait for its end.
    pub async fn release(self) -> anyhow::Result<()> {
        let Some(Held { is_leader, task }) = self.0 else {
            return Ok(());
        };
        drop(is_leader);
        task.await.context("the election panicked")?.context("failed to give the lease back")?;
        Ok(())
    }
}
