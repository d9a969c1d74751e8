//! INFO as a map.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use redis::Connection;

/// One section of a server's INFO, by field.
pub fn info(connection: &mut Connection, section: &str) -> Result<BTreeMap<String, String>> {
    let text: String = redis::cmd("INFO")
        .arg(section)
        .query(connection)
        .with_context(|| format!("failed to read INFO {section}"))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(field, value)| (field.to_string(), value.trim_end().to_string()))
        .collect())
}

/// The databases that hold keys, with how many.
pub fn databases(connection: &mut Connection) -> Result<BTreeMap<u32, u64>> {
    info(connection, "keyspace")?
        .iter()
        .filter_map(|(field, value)| Some((field.strip_prefix("db")?.parse().ok()?, value)))
        .map(|(db, value)| {
            let count = value
                .split(',')
                .find_map(|part| part.strip_prefix("keys="))
                .with_context(|| format!("INFO keyspace tells no number of keys for db {db}"))?;
            Ok((db, count.parse().with_context(|| format!("{count} is no number of keys"))?))
        })
        .collect()
}

/// Whether the server knows a command. Servers of all versions answer, older ones with nil.
pub fn knows_command(connection: &mut Connection, name: &str) -> Result<bool> {
    let reply: redis::Value = redis::cmd("COMMAND")
        .arg("INFO")
        .arg(name)
        .query(connection)
        .with_context(|| format!("failed to ask for the command {name}"))?;
    Ok(
        matches!(reply, redis::Value::Array(ref entries) if matches!(entries.first(), Some(redis::Value::Array(_)))),
    )
}
