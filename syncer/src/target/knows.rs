//! Which commands the target knows by name. Asked, never tried: a command that is not known would spoil the EXEC that it
//! stands in. A target that does not answer (the right is missing, the command is renamed) is believed to know all.

use super::{
    error::{TargetError, is_passing},
    examine::Capabilities,
};
use crate::{
    connection::{Connection, ConnectionError},
    resp::frame::Frame,
    translate::{CORE, Known},
};

/// What is known when a connection begins: the versions' rules, and the names that streams hold all the time.
pub async fn known_commands(
    reader: &mut Connection,
    target: &Capabilities,
) -> Result<Known, TargetError> {
    let names: Vec<&[u8]> = CORE.iter().map(|name| name.as_bytes()).collect();
    let answers = ask(reader, &names).await?;
    let mut known = Known::new(target, answers.is_some());
    for (name, is_known) in names.iter().zip(answers.unwrap_or_default()) {
        known.learn(name, is_known);
    }
    Ok(known)
}

/// Whether the target knows this name; `None` if it does not tell.
pub async fn knows(reader: &mut Connection, name: &[u8]) -> Result<Option<bool>, TargetError> {
    Ok(ask(reader, &[name]).await?.and_then(|answers| answers.first().copied()))
}

async fn ask(reader: &mut Connection, names: &[&[u8]]) -> Result<Option<Vec<bool>>, TargetError> {
    let mut words: Vec<&[u8]> = vec![b"COMMAND", b"INFO"];
    words.extend(names);
    match reader.call(&words).await {
        Ok(Frame::Array(answers)) if answers.len() == names.len() => {
            Ok(Some(answers.iter().map(|answer| *answer != Frame::Null).collect()))
        }
        Ok(_) => Ok(None),
        Err(ConnectionError::Refused { error, .. }) if !is_passing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
