//! The object's spec as the file that the syncer reads. The one place where sites become source and target.

use redissync_syncer::{
    contract::{
        self, AuthConfig, EndpointConfig, EvictingTarget, ExpiryConfig, FullCopyConfig,
        OnExistingData, OnRejected, OnUnsupported, PreflightConfig, Publish, ReleaseConfig,
        RetentionConfig, SentinelConfig, ServerConfig, SpoolConfig, StandaloneConfig, StreamConfig,
        SyncerConfig, TlsConfig,
    },
    quantity::{Bytes, QuantityError, Span},
};

use crate::{
    crd::{
        EvictingStandby, ExistingData, Messages, RedisSyncSpec, Rejected, ReleaseAction,
        ReleaseSpec, SiteSpec, TlsSpec, Unsupported,
    },
    names,
};

/// Seconds that a syncer may take to drain: 10 less than the pod's grace.
pub const DRAIN_SECONDS: u64 = 20;

/// The keys of a Secret of type `kubernetes.io/tls`, and the names of their files.
pub const CERTIFICATE_KEY: &str = "tls.crt";
/// The same for the private key.
pub const PRIVATE_KEY: &str = "tls.key";
/// The file with the authorities, whatever their key in the Secret is.
pub const CA_FILE: &str = "ca.crt";

/// The two kinds of servers of a site: each has its own password and its own TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Servers {
    /// The data nodes.
    DataNodes,
    /// The sentinels.
    Sentinels,
}

impl Servers {
    /// Both.
    pub const ALL: [Self; 2] = [Self::DataNodes, Self::Sentinels];
}

/// The directory of a password. By the site's name, not by its part, so that the pod stays as it is when the parts change.
pub fn password_dir(site: &str, of: Servers) -> String {
    format!("{}/{}", names::AUTH_MOUNT, dir(site, of))
}

/// The directory of the files for TLS, in the same way.
pub fn tls_dir(site: &str, of: Servers) -> String {
    format!("{}/{}", names::TLS_MOUNT, dir(site, of))
}

fn dir(site: &str, of: Servers) -> String {
    match of {
        Servers::DataNodes => site.to_owned(),
        // A dot cannot stand in a site's name, so no site's directory is another's.
        Servers::Sentinels => format!("{site}.sentinel"),
    }
}

/// The file, from `source` to `target`.
pub fn build(
    spec: &RedisSyncSpec,
    pair_id: &str,
    source: &SiteSpec,
    target: &SiteSpec,
) -> Result<SyncerConfig, QuantityError> {
    Ok(SyncerConfig {
        pair_id: pair_id.to_owned(),
        source: endpoint(source),
        target: endpoint(target),
        full_copy: FullCopyConfig {
            on_existing_data: match spec.full_copy.on_existing_data {
                ExistingData::Refuse => OnExistingData::Refuse,
                ExistingData::Sweep => OnExistingData::Sweep,
                ExistingData::Keep => OnExistingData::Keep,
            },
            on_unsupported: match spec.full_copy.on_unsupported {
                Unsupported::Halt => OnUnsupported::Halt,
                Unsupported::Skip => OnUnsupported::Skip,
            },
        },
        expiry: ExpiryConfig { grace: spec.expiry.grace.parse::<Span>()? },
        preflight: PreflightConfig {
            evicting_target: match spec.preflight.evicting_standby {
                EvictingStandby::Refuse => EvictingTarget::Refuse,
                EvictingStandby::Allow => EvictingTarget::Allow,
            },
        },
        stream: StreamConfig {
            on_rejected: match spec.stream.on_rejected {
                Rejected::Halt => OnRejected::Halt,
                Rejected::DeadLetter => OnRejected::DeadLetter,
            },
            publish: match spec.stream.publish {
                Messages::Forward => Publish::Forward,
                Messages::Drop => Publish::Drop,
            },
        },
        spool: SpoolConfig {
            dir: names::SPOOL_DIR.to_owned(),
            max_bytes: spec.spool.max_bytes.parse::<Bytes>()?,
            retention: RetentionConfig {
                bytes: spec
                    .spool
                    .retention
                    .bytes
                    .as_deref()
                    .map(str::parse::<Bytes>)
                    .transpose()?,
                age: spec.spool.retention.age.parse::<Span>()?,
            },
        },
        paused: spec.paused,
        release: spec.release.as_ref().map(release),
        // All addresses of both families, where the node has them.
        server: ServerConfig { listen: format!("[::]:{}", names::HTTP_PORT) },
        drain_seconds: DRAIN_SECONDS,
    })
}

fn endpoint(site: &SiteSpec) -> EndpointConfig {
    EndpointConfig {
        name: site.name.clone(),
        standalone: site
            .standalone
            .as_ref()
            .map(|standalone| StandaloneConfig { address: standalone.address.clone() }),
        sentinel: site.sentinel.as_ref().map(|sentinel| SentinelConfig {
            master_name: sentinel.master_name.clone(),
            endpoints: sentinel.endpoints.clone(),
            auth: sentinel
                .auth
                .as_ref()
                .map(|auth| auth_config(auth.username.as_deref(), &site.name, Servers::Sentinels)),
            tls: sentinel.tls.as_ref().map(|tls| tls_config(tls, &site.name, Servers::Sentinels)),
        }),
        auth: site
            .auth
            .as_ref()
            .map(|auth| auth_config(auth.username.as_deref(), &site.name, Servers::DataNodes)),
        tls: site.tls.as_ref().map(|tls| tls_config(tls, &site.name, Servers::DataNodes)),
        address_map: site
            .address_map
            .iter()
            .map(|entry| contract::AddressMapping {
                announced: entry.announced.clone(),
                dial: entry.dial.clone(),
            })
            .collect(),
    }
}

fn auth_config(username: Option<&str>, site: &str, of: Servers) -> AuthConfig {
    AuthConfig {
        username: username.map(str::to_owned),
        password_file: format!("{}/{}", password_dir(site, of), names::PASSWORD_FILE),
    }
}

fn tls_config(tls: &TlsSpec, site: &str, of: Servers) -> TlsConfig {
    let file = |name: &str| format!("{}/{name}", tls_dir(site, of));
    let has_certificate = tls.certificate_secret_ref.is_some();
    TlsConfig {
        ca_file: tls.ca_secret_ref.as_ref().map(|_| file(CA_FILE)),
        certificate_file: has_certificate.then(|| file(CERTIFICATE_KEY)),
        key_file: has_certificate.then(|| file(PRIVATE_KEY)),
        server_name: tls.server_name.clone(),
    }
}

fn release(release: &ReleaseSpec) -> ReleaseConfig {
    ReleaseConfig {
        action: match release.action {
            ReleaseAction::SkipUnit => contract::ReleaseAction::SkipUnit,
            ReleaseAction::RetryUnit => contract::ReleaseAction::RetryUnit,
            ReleaseAction::CopyAgain => contract::ReleaseAction::CopyAgain,
            ReleaseAction::AllowSweep => contract::ReleaseAction::AllowSweep,
        },
        // The schema refuses what is negative.
        offset: release.offset.and_then(|offset| u64::try_from(offset).ok()),
        copy_id: release.copy_id.clone(),
    }
}

/// What of the file needs a restart when it changes: everything but what the syncer takes over while it runs.
pub fn restart_text(config: &SyncerConfig) -> String {
    let lasting = |site: &EndpointConfig| {
        let master_name = site.sentinel.as_ref().map(|sentinel| sentinel.master_name.as_str());
        format!("{}/{}", site.name, master_name.unwrap_or_default())
    };
    let SyncerConfig {
        pair_id,
        source,
        target,
        full_copy,
        expiry,
        preflight: _,
        stream,
        spool,
        paused: _,
        release: _,
        server,
        drain_seconds,
    } = config;
    // What is newer than the first version stands here only where it is not the default: else a new version of the operator
    // would take every object for one that its user has changed, and restart all syncers at once.
    let expiry = match expiry.is_default() {
        true => String::new(),
        false => format!(" {expiry:?}"),
    };
    let left_out = match full_copy.on_unsupported {
        OnUnsupported::Halt => "",
        OnUnsupported::Skip => " Skip",
    };
    // What becomes of rejected commands is taken over while the syncer runs.
    let messages = match stream.publish {
        Publish::Forward => "",
        Publish::Drop => " Drop",
    };
    format!(
        "{pair_id} {} {} {:?}{left_out}{messages} {spool:?} {server:?} {drain_seconds}{expiry}",
        lasting(source),
        lasting(target),
        full_copy.on_existing_data
    )
}
