//! Which cluster is meant: the one that `KUBECONFIG` names, else that of `make cluster-up`.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

/// The kubeconfig's file.
pub fn path() -> Result<PathBuf> {
    if let Some(named) = env::var_os("KUBECONFIG").filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let own = own_dir().join("state/kubeconfig");
    if own.is_file() {
        return Ok(own);
    }
    bail!(
        "there is no cluster: 'make cluster-up' starts one, or set KUBECONFIG to one that you have"
    )
}

/// Where `make cluster-up` keeps its cluster.
fn own_dir() -> PathBuf {
    let variable =
        |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").unwrap_or_default();
    variable("REDISSYNC_CACHE")
        .unwrap_or_else(|| {
            variable("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("redissync")
        })
        .join("cluster")
}

/// The state of our own cluster (pid files, sockets), if the kubeconfig is its.
pub fn own_state(kubeconfig: &Path) -> Option<PathBuf> {
    let directory = kubeconfig.canonicalize().ok()?.parent()?.to_path_buf();
    directory.join("run/kubelet.pid").is_file().then_some(directory)
}

/// A program of the cluster's own make (`kubectl`), where it is; else the name, for the shell's path.
pub fn program(name: &str) -> PathBuf {
    let own = own_dir().join("bin").join(name);
    if own.is_file() { own } else { PathBuf::from(name) }
}
