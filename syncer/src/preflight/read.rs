//! Reads one node's facts on a connection of its own, in two or three round trips. Harmless: nothing is written, and a MULTI
//! is begun only to be discarded.

use super::facts::{NodeFacts, Rights};
use crate::{
    connection::{Connection, ConnectionError},
    resp::frame::Frame,
    target::examine::parse_version,
};

const SOURCE_SETTINGS: [&str; 3] =
    ["client-output-buffer-limit", "repl-timeout", "repl-diskless-sync"];
const TARGET_SETTINGS: [&str; 5] = [
    "maxmemory",
    "maxmemory-policy",
    "save",
    "min-replicas-to-write",
    // Its name before 5.0.
    "min-slaves-to-write",
];

/// No key of anybody's; outside of our own prefix, since the rights have to reach all keys.
const KEY: &str = "redissync-preflight";

/// What the target's user must be able to do, by one command of each kind, and the right that grants it. Each has the right
/// number of arguments: a wrong number is refused before rights are looked at. None would do harm if it were run.
const TRIALS: &[(&str, &[&str])] = &[
    ("+@write", &["PEXPIRE", KEY, "1"]),
    ("+del", &["DEL", KEY]),
    ("+unlink", &["UNLINK", KEY]),
    ("+rename", &["RENAME", KEY, KEY]),
    ("+restore", &["RESTORE", KEY, "0", ""]),
    ("+hset", &["HSET", KEY, "f", "v"]),
    ("+xadd", &["XADD", KEY, "NOMKSTREAM", "*", "f", "v"]),
    ("+swapdb", &["SWAPDB", "1", "1"]),
    ("+@scripting", &["EVAL", "return 1", "0"]),
    ("+@scripting", &["FUNCTION", "LOAD", ""]),
    ("+pfcount", &["PFCOUNT", KEY]),
    ("+publish", &["PUBLISH", KEY, ""]),
    ("+spublish", &["SPUBLISH", KEY, ""]),
    ("+select", &["SELECT", "0"]),
    ("+scan", &["SCAN", "0"]),
    ("+get", &["GET", KEY]),
    ("+hmget", &["HMGET", KEY, "f"]),
    ("+hgetall", &["HGETALL", KEY]),
    ("+role", &["ROLE"]),
    ("+info", &["INFO", "server"]),
    ("+client|id", &["CLIENT", "ID"]),
    ("+client|list", &["CLIENT", "LIST"]),
    ("+client|kill", &["CLIENT", "KILL", "ID", "0"]),
];

/// The source's facts. `user` is who we are there.
pub(super) async fn source(
    connection: &mut Connection,
    address: &str,
    user: &str,
    record: &str,
    is_attached: bool,
) -> Result<NodeFacts, ConnectionError> {
    let mut commands = vec![vec!["INFO"]];
    commands.extend(SOURCE_SETTINGS.iter().map(|name| vec!["CONFIG", "GET", name]));
    commands.extend([
        vec!["ROLE"],
        vec!["EXISTS", record],
        vec!["REPLCONF", "capa", "eof"],
        vec!["ACL", "DRYRUN", user, "PSYNC", "?", "-1"],
    ]);
    let mut answers = connection.call_each(&commands).await?.into_iter();
    let info = info(answers.next());
    let settings = settings(&SOURCE_SETTINGS, &mut answers);
    let [role, exists, replconf] = [answers.next(), answers.next(), answers.next()];
    let mut missing: Vec<String> = [("+role", role), ("+exists", exists), ("+replconf", replconf)]
        .into_iter()
        .filter_map(|(right, answer)| missing(right, "~redissync:*", answer.as_ref()?))
        .collect();
    if info.as_ref().is_err_and(|error| error.starts_with("NOPERM")) {
        missing.push("+info".to_owned());
    }
    let may_psync = match answers.next() {
        Some(Frame::Simple(_)) => Some(true),
        Some(Frame::Bulk(text)) => Some(!String::from_utf8_lossy(&text).contains("no permissions")),
        // Not known before 7.0, or not ours to ask.
        _ => (is_attached || info.as_deref().is_ok_and(has_no_acl)).then_some(true),
    };
    if may_psync == Some(false) {
        missing.push("+psync".to_owned());
    }
    let rights = match (missing.is_empty(), may_psync) {
        (false, _) => Rights::Missing(missing),
        (true, Some(_)) => Rights::Complete,
        (true, None) => Rights::Unproven(
            "whether our user may PSYNC shows when it does; all else that was tried it may"
                .to_owned(),
        ),
    };
    Ok(NodeFacts { address: address.to_owned(), info, settings, rights, database: None })
}

/// The target's facts. `database` is the highest that the source uses.
pub(super) async fn target(
    connection: &mut Connection,
    address: &str,
    database: Option<u32>,
) -> Result<NodeFacts, ConnectionError> {
    let index = database.unwrap_or(0).to_string();
    let mut commands = vec![vec!["INFO"]];
    commands.extend(TARGET_SETTINGS.iter().map(|name| vec!["CONFIG", "GET", name]));
    commands.extend([vec!["SELECT", &index], vec!["SELECT", "0"], vec!["MULTI"]]);
    let mut answers = connection.call_each(&commands).await?.into_iter();
    let info = info(answers.next());
    let settings = settings(&TARGET_SETTINGS, &mut answers);
    let is_there = match answers.next() {
        Some(Frame::Error(error))
            if error.contains("out of range") || error.contains("invalid DB") =>
        {
            Some(false)
        }
        Some(Frame::Simple(_)) => Some(true),
        _ => None,
    };
    let _back = answers.next();
    let rights = match answers.next() {
        // Only within it: outside, the trials would be run.
        Some(Frame::Simple(ok)) if ok == b"OK" => trials(connection).await?,
        Some(Frame::Error(error)) if error.starts_with("NOPERM") => {
            Rights::Missing(vec!["+@transaction".to_owned()])
        }
        Some(Frame::Error(error)) => Rights::Unproven(format!("MULTI was refused: {error}")),
        _ => Rights::Unproven("MULTI was not answered with OK".to_owned()),
    };
    Ok(NodeFacts {
        address: address.to_owned(),
        info,
        settings,
        rights,
        database: database.zip(is_there),
    })
}

/// Within MULTI a command is queued only if our user may run it. Discarded at the end; a connection that breaks
/// in between discards as well.
async fn trials(connection: &mut Connection) -> Result<Rights, ConnectionError> {
    let mut commands: Vec<Vec<&str>> = TRIALS.iter().map(|(_, words)| words.to_vec()).collect();
    commands.push(vec!["DISCARD"]);
    let answers = connection.call_each(&commands).await?;
    let mut refused: Vec<String> = Vec::new();
    for ((right, words), answer) in TRIALS.iter().zip(&answers) {
        let all = if words[0].ends_with("PUBLISH") { "&*" } else { "~*" };
        let Some(right) = missing(right, all, answer) else { continue };
        if !refused.contains(&right) {
            refused.push(right);
        }
    }
    Ok(if refused.is_empty() { Rights::Complete } else { Rights::Missing(refused) })
}

/// The right that an answer says is missing: the command's, or that to the keys or channels.
fn missing(right: &str, all: &str, answer: &Frame) -> Option<String> {
    let Frame::Error(error) = answer else { return None };
    if !error.starts_with("NOPERM") {
        return None;
    }
    let is_about_names = error.contains("key") || error.contains("channel");
    Some(if is_about_names && !error.contains("command") { all } else { right }.to_owned())
}

fn info(answer: Option<Frame>) -> Result<String, String> {
    match answer {
        Some(Frame::Error(error)) => Err(error),
        Some(frame) => frame.text().map(str::to_owned).ok_or_else(|| "no text".to_owned()),
        None => Err("no answer".to_owned()),
    }
}

fn settings(
    names: &[&'static str],
    answers: &mut impl Iterator<Item = Frame>,
) -> Vec<(&'static str, Result<Option<String>, String>)> {
    let value = |answer: Option<Frame>| match answer {
        Some(Frame::Error(error)) => Err(error),
        Some(frame) => {
            Ok(frame.array().and_then(|pair| pair.get(1)).and_then(Frame::text).map(str::to_owned))
        }
        None => Err("no answer".to_owned()),
    };
    names.iter().map(|name| (*name, value(answers.next()))).collect()
}

/// Users came with 6.0.
fn has_no_acl(info: &str) -> bool {
    let version = super::info::Info(info).field("redis_version").and_then(parse_version);
    version.is_some_and(|version| version < (6, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_right_that_is_missing() {
        let error = |text: &str| Frame::Error(text.to_owned());
        for (answer, expected) in [
            (
                error("NOPERM User sync has no permissions to run the 'restore' command"),
                Some("+restore"),
            ),
            (
                error(
                    "NOPERM this user has no permissions to run the 'restore' command or its subcommand",
                ),
                Some("+restore"),
            ),
            (error("NOPERM No permissions to access a key"), Some("~*")),
            (
                error(
                    "NOPERM this user has no permissions to access one of the keys used as arguments",
                ),
                Some("~*"),
            ),
            (error("READONLY You can't write against a read only replica."), None),
            (error("ERR unknown command 'UNLINK'"), None),
            (Frame::Simple(b"QUEUED".to_vec()), None),
        ] {
            assert_eq!(missing("+restore", "~*", &answer).as_deref(), expected, "{answer:?}");
        }
    }
}
