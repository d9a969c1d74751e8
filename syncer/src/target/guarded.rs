//! A connection that writes only under the record's watch (Promise 7).
//!
//! ```text
//! WATCH record, HMGET record …           → compared with what we wrote: still ours, still there
//! MULTI, commands, (record), EXEC, WATCH record, HMGET record …      one flush; the next guard rides along
//! ```
//!
//! WATCH alone protects only against changes behind it, so the comparison is needed each time. One EXEC is
//! outstanding: an aborted batch must not be followed by the next one.

use std::{io::IoSlice, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::error::TargetError;
use crate::{
    address::Peer,
    connection::{Connection, ConnectionError},
    contract::WaitReason,
    record::Record,
    resp::{
        RespError, encode,
        frame::{self, Frame},
        reply::{self, Reply},
    },
    state::{LinkState, WaitSubject},
    tls::{probe, stream::Stream},
};

/// A server that sent nothing for this long is asked on another connection whether it lives. Below the 10 s
/// within which a wait is to be told.
const SILENCE_BEFORE_PROBE: Duration = Duration::from_secs(3);
/// A server that lives and still owes us an answer after this long: the connection is given up (a firewall may
/// have lost it), and the record says what became of the batch. `CLIENT PAUSE` may be longer; that is waited
/// for on the next connection.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// How many errors of a batch are kept; the first is what halts.
const ERRORS_KEPT: usize = 1000;
/// How much of each.
const ERROR_CHARS_MAX: usize = 300;

/// What the record must hold for us to write: owner, copy, its phase, the position's offset. Pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(Option<[String; 4]>);

impl Expected {
    const FIELDS: [&'static str; 4] = ["owner", "copyId", "copyPhase", "offset"];

    /// The record as we wrote it.
    pub fn record(record: &Record) -> Self {
        let offset = record.position.map_or_else(String::new, |at| at.position.offset.to_string());
        Self(Some([
            Record::owner_text(&record.owner),
            record.copy_id.to_string(),
            record.copy_phase.as_str().to_owned(),
            offset,
        ]))
    }

    /// No record.
    pub fn absent() -> Self {
        Self(None)
    }

    fn matches(&self, reply: &Frame) -> bool {
        let Some(fields) = reply.array() else { return false };
        match &self.0 {
            None => fields.iter().all(|field| *field == Frame::Null),
            Some(values) => {
                fields.len() == values.len()
                    && fields
                        .iter()
                        .zip(values)
                        .all(|(field, value)| field.bytes() == Some(value.as_bytes()))
            }
        }
    }
}

/// Errors among the answers to a batch's commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// How many commands failed.
    pub count: usize,
    /// The first of them: the command's index and the server's words, at most 300 characters.
    pub first: Vec<(usize, String)>,
    /// The indexes of all, in order.
    pub indexes: Vec<usize>,
}

impl Errors {
    fn note(&mut self, index: usize, error: String) {
        self.count += 1;
        self.indexes.push(index);
        if self.first.len() < ERRORS_KEPT {
            self.first.push((index, error.chars().take(ERROR_CHARS_MAX).collect()));
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// EXEC ran. With errors: the other commands, and the record, were applied all the same.
    Applied(Errors),
    /// Nothing was applied. The errors are those of queueing; without any, EXEC itself was refused.
    Aborted {
        /// Commands refused when they were queued.
        queued: Errors,
        /// EXEC's own words.
        exec: String,
    },
    /// Nothing was applied: the record was touched by another hand.
    RecordChanged,
}

/// A connection under guard.
pub struct GuardedConnection {
    stream: Stream,
    peer: Peer,
    record_key: String,
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
    state: Arc<LinkState>,
}

impl GuardedConnection {
    /// Takes an open connection over. `WATCH` is not sent yet.
    pub fn new(
        connection: Connection,
        peer: &Peer,
        record_key: &str,
        state: Arc<LinkState>,
    ) -> Self {
        let (stream, input) = connection.into_parts();
        Self {
            stream,
            peer: peer.clone(),
            record_key: record_key.to_owned(),
            input,
            at: 0,
            output: Vec::new(),
            state,
        }
    }

    /// The node at the other end.
    pub fn address(&self) -> &str {
        &self.peer.address
    }

    /// Starts the watch and compares: `Err(RecordChanged)` if the record is not what we wrote.
    pub async fn watch(&mut self, expected: &Expected) -> Result<(), TargetError> {
        self.push_watch();
        self.flush().await?;
        self.read_watch(expected).await
    }

    /// Sends the commands in MULTI … EXEC, with the next watch behind it, and waits for all answers. `after` is
    /// what the record holds if this is applied.
    pub async fn execute(
        &mut self,
        commands: &[u8],
        command_count: usize,
        after: &Expected,
    ) -> Result<Outcome, TargetError> {
        self.send(commands).await?;
        self.receive(command_count, after).await
    }

    /// The first half of [`execute`](Self::execute): from its return on the outcome is in the target's hands.
    pub async fn send(&mut self, commands: &[u8]) -> Result<(), TargetError> {
        encode::command(&mut self.output, &["MULTI"]);
        let head = self.output.len();
        encode::command(&mut self.output, &["EXEC"]);
        self.push_watch();
        let output = std::mem::take(&mut self.output);
        let (multi, exec) = output.split_at(head);
        let sent = self.write_all(&mut [multi, commands, exec]).await;
        self.output = output;
        self.output.clear();
        sent
    }

    /// The second half of [`execute`](Self::execute).
    pub async fn receive(
        &mut self,
        command_count: usize,
        after: &Expected,
    ) -> Result<Outcome, TargetError> {
        let outcome = self.read_outcome(command_count).await?;
        match &outcome {
            Outcome::Applied(errors) if errors.count == 0 => self.read_watch(after).await?,
            // The comparison says nothing here: the caller watches anew, or gives up.
            Outcome::Applied(_) | Outcome::Aborted { .. } | Outcome::RecordChanged => {
                self.read_frame().await?;
                self.read_frame().await?;
            }
        }
        Ok(outcome)
    }

    /// A command outside of MULTI that does not write (SCAN, HGETALL, CLIENT LIST).
    pub async fn ask<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<Frame, TargetError> {
        encode::command(&mut self.output, arguments);
        self.flush().await?;
        match self.read_frame().await? {
            Frame::Error(error) => {
                let command = arguments
                    .first()
                    .map(|name| String::from_utf8_lossy(name.as_ref()).into_owned());
                Err(ConnectionError::Refused { command: command.unwrap_or_default(), error }.into())
            }
            frame => Ok(frame),
        }
    }

    fn push_watch(&mut self) {
        encode::command(&mut self.output, &["WATCH", &self.record_key]);
        let [a, b, c, d] = Expected::FIELDS;
        encode::command(&mut self.output, &["HMGET", &self.record_key, a, b, c, d]);
    }

    async fn read_watch(&mut self, expected: &Expected) -> Result<(), TargetError> {
        match self.read_frame().await? {
            Frame::Simple(_) => {}
            Frame::Error(error) => {
                self.read_frame().await?;
                return Err(TargetError::Refused(error));
            }
            _ => return Err(TargetError::Unexpected("WATCH")),
        }
        match self.read_frame().await? {
            Frame::Error(error) => Err(TargetError::Refused(error)),
            fields if expected.matches(&fields) => Ok(()),
            _ => Err(TargetError::RecordChanged),
        }
    }

    async fn read_outcome(&mut self, command_count: usize) -> Result<Outcome, TargetError> {
        if let Reply::Error(error) = self.read_reply(true).await? {
            return Err(TargetError::Refused(error));
        }
        let mut queued = Errors::default();
        let mut index = 0;
        while index < command_count {
            let run = self.skip_run(b"+QUEUED\r\n", command_count - index);
            if run > 0 {
                index += run;
                continue;
            }
            match self.read_reply(true).await? {
                Reply::Value => {}
                Reply::Error(error) => queued.note(index, error),
                Reply::Null | Reply::Array(_) => {
                    return Err(TargetError::Unexpected("a queued command"));
                }
            }
            index += 1;
        }
        match self.read_reply(false).await? {
            Reply::Null => Ok(Outcome::RecordChanged),
            Reply::Error(exec) => Ok(Outcome::Aborted { queued, exec }),
            // 2.8 answers a transaction whose commands were refused with an empty array.
            Reply::Array(0) if queued.count > 0 => {
                Ok(Outcome::Aborted { queued, exec: "an empty answer to EXEC".into() })
            }
            Reply::Array(count) if count == command_count => {
                let mut errors = Errors::default();
                let mut index = 0;
                while index < count {
                    let run = self.skip_run(b"+OK\r\n", count - index);
                    if run > 0 {
                        index += run;
                        continue;
                    }
                    if let Reply::Error(error) = self.read_reply(true).await? {
                        errors.note(index, error);
                    }
                    index += 1;
                }
                Ok(Outcome::Applied(errors))
            }
            Reply::Array(_) | Reply::Value => Err(TargetError::Unexpected("EXEC")),
        }
    }

    /// Passes over as many of this very answer as are there; most of a batch's answers are the same.
    fn skip_run(&mut self, answer: &[u8], most: usize) -> usize {
        let answers = self.input[self.at..].chunks_exact(answer.len());
        let count = answers.take(most).take_while(|found| *found == answer).count();
        self.at += count * answer.len();
        count
    }

    async fn read_reply(&mut self, skip_array: bool) -> Result<Reply, TargetError> {
        loop {
            match reply::read(&self.input, self.at, skip_array).map_err(protocol)? {
                Some((reply, next)) => {
                    self.at = next;
                    return Ok(reply);
                }
                None => self.read_more().await?,
            }
        }
    }

    async fn read_frame(&mut self) -> Result<Frame, TargetError> {
        loop {
            match frame::decode(&self.input[self.at..]).map_err(protocol)? {
                Some((frame, length)) => {
                    self.at += length;
                    return Ok(frame);
                }
                None => self.read_more().await?,
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), TargetError> {
        self.input.drain(..self.at);
        self.at = 0;
        let since = Instant::now();
        loop {
            match timeout(SILENCE_BEFORE_PROBE, self.stream.read_buf(&mut self.input)).await {
                Ok(Ok(0)) => return Err(ConnectionError::Closed.into()),
                Ok(Ok(_)) => {
                    if since.elapsed() > SILENCE_BEFORE_PROBE {
                        self.state.clear_waiting(WaitSubject::Target);
                    }
                    return Ok(());
                }
                Ok(Err(error)) => return Err(ConnectionError::Io(error).into()),
                Err(_) => self.check_silence(since).await?,
            }
        }
    }

    async fn flush(&mut self) -> Result<(), TargetError> {
        let output = std::mem::take(&mut self.output);
        let result = self.write_all(&mut [&output]).await;
        self.output = output;
        self.output.clear();
        result
    }

    /// Writes all parts, in one system call where the socket takes them, and sees that none of it waits within TLS.
    async fn write_all(&mut self, parts: &mut [&[u8]]) -> Result<(), TargetError> {
        let mut since = Instant::now();
        while parts.iter().any(|part| !part.is_empty()) {
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            match timeout(SILENCE_BEFORE_PROBE, self.stream.write_vectored(&slices)).await {
                Ok(Ok(mut written)) => {
                    for part in parts.iter_mut() {
                        let used = written.min(part.len());
                        *part = &part[used..];
                        written -= used;
                    }
                    since = Instant::now();
                }
                Ok(Err(error)) => return Err(ConnectionError::Io(error).into()),
                Err(_) => self.check_silence(since).await?,
            }
        }
        loop {
            match timeout(SILENCE_BEFORE_PROBE, self.stream.flush()).await {
                Ok(flushed) => return Ok(flushed.map_err(ConnectionError::Io)?),
                Err(_) => self.check_silence(since).await?,
            }
        }
    }

    /// An answer is owed for long: tells it, and gives up if the node is gone.
    async fn check_silence(&self, since: Instant) -> Result<(), TargetError> {
        let seconds = since.elapsed().as_secs();
        // Held writes (`CLIENT PAUSE`) and a cut look the same on the connection that waits.
        let is_tls = self.stream.is_tls();
        if since.elapsed() > SILENCE_MAX
            || !probe::answers(&self.peer.dial, is_tls, SILENCE_BEFORE_PROBE).await
        {
            return Err(TargetError::Silent { seconds });
        }
        let message = format!(
            "{} answers, but not to a batch, for {seconds} s: writes are held there",
            self.peer.address
        );
        self.state.set_waiting(WaitReason::TargetBusy, message);
        Ok(())
    }
}

fn protocol(error: RespError) -> TargetError {
    ConnectionError::Protocol(error).into()
}
