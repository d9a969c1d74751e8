//! Takes off the socket what the source sends, at full speed, into the spool, and acknowledges what the target has
//! (never all of it: Promise 10). Nothing here waits for the target.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, Interval, MissedTickBehavior, interval, timeout},
};

use super::{
    SourceSide, attach::Follows, error::SourceError, rdb_transfer::RdbTransfer,
    scanner::UnitScanner,
};
use crate::{
    connection::{Connection, ConnectionError},
    failpoint::{Failpoint, hit},
    link::Goal,
    position::Offset,
    resp::encode,
    sentinel::follow::Resolution,
    spool::{CopyId, SpoolError, UnitMark},
    state::WaitSubject,
    tls::stream::Stream,
};

/// Read at once. The buffer is the only memory that the source's side needs.
const READ_BYTES: usize = 256 << 10;
/// A silence of this length is looked into: the node is asked each second on another connection as well.
const SILENCE: Duration = Duration::from_secs(5);
/// `repl-timeout`'s default: a master sends a PING every 10 s, so after this the link is dead, whatever else we know.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a full spool may hold the RDB up before the link is closed: the source would end it soon anyway.
const RDB_HELD_MAX: Duration = Duration::from_secs(20);

/// Room is given back many times in a copy; a lack that lasts longer than this is told, well within 10 s.
const RDB_HELD_UNTOLD: Duration = Duration::from_secs(3);

/// The connection, and what was read from it. Nothing is written while a read is waited for, so it is not split.
struct Wire {
    stream: Stream,
    buf: Vec<u8>,
    tick: Interval,
    last_bytes: Instant,
    /// Since when the source is known to be ahead of us with nothing coming.
    ahead_since: Option<Instant>,
}

/// What woke the receiver.
enum Event {
    Bytes,
    Tick,
    Shutdown,
}

impl SourceSide {
    /// Receives until the connection ends or should end. `Ok` is an orderly end of the process.
    pub(super) async fn receive(
        &mut self,
        connection: Connection,
        follows: Follows,
    ) -> Result<(), SourceError> {
        let (stream, mut buf) = connection.into_parts();
        buf.reserve(READ_BYTES);
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wire = Wire { stream, buf, tick, last_bytes: Instant::now(), ahead_since: None };
        self.link.state.clear_waiting(WaitSubject::Source);
        let (offset, db) = match follows {
            Follows::Stream(offset, db) => (offset, db),
            Follows::Rdb(copy_id, offset) => {
                self.link.lag().forget();
                self.link.state.ladder.received.set(offset);
                // What it says is about the history that this copy leaves.
                self.link.state.ladder.spooled.clear();
                self.receive_rdb(&mut wire, copy_id).await?;
                (offset, None)
            }
        };
        // The spool ends here, whether or not anything comes: a quiet source leaves no rung of the ladder unknown.
        self.link.state.ladder.received.set(offset);
        self.link.state.ladder.spooled.set(offset);
        self.receive_stream(wire, UnitScanner::new(offset, db)).await
    }

    /// Waits for bytes or for the second to be over.
    async fn next(&mut self, wire: &mut Wire) -> Result<Event, SourceError> {
        let shutdown = self.link.shutdown.clone();
        tokio::select! {
            () = shutdown.requested() => Ok(Event::Shutdown),
            read = wire.stream.read_buf(&mut wire.buf) => match read.map_err(ConnectionError::Io)? {
                0 => Err(ConnectionError::Closed.into()),
                mut bytes => {
                    // A source that writes in small pieces: what more is there goes into the spool with it.
                    while wire.buf.len() < READ_BYTES {
                        match wire.stream.read_ready(&mut wire.buf).await {
                            Some(Ok(more)) if more > 0 => bytes += more,
                            // Its end, or an error, is met by the next read.
                            _ => break,
                        }
                    }
                    wire.last_bytes = Instant::now();
                    wire.ahead_since = None;
                    self.link.state.counts.bytes_received.add(bytes as u64);
                    Ok(Event::Bytes)
                }
            },
            _ = wire.tick.tick() => Ok(Event::Tick),
            // What an old master sends after another's promotion is lost for the source: not a moment more of it.
            Ok(()) = self.resolution.changed() => Ok(Event::Tick),
        }
    }

    async fn receive_rdb(&mut self, wire: &mut Wire, copy_id: CopyId) -> Result<(), SourceError> {
        let mut transfer = RdbTransfer::default();
        let mut is_header = true;
        let mut received = 0;
        loop {
            if is_header && let Some(length) = transfer.header(&wire.buf)? {
                wire.buf.drain(..length);
                is_header = false;
                self.link.state.full_copy_totals(transfer.length(), None);
                self.rdb_length = transfer.length();
            }
            if !is_header {
                let taken = transfer.take(&wire.buf);
                self.append_rdb(wire, taken.rdb, copy_id).await?;
                wire.buf.drain(..taken.used);
                received += taken.rdb as u64;
                self.link.state.set_copy_bytes_received(received);
                if taken.is_complete {
                    break;
                }
            }
            match self.next(wire).await? {
                Event::Bytes => {}
                Event::Shutdown => return Err(SourceError::GoalChanged),
                Event::Tick => {
                    // Keeps the link alive; means nothing to the source before the RDB's end.
                    self.acknowledge(wire, Offset(0)).await?;
                    self.check_source(wire, None)?;
                    self.check_goal()?;
                }
            }
        }
        tracing::info!(bytes = received, "the RDB has arrived");
        // After a diskless RDB the source holds the stream back until this comes; 2.8 ends the link without it.
        self.acknowledge(wire, Offset(0)).await?;
        hit(Failpoint::BeforeRdbComplete);
        let spool = self.link.spool.clone();
        let mut sync = tokio::task::spawn_blocking(move || spool.rdb_complete());
        loop {
            tokio::select! {
                done = &mut sync => {
                    done.unwrap_or(Err(SpoolError::Unknown))?;
                    self.rdb_failures = 0;
                    return Ok(());
                }
                _ = wire.tick.tick() => self.acknowledge(wire, Offset(0)).await?,
            }
        }
    }

    /// Appends the first `length` bytes of the buffer to the RDB log. Where room is short, waits a while for the
    /// target's side to give back what it has restored.
    async fn append_rdb(
        &mut self,
        wire: &mut Wire,
        length: usize,
        copy_id: CopyId,
    ) -> Result<(), SourceError> {
        if length == 0 {
            return Ok(());
        }
        let since = Instant::now();
        loop {
            match self.link.spool.rdb_append(&wire.buf[..length]) {
                Ok(()) => break,
                Err(error)
                    if error.is_full()
                        && since.elapsed() < RDB_HELD_MAX
                        && !self.link.is_shutting_down() =>
                {
                    if since.elapsed() > RDB_HELD_UNTOLD {
                        self.note_spool_failure(&error);
                        let error = SourceError::from(error);
                        self.link.state.set_waiting(error.wait_reason(), error.to_string());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if since.elapsed().as_millis() % 1000 < 100 {
                        self.acknowledge(wire, Offset(0)).await?;
                    }
                }
                Err(error) if error.is_over_budget() => {
                    self.note_spool_failure(&error);
                    self.rdb_failures += 1;
                    tracing::warn!(%copy_id, failures = self.rdb_failures, "the RDB does not fit into the spool");
                    return Err(error.into());
                }
                Err(error) => {
                    self.note_spool_failure(&error);
                    return Err(error.into());
                }
            }
        }
        self.note_spooled();
        hit(Failpoint::InRdbReceive);
        Ok(())
    }

    async fn receive_stream(
        &mut self,
        mut wire: Wire,
        mut scanner: UnitScanner,
    ) -> Result<(), SourceError> {
        let link = std::sync::Arc::clone(&self.link);
        link.lag().resume(std::time::Instant::now(), scanner.offset());
        self.stream_since = Some(Instant::now());
        loop {
            if !wire.buf.is_empty() {
                scanner.scan(&wire.buf)?;
                let mark = UnitMark { unit_end: scanner.unit_end(), db: scanner.unit_db() };
                if let Err(error) = link.spool.append(&wire.buf, mark) {
                    self.note_spool_failure(&error);
                    return Err(error.into());
                }
                self.note_spooled();
                wire.buf.clear();
                hit(Failpoint::AfterSpooled);
                let offset = scanner.offset();
                link.state.ladder.received.set(offset);
                link.state.ladder.spooled.set(offset);
                link.lag().note_received(std::time::Instant::now(), offset, scanner.data_end());
                if scanner.take_ack_wanted() {
                    self.acknowledge(&mut wire, offset).await?;
                }
            }
            match self.next(&mut wire).await? {
                Event::Bytes => {}
                Event::Shutdown => return self.end(wire, scanner.offset()).await,
                Event::Tick => {
                    self.acknowledge(&mut wire, scanner.offset()).await?;
                    self.check_source(&mut wire, Some(scanner.offset()))?;
                    self.check_goal()?;
                }
            }
        }
    }

    /// The target's side may want another stream, or none. Looked at each second: a wish that came while we attached
    /// must not be missed.
    fn check_goal(&self) -> Result<(), SourceError> {
        let begun = self.link.begun_copy();
        let is_met = match *self.link.goal.borrow() {
            Goal::Hold => false,
            Goal::Continue => true,
            Goal::FullCopy { after, .. } => after != begun,
            // The copy that we have begun since is more than what was wished for.
            Goal::Resume(_, copy_id)
                if begun.is_some() && begun == self.copy_id && begun != Some(copy_id) =>
            {
                true
            }
            Goal::Resume(position, copy_id) => {
                let range = self.link.spool.find_range(position.position);
                range.is_some_and(|range| range.is_live && range.copy_id == copy_id)
            }
        };
        if is_met { Ok(()) } else { Err(SourceError::GoalChanged) }
    }

    /// The master is still the one that Sentinel names, and the link is alive.
    fn check_source(&self, wire: &mut Wire, received: Option<Offset>) -> Result<(), SourceError> {
        if let Resolution::Known(candidate) = &*self.resolution.borrow()
            && candidate.peer() != self.peer
        {
            return Err(SourceError::MasterChanged);
        }
        let silence = wire.last_bytes.elapsed();
        let poll = self.poll.borrow();
        let is_poll_of_this = poll.peer == self.peer;
        let is_gone = is_poll_of_this
            && poll.is_silent
            && poll.failing_since.is_some_and(|since| since.elapsed() >= SILENCE);
        // The source has more, and nothing comes of it.
        let is_ahead = is_poll_of_this && poll.offset > received && received.is_some();
        wire.ahead_since = is_ahead.then(|| wire.ahead_since.unwrap_or_else(Instant::now));
        let is_stuck = wire.ahead_since.is_some_and(|since| since.elapsed() >= SILENCE);
        if silence > SILENCE_MAX || (silence >= SILENCE && (is_gone || is_stuck)) {
            return Err(SourceError::Silent {
                address: self.peer.address.clone(),
                seconds: silence.as_secs(),
            });
        }
        Ok(())
    }

    /// Acknowledges what the target has: at most one byte less than what was received, since a replica that has
    /// everything can be chosen by a plain FAILOVER (Promise 10; seen on 6.2 to 9.1).
    async fn acknowledge(&self, wire: &mut Wire, received: Offset) -> Result<(), SourceError> {
        let offset = self.link.acknowledged(self.copy_id).0.min(received.0.saturating_sub(1));
        let mut command = Vec::with_capacity(64);
        encode::command(&mut command, &["REPLCONF", "ACK", itoa::Buffer::new().format(offset)]);
        let sent = async {
            wire.stream.write_all(&command).await?;
            wire.stream.flush().await
        };
        match timeout(SILENCE, sent).await {
            Ok(result) => Ok(result.map_err(ConnectionError::Io)?),
            Err(_) => Err(SourceError::Silent {
                address: self.peer.address.clone(),
                seconds: SILENCE.as_secs(),
            }),
        }
    }

    /// Waits for the target's side to drain, then acknowledges for the last time.
    async fn end(&mut self, mut wire: Wire, received: Offset) -> Result<(), SourceError> {
        let mut drained = self.link.drained.subscribe();
        while !*drained.borrow_and_update() {
            tokio::select! {
                changed = drained.changed() => if changed.is_err() { break },
                _ = wire.tick.tick() => self.acknowledge(&mut wire, received).await?,
            }
        }
        self.acknowledge(&mut wire, received).await?;
        // The acknowledgement is sent before the end of the connection is.
        wire.stream.shutdown().await.map_err(ConnectionError::Io)?;
        Ok(())
    }
}
