//! One Sentinel, asked at its pace (each second) and listened to, for as long as the task lives.
//!
//! The polled answer decides. The subscription only says when to ask at once; it lives and dies with the polling
//! connection, so that a peer which does not answer is not waited for twice. Names are resolved again, password and
//! certificates are read again at each connect.

use std::{convert::Infallible, error::Error as _, sync::Arc, time::Instant};

use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{
    backoff::Backoff,
    council::{Outcome, Refusal, Report},
    follow::FollowTarget,
    pace::{POLL_TIMEOUT, Pace},
    pick::Answer,
    reply::{Event, SentinelEntry, parse_address, parse_event, parse_master, parse_sentinels},
};
use crate::{
    causes,
    connection::{Connection, ConnectionError},
    login::{Login, LoginError},
    resp::frame::Frame,
};

/// The message that a change of the master is announced with.
const SWITCH_MASTER: &str = "+switch-master";
/// Other messages of a failover: subscribed apart, since an ACL may not grant these channels.
const OTHER_CHANNELS: [&str; 6] =
    ["+odown", "-odown", "+promoted-slave", "+failover-end", "+reset-master", "+tilt"];

/// What a voice's task needs.
#[derive(Debug)]
pub(super) struct VoiceContext {
    pub(super) voice: u64,
    pub(super) address: String,
    pub(super) end: Arc<str>,
    pub(super) pace: Pace,
    pub(super) connection_name: String,
    pub(super) master_name: String,
    pub(super) target: watch::Receiver<FollowTarget>,
    pub(super) hints: Arc<watch::Sender<u64>>,
    pub(super) reports: mpsc::Sender<Report>,
}

/// Why a connection to a Sentinel ended.
#[derive(Debug)]
struct Failure {
    refusal: Option<Refusal>,
    message: String,
}

impl From<ConnectionError> for Failure {
    fn from(err: ConnectionError) -> Self {
        let refusal = match &err {
            err if err.is_refused_login() => Some(Refusal::Login),
            err if err.is_tls() => Some(Refusal::Tls),
            _ => None,
        };
        let message = match err.source() {
            Some(source) => format!("{err}: {source}"),
            None => err.to_string(),
        };
        Self { refusal, message }
    }
}

impl From<LoginError> for Failure {
    fn from(err: LoginError) -> Self {
        let refusal = match &err {
            LoginError::Password(_) => Refusal::Login,
            LoginError::Tls(_) => Refusal::Tls,
        };
        Self { refusal: Some(refusal), message: causes::chain(&err) }
    }
}

/// Asks until it is aborted.
pub(super) async fn run(ctx: VoiceContext) {
    let mut backoff = Backoff::new();
    let mut is_answering = true;
    loop {
        let asked_at = Instant::now();
        let Err(Failure { refusal, message }) =
            session(&ctx, &mut backoff, &mut is_answering).await;
        if is_answering {
            warn!(end = &*ctx.end, sentinel = %ctx.address, error = %message, "a Sentinel does not answer");
            is_answering = false;
        }
        let outcome = match refusal {
            Some(refusal) => Outcome::Refused(refusal, message),
            None => Outcome::Unreachable(message),
        };
        ctx.tell(asked_at, outcome).await;
        sleep(backoff.step()).await;
    }
}

async fn session(
    ctx: &VoiceContext,
    backoff: &mut Backoff,
    is_answering: &mut bool,
) -> Result<Infallible, Failure> {
    let mut connection = ctx.connect().await?;
    let sentinel_id = match connection.call(&["SENTINEL", "MYID"]).await {
        Ok(reply) => reply.text().map(str::to_owned),
        Err(ConnectionError::Refused { .. }) => None,
        Err(other) => return Err(other.into()),
    };
    tokio::select! {
        ended = poll(ctx, &mut connection, sentinel_id, backoff, is_answering) => ended,
        never = keep_listening(ctx) => match never {},
    }
}

async fn poll(
    ctx: &VoiceContext,
    connection: &mut Connection,
    sentinel_id: Option<String>,
    backoff: &mut Backoff,
    is_answering: &mut bool,
) -> Result<Infallible, Failure> {
    let mut hints = ctx.hints.subscribe();
    let mut listed_at: Option<Instant> = None;
    loop {
        // What is heard from here on asks for one more poll, however long this one takes.
        hints.mark_unchanged();
        let asked_at = Instant::now();
        let answer = ask(connection, &ctx.master_name).await?;
        let is_due = listed_at.is_none_or(|at| at.elapsed() >= ctx.pace.list());
        let announced = if is_due {
            listed_at = Some(Instant::now());
            list(connection, &ctx.master_name).await?
        } else {
            None
        };
        backoff.reset();
        if !*is_answering {
            info!(end = &*ctx.end, sentinel = %ctx.address, "a Sentinel answers");
            *is_answering = true;
        }
        let sentinel_id = sentinel_id.clone();
        ctx.tell(asked_at, Outcome::Answered { sentinel_id, answer, announced }).await;
        tokio::select! {
            _ = hints.changed() => {}
            () = sleep(ctx.pace.poll) => {}
        }
    }
}

/// The address first, then the epoch, in one flight: if the configuration changes between the two, an old address
/// comes with a new epoch and the next poll mends it. The other way round a new address would look old.
async fn ask(connection: &mut Connection, master_name: &str) -> Result<Answer, ConnectionError> {
    let command = || "SENTINEL".to_owned();
    let exchange = async {
        connection.send(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master_name]).await?;
        connection.send(&["SENTINEL", "MASTER", master_name]).await?;
        Ok((connection.read_frame().await?, connection.read_frame().await?))
    };
    let (address, master) = timeout(POLL_TIMEOUT, exchange)
        .await
        .map_err(|_| ConnectionError::TimedOut { command: command() })??;
    for reply in [&address, &master] {
        match reply {
            Frame::Error(error) if error.contains("No such master") => {
                return Ok(Answer::NameUnknown);
            }
            Frame::Error(error) => {
                return Err(ConnectionError::Refused { command: command(), error: error.clone() });
            }
            _ => {}
        }
    }
    match (parse_address(&address), parse_master(&master)) {
        (Ok(None), _) => Ok(Answer::NameUnknown),
        (Ok(Some(address)), Ok(master)) => {
            Ok(Answer::Master { address, config_epoch: master.config_epoch.unwrap_or(0) })
        }
        _ => Err(ConnectionError::Unexpected { command: command() }),
    }
}

/// The other Sentinels; `None` if this one does not tell.
async fn list(
    connection: &mut Connection,
    master_name: &str,
) -> Result<Option<Vec<SentinelEntry>>, ConnectionError> {
    match connection.call(&["SENTINEL", "SENTINELS", master_name]).await {
        Ok(reply) => Ok(parse_sentinels(&reply).ok()),
        Err(ConnectionError::Refused { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

async fn keep_listening(ctx: &VoiceContext) -> Infallible {
    let mut backoff = Backoff::new();
    loop {
        let Err(Failure { message, .. }) = listen(ctx, &mut backoff).await;
        debug!(end = &*ctx.end, sentinel = %ctx.address, error = %message, "a Sentinel's messages are not heard");
        sleep(backoff.step()).await;
    }
}

async fn listen(ctx: &VoiceContext, backoff: &mut Backoff) -> Result<Infallible, Failure> {
    let mut connection = ctx.connect().await?;
    connection.call(&["SUBSCRIBE", SWITCH_MASTER]).await?;
    backoff.reset();
    let mut others = vec!["SUBSCRIBE"];
    others.extend(OTHER_CHANNELS);
    connection.send(&others).await?;
    loop {
        let frame = match timeout(ctx.pace.listen(), connection.read_frame()).await {
            Ok(frame) => frame?,
            Err(_) => {
                // Any answer is a sign of life; before 3.0 it is an error.
                connection.send(&["PING"]).await?;
                let command = "PING".to_owned();
                timeout(POLL_TIMEOUT, connection.read_frame())
                    .await
                    .map_err(|_| ConnectionError::TimedOut { command })??
            }
        };
        if let Some(event) = parse_event(&frame) {
            ctx.heed(&event);
        }
    }
}

impl VoiceContext {
    async fn connect(&self) -> Result<Connection, Failure> {
        let login = self.login()?;
        let peer = self.target.borrow().addresses().peer(&self.address);
        let open = Connection::open(&peer, &login, &self.connection_name);
        Ok(open.await?)
    }

    /// Reads what to log in with, as configured at this moment.
    fn login(&self) -> Result<Login, LoginError> {
        let login = match &*self.target.borrow() {
            FollowTarget::Sentinel { login, .. } => login.clone(),
            FollowTarget::Standalone { .. } => return Ok(Login::default()),
        };
        login()
    }

    async fn tell(&self, asked_at: Instant, outcome: Outcome) {
        // Nobody listens any more when the follower ends, which aborts this task too.
        let _ = self.reports.send(Report { voice: self.voice, asked_at, outcome }).await;
    }

    /// A message about our master lets every Sentinel be asked at once.
    fn heed(&self, event: &Event) {
        let (end, sentinel) = (&*self.end, &self.address);
        let is_ours = match event {
            Event::SwitchMaster { master_name, old, new } => {
                debug!(end, %sentinel, %master_name, %old, %new, "a Sentinel has switched");
                *master_name == self.master_name
            }
            Event::Other { channel, master_name, payload } => {
                debug!(end, %sentinel, %channel, %payload, "a Sentinel says");
                master_name.as_ref() == Some(&self.master_name)
            }
        };
        if is_ours {
            self.hints.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}
