//! What was read at one node, as it was answered. Checks are made of it without asking again.

use super::info::Info;

/// One node, asked once.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Where it is.
    pub address: String,
    /// All of `INFO`, or the server's refusal.
    pub info: Result<String, String>,
    /// Settings by their name, or the server's refusal.
    pub settings: Vec<(&'static str, Result<Option<String>, String>)>,
    /// What of the commands that the syncer needs its user may not run.
    pub rights: Rights,
    /// At the target: whether it has the highest database that the source uses, and which that is.
    pub database: Option<(u32, bool)>,
}

/// What is known of our user's rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// All that could be tried is granted.
    Complete,
    /// These are not, as `ACL SETUSER` writes them.
    Missing(Vec<String>),
    /// It cannot be told, and why.
    Unproven(String),
}

/// A setting as the server told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting<'a> {
    /// Its value.
    Value(&'a str),
    /// The server has none of that name.
    Absent,
    /// The server does not tell.
    Refused,
}

impl NodeFacts {
    /// `INFO`; empty where it was refused.
    pub fn info(&self) -> Info<'_> {
        Info(self.info.as_deref().unwrap_or_default())
    }

    /// A setting.
    pub fn setting(&self, name: &str) -> Setting<'_> {
        match self.settings.iter().find(|(known, _)| *known == name) {
            Some((_, Ok(Some(value)))) => Setting::Value(value),
            Some((_, Ok(None))) => Setting::Absent,
            Some((_, Err(_))) | None => Setting::Refused,
        }
    }
}

/// Both ends, and what was measured between them.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The source, or why it could not be asked.
    pub source: Result<NodeFacts, String>,
    /// The target, or why it could not be asked.
    pub target: Result<NodeFacts, String>,
    /// What the sentinels of each end say: `None` without sentinels, else why they name no master.
    pub sentinels: [Option<Result<(), String>>; 2],
    /// How fast the source's stream grows, where that was measured.
    pub stream_bytes_per_second: Option<f64>,
    /// The source's stream is being received: PSYNC was granted.
    pub is_attached: bool,
    /// The target's clock less the source's.
    pub skew_milliseconds: Option<i64>,
    /// How much later than at the source keys expire, in milliseconds; 0 for none.
    pub grace_milliseconds: u64,
    /// Whether a target that evicts keys is written to.
    pub is_evicting_allowed: bool,
    /// Keys that the target has evicted since the last full copy.
    pub evicted_since_copy: u64,
}
