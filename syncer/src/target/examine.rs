//! What is known of the target before anything is written to it, and before the source is asked to fork
//! (a refused target must not make it fork again and again).

use super::{error::TargetError, modules::MissingModules};
use crate::{
    connection::{Connection, ConnectionError},
    filter::is_reserved_key,
    position::DbIndex,
    rdb::{backlen::BacklenForm, value::Family},
    resp::frame::Frame,
};

/// A target with more keys than this is not empty, whatever they are called.
const RESERVED_KEYS_LOOKED_AT_MAX: u64 = 10_000;

/// Major, minor, patch.
pub type Version = (u32, u32, u32);

/// From which versions on a server has something. Every Valkey has what Redis 7.2 had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// Of Redis.
    pub redis: Version,
    /// Of Valkey.
    pub valkey: Version,
}

impl Since {
    /// No version has it.
    pub const NEVER: Version = (u32::MAX, 0, 0);

    /// Of Redis 7.2 or older: every Valkey has it.
    pub const fn redis(major: u32, minor: u32) -> Self {
        Self { redis: (major, minor, 0), valkey: (0, 0, 0) }
    }

    /// Of both families, after they parted.
    pub const fn both(redis: Version, valkey: Version) -> Self {
        Self { redis, valkey }
    }

    /// Of neither.
    pub const fn never() -> Self {
        Self { redis: Self::NEVER, valkey: Self::NEVER }
    }
}

/// What a target can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whose RDB types it understands.
    pub family: Family,
    /// The server's own version: Valkey's, where it is one.
    pub version: Version,
    /// The label that RESTORE payloads must have: the RDB version of its own DUMP.
    pub rdb_version: u16,
    /// `SET … PXAT` exists (6.2 and newer).
    pub has_set_pxat: bool,
    /// `RESTORE … ABSTTL` exists (5.0 and newer).
    pub has_absttl: bool,
    /// The longest word of a command, and the longest string, that it takes.
    pub bulk_bytes_max: u64,
    /// How it writes the back lengths that two forms exist of; `None` where that is not certain.
    pub backlen_form: Option<BacklenForm>,
    /// Modules that it is known to lack.
    pub missing_modules: MissingModules,
}

/// `proto-max-bulk-len` where nobody has changed it.
const BULK_BYTES_MAX: u64 = 512 << 20;
/// What of a command is sent along with its longest word at most, within `client-query-buffer-limit`.
const QUERY_SLACK: u64 = 2 << 20;

impl Capabilities {
    /// Whether the server's version is at least one of these.
    pub fn has(&self, since: Since) -> bool {
        match self.family {
            Family::Redis => self.version >= since.redis,
            Family::Valkey => self.version >= since.valkey,
        }
    }

    /// UNLINK exists: freeing a large value holds nobody up (4.0).
    pub fn has_unlink(&self) -> bool {
        self.rdb_version >= 8
    }

    /// Streams exist (5.0).
    pub fn has_streams(&self) -> bool {
        self.rdb_version >= 9
    }

    /// `XGROUP CREATECONSUMER` exists (6.2).
    pub fn has_create_consumer(&self) -> bool {
        self.has_set_pxat
    }

    /// XSETID and XGROUP take counts of what was added and read (7.0).
    pub fn has_stream_history(&self) -> bool {
        self.rdb_version >= 10
    }

    /// Libraries of functions exist (7.0).
    pub fn has_functions(&self) -> bool {
        self.rdb_version >= 10
    }

    /// Fields of hashes can expire (Redis 7.4, Valkey 9.0).
    pub fn has_field_expiry(&self) -> bool {
        match self.family {
            Family::Redis => self.rdb_version >= 12,
            Family::Valkey => self.rdb_version >= 80,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(family: Family, rdb_version: u16) -> Self {
        let version = match (family, rdb_version) {
            (Family::Valkey, ..80) => (8, 1, 8),
            (Family::Valkey, _) => (9, 1, 2),
            (Family::Redis, ..=6) => (2, 8, 19),
            (Family::Redis, 7) => (3, 2, 0),
            (Family::Redis, 8) => (4, 0, 0),
            (Family::Redis, 9) => (6, 2, 5),
            (Family::Redis, 10) => (7, 0, 15),
            (Family::Redis, 11) => (7, 2, 4),
            (Family::Redis, _) => (8, 2, 3),
        };
        Self {
            family,
            version,
            rdb_version,
            has_set_pxat: rdb_version >= 9,
            has_absttl: rdb_version >= 9,
            bulk_bytes_max: BULK_BYTES_MAX,
            backlen_form: Some(match family {
                Family::Valkey if rdb_version >= 80 => BacklenForm::New,
                Family::Valkey | Family::Redis => BacklenForm::Old,
            }),
            missing_modules: MissingModules::default(),
        }
    }
}

/// Keys per database, from `INFO keyspace`.
pub async fn keyspace(connection: &mut Connection) -> Result<Vec<(DbIndex, u64)>, TargetError> {
    let info = connection.call(&["INFO", "keyspace"]).await?;
    // An odd answer must not read as an empty target.
    info.text().map(parse_keyspace).ok_or(TargetError::Unexpected("INFO keyspace"))
}

/// Lines like `db0:keys=5,expires=0,avg_ttl=0`.
pub fn parse_keyspace(info: &str) -> Vec<(DbIndex, u64)> {
    let line = |line: &str| {
        let (db, fields) = line.strip_prefix("db")?.split_once(':')?;
        let keys = fields.split(',').find_map(|field| field.strip_prefix("keys="))?;
        Some((DbIndex(db.parse().ok()?), keys.trim().parse().ok()?))
    };
    info.lines().filter_map(line).collect()
}

/// Keys per database that are not our own.
pub async fn foreign_keys(connection: &mut Connection) -> Result<Vec<(DbIndex, u64)>, TargetError> {
    let mut databases = keyspace(connection).await?;
    if databases.iter().map(|(_, keys)| keys).sum::<u64>() <= RESERVED_KEYS_LOOKED_AT_MAX {
        for (db, keys) in &mut databases {
            *keys = count_foreign(connection, *db).await?;
        }
        connection.call(&["SELECT", "0"]).await?;
    }
    databases.retain(|(_, keys)| *keys > 0);
    Ok(databases)
}

async fn count_foreign(connection: &mut Connection, db: DbIndex) -> Result<u64, TargetError> {
    connection.call(&["SELECT", &db.to_string()]).await?;
    let mut cursor = "0".to_owned();
    let mut count = 0;
    loop {
        let reply = connection.call(&["SCAN", &cursor, "COUNT", "1000"]).await?;
        let Some([next, Frame::Array(keys)]) = reply.array() else {
            return Err(TargetError::Unexpected("SCAN"));
        };
        count += keys.iter().filter(|key| !key.bytes().is_some_and(is_reserved_key)).count() as u64;
        cursor = next.text().unwrap_or("0").to_owned();
        if cursor == "0" {
            return Ok(count);
        }
    }
}

/// Finds out what the target can take. Nothing is written: the RDB version follows from the server's own version,
/// which INFO tells.
pub async fn capabilities(connection: &mut Connection) -> Result<Capabilities, TargetError> {
    let info = connection.call(&["INFO", "server"]).await?;
    let info = info.text().ok_or(TargetError::Unexpected("INFO server"))?;
    let found = parse_capabilities(info).ok_or_else(|| ConnectionError::Unexpected {
        command: "INFO server (no version)".into(),
    })?;
    let word = limit(connection, "proto-max-bulk-len").await?.unwrap_or(BULK_BYTES_MAX);
    let input = limit(connection, "client-query-buffer-limit").await?.unwrap_or(u64::MAX);
    Ok(Capabilities {
        bulk_bytes_max: word.min(input.saturating_sub(QUERY_SLACK)),
        missing_modules: missing_modules(connection).await?,
        ..found
    })
}

/// The modules that the target does not name. A target that does not tell (before 4.0, without the right, on some clouds)
/// is known to lack none.
async fn missing_modules(connection: &mut Connection) -> Result<MissingModules, TargetError> {
    let reply = match connection.call(&["MODULE", "LIST"]).await {
        Ok(reply) => reply,
        Err(ConnectionError::Refused { .. }) => return Ok(MissingModules::default()),
        Err(error) => return Err(error.into()),
    };
    let Some(modules) = reply.array() else { return Ok(MissingModules::default()) };
    // Each is an array of fields and values.
    let name = |module: &Frame| {
        let mut fields = module.array()?.chunks(2);
        let field = fields.find(|field| field.first().and_then(Frame::text) == Some("name"))?;
        field.get(1).and_then(Frame::text).map(str::to_owned)
    };
    let names: Vec<String> = modules.iter().filter_map(name).collect();
    Ok(MissingModules::beside(names.iter().map(String::as_str)))
}

/// A limit in the target's configuration; `None` where it has none of that name, or does not tell.
async fn limit(connection: &mut Connection, name: &str) -> Result<Option<u64>, TargetError> {
    match connection.call(&["CONFIG", "GET", name]).await {
        Ok(reply) => {
            let value = reply.array().and_then(|pair| pair.get(1)).and_then(Frame::text);
            Ok(value.and_then(|value| value.parse().ok()))
        }
        // Not allowed, renamed away, or not offered by a cloud.
        Err(ConnectionError::Refused { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The newest Redis that is known to write back lengths in the old form.
const OLD_BACKLENS_MAX: (u32, u32, u32) = (8, 2, 3);

/// What `INFO server` tells; `None` where it has no version.
pub fn parse_capabilities(info: &str) -> Option<Capabilities> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if let Some(version) = field("valkey_version:") {
        let version = parse_version(version)?;
        let rdb_version = match version {
            (..=8, ..) => 11,
            (9, ..=1, _) => 80,
            _ => 81,
        };
        let backlen_form = match version {
            (..=8, 0, _) | (..=7, ..) | (8, 1, ..=8) => Some(BacklenForm::Old),
            (9, 1, 2..) => Some(BacklenForm::New),
            _ => None,
        };
        let family = Family::Valkey;
        return Some(Capabilities {
            family,
            version,
            rdb_version,
            has_set_pxat: true,
            has_absttl: true,
            bulk_bytes_max: BULK_BYTES_MAX,
            backlen_form,
            missing_modules: MissingModules::default(),
        });
    }
    let version = parse_version(field("redis_version:")?)?;
    // rdb.h of each release.
    let rdb_version = match version {
        (..=3, ..=0, _) | (..=2, ..) => 6,
        (3, ..) => 7,
        (4, ..) => 8,
        (5..=6, ..) => 9,
        (7, 0, _) => 10,
        (7, ..=3, _) => 11,
        (7, ..) | (8, ..=5, _) => 12,
        (8, ..=7, _) => 13,
        (8, ..=9, _) => 14,
        _ => 15,
    };
    Some(Capabilities {
        family: Family::Redis,
        version,
        rdb_version,
        has_set_pxat: version >= (6, 2, 0),
        has_absttl: version >= (5, 0, 0),
        bulk_bytes_max: BULK_BYTES_MAX,
        // Seen on 6.2.5, 7.0.15, 7.4.1 and 8.2.3. Later releases of a line may have taken the other form over.
        backlen_form: (version <= OLD_BACKLENS_MAX).then_some(BacklenForm::Old),
        missing_modules: MissingModules::default(),
    })
}

/// A release candidate's patch (`9.1.0-rc1`) counts as 0.
pub fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((major, minor, parts.next().and_then(|patch| patch.parse().ok()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_per_database() {
        let info = "# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\ndb11:keys=7,expires=0,avg_ttl=0,subexpiry=0\r\n";
        assert_eq!(parse_keyspace(info), [(DbIndex(0), 5), (DbIndex(11), 7)]);
        assert_eq!(parse_keyspace(""), []);
    }

    #[test]
    fn the_rdb_version_follows_from_the_servers() {
        let rdb = |info: &str| parse_capabilities(info).map(|can| can.rdb_version);
        for (version, expected) in [
            ("2.8.19", 6),
            ("3.2.1", 7),
            ("6.2.5", 9),
            ("7.0.15", 10),
            ("7.2.4", 11),
            ("7.4.1", 12),
            ("8.2.3", 12),
            ("8.6.0", 13),
        ] {
            assert_eq!(rdb(&format!("redis_version:{version}\r\n")), Some(expected), "{version}");
        }
        // Valkey says a Redis version too.
        assert_eq!(
            rdb("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.8\r\n"),
            Some(11)
        );
        assert_eq!(rdb("redis_version:7.2.4\r\nvalkey_version:9.1.2\r\n"), Some(80));
        assert_eq!(rdb("nothing"), None);
    }

    #[test]
    fn the_form_of_back_lengths_is_known_only_where_it_was_seen() {
        use BacklenForm::{New, Old};
        for (info, expected) in [
            ("redis_version:2.8.19", Some(Old)),
            ("redis_version:8.2.3", Some(Old)),
            ("redis_version:8.2.4", None),
            ("redis_version:8.6.0", None),
            ("redis_version:7.2.4\r\nvalkey_version:7.2.11", Some(Old)),
            ("redis_version:7.2.4\r\nvalkey_version:8.0.9", Some(Old)),
            ("redis_version:7.2.4\r\nvalkey_version:8.1.8", Some(Old)),
            ("redis_version:7.2.4\r\nvalkey_version:8.1.9", None),
            ("redis_version:7.2.4\r\nvalkey_version:9.0.2", None),
            ("redis_version:7.2.4\r\nvalkey_version:9.1.0-rc1", None),
            ("redis_version:7.2.4\r\nvalkey_version:9.1.2", Some(New)),
        ] {
            let found = parse_capabilities(info).map(|can| can.backlen_form);
            assert_eq!(found, Some(expected), "{info}");
        }
    }
}
