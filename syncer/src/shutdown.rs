//! How the process is asked to end. The first SIGTERM or SIGINT asks: the pipeline drains, acknowledges and
//! stops. A second one ends at once: whatever is cut then, the record in the target stays right.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{info, warn};

/// Tells tasks that the process shall end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for the end.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

impl ShutdownTrigger {
    /// Asks; to be asked again changes nothing.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// A pair of its own, for parts that end before the process and for tests.
    pub fn manual() -> (ShutdownTrigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger(sender), Self(receiver))
    }

    /// Installs the handlers. Needs a runtime.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (trigger, shutdown) = Self::manual();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            info!("asked to end, draining; a second signal ends at once");
            trigger.request();
            // What a shell shows for a process that the signal itself has ended.
            let code = tokio::select! {
                _ = terminate.recv() => 128 + 15,
                _ = interrupt.recv() => 128 + 2,
            };
            warn!("asked again, ending at once");
            std::process::exit(code);
        });
        Ok(shutdown)
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes when the end is asked for, or when nobody is left who could ask.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|requested| *requested).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_is_told_and_late_ones_too() {
        let (trigger, shutdown) = Shutdown::manual();
        let early = shutdown.clone();
        assert!(!early.is_requested());
        let waiter = tokio::spawn(async move { early.requested().await });
        trigger.request();
        waiter.await.unwrap();
        shutdown.clone().requested().await;
        assert!(shutdown.is_requested());
    }
}
