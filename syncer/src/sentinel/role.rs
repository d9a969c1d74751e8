//! Asking a node what it is. A Sentinel's word is only a claim until the node itself was asked; and a node that was
//! cut off goes on answering `master`, so this answer alone is none either.

use crate::{
    connection::{Connection, ConnectionError},
    position::Offset,
    resp::frame::Frame,
};

/// What a node says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Master {
        /// How far its history goes.
        offset: Offset,
    },
    /// It follows another node.
    Replica {
        /// Whom it follows, as it was told.
        master_host: String,
        /// On which port.
        master_port: u16,
        /// The state of its link: `connected`, or `connect`, `connecting`, `handshake`, `sync` …
        state: String,
        /// How far it has followed; `None` before it has begun.
        offset: Option<Offset>,
    },
    /// It is no data node at all.
    Sentinel,
}

/// Asks with `ROLE`, and where that is refused (not known before 2.8.12, or by a narrow ACL) with
/// `INFO replication`.
pub async fn check_role(connection: &mut Connection) -> Result<Role, ConnectionError> {
    let (command, role) = match connection.call(&["ROLE"]).await {
        Ok(reply) => ("ROLE", parse_role(&reply)),
        Err(ConnectionError::Refused { .. }) => {
            let reply = connection.call(&["INFO", "replication"]).await?;
            ("INFO", reply.text().and_then(parse_info))
        }
        Err(other) => return Err(other),
    };
    role.ok_or_else(|| ConnectionError::Unexpected { command: command.to_owned() })
}

/// Parses the answer to `ROLE`; `None` if it is none.
pub fn parse_role(reply: &Frame) -> Option<Role> {
    let elements = reply.array()?;
    match (elements.first()?.text()?, elements) {
        ("master", [_, offset, ..]) => Some(Role::Master { offset: position(offset.integer())? }),
        ("slave", [_, host, port, state, offset, ..]) => Some(Role::Replica {
            master_host: host.text()?.to_owned(),
            master_port: u16::try_from(port.integer()?).ok()?,
            state: state.text()?.to_owned(),
            offset: position(offset.integer()),
        }),
        ("sentinel", _) => Some(Role::Sentinel),
        _ => None,
    }
}

/// Parses the replication section of INFO; `None` if it is none.
pub fn parse_info(text: &str) -> Option<Role> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
    };
    let offset = |name| position(field(name).and_then(|number| number.parse().ok()));
    match field("role")? {
        "master" => Some(Role::Master { offset: offset("master_repl_offset")? }),
        "slave" => Some(Role::Replica {
            master_host: field("master_host")?.to_owned(),
            master_port: field("master_port")?.parse().ok()?,
            // The words of ROLE, as far as INFO tells them apart.
            state: match (field("master_link_status"), field("master_sync_in_progress")) {
                (Some("up"), _) => "connected",
                (_, Some("1")) => "sync",
                _ => "connect",
            }
            .to_owned(),
            offset: offset("slave_repl_offset"),
        }),
        _ => None,
    }
}

/// A replica that has not begun says −1.
fn position(offset: Option<i64>) -> Option<Offset> {
    offset.and_then(|offset| u64::try_from(offset).ok()).map(Offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::frame;

    fn role(text: &str) -> Option<Role> {
        let reply = text.replace(' ', "\r\n");
        parse_role(&frame::decode(reply.as_bytes()).unwrap().unwrap().0)
    }

    fn replica(state: &str, offset: Option<u64>) -> Option<Role> {
        Some(Role::Replica {
            master_host: "fd00::1".into(),
            master_port: 6379,
            state: state.into(),
            offset: offset.map(Offset),
        })
    }

    #[test]
    fn role_of_each_kind_of_node() {
        let slave = "*5 $5 slave $7 fd00::1 :6379";
        assert_eq!(role(&format!("{slave} $9 connected :42 ")), replica("connected", Some(42)));
        assert_eq!(role(&format!("{slave} $7 connect :-1 ")), replica("connect", None));
        assert_eq!(role("*3 $6 master :42 *0 "), Some(Role::Master { offset: Offset(42) }));
        assert_eq!(role("*2 $8 sentinel *1 $1 m "), Some(Role::Sentinel));
        for odd in ["*0 ", ":1 ", "*1 $6 master ", "*3 $6 master $1 x *0 ", "*1 $5 slave "] {
            assert_eq!(role(odd), None, "{odd}");
        }
    }

    #[test]
    fn info_says_the_same() {
        let master = "# Replication\r\nrole:master\r\nmaster_repl_offset:42\r\n";
        assert_eq!(parse_info(master), Some(Role::Master { offset: Offset(42) }));
        let slave = "role:slave\r\nmaster_host:fd00::1\r\nmaster_port:6379\r\n";
        let linked = format!("{slave}master_link_status:up\r\nslave_repl_offset:42\r\n");
        assert_eq!(parse_info(&linked), replica("connected", Some(42)));
        let copying = format!("{slave}master_link_status:down\r\nmaster_sync_in_progress:1\r\n");
        assert_eq!(parse_info(&copying), replica("sync", None));
        assert_eq!(parse_info(slave), replica("connect", None));
        assert_eq!(parse_info("# Server\r\n"), None);
    }
}
