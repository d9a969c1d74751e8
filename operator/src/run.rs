//! `redissync-operator run`: what surrounds the controller.

use std::net::SocketAddr;

use redissync_syncer::telemetry::LogFormat;

/// The arguments of `redissync-operator run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The image that syncers run
    #[arg(long, env = "REDISSYNC_SYNCER_IMAGE", value_name = "IMAGE")]
    pub syncer_image: String,
    /// When that image is pulled: Always, IfNotPresent or Never
    #[arg(long, env = "REDISSYNC_SYNCER_IMAGE_PULL_POLICY", default_value = "IfNotPresent", value_name = "POLICY")]
    pub syncer_image_pull_policy: String,
    /// Namespaces to look after, separated by commas; left out: all. With namespaces no node is watched, so a syncer
    /// on a lost node waits until the node comes back or is removed
    #[arg(long = "watch-namespaces", env = "REDISSYNC_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    pub watch_namespaces: Vec<String>,
    /// The namespace of the operator's lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "default", value_name = "NAMESPACE")]
    pub own_namespace: String,
    /// The name of this process in the lease
    #[arg(long, env = "POD_NAME", default_value = "redissync-operator", value_name = "NAME")]
    pub own_name: String,
    /// Whether to wait for the lease before anything is done
    #[arg(long, env = "REDISSYNC_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// `address:port` of `/metrics`, `/healthz` and `/readyz`
    #[arg(long, env = "REDISSYNC_LISTEN", default_value = "[::]:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// How the log looks
    #[arg(long, value_enum, default_value = "json", env = "REDISSYNC_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// Runs until a signal asks for the end.
pub fn run(_args: RunArgs) -> anyhow::Result<()> {
    Ok(())
}
