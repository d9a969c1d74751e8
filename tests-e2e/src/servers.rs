//! The server versions that the tests run against, and where their programs lie.
//!
//! `tests-e2e/servers/install.sh` puts them there; this module only finds them. The directory names of the two must
//! agree.

use std::{env, fmt, path::PathBuf};

use anyhow::{Result, bail};

/// One version of a server. Each stands for a way of replicating or of storing that the others do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerVersion {
    /// Redis 2.8.19: PSYNC without a second replid, RDB version 6, no streams.
    Redis28,
    /// Redis 6.2.5: RDB version 9, EVALSHA in the replication stream.
    Redis62,
    /// Redis 7.0.15: RDB version 10, functions. The default for tests.
    Redis70,
    /// Redis 7.4.1: RDB version 12, hash fields that expire. Its modules are there too.
    Redis74,
    /// Redis 8.2.3: RDB version 12 and newer types.
    Redis82,
    /// Valkey 8.1.8: RDB version 11 under another name.
    Valkey81,
    /// Valkey 9.1.2: RDB version 80, hash fields that expire.
    Valkey91,
}

impl ServerVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 7] = [
        Self::Redis28,
        Self::Redis62,
        Self::Redis70,
        Self::Redis74,
        Self::Redis82,
        Self::Valkey81,
        Self::Valkey91,
    ];

    /// The version that a user names: `7.0`, `7.0.15`, `redis-7.0` or `valkey-9.1`.
    pub fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|version| {
            let full = format!("{}-{}.", version.product(), version.number());
            let asked = format!("{text}.");
            full.starts_with(&asked) || format!("{}.", version.number()).starts_with(&asked)
        });
        match found {
            Some(version) => Ok(version),
            None => bail!(
                "there is no server {text}; there are {}",
                Self::ALL.map(|v| v.to_string()).join(", ")
            ),
        }
    }

    /// `redis` or `valkey`, which also begins the names of its programs.
    pub fn product(self) -> &'static str {
        match self {
            Self::Redis28 | Self::Redis62 | Self::Redis70 | Self::Redis74 | Self::Redis82 => {
                "redis"
            }
            Self::Valkey81 | Self::Valkey91 => "valkey",
        }
    }

    /// The exact version, as `--version` tells it.
    pub fn number(self) -> &'static str {
        match self {
            Self::Redis28 => "2.8.19",
            Self::Redis62 => "6.2.5",
            Self::Redis70 => "7.0.15",
            Self::Redis74 => "7.4.1",
            Self::Redis82 => "8.2.3",
            Self::Valkey81 => "8.1.8",
            Self::Valkey91 => "9.1.2",
        }
    }

    /// Whether the server knows streams and the words `replicaof` and `SENTINEL REPLICAS`, all of 5.0.
    pub fn is_modern(self) -> bool {
        self != Self::Redis28
    }

    /// Whether `DEBUG` must be allowed by the configuration, as from 7.0 on.
    pub(crate) fn locks_debug_command(self) -> bool {
        !matches!(self, Self::Redis28 | Self::Redis62)
    }

    /// Where the cache holds this version.
    fn directory(self) -> Result<PathBuf> {
        let cache = match (env::var_os("REDISSYNC_CACHE"), env::var_os("XDG_CACHE_HOME")) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(caches)) => PathBuf::from(caches).join("redissync"),
            (None, None) => match env::var_os("HOME") {
                Some(home) => PathBuf::from(home).join(".cache/redissync"),
                None => bail!("none of REDISSYNC_CACHE, XDG_CACHE_HOME and HOME is set"),
            },
        };
        let directory = cache.join("servers").join(format!("{}-{}", self.product(), self.number()));
        if !directory.join("origin").exists() {
            bail!("{self} is not in {}: run `make servers`", directory.display());
        }
        Ok(directory)
    }

    /// The server's program. With `--sentinel` it is a Sentinel.
    ///
    /// Some versions need libraries of their own; what lies here finds them by itself.
    pub fn program(self) -> Result<PathBuf> {
        Ok(self.directory()?.join("bin").join(format!("{}-server", self.product())))
    }

    /// A module that came with the server: `rejson`, `redisbloom`, `redistimeseries` or `redisearch` of 7.4.
    pub fn module(self, name: &str) -> Result<PathBuf> {
        let module = self.directory()?.join("modules").join(format!("{name}.so"));
        if !module.exists() {
            bail!("{self} has no module {name} in {}", module.display());
        }
        Ok(module)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product(), self.number())
    }
}

/// A program of Debian's redis-tools: `redis-cli` or `redis-benchmark`.
pub fn tool(name: &str) -> Result<PathBuf> {
    let program = ServerVersion::Redis70.directory()?.join("bin").join(name);
    if !program.exists() {
        bail!("{} is missing: run `make servers`", program.display());
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_named_by_any_part_that_tells_them_apart() {
        for text in ["7.0", "7.0.15", "redis-7.0", "redis-7.0.15"] {
            assert_eq!(ServerVersion::parse(text).unwrap(), ServerVersion::Redis70, "{text}");
        }
        assert_eq!(ServerVersion::parse("valkey-9").unwrap(), ServerVersion::Valkey91);
        assert!(ServerVersion::parse("7.1").is_err());
    }
}
