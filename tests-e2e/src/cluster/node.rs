//! The node's kubelet, stopped and let go on: only that of the cluster of `make cluster-up`.

use std::fs;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::Cluster;
use crate::kubeconfig;

/// A kubelet that stands still. It goes on when this is dropped.
#[derive(Debug)]
pub struct FrozenKubelet(Pid);

impl Cluster {
    /// Stops the kubelet where it is: its node does not answer any more, and its containers run on.
    pub fn freeze_kubelet(&self) -> Result<FrozenKubelet> {
        let state = kubeconfig::own_state(self.kubeconfig())
            .context("only the kubelet of 'make cluster-up' can be stopped")?;
        let file = state.join("run/kubelet.pid");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{} holds no process id", file.display()))?;
        // A pid file outlives a reboot: only what bears the cluster's mark is its kubelet.
        let mark = format!("REDISSYNC_CLUSTER={}", state.display());
        let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
            .context("the kubelet does not run")?;
        environ
            .split(|byte| *byte == 0)
            .find(|variable| *variable == mark.as_bytes())
            .context("the process of the kubelet's pid file is another one")?;
        kill_process(pid, Signal::STOP).context("failed to stop the kubelet")?;
        Ok(FrozenKubelet(pid))
    }
}

impl Drop for FrozenKubelet {
    fn drop(&mut self) {
        // If it has ended meanwhile there is nothing to let go on.
        let _ = kill_process(self.0, Signal::CONT);
    }
}
