//! Asks the source for its own offset each second, on a connection of its own: lag is measured against the source's
//! word (Promise 9), and a link that went silent is told from a source that is idle.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{error::SourceError, info::History};
use crate::{
    address::Peer,
    causes::chain,
    connection::{Connection, ConnectionError},
    link::Link,
    position::Offset,
    preflight::backlog::{BacklogMeter, Sample},
    sentinel::follow::Resolution,
    state::End,
};

const INTERVAL: Duration = Duration::from_secs(1);

/// What the last polls of a node gave.
#[derive(Clone, Debug, Default)]
pub struct Poll {
    /// The node.
    pub peer: Peer,
    /// Since when its word is not had.
    pub failing_since: Option<Instant>,
    /// Whether that is because it does not answer. A node that refuses us, or that we do not trust, lives: a connection that
    /// works is not given up for that.
    pub is_silent: bool,
    /// Its offset.
    pub offset: Option<Offset>,
}

impl Poll {
    fn answered(&mut self, offset: Option<Offset>) {
        (self.failing_since, self.is_silent) = (None, false);
        self.offset = offset;
    }
}

/// Polls for as long as the process lives.
pub async fn run(
    link: Arc<Link>,
    mut resolution: watch::Receiver<Resolution>,
    polls: watch::Sender<Poll>,
) {
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection: Option<Connection> = None;
    let mut backlog = BacklogMeter::default();
    loop {
        tick.tick().await;
        let peer = match &*resolution.borrow_and_update() {
            Resolution::Known(candidate) => candidate.peer(),
            Resolution::Unknown { .. } => continue,
        };
        if polls.borrow().peer != peer {
            connection = None;
            backlog.forget();
            polls.send_modify(|poll| *poll = Poll { peer: peer.clone(), ..Poll::default() });
        }
        let asked = Instant::now();
        match ask(&link, &peer, &mut connection).await {
            Ok(history) => {
                if let Some(history) = &history {
                    note(&link, history);
                    measure(&link, history, &mut backlog);
                }
                link.state.set_answer(End::Source, Ok(()));
                polls.send_modify(|poll| poll.answered(history.map(|history| history.offset)));
            }
            Err(error) => {
                tracing::debug!(%error, address = peer.address, "the source did not answer INFO");
                connection = None;
                let is_silent = match &error {
                    // Nobody was asked.
                    SourceError::Login(_) => false,
                    // A refusal is an answer: that it passes is waited for elsewhere.
                    SourceError::Connection(ConnectionError::Refused { .. }) => {
                        link.state.set_answer(End::Source, Ok(()));
                        false
                    }
                    error => {
                        link.state.set_answer(End::Source, Err(chain(error)));
                        !matches!(error, SourceError::Connection(ConnectionError::Tls { .. }))
                    }
                };
                // Since the question, not since its time ran out: a silent cut is told within 10 s.
                polls.send_modify(|poll| {
                    poll.failing_since.get_or_insert(asked);
                    poll.is_silent = is_silent;
                });
            }
        }
    }
}

async fn ask(
    link: &Link,
    peer: &Peer,
    connection: &mut Option<Connection>,
) -> Result<Option<History>, SourceError> {
    let open = match connection {
        Some(open) => open,
        None => {
            let login = link.config().source.login.read()?;
            connection.insert(Connection::open(peer, &login, &link.names.reader).await?)
        }
    };
    let info = open.call(&["INFO", "replication"]).await?;
    Ok(info.text().and_then(History::parse))
}

/// How long the backlog bridges. One that is not there yet has no rate: the source counts no offset without it.
fn measure(link: &Link, history: &History, meter: &mut BacklogMeter) {
    let (Some(backlog_bytes), Some(_)) = (history.backlog_bytes, history.backlog_first) else {
        meter.forget();
        link.state.set_backlog(None);
        return;
    };
    let is_attached = link.is_source_attached.load(Relaxed);
    let received =
        link.state.ladder.received.get().filter(|_| !is_attached && is_followed(link, history));
    let sample = Sample { replid: history.replid, offset: history.offset, backlog_bytes, received };
    // While a new history is measured, what was known of the one before stands.
    if let Some(report) = meter.note(std::time::Instant::now(), sample) {
        link.state.set_backlog(Some(report));
    }
}

/// Whether it is the history that we follow.
fn is_followed(link: &Link, history: &History) -> bool {
    let replid =
        link.spool.live_range().and_then(|range| range.lineage.last().map(|entry| entry.replid));
    replid == Some(history.replid)
}

/// The source's offset counts for the lag while it is in the history that we follow.
fn note(link: &Link, history: &History) {
    if is_followed(link, history) {
        link.state.ladder.source.set(history.offset);
        link.lag().note_source(std::time::Instant::now(), history.offset);
    }
}
