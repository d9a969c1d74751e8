//! `redis-cli --pipe`: the most that a server takes of one client.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use super::PATIENCE;
use crate::{
    Node,
    process::Process,
    servers::tool,
    usage::{cpu_seconds, ended_children_cpu_seconds},
};

/// What it took.
pub(super) struct Piped {
    pub(super) seconds: f64,
    pub(super) server_cpu: f64,
    pub(super) client_cpu: f64,
}

/// Gives a server all commands of a file. Errors of single commands are one of the whole.
pub(super) fn pipe(node: &Node, commands: &Path) -> Result<Piped> {
    let input =
        File::open(commands).with_context(|| format!("failed to open {}", commands.display()))?;
    let server_before = cpu_seconds(node.pid())?;
    let client_before = ended_children_cpu_seconds()?;
    let begun = Instant::now();
    let mut client = Command::new(tool("redis-cli")?);
    client.arg("-p").arg(node.port().to_string()).arg("--pipe");
    client.stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
    let exit = Process::spawn("redis-cli --pipe", &mut client)?.wait_exit(PATIENCE)?;
    let seconds = begun.elapsed().as_secs_f64();
    if !exit.success() {
        bail!("redis-cli --pipe of {} ended with {exit}", commands.display());
    }
    Ok(Piped {
        seconds,
        server_cpu: cpu_seconds(node.pid())? - server_before,
        client_cpu: ended_children_cpu_seconds()? - client_before,
    })
}
