//! What a Sentinel says, parsed: `SENTINEL MASTER`, `SENTINEL SENTINELS` and the messages of its pub/sub.
//!
//! No sockets. Versions from 2.8 on differ in the fields that they send, and Sentinels may be set to announce
//! names instead of addresses: unknown fields are ignored, missing ones are absent, and only an answer without
//! an address is an error.

use crate::resp::frame::Frame;

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It is not an array of field names and values.
    #[error("the answer is not a list of fields")]
    NotFields,
    /// It has no address that could be connected to.
    #[error("the answer names no address")]
    NoAddress,
}

/// `SENTINEL MASTER name`: one Sentinel's view of the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterReply {
    /// The address. While a failover is under way it is still the old one; see [`parse_address`].
    pub address: String,
    /// Grows with each failover; the higher one is the newer view.
    pub config_epoch: Option<u64>,
    /// For example `master,s_down,o_down,failover_in_progress`.
    pub flags: String,
    /// What the node itself says that it is: `master` or `slave`.
    pub role_reported: Option<String>,
    /// How many other Sentinels this one knows.
    pub num_other_sentinels: Option<u64>,
    /// How many Sentinels must see the master down before one may start a failover.
    pub quorum: Option<u64>,
    /// How long the master must be silent before this Sentinel takes it for down.
    pub down_after_milliseconds: Option<u64>,
}

/// One element of `SENTINEL SENTINELS name`: another Sentinel that the asked one knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelEntry {
    /// Where it says that it can be reached.
    pub address: String,
    /// Its id, which stays the same across restarts. Absent until the first contact.
    pub run_id: Option<String>,
    /// For example `sentinel,s_down`.
    pub flags: String,
}

/// A message of a Sentinel's pub/sub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `+switch-master`: this Sentinel follows another master from now on.
    SwitchMaster {
        /// The master's name.
        master_name: String,
        /// The old address.
        old: String,
        /// The new address.
        new: String,
    },
    /// Any other message.
    Other {
        /// The event's name, which is the channel.
        channel: String,
        /// The master's name, if the event is about one.
        master_name: Option<String>,
        /// The payload as it came.
        payload: String,
    },
}

/// An address that can be connected to; an IPv6 literal is put into brackets.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Parses the answer to `SENTINEL GET-MASTER-ADDR-BY-NAME`; `None` is a name that the Sentinel does not know.
///
/// This, and not the `ip` of `SENTINEL MASTER`, is the address to believe: between the promotion of a replica
/// and `+switch-master`, while the other replicas are reconfigured, the Sentinel that leads the failover
/// answers `SENTINEL MASTER` with the new config epoch beside the old address (`sentinel.c`,
/// `sentinelGetCurrentMasterAddress`).
pub fn parse_address(reply: &Frame) -> Result<Option<String>, ReplyError> {
    match reply {
        Frame::Null => Ok(None),
        Frame::Array(pair) => match pair.as_slice() {
            [host, port] => address(host.text(), port.text()).map(Some),
            _ => Err(ReplyError::NoAddress),
        },
        _ => Err(ReplyError::NoAddress),
    }
}

/// Parses the answer to `SENTINEL MASTER`.
pub fn parse_master(reply: &Frame) -> Result<MasterReply, ReplyError> {
    let fields = Fields::of(reply)?;
    let number = |name| fields.get(name).and_then(|text| text.parse().ok());
    Ok(MasterReply {
        address: fields.address()?,
        config_epoch: number("config-epoch"),
        flags: fields.get("flags").unwrap_or_default().to_owned(),
        role_reported: fields.get("role-reported").map(str::to_owned),
        num_other_sentinels: number("num-other-sentinels"),
        quorum: number("quorum"),
        down_after_milliseconds: number("down-after-milliseconds"),
    })
}

/// Parses the answer to `SENTINEL SENTINELS`. Entries without a usable address are left out: port 0 is how a
/// Sentinel marks another one whose address was taken over by a third (`sentinel.c`,
/// `sentinelProcessHelloMessage`).
pub fn parse_sentinels(reply: &Frame) -> Result<Vec<SentinelEntry>, ReplyError> {
    let entries = reply.array().ok_or(ReplyError::NotFields)?;
    let entry = |frame| {
        let fields = Fields::of(frame).ok()?;
        Some(SentinelEntry {
            address: fields.address().ok()?,
            run_id: fields.get("runid").filter(|id| !id.is_empty()).map(str::to_owned),
            flags: fields.get("flags").unwrap_or_default().to_owned(),
        })
    };
    Ok(entries.iter().filter_map(entry).collect())
}

/// Parses what arrives on a subscription; `None` for what is no message (confirmations, the answer to PING).
pub fn parse_event(frame: &Frame) -> Option<Event> {
    let [kind, channel, payload] = frame.array()? else { return None };
    if kind.text() != Some("message") {
        return None;
    }
    let (channel, payload) = (channel.text()?, payload.text()?);
    if let Some(event) = (channel == "+switch-master").then(|| switch_master(payload)).flatten() {
        return Some(event);
    }
    let words: Vec<&str> = payload.split(' ').collect();
    let master_name = match words.as_slice() {
        ["master", name, ..] | [_, _, _, _, "@", name, ..] => Some((*name).to_owned()),
        _ => None,
    };
    Some(Event::Other { channel: channel.to_owned(), master_name, payload: payload.to_owned() })
}

fn switch_master(payload: &str) -> Option<Event> {
    let words: Vec<&str> = payload.split(' ').collect();
    let [master_name, old_host, old_port, new_host, new_port] = words.as_slice() else {
        return None;
    };
    Some(Event::SwitchMaster {
        master_name: (*master_name).to_owned(),
        old: host_port(old_host, old_port.parse().ok()?),
        new: address(Some(new_host), Some(new_port)).ok()?,
    })
}

fn address(host: Option<&str>, port: Option<&str>) -> Result<String, ReplyError> {
    let port = port.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    match (host.filter(|host| !host.is_empty()), port) {
        (Some(host), Some(port)) => Ok(host_port(host, port)),
        _ => Err(ReplyError::NoAddress),
    }
}

/// A flat list of names and values.
struct Fields<'a>(&'a [Frame]);

impl<'a> Fields<'a> {
    fn of(frame: &'a Frame) -> Result<Self, ReplyError> {
        frame.array().map(Self).ok_or(ReplyError::NotFields)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let pair = self.0.chunks_exact(2).find(|pair| pair[0].text() == Some(name))?;
        pair[1].text()
    }

    fn address(&self) -> Result<String, ReplyError> {
        address(self.get("ip"), self.get("port"))
    }
}

#[cfg(test)]
mod tests;
