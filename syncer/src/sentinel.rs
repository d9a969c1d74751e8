//! Who is the master now: what Sentinels say, who of them is believed, and a watcher that never stops asking.
//!
//! A Sentinel's word is a vote with a config epoch. [`reply`] parses it, [`pick`] weighs it (both without
//! sockets), [`follow`] keeps asking and tells the current [`follow::Resolution`]. The address that comes out is
//! a claim: who connects to it proves it with [`role::check_role`] before anything else. A `+switch-master` is
//! only a reason to ask at once, never a decision, since pub/sub may lose it, repeat it, or carry a stale one.
//!
//! Another process than the syncer may follow too, many masters at once: [`follow::Follower`] for who it is,
//! [`confirm::confirm_master`] for the node's own word, asked again at the pauses of [`backoff::Backoff`]. A follower costs two connections to each Sentinel, and a
//! question to each in [`follow::FollowConfig::poll_interval`]: who follows many asks less often.

pub mod reply;
pub mod pick;
pub mod role;
pub mod follow;
pub mod confirm;
pub mod backoff;

mod council;
mod pace;
mod voice;

#[cfg(test)]
mod fake;
