use std::sync::Mutex;

use tokio::time::timeout;

use super::*;
use crate::{
    credentials::{AuthReadError, Credentials, Secret},
    login::{Login, LoginSource},
    sentinel::fake::FakeSentinel,
};

/// Long enough for every limit that a test runs into, once.
const DEADLINE: Duration = Duration::from_secs(15);

struct Following {
    target: watch::Sender<FollowTarget>,
    resolution: watch::Receiver<Resolution>,
}

impl Following {
    fn start(target: FollowTarget) -> Self {
        Self::start_at(target, POLL_INTERVAL)
    }

    fn start_at(target: FollowTarget, poll_interval: Duration) -> Self {
        let target = watch::Sender::new(target);
        let config = FollowConfig::new("source", "redissync-test", target.subscribe());
        let resolution = Follower::start(FollowConfig { poll_interval, ..config });
        Self { target, resolution }
    }

    async fn until(&mut self, what: &str, is_it: impl Fn(&Resolution) -> bool) -> Resolution {
        let found =
            timeout(DEADLINE, self.resolution.wait_for(&is_it)).await.map(|r| r.unwrap().clone());
        found.unwrap_or_else(|_| panic!("{what}: still {:?}", self.resolution.borrow()))
    }

    async fn until_known(&mut self, address: &str) -> Candidate {
        match self.until(address, |now| master(now) == Some(address)).await {
            Resolution::Known(candidate) => candidate,
            Resolution::Unknown { .. } => unreachable!("it was waited for"),
        }
    }

    async fn until_unknown(&mut self, expected: ResolveFailure) {
        let is_it = |now: &Resolution| matches!(now, Resolution::Unknown { reason, .. } if *reason == expected);
        self.until(&format!("{expected:?}"), is_it).await;
    }

    /// Nothing else is resolved while three polls go by.
    async fn stays(&mut self, sentinels: &[&FakeSentinel], address: &str) {
        let before: Vec<u64> =
            sentinels.iter().map(|sentinel| sentinel.script().poll_count).collect();
        for (sentinel, before) in sentinels.iter().zip(before) {
            eventually("three polls", || sentinel.script().poll_count >= before + 3).await;
        }
        assert_eq!(master(&self.resolution.borrow()), Some(address));
    }
}

fn master(resolution: &Resolution) -> Option<&str> {
    match resolution {
        Resolution::Known(candidate) => Some(&candidate.address),
        Resolution::Unknown { .. } => None,
    }
}

async fn eventually(what: &str, mut is_it: impl FnMut() -> bool) {
    let waiting = async {
        while !is_it() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

fn standalone(address: &str) -> FollowTarget {
    FollowTarget::Standalone { address: address.into(), addresses: AddressMap::default() }
}

fn at(endpoints: &[&FakeSentinel]) -> FollowTarget {
    with_login(endpoints, Arc::new(|| Ok(Login::default())))
}

fn with_login(endpoints: &[&FakeSentinel], login: LoginSource) -> FollowTarget {
    let endpoints = endpoints.iter().map(|sentinel| sentinel.address.clone()).collect();
    let addresses = AddressMap::default();
    FollowTarget::Sentinel { master_name: "mymaster".into(), endpoints, login, addresses }
}

/// Three that know each other and agree.
async fn three(host: &str, epoch: u64) -> [FakeSentinel; 3] {
    let all = [
        FakeSentinel::start("id-0", Some((host, 6379, epoch))).await,
        FakeSentinel::start("id-1", Some((host, 6379, epoch))).await,
        FakeSentinel::start("id-2", Some((host, 6379, epoch))).await,
    ];
    let addresses: Vec<String> = all.iter().map(|sentinel| sentinel.address.clone()).collect();
    for (n, sentinel) in all.iter().enumerate() {
        let others = (0..3).filter(|other| *other != n);
        sentinel.script().others =
            others.map(|other| (format!("id-{other}"), addresses[other].clone())).collect();
    }
    all
}

#[tokio::test]
async fn standalone_is_known_at_once_and_may_become_another() {
    let mut following = Following::start(standalone("a:1"));
    assert_eq!(master(&following.resolution.borrow()), Some("a:1"));
    following.target.send_replace(standalone("b:1"));
    let candidate = following.until_known("b:1").await;
    assert_eq!((candidate.config_epoch, candidate.previous.as_deref()), (None, Some("a:1")));
}

#[tokio::test]
async fn switch_is_followed_through_a_sentinel_that_was_only_announced() {
    let [s0, s1, s2] = three("a", 1).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("a:6379").await;
    eventually("all are listened to", || {
        [&s0, &s1, &s2].iter().all(|sentinel| sentinel.script().subscription_count >= 2)
    })
    .await;
    s2.set_master("b", 6380, 2);
    s2.publish("+switch-master", "mymaster a 6379 b 6380");
    let candidate = following.until_known("b:6380").await;
    let expected = Candidate {
        address: "b:6380".into(),
        dial: "b:6380".into(),
        config_epoch: Some(2),
        sentinel: Some(s2.address.clone()),
        previous: Some("a:6379".into()),
    };
    assert_eq!(candidate, expected);
    // The two others still tell the old one, and are outvoted by the epoch.
    following.stays(&[&s0, &s1], "b:6380").await;
}

fn mapped(target: FollowTarget, entries: &[(&str, &str)]) -> FollowTarget {
    let mut map = AddressMap::default();
    for (announced, dial) in entries {
        map.insert(announced.parse().unwrap(), dial.parse().unwrap());
    }
    match target {
        FollowTarget::Sentinel { master_name, endpoints, login, .. } => {
            FollowTarget::Sentinel { master_name, endpoints, login, addresses: map }
        }
        FollowTarget::Standalone { address, .. } => {
            FollowTarget::Standalone { address, addresses: map }
        }
    }
}

#[tokio::test]
async fn who_asks_rarely_keeps_the_votes_and_hears_of_a_switch_at_once() {
    let all = three("a", 1).await;
    let [s0, s1, s2] = &all;
    let mut following = Following::start_at(at(&[s0]), Duration::from_secs(60));
    following.until_known("a:6379").await;
    eventually("all are listened to", || {
        all.iter().all(|sentinel| sentinel.script().subscription_count >= 2)
    })
    .await;
    // Longer than an answer would count at the default pace.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(master(&following.resolution.borrow()), Some("a:6379"));
    assert!(all.iter().all(|sentinel| sentinel.script().poll_count <= 2));
    let started = Instant::now();
    s1.set_master("b", 6380, 2);
    s2.publish("+switch-master", "mymaster a 6379 b 6380");
    following.until_known("b:6380").await;
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn announced_addresses_are_dialled_as_the_map_says_and_told_as_they_are_announced() {
    let [s0, s1] = [
        FakeSentinel::start("id-0", Some(("a", 6379, 1))).await,
        FakeSentinel::start("id-1", Some(("a", 6379, 1))).await,
    ];
    // An address that nobody has (RFC 5737).
    s0.script().others = vec![("id-1".into(), "192.0.2.1:26379".into())];
    let map = [("192.0.2.1:26379", s1.address.as_str()), ("a", "10.0.0.1")];
    let mut following = Following::start(mapped(at(&[&s0]), &map));
    let candidate = following.until_known("a:6379").await;
    assert_eq!(candidate.dial, "10.0.0.1:6379");
    eventually("the other is asked", || s1.script().poll_count > 0).await;
    // A changed map is taken over, with the master staying the same.
    following.target.send_replace(mapped(at(&[&s0]), &[("a", "10.0.0.2:1")]));
    let is_it = |now: &Resolution| matches!(now, Resolution::Known(it) if it.dial == "10.0.0.2:1");
    following.until("the other way", is_it).await;
}

#[tokio::test]
async fn message_lets_all_be_asked_at_once_and_decides_nothing() {
    let [s0, s1, s2] = three("a", 1).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("a:6379").await;
    eventually("all are listened to", || {
        [&s0, &s1, &s2].iter().all(|sentinel| sentinel.script().subscription_count >= 2)
    })
    .await;
    let started = Instant::now();
    for _ in 0..10 {
        s0.publish("+switch-master", "mymaster a 6379 b 6380");
        let heard = s1.script().poll_count;
        eventually("a poll", || s1.script().poll_count > heard).await;
    }
    assert!(started.elapsed() < Duration::from_secs(5), "ten polls come each second otherwise");
    assert_eq!(master(&following.resolution.borrow()), Some("a:6379"));
}

#[tokio::test]
async fn address_of_a_failover_under_way_is_believed_before_the_map() {
    let s0 = FakeSentinel::start("id-0", Some(("new", 6379, 2))).await;
    s0.script().host_in_map = Some("old".into());
    let mut following = Following::start(at(&[&s0]));
    following.until_known("new:6379").await;
}

#[tokio::test]
async fn cut_off_sentinel_is_refused_and_a_new_setup_is_followed() {
    let [s0, s1, s2] = three("b", 4).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("b:6379").await;
    s0.set_master("a", 6379, 3);
    following.stays(&[&s0, &s1, &s2], "b:6379").await;
    for sentinel in [&s1, &s2] {
        sentinel.kill();
    }
    following.until_unknown(ResolveFailure::OlderEpochRefused).await;
    // The newer word is back.
    s0.set_master("b", 6379, 4);
    following.until_known("b:6379").await;

    let [s0, s1, s2] = three("b", 4).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("b:6379").await;
    for sentinel in [&s0, &s1, &s2] {
        sentinel.set_master("a", 6379, 0);
    }
    assert_eq!(following.until_known("a:6379").await.config_epoch, Some(0));
}

#[tokio::test]
async fn silent_cut_is_told_within_ten_seconds_and_healed() {
    let s0 = FakeSentinel::start("id-0", Some(("a", 6379, 1))).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("a:6379").await;
    s0.script().is_stalled = true;
    let cut = Instant::now();
    following.until_unknown(ResolveFailure::NoSentinelReachable).await;
    assert!(cut.elapsed() < Duration::from_secs(10));
    s0.script().is_stalled = false;
    following.until_known("a:6379").await;
}

#[tokio::test]
async fn connections_that_were_closed_come_back() {
    let s0 = FakeSentinel::start("id-0", Some(("a", 6379, 1))).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("a:6379").await;
    eventually("it is listened to", || s0.script().subscription_count >= 2).await;
    s0.hang_up();
    eventually("both are back", || s0.script().subscription_count >= 4).await;
    following.until_known("a:6379").await;
}

#[tokio::test]
async fn password_is_read_again_and_each_failure_has_its_reason() {
    let s0 = FakeSentinel::start("id-0", None).await;
    s0.script().password = Some("right".into());
    let file: Arc<Mutex<Option<&str>>> = Arc::default();
    let read = Arc::clone(&file);
    let login: LoginSource = Arc::new(move || {
        let none = || AuthReadError::Empty { path: "/password".into() };
        let password = Secret::new((*read.lock().unwrap()).ok_or_else(none)?.to_owned());
        Ok(Login { credentials: Some(Credentials { username: None, password }), tls: None })
    });
    let mut following = Following::start(with_login(&[&s0], login));
    let says = |words: &'static str| {
        move |now: &Resolution| {
            matches!(now, Resolution::Unknown { reason: ResolveFailure::NotAuthorised, message }
                if message.contains(words))
        }
    };
    following.until("an unreadable password", says("/password is empty")).await;
    *file.lock().unwrap() = Some("wrong");
    following.until("a wrong password", says("WRONGPASS")).await;
    *file.lock().unwrap() = Some("right");
    following.until_unknown(ResolveFailure::MasterNameUnknown).await;
    s0.set_master("a", 6379, 1);
    following.until_known("a:6379").await;
}

#[tokio::test]
async fn endpoints_are_changed_while_it_runs() {
    let [s0, s1, s2] = three("a", 5).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("a:6379").await;
    // Another deployment, with epochs of its own and all its Sentinels in agreement.
    let [t0, _t1, _t2] = three("b", 1).await;
    following.target.send_replace(at(&[&t0]));
    following.until_known("b:6379").await;
    let counts = || [&s0, &s1, &s2].map(|sentinel| sentinel.script().poll_count);
    let before = counts();
    following.stays(&[&t0], "b:6379").await;
    assert_eq!(counts(), before, "those that were left are not asked any more");
}

#[tokio::test]
async fn another_name_is_unknown_until_it_is_resolved() {
    let s0 = FakeSentinel::start("id-0", Some(("a", 6379, 5))).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("a:6379").await;
    let mut target = at(&[&s0]);
    if let FollowTarget::Sentinel { master_name, .. } = &mut target {
        *master_name = "othermaster".into();
    }
    following.target.send_replace(target);
    following.until_unknown(ResolveFailure::NoSentinelReachable).await;
}

#[tokio::test]
async fn follower_ends_with_its_last_reader() {
    let s0 = FakeSentinel::start("id-0", Some(("a", 6379, 1))).await;
    let mut following = Following::start(at(&[&s0]));
    following.until_known("a:6379").await;
    assert_eq!(following.target.receiver_count(), 2, "the follower's and one for its Sentinel");
    let Following { target, resolution } = following;
    drop(resolution);
    eventually("the tasks are gone", || target.receiver_count() == 0).await;
}
