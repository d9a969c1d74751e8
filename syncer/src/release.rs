//! `redissync-syncer release`: what a human decides about a halt. The decision is written into the record at the
//! target, where the halt stands too, so it counts whichever process reads it next. The same decision may stand in
//! the configuration of a running syncer, which then writes it itself (`apply/halt.rs`).

mod decision;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

pub use self::decision::{Decision, HaltMark};
use crate::{
    config,
    connection::{Connection, ConnectionError},
    link::{LINK, Names},
    pipeline::follow,
    record::{Record, RecordError, RecordedHalt},
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

impl ReleaseArgs {
    /// The one decision that the arguments carry.
    pub fn decision(&self) -> Decision {
        match (self.skip_unit, self.retry_unit, &self.allow_sweep) {
            (Some(offset), ..) => Decision::SkipUnit { offset },
            (None, Some(offset), _) => Decision::RetryUnit { offset },
            (None, None, Some(copy_id)) => Decision::AllowSweep { copy_id: copy_id.clone() },
            // The parser demands one of the four.
            (None, None, None) => Decision::CopyAgain { mark: None },
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
    /// What to log in with cannot be read.
    #[error(transparent)]
    Login(#[from] crate::login::LoginError),
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
    let peer = match found.ok().and_then(Result::ok).as_deref() {
        Some(Resolution::Known(candidate)) => Some(candidate.peer()),
        _ => None,
    };
    let Some(peer) = peer else {
        let message = match &*resolution.borrow() {
            Resolution::Unknown { message, .. } => message.clone(),
            Resolution::Known(_) => String::new(),
        };
        return Err(ReleaseError::NoMaster(message));
    };
    let login = config.target.login.read()?;
    let mut connection = Connection::open(&peer, &login, &names.reader).await?;
    for _ in 0..ATTEMPTS {
        if write(&mut connection, &names.record, &args.decision()).await? {
            return Ok(());
        }
    }
    Err(ReleaseError::Contended)
}

/// One attempt; false if the record changed meanwhile.
async fn write(
    connection: &mut Connection,
    record_key: &str,
    decision: &Decision,
) -> Result<bool, ReleaseError> {
    connection.call(&["WATCH", record_key]).await?;
    let record = Record::parse(&connection.call(&["HGETALL", record_key]).await?)?;
    let halt = record.and_then(|record| record.halt).ok_or(ReleaseError::NoHalt)?;
    let consent = decision.consent(&halt).map_err(|why| {
        let RecordedHalt { reason, message, remedy, .. } = &halt;
        ReleaseError::Mismatch(format!("{why}; the link halts with {reason}: {message}. {remedy}"))
    })?;
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: ReleaseArgs,
    }

    fn parsed(arguments: &str) -> Option<Decision> {
        let words = std::iter::once("release").chain(arguments.split(' '));
        Command::try_parse_from(words).ok().map(|command| command.args.decision())
    }

    #[test]
    fn exactly_one_decision_is_taken() {
        let skip = Decision::SkipUnit { offset: 7 };
        assert_eq!(parsed("--config f --skip-unit 7"), Some(skip));
        assert_eq!(parsed("--config f --copy-again"), Some(Decision::CopyAgain { mark: None }));
        let sweep = Decision::AllowSweep { copy_id: "c1".to_owned() };
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
