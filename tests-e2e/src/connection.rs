//! A client connection with limits in time, so that a test against a frozen server fails instead of hanging.

use std::time::Duration;

use anyhow::{Context, Result};
use redis::{Client, Connection, IntoConnectionInfo, RedisConnectionInfo, io::tcp::TcpSettings};

use crate::tls;

/// A loopback connection is made at once or not at all, unless the server is frozen with a full queue.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longer than any single command of the tests takes, and than a server needs under their load.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects to `host:port`, with a password if the server asks for one.
pub fn connect(address: &str, password: Option<&str>) -> Result<Connection> {
    connect_with_timeout(address, password, REPLY_TIMEOUT)
}

/// The same with another limit for each reply.
pub fn connect_with_timeout(
    address: &str,
    password: Option<&str>,
    reply_timeout: Duration,
) -> Result<Connection> {
    let (host, port) = split_address(address)?;
    // Servers before 7.2 would count the library's name as a failed command.
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    let at = match tls::of(port) {
        None => (host, port).into_connection_info(),
        Some(_) => format!("rediss://{host}:{port}").into_connection_info(),
    };
    let info = at
        .with_context(|| format!("{address} is no address"))?
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
        .set_redis_settings(settings);
    let open = || -> redis::RedisResult<Connection> {
        let client = match tls::of(port) {
            None => Client::open(info)?,
            Some(certificates) => Client::build_with_tls(info, certificates)?,
        };
        let connection = client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
        connection.set_read_timeout(Some(reply_timeout))?;
        connection.set_write_timeout(Some(reply_timeout))?;
        Ok(connection)
    };
    open().with_context(|| format!("failed to connect to {address}"))
}

/// The two parts of `host:port`.
pub fn split_address(address: &str) -> Result<(&str, u16)> {
    let (host, port) =
        address.rsplit_once(':').with_context(|| format!("{address} has no port"))?;
    Ok((host, port.parse().with_context(|| format!("{address} has no port that is a number"))?))
}
