//! Processes of pods, as the node sees them. Only where the node is this machine, and only of pods that a test names.

use std::fs;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Cluster, Kind};

impl Cluster {
    /// The processes of a pod's container whose program has this name, such as `redis-server`.
    pub fn pids_of(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        program: &str,
    ) -> Result<Vec<Pid>> {
        let object = self.get(Kind::Pod, namespace, pod)?;
        let id = container_id(&object, container)
            .with_context(|| format!("{namespace}/{pod} has no running container {container}"))?;
        let pids: Vec<Pid> = processes_of(&id)
            .into_iter()
            .filter(|pid| {
                let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
                // The kernel keeps 15 bytes of a name.
                name.is_ok_and(|name| program.starts_with(name.trim_end()) && name.len() > 1)
            })
            .collect();
        if pids.is_empty() {
            bail!(
                "no process {program} of {namespace}/{pod} on this machine: this fault needs the node here, as \
                 'make cluster-up' has it"
            );
        }
        Ok(pids)
    }

    /// Sends a signal to that program of a container.
    pub fn signal(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        program: &str,
        signal: Signal,
    ) -> Result<()> {
        for pid in self.pids_of(namespace, pod, container, program)? {
            kill_process(pid, signal)
                .with_context(|| format!("failed to signal {program} of {namespace}/{pod}"))?;
        }
        Ok(())
    }
}

/// Without the runtime's name before it.
fn container_id(pod: &Value, container: &str) -> Option<String> {
    let statuses = pod["status"]["containerStatuses"].as_array()?;
    let status = statuses.iter().find(|status| status["name"] == container)?;
    status["state"]["running"].as_object()?;
    let (_, id) = status["containerID"].as_str()?.split_once("://")?;
    Some(id.to_owned())
}

/// All processes in the container's control group.
fn processes_of(container_id: &str) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
            groups.contains(container_id).then(|| Pid::from_raw(pid))?
        })
        .collect()
}
