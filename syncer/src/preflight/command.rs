//! `redissync-syncer preflight`: asks both ends once and prints what came of it. Nothing is written, and it runs beside a
//! syncer as well as before there is one.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    checks, clock,
    facts::Facts,
    info::Info,
    watch::{Probe, sentinels, unknown},
};
use crate::{
    config::{self, Site, ValidatedConfig},
    contract::{Check, CheckResult, EvictingTarget, WaitEnd},
    link::{LINK, Names},
    pipeline::follow,
    sentinel::follow::Resolution,
};

/// How long a master is looked for.
const FIND_MAX: Duration = Duration::from_secs(10);
/// How long the source's stream is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// The arguments of `redissync-syncer preflight`.
#[derive(Clone, Debug, clap::Args)]
pub struct PreflightArgs {
    /// The configuration of the pair
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Print the checks as JSON, as the report has them
    #[arg(long)]
    pub json: bool,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The configuration cannot be used.
    #[error("invalid configuration")]
    Config(#[from] config::ConfigError),
    /// The system gives no event loop.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    /// The checks cannot be written out.
    #[error("failed to print the checks")]
    Print(#[source] io::Error),
}

/// Checks and prints; whether nothing failed.
pub fn run(args: &PreflightArgs, out: &mut impl Write) -> Result<bool, PreflightError> {
    let config = config::load(&args.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let checks = runtime.map_err(PreflightError::Runtime)?.block_on(ask(Arc::new(config)));
    let printed = if args.json { json(&checks, out) } else { table(&checks, out) };
    printed.map_err(PreflightError::Print)?;
    Ok(!checks.iter().any(|check| check.result == CheckResult::Failed))
}

async fn ask(config: Arc<ValidatedConfig>) -> Vec<Check> {
    let names = Names::new(&config.pair_id, LINK);
    let (_keep, receiver) = watch::channel(Arc::clone(&config));
    let mut source = follow(&receiver, "source", |config| &config.source, &names.reader);
    let mut target = follow(&receiver, "target", |config| &config.target, &names.reader);
    let (source, target) = tokio::join!(found(&mut source), found(&mut target));
    let probe = |resolution: &Resolution| match resolution {
        Resolution::Known(candidate) => Some(Probe::new(candidate.peer())),
        Resolution::Unknown { .. } => None,
    };
    let (mut source_probe, mut target_probe) = (probe(&source), probe(&target));
    let rate = match &mut source_probe {
        Some(probe) => measure(probe, &config.source, &names.reader).await,
        None => None,
    };
    let source_facts = match &mut source_probe {
        Some(probe) => {
            probe.source_facts(&config.source, &names.reader, &names.record, false).await
        }
        None => Err(unknown(&source)),
    };
    let database = source_facts.as_ref().ok().and_then(|facts| facts.info().highest_database());
    let target_facts = match &mut target_probe {
        Some(probe) => probe.target_facts(&config.target, &names.reader, database).await,
        None => Err(unknown(&target)),
    };
    let base = Instant::now();
    let mut ahead = [None, None];
    for (probe, ahead) in [&mut source_probe, &mut target_probe].into_iter().zip(&mut ahead) {
        if let Some(probe) = probe {
            *ahead = probe.ask_time(base).await.ok().flatten();
        }
    }
    checks(&Facts {
        source: source_facts,
        target: target_facts,
        sentinels: [sentinels(&config.source, &source), sentinels(&config.target, &target)],
        stream_bytes_per_second: rate,
        is_attached: false,
        skew_milliseconds: match ahead {
            [Some(source), Some(target)] => Some(clock::skew_milliseconds(source, target)),
            _ => None,
        },
        grace_milliseconds: config.grace.span().map_or(0, |span| span.as_millis() as u64),
        is_evicting_allowed: config.evicting_target == EvictingTarget::Allow,
        evicted_since_copy: 0,
    })
}

/// The master, or the last word of the sentinels about it.
async fn found(resolution: &mut watch::Receiver<Resolution>) -> Resolution {
    let known = resolution.wait_for(|found| matches!(found, Resolution::Known(_)));
    if let Ok(Ok(found)) = timeout(FIND_MAX, known).await {
        return found.clone();
    }
    resolution.borrow().clone()
}

/// How fast the source's stream grows.
async fn measure(probe: &mut Probe, site: &Site, name: &str) -> Option<f64> {
    let connection = probe.open(site, name).await.ok()?;
    let mut offsets = [0_u64; 2];
    let begun = Instant::now();
    for (index, offset) in offsets.iter_mut().enumerate() {
        if index > 0 {
            sleep(MEASURE).await;
        }
        let answer = connection.call(&["INFO", "replication"]).await.ok()?;
        *offset = Info(answer.text()?).number("master_repl_offset")?;
    }
    Some(offsets[1].checked_sub(offsets[0])? as f64 / begun.elapsed().as_secs_f64())
}

fn json(checks: &[Check], out: &mut impl Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(checks).map_err(io::Error::other)?;
    writeln!(out, "{text}")
}

/// What is to be done first, then what is well.
fn table(checks: &[Check], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:<8} {:<7} {:<18} WHAT", "RESULT", "END", "CHECK")?;
    for result in
        [CheckResult::Failed, CheckResult::Warning, CheckResult::Unknown, CheckResult::Passed]
    {
        for check in checks.iter().filter(|check| check.result == result) {
            let end = match check.end {
                WaitEnd::Source => "source",
                WaitEnd::Target => "target",
                _ => "both",
            };
            let (result, name) = (result.as_str(), check.check.as_str());
            writeln!(out, "{result:<8} {end:<7} {name:<18} {}", check.message)?;
            if !check.advice.is_empty() {
                writeln!(out, "{:<35} → {}", "", check.advice)?;
            }
        }
    }
    let count = |result| checks.iter().filter(|check| check.result == result).count();
    writeln!(
        out,
        "{} passed, {} warnings, {} failed, {} unknown",
        count(CheckResult::Passed),
        count(CheckResult::Warning),
        count(CheckResult::Failed),
        count(CheckResult::Unknown)
    )
}
