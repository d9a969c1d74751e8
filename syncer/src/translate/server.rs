//! What is no key: functions, scripts, messages, and what only a cluster's nodes say to each other.

use super::{Form, Output, Words, is};
use crate::{
    rdb::{crc64::Crc64, dump::TRAILER_LEN, support::Unsupported},
    target::commands::check_functions,
};

const OF_A_CLUSTER: Unsupported = Unsupported {
    reason: "a command of a cluster that moves its slots",
    remedy: "this version does not follow clusters",
};

/// FUNCTION RESTORE has a payload with a version; the others are the same everywhere.
pub(super) fn function(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    check_functions(out.target)?;
    let [_, verb, payload, rest @ ..] = words else { return Ok(Form::Same) };
    if !is(verb, "RESTORE") {
        return Ok(Form::Same);
    }
    let mut payload = payload.to_vec();
    let Some(at) = payload.len().checked_sub(TRAILER_LEN) else { return Ok(Form::Same) };
    payload[at..at + 2].copy_from_slice(&out.target.rdb_version.to_le_bytes());
    let mut crc = Crc64::default();
    crc.update(&payload[..at + 2]);
    payload[at + 2..].copy_from_slice(&crc.value().to_le_bytes());
    out.joined(&[&words[..2], &[&payload], rest]);
    Ok(Form::Written)
}

/// `SCRIPT FLUSH [ASYNC | SYNC]`
pub(super) fn script(words: &Words<'_>, out: &mut Output<'_>) -> Result<Form, Unsupported> {
    if words.len() <= 2 || !is(words[1], "FLUSH") {
        return Ok(Form::Same);
    }
    out.command(&words[..2]);
    Ok(Form::Written)
}

/// Carries no data, or none that the target has a place for.
pub(super) fn drop(_: &Words<'_>, _: &mut Output<'_>) -> Result<Form, Unsupported> {
    Ok(Form::Dropped)
}

pub(super) fn of_a_cluster(_: &Words<'_>, _: &mut Output<'_>) -> Result<Form, Unsupported> {
    Err(OF_A_CLUSTER)
}
