//! `redissync-syncer status`: asks a running syncer for its report and shows it to a person. Plain blocking
//! sockets: one request to a server of ours needs no HTTP library.

mod summary;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

pub use self::summary::summary;
use crate::{
    address::{HostPort, InvalidHostPort},
    config::{self, ConfigError},
    contract::{Phase, SyncReport},
};

const TIMEOUT: Duration = Duration::from_secs(5);
/// A report of one link has about 2 KiB.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// The arguments of `redissync-syncer status`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("where").required(true).multiple(false))]
pub struct StatusArgs {
    /// The configuration of the syncer that runs on this machine
    #[arg(long, value_name = "FILE", group = "where")]
    config: Option<PathBuf>,
    /// Where another one listens, such as http://10.0.0.1:9250
    #[arg(long, value_name = "URL", group = "where")]
    url: Option<String>,
    /// Print the report itself
    #[arg(long)]
    json: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The configuration cannot be used.
    #[error("invalid configuration")]
    Config(#[source] ConfigError),
    /// `server.listen` has port 0.
    #[error("server.listen takes any free port: give --url with the one that the log names")]
    AnyPort,
    /// Not a URL of ours.
    #[error("'{url}' is no URL of a syncer: write http://host:port")]
    Url {
        /// The argument.
        url: String,
        /// What is wrong with its host or port.
        source: InvalidHostPort,
    },
    /// Nobody answers.
    #[error("no syncer answers at {address}")]
    Connect {
        /// Where it was asked.
        address: String,
        /// The system's word.
        source: io::Error,
    },
    /// Something answers that is no syncer, or one that is too new.
    #[error("{address} does not answer with a report: {problem}")]
    Answer {
        /// Where it was asked.
        address: String,
        /// What it did instead.
        problem: String,
    },
    /// Standard output is gone.
    #[error("failed to print")]
    Print(#[source] io::Error),
}

/// Prints the report or its summary; the phase decides the exit code.
pub fn run(args: &StatusArgs, output: &mut impl Write) -> Result<Phase, StatusError> {
    let address = address(args)?;
    let body = fetch(&address)?;
    let report: SyncReport = serde_json::from_str(&body)
        .map_err(|err| StatusError::Answer { address, problem: err.to_string() })?;
    let text = if args.json { body } else { summary(&report, args.config.as_deref()) };
    writeln!(output, "{}", text.trim_end()).map_err(StatusError::Print)?;
    Ok(report.phase)
}

fn address(args: &StatusArgs) -> Result<String, StatusError> {
    match (&args.url, &args.config) {
        (Some(url), _) => {
            let wrong = |source| StatusError::Url { url: url.clone(), source };
            let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
            let rest = rest.strip_suffix("/report").unwrap_or(rest);
            rest.parse::<HostPort>().map(|address| address.to_string()).map_err(wrong)
        }
        (None, Some(path)) => {
            let listen = config::load(path).map_err(StatusError::Config)?.listen;
            if listen.port() == 0 {
                return Err(StatusError::AnyPort);
            }
            Ok(reachable(listen).to_string())
        }
        (None, None) => unreachable!("the parser demands one of the two"),
    }
}

/// What listens at every address is asked at the loopback's.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

fn fetch(address: &str) -> Result<String, StatusError> {
    let failed = |source| StatusError::Connect { address: address.to_owned(), source };
    let answer = exchange(address).map_err(failed)?;
    let wrong = |problem: String| StatusError::Answer { address: address.to_owned(), problem };
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| wrong("it speaks no HTTP".to_owned()))?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(wrong(format!("it says {status:?}")));
    }
    Ok(body.to_owned())
}

/// HTTP/1.0: the answer comes whole and ends with the connection.
fn exchange(address: &str) -> io::Result<String> {
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /report HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    String::from_utf8(answer).map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))
}

/// Tries each address that the name has.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests;
