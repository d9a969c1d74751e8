//! Whom to believe when Sentinels differ. Pure: views in, one choice out.
//!
//! A Sentinel that is cut off from the others goes on telling the master that it knew, for as long as it lives.
//! Its config epoch tells it from those that took part in the failover: the highest epoch wins, and going back to
//! a lower one takes every Sentinel there is (Invariant 18).

use std::collections::BTreeMap;

use crate::address::Peer;

/// What one Sentinel says now. Who does not answer has no view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Which one says it, for the log.
    pub sentinel: String,
    /// What it says.
    pub answer: Answer,
}

/// A Sentinel's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It follows this master.
    Master {
        /// Where the master is.
        address: String,
        /// The epoch of that configuration; 0 before the first failover.
        config_epoch: u64,
    },
    /// It does not know the master's name.
    NameUnknown,
    /// It refuses to tell us, or we could not read what to authenticate with.
    NotAuthorised,
    /// There is no TLS with it.
    NotTrusted,
}

/// The master that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is, as it is configured or announced.
    pub address: String,
    /// Where it is dialled from here; the same, unless the address is mapped.
    pub dial: String,
    /// The epoch of the configuration that names it; `None` without Sentinel.
    pub config_epoch: Option<u64>,
    /// A Sentinel that said so.
    pub sentinel: Option<String>,
    /// The address that was believed before this one.
    pub previous: Option<String>,
}

impl Candidate {
    /// The node, to connect to.
    pub fn peer(&self) -> Peer {
        Peer { address: self.address.clone(), dial: self.dial.clone() }
    }
}

/// Why no master is known. This is no word against the master that was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveFailure {
    /// No Sentinel answers.
    NoSentinelReachable,
    /// Those that answer refuse us, or the password cannot be read.
    NotAuthorised,
    /// There is no TLS with those that can be reached, or nothing to speak it with.
    NotTrusted,
    /// Those that answer do not know the master's name.
    MasterNameUnknown,
    /// They differ, with the same epoch and without a majority.
    Disagreement,
    /// They tell an older configuration than the one that was followed, and not all of them do.
    OlderEpochRefused,
}

/// The choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Follow this master.
    Follow {
        /// Where it is.
        address: String,
        /// The epoch of the configuration that names it.
        config_epoch: u64,
        /// A Sentinel that said so.
        sentinel: String,
    },
    /// The last candidate stands, with its own epoch: what is said now is older but names the same address.
    Keep(Candidate),
    /// There is nothing to follow now.
    Wait(ResolveFailure),
}

/// Weighs what the Sentinels say now. `known_sentinels` counts those that there are, answering or not.
pub fn pick_master(views: &[View], last: Option<&Candidate>, known_sentinels: usize) -> Pick {
    let Some(newest_epoch) = views.iter().filter_map(|view| view.epoch()).max() else {
        return Pick::Wait(without_master(views));
    };
    let newest = views.iter().filter(|view| view.epoch() == Some(newest_epoch));
    let mut votes: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut vote_count = 0;
    for (view, address) in newest.filter_map(|view| Some((view, view.address()?))) {
        votes.entry(address).or_insert((0, &view.sentinel)).0 += 1;
        vote_count += 1;
    }
    // With one address at the highest epoch this is that address: its share is all.
    let majority = votes.iter().find(|(_, (count, _))| count * 2 > vote_count);
    let of_last = || last.and_then(|last| votes.get_key_value(last.address.as_str()));
    let Some((address, (_, sentinel))) = majority.or_else(of_last) else {
        return Pick::Wait(ResolveFailure::Disagreement);
    };

    let older_than_last = last.filter(|last| last.config_epoch > Some(newest_epoch));
    if let Some(last) = older_than_last {
        // Sentinel was set up anew and its epochs start again, if all say so. With one voice missing, that one may
        // hold the newer configuration.
        let all = views.len() >= known_sentinels;
        let unanimous = all && views.iter().all(|view| view.address() == Some(address));
        match unanimous {
            true => {}
            false if last.address == *address => return Pick::Keep(last.clone()),
            false => return Pick::Wait(ResolveFailure::OlderEpochRefused),
        }
    }
    Pick::Follow {
        address: (*address).to_owned(),
        config_epoch: newest_epoch,
        sentinel: (*sentinel).to_owned(),
    }
}

/// A name that is not known outranks a refusal: it says that we were let in and asked the wrong thing.
fn without_master(views: &[View]) -> ResolveFailure {
    let any = |answer| views.iter().any(|view| view.answer == answer);
    if any(Answer::NameUnknown) {
        ResolveFailure::MasterNameUnknown
    } else if any(Answer::NotAuthorised) {
        ResolveFailure::NotAuthorised
    } else if any(Answer::NotTrusted) {
        ResolveFailure::NotTrusted
    } else {
        ResolveFailure::NoSentinelReachable
    }
}

impl View {
    fn epoch(&self) -> Option<u64> {
        match &self.answer {
            Answer::Master { config_epoch, .. } => Some(*config_epoch),
            Answer::NameUnknown | Answer::NotAuthorised | Answer::NotTrusted => None,
        }
    }

    fn address(&self) -> Option<&str> {
        match &self.answer {
            Answer::Master { address, .. } => Some(address),
            Answer::NameUnknown | Answer::NotAuthorised | Answer::NotTrusted => None,
        }
    }
}

#[cfg(test)]
mod tests;
