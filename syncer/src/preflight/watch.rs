//! Reads the facts while the pair runs: all of them before the first full copy, every five minutes and after a switch of a
//! master; every few seconds those that may turn at any time (evictions, clocks). On connections of its own: what it meets
//! is told and never holds up the data, but for a target that evicts keys, which the target's side then waits for.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};
use tracing::{info, warn};

use super::{
    checks, clock,
    expiry::{Delays, ExpiryWatch},
    facts::{Facts, NodeFacts},
    info::Info,
    read, refusal,
};
use crate::{
    address::Peer,
    causes::chain,
    config::Site,
    connection::{Connection, ConnectionError},
    contract::{Check, CheckName, CheckResult, EvictingTarget, WaitEnd},
    link::Link,
    resp::frame::Frame,
    sentinel::follow::Resolution,
};

/// How often what may turn at any time is asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How often everything is.
const ROUND_INTERVAL: Duration = Duration::from_secs(300);
/// After a round in which a node could not be asked, and after the first.
const ROUND_RETRY: Duration = Duration::from_secs(30);
/// A node that was just promoted needs a moment to be what it is.
const SETTLE: Duration = Duration::from_secs(3);
/// How long both masters are waited for before it is told that one is missing.
const FIND_MAX: Duration = Duration::from_secs(15);

/// One end, as it is asked.
#[derive(Debug)]
pub(super) struct Probe {
    peer: Peer,
    connection: Option<Connection>,
    /// Refused once, it is not asked on this connection again: each refusal is a line in the server's ACL log.
    may_ask_time: bool,
}

impl Probe {
    pub(super) fn new(peer: Peer) -> Self {
        Self { peer, connection: None, may_ask_time: true }
    }

    /// A round begins: with the login and the rights of now, not those of the last one.
    async fn reopen(&mut self, site: &Site, name: &str) -> Result<&mut Connection, String> {
        self.connection = None;
        self.open(site, name).await
    }

    pub(super) async fn open(
        &mut self,
        site: &Site,
        name: &str,
    ) -> Result<&mut Connection, String> {
        if self.connection.is_none() {
            let login = site.login.read().map_err(|error| chain(&error))?;
            let opened = Connection::open(&self.peer, &login, name).await;
            self.connection = Some(opened.map_err(|error| chain(&error))?);
            self.may_ask_time = true;
        }
        self.connection.as_mut().ok_or_else(|| "not connected".to_owned())
    }

    /// How far its clock is ahead of `base`; `None` where it does not say.
    pub(super) async fn ask_time(&mut self, base: Instant) -> Result<Option<i64>, ConnectionError> {
        let Some(connection) = self.connection.as_mut().filter(|_| self.may_ask_time) else {
            return Ok(None);
        };
        let asked = Instant::now();
        match connection.call(&["TIME"]).await {
            Ok(reply) => {
                let answered = Instant::now();
                let time = clock::parse_time(&reply);
                Ok(time.map(|time| clock::ahead(base, time, asked, answered)))
            }
            Err(ConnectionError::Refused { .. }) => {
                self.may_ask_time = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn source_facts(
        &mut self,
        site: &Site,
        name: &str,
        record: &str,
        is_attached: bool,
    ) -> Result<NodeFacts, String> {
        let address = self.peer.address.clone();
        let user = site.login.auth.as_ref().and_then(|auth| auth.username.clone());
        let user = user.unwrap_or_else(|| "default".to_owned());
        let connection = self.reopen(site, name).await?;
        let facts = read::source(connection, &address, &user, record, is_attached).await;
        self.kept(facts)
    }

    pub(super) async fn target_facts(
        &mut self,
        site: &Site,
        name: &str,
        database: Option<u32>,
    ) -> Result<NodeFacts, String> {
        let address = self.peer.address.clone();
        let connection = self.reopen(site, name).await?;
        let facts = read::target(connection, &address, database).await;
        self.kept(facts)
    }

    /// After an error nothing is known of what is still to come on the connection.
    fn kept<T>(&mut self, outcome: Result<T, ConnectionError>) -> Result<T, String> {
        outcome.map_err(|error| {
            self.connection = None;
            chain(&error)
        })
    }
}

/// The target's count of evictions, as last read.
#[derive(Debug, Default)]
struct Evictions {
    run_id: String,
    count: u64,
}

impl Evictions {
    /// How many more than at the last look. A node that is looked at for the first time, or was restarted, begins anew.
    fn note(&mut self, run_id: &str, count: u64) -> u64 {
        let more = match self.run_id == run_id {
            true => count.saturating_sub(self.count),
            false => 0,
        };
        *self = Self { run_id: run_id.to_owned(), count };
        more
    }
}

struct Watch {
    link: Arc<Link>,
    base: Instant,
    source: Option<Probe>,
    target: Option<Probe>,
    skew_milliseconds: Option<i64>,
    evictions: Evictions,
    evicted_told: u64,
    expiry: ExpiryWatch,
    round_due: time::Instant,
    give_up_finding: time::Instant,
    was_round_made: bool,
    logged: Vec<(CheckName, WaitEnd, CheckResult)>,
}

/// Watches for as long as the process lives.
pub async fn run(
    link: Arc<Link>,
    mut source: watch::Receiver<Resolution>,
    mut target: watch::Receiver<Resolution>,
) {
    let now = time::Instant::now();
    let mut watch = Watch {
        link,
        base: Instant::now(),
        source: None,
        target: None,
        skew_milliseconds: None,
        evictions: Evictions::default(),
        evicted_told: 0,
        expiry: ExpiryWatch::default(),
        round_due: now,
        give_up_finding: now + FIND_MAX,
        was_round_made: false,
        logged: Vec::new(),
    };
    let mut tick = time::interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_due = tokio::select! {
            _ = tick.tick() => true,
            Ok(()) = source.changed() => false,
            Ok(()) = target.changed() => false,
        };
        let found = (source.borrow_and_update().clone(), target.borrow_and_update().clone());
        watch.step(is_due, found.0, found.1).await;
    }
}

impl Watch {
    /// `is_due`: not only because the sentinels have said something, which they do often while they search.
    async fn step(&mut self, is_due: bool, source: Resolution, target: Resolution) {
        let switched = [follow(&mut self.source, &source), follow(&mut self.target, &target)];
        if !is_due && !switched.contains(&true) {
            return;
        }
        if switched.contains(&true) && self.was_round_made {
            self.round_due = time::Instant::now() + SETTLE;
        }
        let now = time::Instant::now();
        let is_found = [&source, &target].iter().all(|it| matches!(it, Resolution::Known(_)));
        let is_overdue = !self.was_round_made && now >= self.give_up_finding;
        self.look().await;
        if now >= self.round_due && (is_found || is_overdue) {
            self.round([&source, &target]).await;
        }
    }

    /// What may turn at any time.
    async fn look(&mut self) {
        let link = Arc::clone(&self.link);
        let config = link.config();
        let name = &link.names.reader;
        let mut ahead = [None, None];
        for ((probe, site), ahead) in
            [(&mut self.source, &config.source), (&mut self.target, &config.target)]
                .into_iter()
                .zip(&mut ahead)
        {
            let Some(probe) = probe else { continue };
            if let Err(error) = probe.open(site, name).await {
                tracing::debug!(error, "the preflight's connection failed");
                continue;
            }
            let told = probe.ask_time(self.base).await;
            *ahead = probe.kept(told).ok().flatten();
        }
        self.skew_milliseconds = match ahead {
            [Some(source), Some(target)] => Some(clock::skew_milliseconds(source, target)),
            _ => None,
        };
        self.look_for_evictions().await;
        let delays = Delays {
            grace: config.grace,
            lag_milliseconds: link.state.lag_milliseconds(),
            copies: link.state.copy_times(),
            skew_milliseconds: self.skew_milliseconds,
        };
        link.state.set_expiry(self.expiry.look(Instant::now(), delays));
    }

    async fn look_for_evictions(&mut self) {
        let Some(probe) = &mut self.target else { return };
        let Some(connection) = &mut probe.connection else { return };
        let sections = ["server", "memory", "stats"].map(|section| vec!["INFO", section]);
        let answers = connection.call_each(&sections).await;
        let Ok(answers) = probe.kept(answers) else { return };
        let [server, memory, stats] = answers.as_slice() else { return };
        let [server, memory, stats] =
            [server, memory, stats].map(|answer| Info(answer.text().unwrap_or_default()));
        let state = &self.link.state;
        if let (Some(run_id), Some(count)) = (server.field("run_id"), stats.number("evicted_keys"))
        {
            state.counts.keys_evicted.add(self.evictions.note(run_id, count));
        }
        // Before 4.0 it is asked for when the target's side attaches, and by each round.
        if let (Some(max), Some(policy)) =
            (memory.number("maxmemory"), memory.field("maxmemory_policy"))
        {
            self.tell_refusal(refusal(max, policy, self.link.config().evicting_target));
        }
        // Each power of ten is news.
        let evicted = self.link.state.evicted_since_copy();
        if evicted.checked_ilog10() != self.evicted_told.checked_ilog10() {
            self.round_due = time::Instant::now();
        }
        self.evicted_told = evicted;
    }

    fn tell_refusal(&mut self, why: Option<String>) {
        if self.turn_refusal(why) {
            // The check says the same as the wait.
            self.round_due = time::Instant::now();
        }
    }

    /// Tells the target's side why it may not write; whether that is another answer than before.
    fn turn_refusal(&self, why: Option<String>) -> bool {
        let evicts = &self.link.evicts;
        let is_turn = evicts.borrow().is_some() != why.is_some();
        if is_turn {
            evicts.send_replace(why);
        }
        is_turn
    }

    /// Everything.
    async fn round(&mut self, resolutions: [&Resolution; 2]) {
        let link = Arc::clone(&self.link);
        let config = link.config();
        let names = &link.names;
        let is_attached = link.is_source_attached.load(Relaxed);
        let source = match &mut self.source {
            Some(probe) => {
                probe.source_facts(&config.source, &names.reader, &names.record, is_attached).await
            }
            None => Err(unknown(resolutions[0])),
        };
        let database =
            source.as_ref().ok().and_then(|source: &NodeFacts| source.info().highest_database());
        let target = match &mut self.target {
            Some(probe) => probe.target_facts(&config.target, &names.reader, database).await,
            None => Err(unknown(resolutions[1])),
        };
        let is_whole = source.is_ok() && target.is_ok();
        if let Ok(target) = &target
            && let (Some(max), Some(policy)) =
                (super::target::max_memory(target), super::target::policy(target))
        {
            self.turn_refusal(refusal(max, policy, config.evicting_target));
        }
        let facts = Facts {
            source,
            target,
            sentinels: [
                sentinels(&config.source, resolutions[0]),
                sentinels(&config.target, resolutions[1]),
            ],
            stream_bytes_per_second: link.state.stream_bytes_per_second(),
            is_attached,
            skew_milliseconds: self.skew_milliseconds,
            grace_milliseconds: config.grace.span().map_or(0, |span| span.as_millis() as u64),
            is_evicting_allowed: config.evicting_target == EvictingTarget::Allow,
            evicted_since_copy: link.state.evicted_since_copy(),
        };
        let checks = checks(&facts);
        self.log(&checks);
        link.state.set_preflight(checks);
        link.is_preflighted.send_replace(true);
        // Once more soon after the first: by then PSYNC was granted or not, and the stream is measured.
        let is_settled = is_whole && (is_attached || self.was_round_made);
        self.was_round_made = true;
        let pause = if is_settled { ROUND_INTERVAL } else { ROUND_RETRY };
        self.round_due = time::Instant::now() + pause;
    }
}

impl Watch {
    /// What is not well, once: for whoever has no operator that shows it.
    fn log(&mut self, checks: &[Check]) {
        let of = |check: &Check| (check.check, check.end, check.result);
        let news = checks.iter().filter(|check| !self.logged.contains(&of(check)));
        for Check { check, end, result, message, advice } in news {
            match result {
                CheckResult::Passed => {}
                CheckResult::Failed => warn!(%check, %end, message, advice, "preflight failed"),
                _ => info!(%check, %end, %result, message, advice, "preflight"),
            }
        }
        self.logged = checks.iter().map(of).collect();
    }
}

/// Puts another peer in place; whether it is another one. While nobody can tell, the last one stays.
fn follow(probe: &mut Option<Probe>, resolution: &Resolution) -> bool {
    let Resolution::Known(candidate) = resolution else { return false };
    let peer = candidate.peer();
    if probe.as_ref().is_some_and(|probe| probe.peer == peer) {
        return false;
    }
    *probe = Some(Probe::new(peer));
    true
}

pub(super) fn unknown(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Unknown { message, .. } => message.clone(),
        Resolution::Known(_) => "it was not asked yet".to_owned(),
    }
}

pub(super) fn sentinels(site: &Site, resolution: &Resolution) -> Option<Result<(), String>> {
    let has_sentinels = matches!(site.endpoint, crate::config::Endpoint::Sentinel { .. });
    has_sentinels.then(|| match resolution {
        Resolution::Known(_) => Ok(()),
        Resolution::Unknown { message, .. } => Err(message.clone()),
    })
}

/// The target's limit and policy, on a connection that is there already: what the target's side asks before it writes.
pub async fn evicting(
    connection: &mut Connection,
) -> Result<Option<(u64, String)>, ConnectionError> {
    let commands = [
        vec!["INFO", "memory"],
        vec!["CONFIG", "GET", "maxmemory"],
        vec!["CONFIG", "GET", "maxmemory-policy"],
    ];
    let first = connection.call_each(&commands[..1]).await?;
    let info = Info(first.first().and_then(Frame::text).unwrap_or_default());
    if let (Some(max), Some(policy)) = (info.number("maxmemory"), info.field("maxmemory_policy")) {
        return Ok(Some((max, policy.to_owned())));
    }
    // Before 4.0.
    let answers = connection.call_each(&commands[1..]).await?;
    let value = |index: usize| answers.get(index)?.array()?.get(1)?.text().map(str::to_owned);
    Ok(value(0).and_then(|max| max.parse().ok()).zip(value(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evictions_are_counted_from_the_first_look_on_and_anew_after_a_restart() {
        let mut evictions = Evictions::default();
        let counts = [("a", 900), ("a", 905), ("a", 905), ("b", 3), ("b", 4), ("b", 0)];
        let more = counts.map(|(run_id, count)| evictions.note(run_id, count));
        assert_eq!(more, [0, 5, 0, 0, 1, 0]);
    }
}
