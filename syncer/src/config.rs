//! From the file to [`ValidatedConfig`], once. Later code never checks again: what it gets is right.
//!
//! Every error names the field, its value and the remedy, and never shows what might be a password.

mod check;

use std::{
    fs, io,
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    address::{AddressMap, HostPort},
    contract::{
        EvictingTarget, OnExistingData, OnRejected, OnUnsupported, Publish, SyncerConfig, Topology,
    },
    grace::Grace,
    login::LoginFiles,
    release::Decision,
};

/// A real file has less than 1 KiB; what is larger than this is not one of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A configuration that can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedConfig {
    /// Names the record; see [`SyncerConfig::pair_id`].
    pub pair_id: String,
    /// The site that is read.
    pub source: Site,
    /// The site that is written.
    pub target: Site,
    /// What to do about keys that the target holds and the source does not.
    pub on_existing_data: OnExistingData,
    /// How much later keys expire at the target.
    pub grace: Grace,
    /// What to do about keys that the target cannot take.
    pub on_unsupported: OnUnsupported,
    /// What to do about a target that evicts keys.
    pub evicting_target: EvictingTarget,
    /// What to do about a command that the target cannot take.
    pub on_rejected: OnRejected,
    /// What to do about messages.
    pub publish: Publish,
    /// Where and how much is spooled.
    pub spool: SpoolSettings,
    /// Whether applying rests.
    pub paused: bool,
    /// What was decided about a halt.
    pub release: Option<Decision>,
    /// Where the HTTP server listens.
    pub listen: SocketAddr,
    /// How long an orderly end may take.
    pub drain: Duration,
}

/// A site with its name and its data nodes' credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name in logs, reports and metrics.
    pub name: String,
    /// How its master is found.
    pub endpoint: Endpoint,
    /// How its data nodes are entered.
    pub login: LoginFiles,
    /// Where addresses are dialled instead.
    pub addresses: AddressMap,
}

/// How a site's master is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At a fixed address.
    Standalone {
        /// Where.
        address: HostPort,
    },
    /// By asking sentinels.
    Sentinel {
        /// The name under which they watch it.
        master_name: String,
        /// The sentinels to begin with, at least one, none twice.
        endpoints: Vec<HostPort>,
        /// How the sentinels themselves are entered.
        login: LoginFiles,
    },
}

impl Endpoint {
    /// Its kind.
    pub fn topology(&self) -> Topology {
        match self {
            Self::Standalone { .. } => Topology::Standalone,
            Self::Sentinel { .. } => Topology::Sentinel,
        }
    }

    /// Whether both mean the same data by their configuration: the same kind and, with sentinels, the same
    /// master's name. Addresses may differ: nodes move.
    pub fn is_same_identity(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Standalone { .. }, Self::Standalone { .. }) => true,
            (
                Self::Sentinel { master_name, .. },
                Self::Sentinel { master_name: other_name, .. },
            ) => master_name == other_name,
            _ => false,
        }
    }
}

/// Where and how much is spooled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The spool's own directory, absolute.
    pub dir: PathBuf,
    /// The most bytes that it may take.
    pub max_bytes: u64,
    /// Bytes kept behind the target's position; at most `max_bytes`.
    pub retention_bytes: u64,
    /// What arrived within this time is kept too, within `max_bytes`.
    pub retention_age: Duration,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or may not be read.
    #[error("failed to read the configuration {}", path.display())]
    Read {
        /// The path given.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Larger than any configuration.
    #[error("{} is larger than 1 MiB: it is no configuration of redissync-syncer", path.display())]
    TooLarge {
        /// The path given.
        path: PathBuf,
    },
    /// Nothing is in it.
    #[error("the configuration is empty: it needs at least source, target and spool")]
    Empty,
    /// Not UTF-8.
    #[error("the configuration is not UTF-8 text")]
    NotText,
    /// Not YAML, or not of the documented shape. The text is cleaned of what might be a password.
    #[error("{0}")]
    Shape(String),
    /// A value that cannot be used.
    #[error("{field}: {problem}")]
    Field {
        /// Its path in the file, such as `source.sentinel.endpoints[1]`.
        field: String,
        /// The value and the remedy.
        problem: String,
    },
}

/// Reads and validates the file.
pub fn load(path: &Path) -> Result<ValidatedConfig, ConfigError> {
    parse(&read(path)?)
}

/// The file's content, bounded.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut content = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    Ok(content)
}

/// Validates a file's content.
pub fn parse(content: &[u8]) -> Result<ValidatedConfig, ConfigError> {
    let text = std::str::from_utf8(content).map_err(|_| ConfigError::NotText)?;
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_blank) {
        return Err(ConfigError::Empty);
    }
    let config: SyncerConfig =
        serde_yaml::from_str(text).map_err(|err| ConfigError::Shape(without_secrets(&err)))?;
    check::validate(config)
}

/// The parser's message without what a user may have pasted by mistake: values in or near `auth`, and texts
/// where a whole section was expected (the password's own file given as the configuration, for one).
fn without_secrets(err: &serde_yaml::Error) -> String {
    let message = err.to_string();
    if message.contains("unknown field `password`") {
        return format!(
            "{message}; the password itself does not stand here: put it in a file and name that in passwordFile"
        );
    }
    let (Some(start), Some(end)) = (message.find("invalid type: "), message.rfind(", expected "))
    else {
        return message;
    };
    let is_section = message[end..].starts_with(", expected struct");
    if !is_section && !message[..start].contains("auth") {
        return message;
    }
    let kind_start = start + "invalid type: ".len();
    let kind = message[kind_start..].split(['"', '`']).next().unwrap_or_default().trim_end();
    format!("{}{kind}{}", &message[..kind_start], &message[end.max(kind_start + kind.len())..])
}

#[cfg(test)]
mod tests;
