//! Attaching like a replica: REPLCONF, PSYNC and its answer. No listening port is announced, so that nobody takes us
//! for a node that could be promoted (Promise 10).

use std::time::Duration;

use super::error::SourceError;
use crate::{
    connection::{Connection, ConnectionError},
    position::{Offset, Position, ReplId},
};

/// A master that waits for a save sends a line feed each second: a longer silence is none of its.
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// The answer to PSYNC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The next byte is the one asked for; the history has this name now.
    Continue(Option<ReplId>),
    /// An RDB of exactly this position follows, then the stream.
    FullResync(Position),
}

/// Says what we understand. Each capability on its own: the first unknown option ends a REPLCONF, and before 4.0 some
/// are unknown.
pub async fn announce(connection: &mut Connection) -> Result<(), SourceError> {
    // Without psync2 the answer to PSYNC would not tell a new replid. The version makes Valkey 9 choose an RDB that
    // can hold field TTLs (`replicationGetSlaveRdbVersion`); Redis does not know the option.
    for option in [["capa", "eof"], ["capa", "psync2"], ["version", "9.0.0"]] {
        match connection.call(&["REPLCONF", option[0], option[1]]).await {
            Ok(_) => {}
            Err(ConnectionError::Refused { error, .. }) if error.starts_with("ERR") => {}
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

/// Asks for the stream behind a position, or for everything.
pub async fn psync(
    connection: &mut Connection,
    from: Option<Position>,
) -> Result<Answer, SourceError> {
    match from {
        Some(position) => {
            let next = position.offset.0 + 1;
            connection.send(&["PSYNC", position.replid.as_str(), &next.to_string()]).await?;
        }
        None => connection.send(&["PSYNC", "?", "-1"]).await?,
    }
    let line = connection.read_line(SILENCE_MAX).await?;
    parse_answer(&line)
}

fn parse_answer(line: &str) -> Result<Answer, SourceError> {
    let unexpected = || SourceError::Psync(line.chars().take(80).collect());
    if let Some(error) = line.strip_prefix('-') {
        return Err(
            ConnectionError::Refused { command: "PSYNC".into(), error: error.to_owned() }.into()
        );
    }
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("+CONTINUE"), None, _) => Ok(Answer::Continue(None)),
        (Some("+CONTINUE"), Some(replid), None) => {
            Ok(Answer::Continue(Some(replid.parse().map_err(|_| unexpected())?)))
        }
        (Some("+FULLRESYNC"), Some(replid), Some(offset)) => Ok(Answer::FullResync(Position {
            replid: replid.parse().map_err(|_| unexpected())?,
            offset: Offset(offset.parse().map_err(|_| unexpected())?),
        })),
        _ => Err(unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_understood_or_refused() {
        let id = "c".repeat(40);
        let replid: ReplId = id.parse().unwrap();
        assert_eq!(parse_answer("+CONTINUE").unwrap(), Answer::Continue(None));
        assert_eq!(
            parse_answer(&format!("+CONTINUE {id}")).unwrap(),
            Answer::Continue(Some(replid))
        );
        assert_eq!(
            parse_answer(&format!("+FULLRESYNC {id} 77")).unwrap(),
            Answer::FullResync(Position { replid, offset: Offset(77) })
        );
        for line in ["+CONTINUE x", "+FULLRESYNC x 1", "+DUALCHANNELSYNC", "", "+OK"] {
            assert!(matches!(parse_answer(line), Err(SourceError::Psync(_))), "{line}");
        }
        for (line, reason) in [
            ("-NOMASTERLINK Can't SYNC", crate::contract::WaitReason::SourceMasterLinkDown),
            ("-LOADING x", crate::contract::WaitReason::SourceLoading),
            ("-NOPERM x", crate::contract::WaitReason::SourcePermission),
            (
                "-ERR Can't SYNC while not connected with my master",
                crate::contract::WaitReason::SourceMasterLinkDown,
            ),
        ] {
            assert_eq!(parse_answer(line).unwrap_err().wait_reason(), reason, "{line}");
        }
    }
}
