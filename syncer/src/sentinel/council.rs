//! Who has a voice, what each said last, and what follows from it. No sockets and no clock: the driver brings
//! reports and the time, and does what [`Council::reconcile`] asks for.
//!
//! A *voice* is one address that is asked. Two voices may be one Sentinel (a configured name, and the address
//! under which the others announce it; or a load-balancing service in front of all of them): they are told by the
//! Sentinel's id, and one Sentinel has one vote.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    pace::Pace,
    pick::{Answer, Candidate, Pick, ResolveFailure, View, pick_master},
    reply::SentinelEntry,
};

/// More Sentinels are not asked. Real deployments have 3 to 7; the limit is for a list gone wild.
const SENTINELS_MAX: usize = 32;
/// The first choice waits for more voices than one, but not longer than a connection attempt may take.
const SETTLE_MAX: Duration = Duration::from_secs(4);
/// How many Sentinels a message quotes.
const QUOTES_MAX: usize = 5;

/// What the task of a voice tells.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) voice: u64,
    /// When the question was sent: the answer is not older than that.
    pub(super) asked_at: Instant,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Answered {
        /// `None` before 6.2, which has no `SENTINEL MYID`.
        sentinel_id: Option<String>,
        answer: Answer,
        /// The other Sentinels that it knows, when it was asked for them.
        announced: Option<Vec<SentinelEntry>>,
    },
    Refused(Refusal, String),
    Unreachable(String),
}

/// Why somebody who can be reached tells us nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The user or its password, or there is none to send.
    Login,
    /// There is no TLS between us.
    Tls,
}

/// What the driver is to do: voices to start (with their addresses) and to stop.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) start: Vec<(u64, String)>,
    pub(super) stop: Vec<u64>,
}

#[derive(Debug)]
struct Voice {
    address: String,
    /// The key in `announced`, or `None` for a configured endpoint.
    announced_as: Option<String>,
    /// Its own word for its id, kept when it stops answering.
    sentinel_id: Option<String>,
    heard: Heard,
    /// An older answer is no vote.
    answer_age_max: Duration,
}

#[derive(Debug)]
enum Heard {
    Nothing,
    Answer(Instant, Answer),
    Refusal(Refusal, String),
    Failure(String),
}

#[derive(Debug)]
struct Announced {
    address: String,
    last_announced: Instant,
}

#[derive(Debug)]
pub(super) struct Council {
    configured: Vec<String>,
    /// By id, or by address as long as the id is not known.
    announced: BTreeMap<String, Announced>,
    voices: BTreeMap<u64, Voice>,
    next_voice: u64,
    opened_at: Instant,
    is_settled: bool,
    pace: Pace,
}

impl Council {
    pub(super) fn new(endpoints: &[String], pace: Pace, now: Instant) -> Self {
        let mut configured: Vec<String> = Vec::new();
        for endpoint in endpoints.iter().take(SENTINELS_MAX) {
            if !configured.contains(endpoint) {
                configured.push(endpoint.clone());
            }
        }
        Self {
            configured,
            announced: BTreeMap::new(),
            voices: BTreeMap::new(),
            next_voice: 0,
            opened_at: now,
            is_settled: false,
            pace,
        }
    }

    /// Takes a report in; one of a voice that was stopped meanwhile is dropped.
    pub(super) fn hear(&mut self, report: Report, now: Instant) {
        let Some(voice) = self.voices.get_mut(&report.voice) else { return };
        match report.outcome {
            Outcome::Answered { sentinel_id, answer, announced } => {
                voice.sentinel_id = sentinel_id;
                voice.heard = Heard::Answer(report.asked_at, answer);
                for entry in announced.unwrap_or_default() {
                    self.announce(entry, now);
                }
            }
            Outcome::Refused(refusal, message) => voice.heard = Heard::Refusal(refusal, message),
            Outcome::Unreachable(message) => voice.heard = Heard::Failure(message),
        }
    }

    fn announce(&mut self, entry: SentinelEntry, now: Instant) {
        let key = entry.run_id.unwrap_or_else(|| entry.address.clone());
        let is_full = self.configured.len() + self.announced.len() >= SENTINELS_MAX;
        let answering = self
            .voices
            .values()
            .find(|voice| voice.announced_as.as_ref() == Some(&key) && voice.answer(now).is_some());
        match self.announced.get_mut(&key) {
            Some(known) => {
                known.last_announced = now;
                // Some still know an old address of a Sentinel that has moved: the one that answers is right.
                if answering.is_none() {
                    known.address = entry.address;
                }
            }
            None if is_full => {}
            None => {
                let announced = Announced { address: entry.address, last_announced: now };
                self.announced.insert(key, announced);
            }
        }
    }

    /// Brings the voices in line with who is configured and announced.
    pub(super) fn reconcile(&mut self, now: Instant) -> Changes {
        self.forget(now);
        // A configured endpoint that answers speaks for the Sentinel that it leads to, and no address is asked twice.
        let spoken_for: BTreeSet<&str> = self
            .voices
            .values()
            .filter(|voice| voice.announced_as.is_none() && voice.answer(now).is_some())
            .map(|voice| self.sentinel(voice))
            .collect();
        let configured = self.configured.iter().map(|address| (None, address));
        let announced = self
            .announced
            .iter()
            .filter(|(key, announced)| {
                !spoken_for.contains(key.as_str()) && !self.configured.contains(&announced.address)
            })
            .map(|(key, announced)| (Some(key), &announced.address));
        let mut missing: BTreeSet<(Option<String>, String)> = configured
            .chain(announced)
            .map(|(key, address)| (key.cloned(), address.clone()))
            .collect();

        let mut changes = Changes::default();
        self.voices.retain(|id, voice| {
            let is_wanted = missing.remove(&(voice.announced_as.clone(), voice.address.clone()));
            if !is_wanted {
                changes.stop.push(*id);
            }
            is_wanted
        });
        for (announced_as, address) in missing {
            let id = self.next_voice;
            self.next_voice += 1;
            changes.start.push((id, address.clone()));
            let voice = Voice {
                address,
                announced_as,
                sentinel_id: None,
                heard: Heard::Nothing,
                answer_age_max: self.pace.answer_age_max(),
            };
            self.voices.insert(id, voice);
        }
        changes
    }

    /// Drops the voices that do not answer, so that [`Council::reconcile`] starts them anew, without their backoff.
    pub(super) fn drop_silent(&mut self, now: Instant) -> Vec<u64> {
        self.drop_voices(|_, voice| voice.answer(now).is_none())
    }

    /// Drops a voice whose task has ended.
    pub(super) fn drop_voice(&mut self, id: u64) {
        self.drop_voices(|other, _| other == id);
    }

    fn drop_voices(&mut self, is_dropped: impl Fn(u64, &Voice) -> bool) -> Vec<u64> {
        let mut dropped = Vec::new();
        self.voices.retain(|id, voice| {
            let is_dropped = is_dropped(*id, voice);
            if is_dropped {
                dropped.push(*id);
            }
            !is_dropped
        });
        dropped
    }

    /// While nobody answers, nobody is forgotten: the way back may lead over any of them.
    fn forget(&mut self, now: Instant) {
        if self.voices.values().all(|voice| voice.answer(now).is_none()) {
            for announced in self.announced.values_mut() {
                announced.last_announced = now;
            }
        }
        let forget_after = self.pace.forget_after();
        self.announced.retain(|_, announced| {
            now.saturating_duration_since(announced.last_announced) <= forget_after
        });
    }

    /// What follows from what was heard, and in words why, if it is nothing.
    pub(super) fn decide(&mut self, last: Option<&Candidate>, now: Instant) -> (Pick, String) {
        let views = self.views(now);
        let known: BTreeSet<&str> = self.known();
        let waiting = self.voices.values().any(|voice| matches!(voice.heard, Heard::Nothing));
        // At the start nothing tells a Sentinel that was cut off from one that was not, but the others' word. With
        // most of them heard, or all tried, the highest epoch counts.
        if !self.is_settled && views.len() * 2 <= known.len() && waiting {
            let age = now.saturating_duration_since(self.opened_at);
            if age < SETTLE_MAX {
                let message =
                    format!("{} of {} Sentinels have answered yet", views.len(), known.len());
                return (Pick::Wait(ResolveFailure::NoSentinelReachable), message);
            }
        }
        let pick = pick_master(&views, last, known.len());
        let message = match &pick {
            Pick::Follow { .. } | Pick::Keep(_) => String::new(),
            Pick::Wait(why) => self.explain(*why, &views, known.len(), last, now),
        };
        self.is_settled |= !matches!(pick, Pick::Wait(_));
        (pick, message)
    }

    /// One view for each Sentinel, the newest, from those that answer now.
    fn views(&self, now: Instant) -> Vec<View> {
        let mut newest: BTreeMap<&str, (Option<Instant>, &Answer)> = BTreeMap::new();
        for voice in self.voices.values() {
            let said = match &voice.heard {
                Heard::Answer(at, _) => voice.answer(now).map(|answer| (Some(*at), answer)),
                // Kept as long as it is the last word, since it is no vote and attempts are rare.
                Heard::Refusal(Refusal::Login, _) => Some((None, &Answer::NotAuthorised)),
                Heard::Refusal(Refusal::Tls, _) => Some((None, &Answer::NotTrusted)),
                Heard::Nothing | Heard::Failure(_) => None,
            };
            let Some(said) = said else { continue };
            let entry = newest.entry(self.sentinel(voice)).or_insert(said);
            if entry.0 < said.0 {
                *entry = said;
            }
        }
        let view = |(sentinel, (_, answer)): (&str, (_, &Answer))| View {
            sentinel: sentinel.to_owned(),
            answer: answer.clone(),
        };
        let mut views: Vec<View> = newest.into_iter().map(view).collect();
        for view in &mut views {
            view.sentinel = self.address_of(&view.sentinel);
        }
        views
    }

    /// Every Sentinel that there is, answering or not.
    fn known(&self) -> BTreeSet<&str> {
        let voices = self.voices.values().map(|voice| self.sentinel(voice));
        // An announced one without a voice is spoken for by a configured endpoint, under the same id.
        let has_voice = |key: &String| {
            self.voices.values().any(|voice| voice.announced_as.as_ref() == Some(key))
        };
        let others = self.announced.keys().filter(|key| !has_voice(key)).map(String::as_str);
        voices.chain(others).collect()
    }

    /// Which Sentinel a voice is, as well as we know: by its own word, by the others', or by the address.
    fn sentinel<'a>(&'a self, voice: &'a Voice) -> &'a str {
        let by_address = || {
            let mut announced = self.announced.iter();
            announced.find(|(_, other)| other.address == voice.address).map(|(key, _)| key)
        };
        let id = voice.sentinel_id.as_ref().or(voice.announced_as.as_ref());
        id.or_else(by_address).unwrap_or(&voice.address)
    }

    /// An address for an id, which is what a person can use.
    fn address_of(&self, sentinel: &str) -> String {
        let voice = self.voices.values().find(|voice| self.sentinel(voice) == sentinel);
        voice.map_or_else(|| sentinel.to_owned(), |voice| voice.address.clone())
    }

    fn explain(
        &self,
        why: ResolveFailure,
        views: &[View],
        known: usize,
        last: Option<&Candidate>,
        now: Instant,
    ) -> String {
        let mut message = match (why, last) {
            (ResolveFailure::NoSentinelReachable, _) => {
                format!("none of {known} Sentinels answers")
            }
            (ResolveFailure::NotAuthorised, _) => {
                "Sentinel refuses us: correct sentinel.auth, the sentinels' own user and password"
                    .to_owned()
            }
            (ResolveFailure::NotTrusted, _) => {
                "there is no TLS with the sentinels: correct sentinel.tls, or the sentinels"
                    .to_owned()
            }
            (ResolveFailure::MasterNameUnknown, _) => {
                "Sentinel does not know the master's name".to_owned()
            }
            (ResolveFailure::OlderEpochRefused, Some(last)) => format!(
                "what {} of {known} Sentinels tell is older than {} at epoch {}",
                views.len(),
                last.address,
                last.config_epoch.unwrap_or_default(),
            ),
            (ResolveFailure::Disagreement | ResolveFailure::OlderEpochRefused, _) => {
                format!("{} of {known} Sentinels answer and differ", views.len())
            }
        };
        for voice in self.voices.values().take(QUOTES_MAX) {
            let (at, words) = (&voice.address, voice.words(now));
            message.push_str(&format!("; {at}: {words}"));
        }
        message
    }
}

impl Voice {
    /// What it says now.
    fn answer(&self, now: Instant) -> Option<&Answer> {
        match &self.heard {
            Heard::Answer(at, answer)
                if now.saturating_duration_since(*at) <= self.answer_age_max =>
            {
                Some(answer)
            }
            _ => None,
        }
    }

    fn words(&self, now: Instant) -> String {
        match (&self.heard, self.answer(now)) {
            (_, Some(Answer::Master { address, config_epoch })) => {
                format!("{address} at epoch {config_epoch}")
            }
            (_, Some(Answer::NameUnknown)) => "knows no such name".to_owned(),
            (_, Some(Answer::NotAuthorised)) => "not authorised".to_owned(),
            (_, Some(Answer::NotTrusted)) => "no TLS".to_owned(),
            (Heard::Nothing, None) => "not asked yet".to_owned(),
            (Heard::Answer(..), None) => "has stopped answering".to_owned(),
            (Heard::Refusal(_, message) | Heard::Failure(message), None) => message.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
