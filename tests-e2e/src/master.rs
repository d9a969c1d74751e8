//! Who is the master: the sentinels' answer with the highest config epoch.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, bail};
use redis::Connection;

use crate::connection::connect_with_timeout;

/// A sentinel that does not answer in this time does not count: the others will.
pub(crate) const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);

/// One sentinel's word about the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterView {
    /// The master's `host:port`.
    pub address: String,
    /// Counts the failovers; of two views the one with the higher epoch is newer.
    pub config_epoch: u64,
    /// Such as `master` or `s_down,master,disconnected`.
    pub flags: String,
    /// How many other sentinels it knows.
    pub other_sentinels: usize,
}

/// Asks one sentinel.
pub fn master_view(connection: &mut Connection, master_name: &str) -> Result<MasterView> {
    let fields: HashMap<String, String> = redis::cmd("SENTINEL")
        .arg("MASTER")
        .arg(master_name)
        .query(connection)
        .with_context(|| format!("failed to ask a sentinel for {master_name}"))?;
    let field = |name: &str| {
        fields.get(name).with_context(|| format!("SENTINEL MASTER {master_name} tells no {name}"))
    };
    Ok(MasterView {
        address: format!("{}:{}", field("ip")?, field("port")?),
        config_epoch: field("config-epoch")?.parse().context("config-epoch is no number")?,
        flags: field("flags")?.clone(),
        other_sentinels: field("num-other-sentinels")?
            .parse()
            .context("num-other-sentinels is no number")?,
    })
}

/// Asks all sentinels and returns the newest word, wherever some do not answer.
pub fn resolve_master(
    endpoints: &[String],
    master_name: &str,
    password: Option<&str>,
) -> Result<MasterView> {
    let mut newest: Option<MasterView> = None;
    let mut refusals = Vec::new();
    for endpoint in endpoints {
        let view = connect_with_timeout(endpoint, password, SENTINEL_TIMEOUT)
            .and_then(|mut connection| master_view(&mut connection, master_name));
        match view {
            Ok(view) if newest.as_ref().is_none_or(|n| view.config_epoch > n.config_epoch) => {
                newest = Some(view);
            }
            Ok(_) => {}
            Err(err) => refusals.push(format!("{endpoint}: {err:#}")),
        }
    }
    match newest {
        Some(view) => Ok(view),
        None => bail!("no sentinel knows the master of {master_name}: {}", refusals.join("; ")),
    }
}
