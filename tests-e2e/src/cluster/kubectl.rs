//! `kubectl`, for what a user would read from it.

use std::process::Command;

use anyhow::Result;

use super::Cluster;
use crate::{chart::run, kubeconfig};

impl Cluster {
    /// What `kubectl` prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(Command::new(kubeconfig::program("kubectl"))
            .env("KUBECONFIG", self.kubeconfig())
            .args(arguments))
    }
}
