//! `host:port`, checked once. Names stay names: they are resolved anew at each connection.

mod map;

use std::{fmt, net::Ipv6Addr, str::FromStr};

pub use self::map::{AddressMap, PartialAddress, Peer};

/// A host (a name, an IPv4 or an IPv6 address) and a port.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why a text is no `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostPort {
    /// A URL, or credentials before the host.
    #[error("write host:port only, without a scheme or credentials (those go to auth)")]
    NotPlain,
    /// No colon, or nothing behind it.
    #[error("the port is missing: write host:port, such as redis.example:6379")]
    NoPort,
    /// Not a number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// Colons outside of brackets.
    #[error("an IPv6 address stands in brackets, such as [fd00::1]:6379")]
    Brackets,
    /// Nothing before the colon.
    #[error("the host is missing: write host:port, such as redis.example:6379")]
    NoHost,
    /// A character that no host name has.
    #[error("the host may have letters, digits, '.', '-' and '_' only, at most 253")]
    Host,
}

impl HostPort {
    /// From its parts, as a sentinel announces them. An IPv6 address comes without brackets.
    pub fn new(host: &str, port: u16) -> Result<Self, InvalidHostPort> {
        if port == 0 {
            return Err(InvalidHostPort::Port);
        }
        if host.is_empty() {
            return Err(InvalidHostPort::NoHost);
        }
        let is_name = host.len() <= 253
            && host.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c));
        if !is_name && host.parse::<Ipv6Addr>().is_err() {
            return Err(if host.contains(':') {
                InvalidHostPort::Brackets
            } else {
                InvalidHostPort::Host
            });
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// The host, an IPv6 address without brackets: what the resolver takes.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = InvalidHostPort;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['@', '/']) {
            return Err(InvalidHostPort::NotPlain);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or(InvalidHostPort::Brackets)?;
                host.parse::<Ipv6Addr>().map_err(|_| InvalidHostPort::Brackets)?;
                (host, behind.strip_prefix(':').ok_or(InvalidHostPort::NoPort)?)
            }
            None => {
                let (host, port) = text.rsplit_once(':').ok_or(InvalidHostPort::NoPort)?;
                if host.contains(':') {
                    return Err(InvalidHostPort::Brackets);
                }
                (host, port)
            }
        };
        if port.is_empty() {
            return Err(InvalidHostPort::NoPort);
        }
        let is_number = port.bytes().all(|c| c.is_ascii_digit());
        let port = if is_number { port.parse().ok() } else { None };
        Self::new(host, port.ok_or(InvalidHostPort::Port)?)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_both_families_are_read_and_written_back() {
        for (text, host, port) in [
            ("redis.tools.svc:6379", "redis.tools.svc", 6379),
            ("my_host-1:1", "my_host-1", 1),
            ("10.0.0.1:65535", "10.0.0.1", 65535),
            ("[fd00::1]:6379", "fd00::1", 6379),
        ] {
            let address: HostPort = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn each_mistake_has_its_own_remedy() {
        for (text, error) in [
            ("redis", InvalidHostPort::NoPort),
            ("redis:", InvalidHostPort::NoPort),
            ("[::1]", InvalidHostPort::NoPort),
            ("[::1]6379", InvalidHostPort::NoPort),
            (":6379", InvalidHostPort::NoHost),
            ("redis:0", InvalidHostPort::Port),
            ("redis:65536", InvalidHostPort::Port),
            ("redis:+1", InvalidHostPort::Port),
            ("redis:63 79", InvalidHostPort::Port),
            ("fd00::1:6379", InvalidHostPort::Brackets),
            ("[fd00::1:6379", InvalidHostPort::Brackets),
            ("[redis]:6379", InvalidHostPort::Brackets),
            ("redis://redis:6379", InvalidHostPort::NotPlain),
            ("user:pass@redis:6379", InvalidHostPort::NotPlain),
            ("red is:6379", InvalidHostPort::Host),
            ("rédis:6379", InvalidHostPort::Host),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(error), "{text}");
        }
    }
}
