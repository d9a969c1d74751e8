//! From the address that people know to the one that is dialled from here. Pure.
//!
//! Sentinels announce the addresses at which the nodes know each other. From another cluster, or from behind an address
//! translation, these may lead nowhere, or to a node of the same name that is another one.

use std::{collections::BTreeMap, fmt, net::Ipv6Addr, str::FromStr, sync::Arc};

use super::{HostPort, InvalidHostPort};

/// A node: what it is called, and where it is dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// As configured or announced: what logs and reports show.
    pub address: String,
    /// Where a connection goes.
    pub dial: String,
}

/// A host, with or without a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartialAddress {
    host: String,
    port: Option<u16>,
}

/// The addresses that are dialled elsewhere than they are announced. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap(Arc<BTreeMap<PartialAddress, PartialAddress>>);

impl Peer {
    /// One that is dialled as it is called.
    pub fn direct(address: impl Into<String>) -> Self {
        let address = address.into();
        Self { dial: address.clone(), address }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, dial } = self;
        match address == dial {
            true => f.write_str(address),
            false => write!(f, "{address} (dialled at {dial})"),
        }
    }
}

impl FromStr for PartialAddress {
    type Err = InvalidHostPort;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['@', '/']) {
            return Err(InvalidHostPort::NotPlain);
        }
        let in_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match in_brackets {
            Some(host) if host.parse::<Ipv6Addr>().is_ok() => host,
            Some(_) => return Err(InvalidHostPort::Brackets),
            None if text.contains(':') => {
                let address: HostPort = text.parse()?;
                return Ok(Self { host: comparable(address.host()), port: Some(address.port()) });
            }
            None => text,
        };
        // The port is a stand-in: only the host is looked at.
        HostPort::new(host, 1)?;
        Ok(Self { host: comparable(host), port: None })
    }
}

impl fmt::Display for PartialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// One spelling for each host: names do not differ by case, nor IPv6 addresses by their zeros.
fn comparable(host: &str) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.to_ascii_lowercase(),
    }
}

impl AddressMap {
    /// Adds an entry; false if there is one for the same announced address, which stays.
    pub fn insert(&mut self, announced: PartialAddress, dial: PartialAddress) -> bool {
        if self.0.contains_key(&announced) {
            return false;
        }
        Arc::make_mut(&mut self.0).insert(announced, dial);
        true
    }

    /// The node of that address, `host:port`. An entry with its port counts before one for its host; without any, and
    /// for what is no address, it is dialled as it is called.
    pub fn peer(&self, address: &str) -> Peer {
        let dial = self.lookup(address).unwrap_or_else(|| address.to_owned());
        Peer { address: address.to_owned(), dial }
    }

    fn lookup(&self, address: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let announced: HostPort = address.parse().ok()?;
        let of = |port| self.0.get(&PartialAddress { host: comparable(announced.host()), port });
        let dial = of(Some(announced.port())).or_else(|| of(None))?;
        let port = dial.port.unwrap_or(announced.port());
        Some(PartialAddress { host: dial.host.clone(), port: Some(port) }.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> AddressMap {
        let mut map = AddressMap::default();
        for (announced, dial) in entries {
            assert!(map.insert(announced.parse().unwrap(), dial.parse().unwrap()), "{announced}");
        }
        map
    }

    #[test]
    fn the_most_specific_entry_wins_and_a_port_that_is_not_named_is_kept() {
        let map = map(&[
            ("redis-0.a", "10.0.0.1"),
            ("redis-0.a:6380", "10.0.0.9:7000"),
            ("redis-1.a:6379", "other"),
            ("[fd00::1]", "[fd00::2]:1"),
            ("10.1.1.1", "[fd00::3]"),
        ]);
        for (announced, dial) in [
            ("redis-0.a:6379", "10.0.0.1:6379"),
            ("Redis-0.A:6379", "10.0.0.1:6379"),
            ("redis-0.a:6380", "10.0.0.9:7000"),
            ("redis-1.a:6379", "other:6379"),
            ("redis-1.a:6380", "redis-1.a:6380"),
            ("[fd00:0::1]:6379", "[fd00::2]:1"),
            ("10.1.1.1:5", "[fd00::3]:5"),
            ("unknown:1", "unknown:1"),
            ("no address", "no address"),
        ] {
            assert_eq!(map.peer(announced), Peer { address: announced.into(), dial: dial.into() });
        }
        assert_eq!(AddressMap::default().peer("a:1"), Peer::direct("a:1"));
    }

    #[test]
    fn one_announced_address_has_one_entry_however_it_is_spelt() {
        let mut map = map(&[("Redis.a", "x"), ("[fd00::1]:1", "y")]);
        for again in ["redis.A", "[fd00:0:0::1]:1"] {
            assert!(!map.insert(again.parse().unwrap(), "z".parse().unwrap()), "{again}");
        }
        assert_eq!(map.peer("redis.a:1").dial, "x:1");
    }

    #[test]
    fn a_node_is_shown_with_both_addresses_where_they_differ() {
        assert_eq!(Peer::direct("a:1").to_string(), "a:1");
        let mapped = map(&[("a", "b")]).peer("a:1").to_string();
        assert_eq!(mapped, "a:1 (dialled at b:1)");
    }

    #[test]
    fn what_is_no_address_is_told_with_its_remedy() {
        for (text, error) in [
            ("", InvalidHostPort::NoHost),
            ("a:", InvalidHostPort::NoPort),
            ("a:0", InvalidHostPort::Port),
            ("fd00::1", InvalidHostPort::Brackets),
            ("[a]", InvalidHostPort::Brackets),
            ("a b", InvalidHostPort::Host),
            ("redis://a", InvalidHostPort::NotPlain),
        ] {
            assert_eq!(text.parse::<PartialAddress>(), Err(error), "{text}");
        }
    }
}
