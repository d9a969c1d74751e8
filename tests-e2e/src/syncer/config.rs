//! The syncer's configuration as a user writes it.
//!
//! Written out here once more, and not taken from the syncer's crate: a test that shares the program's types cannot see
//! that a field was renamed.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{node::Node, sentinel_set::SentinelSet, tls::TlsFiles};

/// How a site is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Standalone {
        /// Its `host:port`.
        address: String,
    },
    /// The master of the day.
    Sentinel {
        /// The name by which the sentinels know it.
        master_name: String,
        /// The sentinels.
        endpoints: Vec<String>,
        /// The sentinels' user.
        username: Option<String>,
        /// The sentinels' password.
        password: Option<String>,
        /// TLS with the sentinels.
        tls: Option<SyncerTls>,
    },
}

/// One of the two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncerSite {
    /// The site's name.
    pub name: String,
    /// How it is reached.
    pub topology: Topology,
    /// The data nodes' user.
    pub username: Option<String>,
    /// The data nodes' password.
    pub password: Option<String>,
    /// TLS with the data nodes.
    pub tls: Option<SyncerTls>,
}

/// What the syncer is told about TLS. The files stay where they are: a test rotates them there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncerTls {
    /// Whom it trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What it shows of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// The key of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name that it expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl From<&TlsFiles> for SyncerTls {
    fn from(files: &TlsFiles) -> Self {
        Self {
            ca_file: Some(files.ca.clone()),
            certificate_file: Some(files.certificate.clone()),
            key_file: Some(files.key.clone()),
            server_name: None,
        }
    }
}

impl SyncerSite {
    /// One server without a password, or a proxy before one.
    pub fn standalone(name: &str, address: &str) -> Self {
        Self {
            name: name.to_string(),
            topology: Topology::Standalone { address: address.to_string() },
            username: None,
            password: None,
            tls: None,
        }
    }

    /// One server, with its password and certificates.
    pub fn node(name: &str, node: &Node) -> Self {
        Self {
            password: node.password().map(str::to_string),
            tls: node.tls().map(SyncerTls::from),
            ..Self::standalone(name, &node.address())
        }
    }

    /// A sentinel set, with its passwords.
    pub fn sentinel_set(name: &str, set: &SentinelSet) -> Self {
        Self {
            name: name.to_string(),
            topology: Topology::Sentinel {
                master_name: set.master_name().to_string(),
                endpoints: set.endpoints(),
                username: None,
                password: set.sentinel_password().map(str::to_string),
                tls: set.tls().map(SyncerTls::from),
            },
            username: None,
            password: set.password().map(str::to_string),
            tls: set.tls().map(SyncerTls::from),
        }
    }
}

/// The limits of the spool; what is absent is left to the syncer's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolOptions {
    /// What it may take on disk.
    pub max_bytes: Option<u64>,
    /// How many bytes below the durable offset are kept.
    pub retention_bytes: Option<u64>,
    /// How long they are kept, such as `10m`.
    pub retention_age: Option<String>,
}

/// What a syncer is started with.
#[derive(Debug, Clone)]
pub struct SyncerOptions {
    /// Names the record in the target.
    pub pair_id: String,
    /// Where the data come from.
    pub source: SyncerSite,
    /// Where they go.
    pub target: SyncerSite,
    /// `Refuse`, `Sweep` or `Keep`.
    pub on_existing_data: Option<String>,
    /// The spool's limits.
    pub spool: SpoolOptions,
    /// Whether applying stands still.
    pub paused: bool,
    /// Further fields, merged over the others.
    pub extra: Value,
    /// Variables of the environment.
    pub environment: BTreeMap<String, String>,
}

impl SyncerOptions {
    /// From one site to the other, all else left to the syncer's defaults.
    pub fn new(pair_id: &str, source: SyncerSite, target: SyncerSite) -> Self {
        Self {
            pair_id: pair_id.to_string(),
            source,
            target,
            on_existing_data: None,
            spool: SpoolOptions::default(),
            paused: false,
            extra: json!({}),
            environment: BTreeMap::new(),
        }
    }

    /// Says what happens to keys that the target holds before the first copy: `Refuse`, `Sweep` or `Keep`.
    pub fn on_existing_data(mut self, policy: &str) -> Self {
        self.on_existing_data = Some(policy.to_string());
        self
    }

    /// Sets the spool's limits.
    pub fn spool(mut self, spool: SpoolOptions) -> Self {
        self.spool = spool;
        self
    }

    /// Adds any fields, such as `json!({"expiry": {"grace": "5m"}})`.
    pub fn extra(mut self, fields: Value) -> Self {
        merge(&mut self.extra, fields);
        self
    }

    /// Adds a variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_string(), value.to_string());
        self
    }
}

/// A user and the file that holds the password. Either may be absent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Auth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
}

pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("config.yaml")
}

pub(super) fn spool_directory(directory: &Path) -> PathBuf {
    directory.join("spool")
}

/// Writes the password files and then the configuration, each in one step: a syncer may read them at any time.
pub(super) fn write(options: &SyncerOptions, listen: &str, directory: &Path) -> Result<()> {
    let spool = spool_directory(directory);
    fs::create_dir_all(&spool)
        .with_context(|| format!("failed to make the directory {}", spool.display()))?;
    let mut config = json!({
        "pairID": options.pair_id,
        "source": site(&options.source, "source", directory)?,
        "target": site(&options.target, "target", directory)?,
        "spool": { "dir": spool },
        "paused": options.paused,
        "server": { "listen": listen },
    });
    let limits = &options.spool;
    let optional = [
        ("/fullCopy/onExistingData", options.on_existing_data.clone().map(Value::from)),
        ("/spool/maxBytes", limits.max_bytes.map(Value::from)),
        ("/spool/retention/bytes", limits.retention_bytes.map(Value::from)),
        ("/spool/retention/age", limits.retention_age.clone().map(Value::from)),
    ];
    for (pointer, value) in optional {
        if let Some(value) = value {
            let names = pointer.split('/').skip(1).collect::<Vec<_>>();
            let nested = names.into_iter().rev().fold(value, |inner, name| json!({ name: inner }));
            merge(&mut config, nested);
        }
    }
    merge(&mut config, options.extra.clone());
    let yaml = serde_yaml::to_string(&config).context("failed to write YAML")?;
    replace(&path(directory), &yaml)
}

fn site(site: &SyncerSite, end: &str, directory: &Path) -> Result<Value> {
    let mut value = json!({ "name": site.name });
    match &site.topology {
        Topology::Standalone { address } => value["standalone"] = json!({ "address": address }),
        Topology::Sentinel { master_name, endpoints, username, password, tls } => {
            value["sentinel"] = json!({ "masterName": master_name, "endpoints": endpoints });
            let file = directory.join(format!("{end}-sentinel-password"));
            if let Some(auth) = auth(username.as_deref(), password.as_deref(), file)? {
                value["sentinel"]["auth"] = auth;
            }
            if let Some(tls) = tls {
                value["sentinel"]["tls"] =
                    serde_json::to_value(tls).context("failed to write TLS")?;
            }
        }
    }
    let file = directory.join(format!("{end}-password"));
    if let Some(auth) = auth(site.username.as_deref(), site.password.as_deref(), file)? {
        value["auth"] = auth;
    }
    if let Some(tls) = &site.tls {
        value["tls"] = serde_json::to_value(tls).context("failed to write TLS")?;
    }
    Ok(value)
}

fn auth(username: Option<&str>, password: Option<&str>, file: PathBuf) -> Result<Option<Value>> {
    if username.is_none() && password.is_none() {
        return Ok(None);
    }
    if let Some(password) = password {
        replace(&file, password)?;
    }
    let auth = Auth { username, password_file: password.map(|_| file) };
    serde_json::to_value(auth).map(Some).context("failed to write credentials")
}

/// Puts a file that only its owner can read in the place of another.
fn replace(path: &Path, text: &str) -> Result<()> {
    let next = path.with_extension("next");
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&next)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&next, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

/// Lays `over` onto `under`, object by object.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                merge(under.entry(name).or_insert(Value::Object(Map::new())), value);
            }
        }
        (under, over) => *under = over,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn configuration_is_what_a_user_would_write_and_passwords_are_in_files() {
        let directory = tempfile::tempdir().unwrap();
        let source = SyncerSite {
            name: "beijing".to_string(),
            topology: Topology::Sentinel {
                master_name: "cart-master".to_string(),
                endpoints: vec!["127.0.0.1:26379".to_string()],
                username: None,
                password: Some("watch".to_string()),
                tls: None,
            },
            username: Some("copier".to_string()),
            password: Some("secret".to_string()),
            tls: None,
        };
        let options =
            SyncerOptions::new("cart", source, SyncerSite::standalone("shanghai", "127.0.0.1:1"))
                .on_existing_data("Sweep")
                .spool(SpoolOptions { max_bytes: Some(1 << 20), ..SpoolOptions::default() })
                .extra(json!({ "spool": { "segmentBytes": 4096 } }));
        write(&options, "127.0.0.1:8080", directory.path()).unwrap();

        let text = fs::read_to_string(path(directory.path())).unwrap();
        let config: Value = serde_yaml::from_str(&text).unwrap();
        let password = directory.path().join("source-password");
        let sentinel_password = directory.path().join("source-sentinel-password");
        let expected = json!({
            "pairID": "cart",
            "source": {
                "name": "beijing",
                "sentinel": {
                    "masterName": "cart-master",
                    "endpoints": ["127.0.0.1:26379"],
                    "auth": { "passwordFile": sentinel_password },
                },
                "auth": { "username": "copier", "passwordFile": password },
            },
            "target": { "name": "shanghai", "standalone": { "address": "127.0.0.1:1" } },
            "fullCopy": { "onExistingData": "Sweep" },
            "spool": {
                "dir": spool_directory(directory.path()), "maxBytes": 1048576, "segmentBytes": 4096,
            },
            "paused": false,
            "server": { "listen": "127.0.0.1:8080" },
        });
        assert_eq!(config, expected);
        assert_eq!(fs::read_to_string(&password).unwrap(), "secret");
        assert_eq!(fs::metadata(&password).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
