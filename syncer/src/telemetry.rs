//! Logs: to standard error, text or JSON, `RUST_LOG` honoured. Started once, before the runtime.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, filter::FromEnvError, fmt};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is not understood.
    #[error("RUST_LOG is no filter: write a level such as info, or target=level,…")]
    Filter(#[source] FromEnvError),
    /// Something else logs already.
    #[error("failed to start the logs: {0}")]
    Start(String),
}

/// Starts the logs; level `info` unless `RUST_LOG` says otherwise.
pub fn init(format: LogFormat) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .map_err(TelemetryError::Filter)?;
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.try_init(),
        // Without the module's name, whose key `target` would collide with the field of that name: here the
        // word means a site.
        LogFormat::Json => logs.json().flatten_event(true).with_target(false).try_init(),
    }
    .map_err(|err| TelemetryError::Start(err.to_string()))
}
