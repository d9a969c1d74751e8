//! Becoming the only writer (Promise 7), in this order: own name set, owner written, other connections of that
//! name killed by id and the replies awaited, only then the position read. `CLIENT KILL ID` is a barrier: behind its
//! reply nothing of the victim's pipeline executes any more.

use std::time::Duration;

use super::error::TargetError;
use crate::{
    connection::{Connection, ConnectionError},
    contract::Owner,
    record::Record,
    resp::frame::Frame,
};

/// How often a changing record is tried again before the attempt is given up; the next one comes with backoff.
const ATTEMPTS: usize = 20;
/// How often other connections are looked for; one that comes back each time belongs to a living rival.
const KILL_ROUNDS: usize = 50;

/// Who we are, over all connections of this process.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Unique to this process.
    pub nonce: String,
    /// The term of our last take-over; `None` in a new process, which may take the record at once.
    pub term: Option<u64>,
    /// Whether a foreign owner may be displaced: its sign of life has not changed for long.
    pub may_displace: bool,
}

/// The owner to write, or the owner that keeps us out. Pure.
pub fn decide_owner(claim: &Claim, seen: &Owner) -> Result<Owner, Owner> {
    let mine = |term| Owner { term, nonce: claim.nonce.clone() };
    match claim.term {
        // A new process.
        None => Ok(mine(seen.term + 1)),
        Some(term) if seen.nonce == claim.nonce => Ok(mine(term.max(seen.term))),
        // The target failed over to an older copy: the rival's term is one that we had displaced.
        Some(term) if seen.term < term => Ok(mine(term)),
        Some(term) if claim.may_displace => Ok(mine(term.max(seen.term) + 1)),
        Some(_) => Err(seen.clone()),
    }
}

/// Takes the record over and reads it. `None` if there is none; then nothing was written.
pub async fn take_over(
    connection: &mut Connection,
    record_key: &str,
    connection_name: &str,
    claim: &mut Claim,
) -> Result<Option<Record>, TargetError> {
    let own_id = own_id(connection, connection_name, &claim.nonce).await?;
    write_owner(connection, record_key, claim).await?;
    kill_others(connection, connection_name, own_id).await?;
    let record = read_record(connection, record_key).await?;
    match &record {
        Some(record)
            if Some(record.owner.term) != claim.term || record.owner.nonce != claim.nonce =>
        {
            // Created or taken since we looked.
            Err(TargetError::RecordChanged)
        }
        _ => Ok(record),
    }
}

/// Reads the record as it is.
pub async fn read_record(
    connection: &mut Connection,
    record_key: &str,
) -> Result<Option<Record>, TargetError> {
    Ok(Record::parse(&connection.call(&["HGETALL", record_key]).await?)?)
}

async fn write_owner(
    connection: &mut Connection,
    record_key: &str,
    claim: &mut Claim,
) -> Result<(), TargetError> {
    for _ in 0..ATTEMPTS {
        connection.call(&["WATCH", record_key]).await?;
        let Some(record) = read_record(connection, record_key).await? else {
            connection.call(&["UNWATCH"]).await?;
            return Ok(());
        };
        let owner = decide_owner(claim, &record.owner).map_err(TargetError::Superseded)?;
        connection.call(&["MULTI"]).await?;
        let queued =
            connection.call(&["HSET", record_key, "owner", &Record::owner_text(&owner)]).await;
        if let Err(ConnectionError::Refused { error, .. }) = queued {
            // Aborts the transaction; its words are EXECABORT only.
            let _ = connection.call(&["EXEC"]).await;
            return Err(TargetError::Refused(error));
        }
        queued?;
        match connection.call(&["EXEC"]).await? {
            Frame::Null => {}
            Frame::Array(replies) => {
                if let Some(Frame::Error(error)) = replies.first() {
                    return Err(TargetError::Refused(error.clone()));
                }
                claim.term = Some(owner.term);
                return Ok(());
            }
            _ => return Err(TargetError::Unexpected("EXEC")),
        }
    }
    Err(TargetError::RecordChanged)
}

/// The id that the target knows this connection by. Before anything is owned: to be found where there is no CLIENT ID
/// (before 5.0) it gives up its name for a moment. Our own address would not do: the target may see another one.
async fn own_id(connection: &mut Connection, name: &str, nonce: &str) -> Result<i64, TargetError> {
    match connection.call(&["CLIENT", "ID"]).await {
        Ok(reply) => return reply.integer().ok_or(TargetError::Unexpected("CLIENT ID")),
        Err(ConnectionError::Refused { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    let mark = format!("{name}:{nonce}");
    connection.call(&["CLIENT", "SETNAME", &mark]).await?;
    let list = connection.call(&["CLIENT", "LIST"]).await?;
    let id = clients_named(list.text().unwrap_or_default(), &mark).next();
    connection.call(&["CLIENT", "SETNAME", name]).await?;
    id.ok_or(TargetError::Unexpected("CLIENT LIST"))
}

/// Ends every other connection of our name, and looks again until there is none.
async fn kill_others(
    connection: &mut Connection,
    name: &str,
    own_id: i64,
) -> Result<(), TargetError> {
    for round in 0..KILL_ROUNDS {
        let list = connection.call(&["CLIENT", "LIST"]).await?;
        let text = list.text().unwrap_or_default();
        if !clients_named(text, name).any(|id| id == own_id) {
            // Without its name a connection would escape the next take-over.
            return Err(TargetError::Refused(
                "NOPERM CLIENT SETNAME: the connection could not be named".into(),
            ));
        }
        let others: Vec<i64> = clients_named(text, name).filter(|id| *id != own_id).collect();
        if others.is_empty() {
            return Ok(());
        }
        for id in others {
            match connection.call(&["CLIENT", "KILL", "ID", &id.to_string()]).await {
                // 0 killed: it went by itself.
                Ok(_) => {}
                Err(other) => return Err(other.into()),
            }
        }
        if round > 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Err(TargetError::RecordChanged)
}

/// The ids of the clients of this name. A line of CLIENT LIST is `id=3 addr=… name=… …`; names hold no blanks.
fn clients_named<'a>(list: &'a str, name: &'a str) -> impl Iterator<Item = i64> + 'a {
    list.lines().filter_map(move |line| {
        let field = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key));
        if field("name=")? != name {
            return None;
        }
        field("id=")?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_7_a_higher_term_or_an_equal_one_with_another_nonce_keeps_us_out() {
        let owner = |term, nonce: &str| Owner { term, nonce: nonce.into() };
        let claim = |term, may_displace| Claim { nonce: "me".into(), term, may_displace };
        let table = [
            // A new process takes it at once.
            (claim(None, false), owner(4, "other"), Ok(owner(5, "me"))),
            (claim(Some(5), false), owner(5, "me"), Ok(owner(5, "me"))),
            // Rolled back: taken again.
            (claim(Some(5), false), owner(4, "other"), Ok(owner(5, "me"))),
            (claim(Some(5), false), owner(4, "me"), Ok(owner(5, "me"))),
            // Superseded.
            (claim(Some(5), false), owner(6, "other"), Err(owner(6, "other"))),
            (claim(Some(5), false), owner(5, "other"), Err(owner(5, "other"))),
            // The rival has shown no sign of life for 30 s.
            (claim(Some(5), true), owner(6, "other"), Ok(owner(7, "me"))),
            (claim(Some(5), true), owner(5, "other"), Ok(owner(6, "me"))),
        ];
        for (claim, seen, expected) in table {
            assert_eq!(decide_owner(&claim, &seen), expected, "{claim:?} sees {seen:?}");
        }
    }

    #[test]
    fn only_clients_of_the_very_name_are_found() {
        let list = "id=3 addr=127.0.0.1:5 laddr=127.0.0.1:6 fd=8 name=redissync:a:0 age=1\n\
                    id=4 addr=127.0.0.1:7 fd=9 name=redissync:a:0:info age=1\n\
                    id=5 addr=127.0.0.1:8 fd=9 name= age=1\nrubbish\n";
        let found: Vec<_> = clients_named(list, "redissync:a:0").collect();
        assert_eq!(found, [3]);
    }
}
