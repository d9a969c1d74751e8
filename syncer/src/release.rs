//! What a human may decide about a halt. The decision is written into the record at the target, where the
//! halt stands too, so it counts whichever process reads it next.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use crate::{
    config,
    connection::{Connection, ConnectionError},
    link::{LINK, Names},
    pipeline::follow,
    record::{Consent, Record, RecordError, RecordedHalt},
    resp::frame::Frame,
    sentinel::follow::Resolution,
};

/// How long a target is looked for.
const FIND_SECONDS: u64 = 15;
/// How often a record that changes under our hands is read again.
const ATTEMPTS: usize = 10;

/// The arguments of `redissync-syncer release`; exactly one decision.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("decision").required(true).multiple(false))]
pub struct ReleaseArgs {
    /// The configuration of the pair
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Go on without the unit that ends at OFFSET: what it would have done is lost at the target
    #[arg(long, value_name = "OFFSET", group = "decision")]
    skip_unit: Option<u64>,
    /// Try the unit that ends at OFFSET again: what refused it was put right, and nothing of it was applied
    #[arg(long, value_name = "OFFSET", group = "decision")]
    retry_unit: Option<u64>,
    /// Copy everything again
    #[arg(long, group = "decision")]
    copy_again: bool,
    /// Let the full copy COPYID remove the keys that the source does not have
    #[arg(long, value_name = "COPYID", group = "decision")]
    allow_sweep: Option<String>,
}

/// A decision about a halt. It names what it was taken for and counts for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseAction {
    /// Go on without one unit.
    SkipUnit {
        /// The unit's end, as the halt has it.
        offset: u64,
    },
    /// Try one unit again.
    RetryUnit {
        /// The unit's end, as the halt has it.
        offset: u64,
    },
    /// Copy everything again.
    CopyAgain,
    /// Let one sweep remove more than the set share.
    AllowSweep {
        /// The full copy, as the halt has it.
        copy_id: String,
    },
}

impl ReleaseArgs {
    /// The one decision that the arguments carry.
    pub fn action(&self) -> ReleaseAction {
        match (self.skip_unit, self.retry_unit, &self.allow_sweep) {
            (Some(offset), ..) => ReleaseAction::SkipUnit { offset },
            (None, Some(offset), _) => ReleaseAction::RetryUnit { offset },
            (None, None, Some(copy_id)) => ReleaseAction::AllowSweep { copy_id: copy_id.clone() },
            // The parser demands one of the four.
            (None, None, None) => ReleaseAction::CopyAgain,
        }
    }
}

/// Why nothing was released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The configuration cannot be used.
    #[error("invalid configuration")]
    Config(#[from] config::ConfigError),
    /// The system gives no event loop.
    #[error("failed to start the runtime")]
    Runtime(#[source] std::io::Error),
    /// The target's master was not found.
    #[error("the target's master was not found within {FIND_SECONDS} s: {0}")]
    NoMaster(String),
    /// The password file cannot be read.
    #[error(transparent)]
    Password(#[from] crate::credentials::AuthReadError),
    /// The target did not do what was asked.
    #[error("failed to write the decision to the target")]
    Target(#[from] ConnectionError),
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// There is nothing to release.
    #[error("the target holds no halt of this pair: there is nothing to release")]
    NoHalt,
    /// The decision is about another halt.
    #[error("{0}")]
    Mismatch(String),
    /// The record changed each time.
    #[error("the record changed while the decision was written; see `status` and try again")]
    Contended,
}

/// Writes the decision into the record, if it fits the halt that is there.
pub fn run(args: &ReleaseArgs) -> Result<(), ReleaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(ReleaseError::Runtime)?.block_on(release(args))
}

async fn release(args: &ReleaseArgs) -> Result<(), ReleaseError> {
    let config = Arc::new(config::load(&args.config)?);
    let names = Names::new(&config.pair_id, LINK);
    let (_keep, receiver) = watch::channel(Arc::clone(&config));
    let mut resolution = follow(&receiver, "target", |config| &config.target, &names.reader);
    let found = timeout(
        Duration::from_secs(FIND_SECONDS),
        resolution.wait_for(|found| matches!(found, Resolution::Known(_))),
    )
    .await;
    let address = match found.ok().and_then(Result::ok).as_deref() {
        Some(Resolution::Known(candidate)) => Some(candidate.address.clone()),
        _ => None,
    };
    let Some(address) = address else {
        let message = match &*resolution.borrow() {
            Resolution::Unknown { message, .. } => message.clone(),
            Resolution::Known(_) => String::new(),
        };
        return Err(ReleaseError::NoMaster(message));
    };
    let credentials =
        config.target.auth.as_ref().map(crate::credentials::Auth::read).transpose()?;
    let mut connection = Connection::open(&address, credentials.as_ref(), &names.reader).await?;
    for _ in 0..ATTEMPTS {
        if write(&mut connection, &names.record, &args.action()).await? {
            return Ok(());
        }
    }
    Err(ReleaseError::Contended)
}

/// One attempt; false if the record changed meanwhile.
async fn write(
    connection: &mut Connection,
    record_key: &str,
    action: &ReleaseAction,
) -> Result<bool, ReleaseError> {
    connection.call(&["WATCH", record_key]).await?;
    let record = Record::parse(&connection.call(&["HGETALL", record_key]).await?)?;
    let halt = record.and_then(|record| record.halt).ok_or(ReleaseError::NoHalt)?;
    let consent = consent(action, &halt).map_err(ReleaseError::Mismatch)?;
    let text = serde_json::to_string(&consent).unwrap_or_default();
    connection.call(&["MULTI"]).await?;
    connection.call(&["HSET", record_key, "consent", &text]).await?;
    match connection.call(&["EXEC"]).await? {
        Frame::Null => Ok(false),
        Frame::Array(replies) => match replies.into_iter().next() {
            Some(Frame::Error(error)) => {
                Err(ConnectionError::Refused { command: "HSET".into(), error }.into())
            }
            _ => Ok(true),
        },
        _ => Err(ConnectionError::Unexpected { command: "EXEC".into() }.into()),
    }
}

/// The decision as the record takes it, bound to the halt that the human saw. Pure.
fn consent(action: &ReleaseAction, halt: &RecordedHalt) -> Result<Consent, String> {
    let seen = format!("the link halts with {}: {}", halt.reason, halt.message);
    match action {
        ReleaseAction::CopyAgain => Ok(Consent::CopyAgain),
        ReleaseAction::SkipUnit { offset } if halt.offset == Some(*offset) => {
            Ok(Consent::SkipUnit(*offset))
        }
        ReleaseAction::RetryUnit { offset } if halt.offset == Some(*offset) && !halt.is_passed => {
            Ok(Consent::RetryUnit(*offset))
        }
        ReleaseAction::RetryUnit { offset } if halt.offset == Some(*offset) => Err(format!(
            "the rest of that unit's batch was applied, so it cannot be tried again; {seen}. {}",
            halt.remedy
        )),
        ReleaseAction::SkipUnit { offset } | ReleaseAction::RetryUnit { offset } => {
            Err(format!("it does not halt at offset {offset}; {seen}. {}", halt.remedy))
        }
        ReleaseAction::AllowSweep { copy_id }
            if halt.reason == crate::contract::HaltReason::SweepBrake
                && halt.copy_id.as_deref() == Some(copy_id.as_str()) =>
        {
            Ok(Consent::AllowSweep(copy_id.clone()))
        }
        ReleaseAction::AllowSweep { copy_id } => Err(format!(
            "no sweep of the copy {copy_id} waits for consent; {seen}. {}",
            halt.remedy
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::contract::{HaltReason, Timestamp};

    #[test]
    fn a_decision_counts_for_the_halt_that_it_names() {
        let halt = |reason, offset, copy: Option<&str>| RecordedHalt {
            reason,
            message: "m".into(),
            remedy: "r".into(),
            offset,
            is_passed: true,
            copy_id: copy.map(str::to_owned),
            since: Timestamp::from_millis(0),
        };
        let rejected = halt(HaltReason::CommandRejected, Some(7), None);
        let refused = RecordedHalt { is_passed: false, ..rejected.clone() };
        let retry = ReleaseAction::RetryUnit { offset: 7 };
        assert_eq!(consent(&retry, &refused), Ok(Consent::RetryUnit(7)));
        assert!(consent(&retry, &rejected).is_err(), "a part of the batch was applied");
        let brake = halt(HaltReason::SweepBrake, None, Some("c1"));
        let skip = |offset| ReleaseAction::SkipUnit { offset };
        let allow = |copy: &str| ReleaseAction::AllowSweep { copy_id: copy.into() };
        assert_eq!(consent(&skip(7), &rejected), Ok(Consent::SkipUnit(7)));
        assert_eq!(consent(&allow("c1"), &brake), Ok(Consent::AllowSweep("c1".into())));
        assert_eq!(consent(&ReleaseAction::CopyAgain, &brake), Ok(Consent::CopyAgain));
        for (action, halt) in [
            (skip(8), &rejected),
            (skip(7), &brake),
            (allow("c2"), &brake),
            (allow("c1"), &rejected),
        ] {
            assert!(consent(&action, halt).is_err(), "{action:?}");
        }
    }

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: ReleaseArgs,
    }

    fn parsed(arguments: &str) -> Option<ReleaseAction> {
        let words = std::iter::once("release").chain(arguments.split(' '));
        Command::try_parse_from(words).ok().map(|command| command.args.action())
    }

    #[test]
    fn exactly_one_decision_is_taken() {
        let skip = ReleaseAction::SkipUnit { offset: 7 };
        assert_eq!(parsed("--config f --skip-unit 7"), Some(skip));
        assert_eq!(parsed("--config f --copy-again"), Some(ReleaseAction::CopyAgain));
        let sweep = ReleaseAction::AllowSweep { copy_id: "c1".to_owned() };
        assert_eq!(parsed("--config f --allow-sweep c1"), Some(sweep));
        for wrong in [
            "--config f",
            "--copy-again",
            "--config f --copy-again --skip-unit 7",
            "--config f --copy-again --allow-sweep c1",
            "--config f --skip-unit -1",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
