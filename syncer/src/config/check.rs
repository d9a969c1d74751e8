//! The rules that the file's shape cannot say, field by field, in the order of the file.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use super::{ConfigError, Endpoint, Site, SpoolSettings, ValidatedConfig};
use crate::{
    address::{AddressMap, HostPort, InvalidHostPort, PartialAddress},
    contract::{
        AddressMapping, AuthConfig, EndpointConfig, ExpiryConfig, ReleaseAction, ReleaseConfig,
        SentinelConfig, SpoolConfig, SyncerConfig, TlsConfig,
    },
    credentials::Auth,
    grace::Grace,
    login::LoginFiles,
    quantity::{Bytes, Span},
    release::Decision,
    spool::CopyId,
    tls::{files::TlsFiles, is_server_name},
};

/// The length that an annotation or a label's prefix of Kubernetes may have; the record's key stays short.
const PAIR_ID_LENGTH_MAX: usize = 253;
/// The length of a DNS label.
const SITE_NAME_LENGTH_MAX: usize = 63;
/// Deployments have 3 to 7; each is polled and subscribed to, so a list by mistake must not become a flood.
const SENTINELS_MAX: usize = 32;
/// Twice what a site has of sentinels and nodes at most; a list by mistake must not become a flood.
const ADDRESS_MAPPINGS_MAX: usize = 64;
/// Less would not hold one segment and a large value's head.
const SPOOL_BYTES_MIN: Bytes = Bytes(1 << 20);
const SPOOL_BYTES_DEFAULT_RETENTION: u64 = 1 << 30;
/// A year: more is a slip of the unit.
const RETENTION_AGE_MAX: Span = Span::hours(8760);
/// A month: a target that is further behind is copied again.
const GRACE_MAX: Span = Span::hours(720);

fn wrong(field: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Field { field: field.into(), problem: problem.into() }
}

pub(super) fn validate(config: SyncerConfig) -> Result<ValidatedConfig, ConfigError> {
    let SyncerConfig {
        pair_id,
        source,
        target,
        full_copy,
        expiry,
        preflight,
        stream,
        spool,
        paused,
        release,
        server,
        drain_seconds,
    } = config;
    check_word("pairID", &pair_id, "._/-", PAIR_ID_LENGTH_MAX)?;
    let source = site("source", source)?;
    let target = site("target", target)?;
    check_distinct(&source, &target)?;
    if !(1..=3600).contains(&drain_seconds) {
        return Err(wrong(
            "drainSeconds",
            format!("{drain_seconds} is out of range: choose 1 to 3600"),
        ));
    }
    Ok(ValidatedConfig {
        pair_id,
        source,
        target,
        on_existing_data: full_copy.on_existing_data,
        grace: grace(&expiry)?,
        on_unsupported: full_copy.on_unsupported,
        evicting_target: preflight.evicting_target,
        on_rejected: stream.on_rejected,
        publish: stream.publish,
        spool: spool_settings(spool)?,
        paused,
        release: release.map(decision).transpose()?,
        listen: listen_address(&server.listen)?,
        drain: Duration::from_secs(drain_seconds),
    })
}

/// Letters, digits and `others`.
fn check_word(
    field: &str,
    value: &str,
    others: &str,
    length_max: usize,
) -> Result<(), ConfigError> {
    if value.is_empty() {
        return Err(wrong(field, "must not be empty: give it a name"));
    }
    if value.len() > length_max {
        let length = value.len();
        return Err(wrong(
            field,
            format!("has {length} characters: shorten it to at most {length_max}"),
        ));
    }
    match value.chars().find(|c| !c.is_ascii_alphanumeric() && !others.contains(*c)) {
        Some(odd) => Err(wrong(
            field,
            format!("'{value}' has {odd:?}: use letters, digits and '{others}' only"),
        )),
        None => Ok(()),
    }
}

fn site(field: &str, config: EndpointConfig) -> Result<Site, ConfigError> {
    let EndpointConfig { name, standalone, sentinel, auth, tls, address_map } = config;
    check_word(&format!("{field}.name"), &name, "._-", SITE_NAME_LENGTH_MAX)?;
    let endpoint = match (standalone, sentinel) {
        (Some(node), None) => Endpoint::Standalone {
            address: host_port(&format!("{field}.standalone.address"), &node.address)?,
        },
        (None, Some(sentinel)) => sentinels(&format!("{field}.sentinel"), sentinel)?,
        (None, None) => {
            return Err(wrong(field, "has no topology: add either standalone or sentinel"));
        }
        (Some(_), Some(_)) => {
            return Err(wrong(field, "has both standalone and sentinel: keep exactly one"));
        }
    };
    let login = login(field, auth, tls)?;
    let addresses = addresses(&format!("{field}.addressMap"), &address_map)?;
    Ok(Site { name, endpoint, login, addresses })
}

fn sentinels(field: &str, config: SentinelConfig) -> Result<Endpoint, ConfigError> {
    let SentinelConfig { master_name, endpoints, auth, tls } = config;
    let name_field = format!("{field}.masterName");
    if master_name.is_empty() {
        return Err(wrong(
            name_field,
            "must not be empty: it is the name in the sentinels' 'sentinel monitor' line",
        ));
    }
    if master_name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(wrong(name_field, format!("{master_name:?} has white space: a name has none")));
    }
    if endpoints.is_empty() || endpoints.len() > SENTINELS_MAX {
        let count = endpoints.len();
        return Err(wrong(
            format!("{field}.endpoints"),
            format!("has {count} entries: give 1 to {SENTINELS_MAX}, each host:port of a sentinel"),
        ));
    }
    let mut addresses: Vec<HostPort> = Vec::with_capacity(endpoints.len());
    for (index, text) in endpoints.iter().enumerate() {
        let entry = format!("{field}.endpoints[{index}]");
        let address = host_port(&entry, text)?;
        if addresses.contains(&address) {
            return Err(wrong(entry, format!("'{address}' stands there twice: remove one")));
        }
        addresses.push(address);
    }
    Ok(Endpoint::Sentinel { master_name, endpoints: addresses, login: login(field, auth, tls)? })
}

fn addresses(field: &str, entries: &[AddressMapping]) -> Result<AddressMap, ConfigError> {
    if entries.len() > ADDRESS_MAPPINGS_MAX {
        let count = entries.len();
        return Err(wrong(
            field,
            format!(
                "has {count} entries: give at most {ADDRESS_MAPPINGS_MAX}; one without a port counts for all ports of its host"
            ),
        ));
    }
    let mut map = AddressMap::default();
    for (index, AddressMapping { announced, dial }) in entries.iter().enumerate() {
        let announced_field = format!("{field}[{index}].announced");
        let from: PartialAddress = parsed(&announced_field, announced)?;
        let to = parsed(&format!("{field}[{index}].dial"), dial)?;
        if !map.insert(from, to) {
            return Err(wrong(
                announced_field,
                format!("'{announced}' stands there twice: remove one"),
            ));
        }
    }
    Ok(map)
}

fn host_port(field: &str, text: &str) -> Result<HostPort, ConfigError> {
    parsed(field, text)
}

/// A value that might hold a password (`user:pass@host`) is not shown.
fn parsed<T: FromStr<Err = InvalidHostPort>>(field: &str, text: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|err| match err {
        InvalidHostPort::NotPlain => wrong(field, format!("is no plain address: {err}")),
        _ => wrong(field, format!("{text:?} is no address: {err}")),
    })
}

fn login(
    field: &str,
    auth: Option<AuthConfig>,
    tls: Option<TlsConfig>,
) -> Result<LoginFiles, ConfigError> {
    Ok(LoginFiles {
        auth: credentials(&format!("{field}.auth"), auth)?,
        tls: tls.map(|tls| tls_files(&format!("{field}.tls"), tls)).transpose()?,
    })
}

fn tls_files(field: &str, config: TlsConfig) -> Result<TlsFiles, ConfigError> {
    let TlsConfig { ca_file, certificate_file, key_file, server_name } = config;
    let certificate = match (certificate_file, key_file) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((
            absolute(&format!("{field}.certificateFile"), certificate)?,
            absolute(&format!("{field}.keyFile"), key)?,
        )),
        (Some(_), None) => {
            return Err(wrong(
                format!("{field}.keyFile"),
                "is missing: give the private key of certificateFile",
            ));
        }
        (None, Some(_)) => {
            return Err(wrong(
                format!("{field}.certificateFile"),
                "is missing: give the certificate of keyFile",
            ));
        }
    };
    if let Some(name) = &server_name
        && !is_server_name(name)
    {
        return Err(wrong(
            format!("{field}.serverName"),
            format!(
                "{name:?} is no name of a host and no address: give one that stands in the servers' certificate"
            ),
        ));
    }
    let ca = ca_file.map(|path| absolute(&format!("{field}.caFile"), path)).transpose()?;
    Ok(TlsFiles { ca, certificate, server_name })
}

/// The value is not shown: what is no path may be the certificate or the key itself.
fn absolute(field: &str, path: String) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(path);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(wrong(
            field,
            "is no absolute path: give the path, beginning with '/', of a PEM file",
        )),
    }
}

fn credentials(field: &str, config: Option<AuthConfig>) -> Result<Option<Auth>, ConfigError> {
    let Some(AuthConfig { username, password_file }) = config else {
        return Ok(None);
    };
    if username.as_deref().is_some_and(|name| {
        name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control())
    }) {
        return Err(wrong(
            format!("{field}.username"),
            "is empty or has white space: correct it, or leave it out for the default user",
        ));
    }
    let password_file = PathBuf::from(password_file);
    // The value is not shown: what is no absolute path may be the password itself.
    if !password_file.is_absolute() {
        return Err(wrong(
            format!("{field}.passwordFile"),
            "is no absolute path: give the path, beginning with '/', of a file that holds the password",
        ));
    }
    Ok(Some(Auth { username, password_file }))
}

/// Two sites may have the same names for their nodes, as seen from within.
fn dialled(site: &Site, address: &HostPort) -> String {
    site.addresses.peer(&address.to_string()).dial
}

/// Catches the slip that would copy a site onto itself. Two names of one server are caught later, by the
/// record (`RoleConflict`).
fn check_distinct(source: &Site, target: &Site) -> Result<(), ConfigError> {
    if source.name == target.name {
        let name = &source.name;
        return Err(wrong(
            "target.name",
            format!("'{name}' is the source's name too: give the two sites different names"),
        ));
    }
    match (&source.endpoint, &target.endpoint) {
        (Endpoint::Standalone { address }, Endpoint::Standalone { address: other })
            if dialled(source, address) == dialled(target, other) =>
        {
            Err(wrong(
                "target.standalone.address",
                format!("'{address}' is the source's address too: name the other server"),
            ))
        }
        (
            Endpoint::Sentinel { master_name, endpoints, .. },
            Endpoint::Sentinel { master_name: other_name, endpoints: others, .. },
        ) if master_name == other_name
            && endpoints.iter().any(|it| {
                others.iter().any(|other| dialled(source, it) == dialled(target, other))
            }) =>
        {
            Err(wrong(
                "target.sentinel",
                format!(
                    "names the same master '{master_name}' at the same sentinels as the source: name the other site"
                ),
            ))
        }
        _ => Ok(()),
    }
}

fn grace(config: &ExpiryConfig) -> Result<Grace, ConfigError> {
    let ExpiryConfig { grace } = config;
    if *grace > GRACE_MAX {
        return Err(wrong(
            "expiry.grace",
            format!("{grace} is too long: give at most {GRACE_MAX}"),
        ));
    }
    Ok(Grace::new(grace.duration()))
}

fn spool_settings(config: SpoolConfig) -> Result<SpoolSettings, ConfigError> {
    let SpoolConfig { dir, max_bytes, retention } = config;
    let path = PathBuf::from(&dir);
    if !path.is_absolute() || path.parent().is_none() {
        return Err(wrong(
            "spool.dir",
            format!("{dir:?} cannot be used: give the absolute path of a directory of its own"),
        ));
    }
    if max_bytes < SPOOL_BYTES_MIN {
        return Err(wrong(
            "spool.maxBytes",
            format!("{max_bytes} is too small: give at least {SPOOL_BYTES_MIN}"),
        ));
    }
    let retention_bytes = match retention.bytes {
        Some(bytes) if bytes > max_bytes => {
            return Err(wrong(
                "spool.retention.bytes",
                format!(
                    "{bytes} is more than spool.maxBytes ({max_bytes}): lower it or raise spool.maxBytes"
                ),
            ));
        }
        Some(Bytes(bytes)) => bytes,
        None => SPOOL_BYTES_DEFAULT_RETENTION.min(max_bytes.0 / 2),
    };
    if retention.age > RETENTION_AGE_MAX {
        let age = retention.age;
        return Err(wrong(
            "spool.retention.age",
            format!("{age} is too long: give at most {RETENTION_AGE_MAX}"),
        ));
    }
    Ok(SpoolSettings {
        dir: path,
        max_bytes: max_bytes.0,
        retention_bytes,
        retention_age: retention.age.duration(),
    })
}

/// Bound to one halt, so that what is left standing counts for no other.
fn decision(config: ReleaseConfig) -> Result<Decision, ConfigError> {
    let ReleaseConfig { action, offset, copy_id } = config;
    if let Some(text) = &copy_id
        && text.parse::<CopyId>().is_err()
    {
        return Err(wrong(
            "release.copyID",
            format!("{text:?} is none: give the halt's copyId from the report, 16 hex digits"),
        ));
    }
    let missing = |field: &str, halt_field: &str| {
        Err(wrong(
            format!("release.{field}"),
            format!(
                "is missing, which {action:?} needs: give the halt's {halt_field} from the report"
            ),
        ))
    };
    let too_many = |field: &str| {
        Err(wrong(format!("release.{field}"), format!("does not belong to {action:?}: remove it")))
    };
    match (action, offset, copy_id) {
        (ReleaseAction::SkipUnit, Some(offset), None) => Ok(Decision::SkipUnit { offset }),
        (ReleaseAction::RetryUnit, Some(offset), None) => Ok(Decision::RetryUnit { offset }),
        (ReleaseAction::SkipUnit | ReleaseAction::RetryUnit, None, _) => {
            missing("offset", "offset")
        }
        (ReleaseAction::SkipUnit | ReleaseAction::RetryUnit, Some(_), Some(_)) => {
            too_many("copyID")
        }
        (ReleaseAction::AllowSweep, None, Some(copy_id)) => Ok(Decision::AllowSweep { copy_id }),
        (ReleaseAction::AllowSweep, _, None) => missing("copyID", "copyId"),
        (ReleaseAction::AllowSweep, Some(_), Some(_)) => too_many("offset"),
        (ReleaseAction::CopyAgain, Some(offset), None) => Ok(Decision::copy_again_at(offset)),
        (ReleaseAction::CopyAgain, None, Some(copy_id)) => Ok(Decision::copy_again_after(copy_id)),
        (ReleaseAction::CopyAgain, None, None) => Err(wrong(
            "release",
            "names no halt: CopyAgain needs the halt's offset, or its copyID where it has no offset",
        )),
        (ReleaseAction::CopyAgain, Some(_), Some(_)) => Err(wrong(
            "release",
            "has both offset and copyID: keep the one that the halt in the report has",
        )),
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| {
        wrong(
            "server.listen",
            format!("{text:?} is no address: give an IP address and a port, such as 127.0.0.1:9250, 0.0.0.0:9250 or [::]:9250"),
        )
    })
}
