use super::*;
use crate::sentinel::pace::POLL_INTERVAL;

const START: Duration = Duration::from_secs(0);

/// A council with its clock; voices are named by their addresses.
struct Room {
    council: Council,
    started: Instant,
    now: Instant,
}

impl Room {
    fn new(endpoints: &[&str]) -> Self {
        let endpoints: Vec<String> = endpoints.iter().map(|&at| at.to_owned()).collect();
        let now = Instant::now();
        let mut room = Self {
            council: Council::new(&endpoints, Pace::new(POLL_INTERVAL), now),
            started: now,
            now,
        };
        room.at(START);
        room
    }

    fn at(&mut self, time: Duration) {
        self.now = self.started + time;
        self.council.reconcile(self.now);
    }

    /// A voice says `master@epoch`, and which others (`id=address`) it knows.
    fn says(&mut self, address: &str, id: &str, said: &str, others: &[&str]) {
        let (master, epoch) = said.split_once('@').unwrap();
        let answer =
            Answer::Master { address: master.into(), config_epoch: epoch.parse().unwrap() };
        let entry = |other: &&str| {
            let (id, address) = other.split_once('=').unwrap();
            SentinelEntry { address: address.into(), run_id: Some(id.into()), flags: String::new() }
        };
        let announced = Some(others.iter().map(entry).collect());
        let sentinel_id = (!id.is_empty()).then(|| id.to_owned());
        self.tell(address, Outcome::Answered { sentinel_id, answer, announced });
    }

    fn tell(&mut self, address: &str, outcome: Outcome) {
        let voice = *self.council.voices.iter().find(|(_, v)| v.address == address).unwrap().0;
        self.council.hear(Report { voice, asked_at: self.now, outcome }, self.now);
        self.council.reconcile(self.now);
    }

    fn asked(&self) -> Vec<&str> {
        let mut asked: Vec<&str> =
            self.council.voices.values().map(|voice| voice.address.as_str()).collect();
        asked.sort_unstable();
        asked
    }

    fn decide(&mut self, last: Option<&Candidate>) -> Pick {
        self.council.decide(last, self.now).0
    }

    fn followed(&mut self, last: Option<&Candidate>) -> Option<String> {
        match self.decide(last) {
            Pick::Follow { address, .. } => Some(address),
            Pick::Keep(last) => Some(last.address),
            Pick::Wait(_) => None,
        }
    }
}

fn last(address: &str, epoch: u64) -> Option<Candidate> {
    Some(Candidate {
        address: address.into(),
        dial: address.into(),
        config_epoch: Some(epoch),
        sentinel: None,
        previous: None,
    })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn first_choice_waits_for_most_of_the_sentinels() {
    let mut room = Room::new(&["s1"]);
    room.says("s1", "a", "old@3", &["b=s2", "c=s3"]);
    assert_eq!(room.followed(None), None, "one of three");
    room.says("s2", "b", "new@4", &[]);
    assert_eq!(room.followed(None).as_deref(), Some("new"), "two of three");
}

#[test]
fn first_choice_does_not_wait_for_the_unreachable() {
    let mut room = Room::new(&["s1"]);
    room.says("s1", "a", "m@3", &["b=s2", "c=s3"]);
    room.tell("s2", Outcome::Unreachable("gone".into()));
    assert_eq!(room.followed(None), None, "s3 was not tried yet");
    room.tell("s3", Outcome::Unreachable("gone".into()));
    assert_eq!(room.followed(None).as_deref(), Some("m"), "all were tried");

    let mut room = Room::new(&["s1"]);
    room.says("s1", "a", "m@3", &["b=s2", "c=s3"]);
    assert_eq!(room.followed(None), None);
    room.at(seconds(4));
    assert_eq!(room.followed(None).as_deref(), Some("m"), "the time is up");
}

#[test]
fn an_old_answer_and_a_failed_voice_have_no_vote() {
    let mut room = Room::new(&["s1", "s2"]);
    room.says("s1", "a", "new@4", &[]);
    room.says("s2", "b", "old@3", &[]);
    room.at(seconds(5));
    room.says("s2", "b", "old@3", &[]);
    assert_eq!(room.followed(None).as_deref(), Some("new"), "5 s old still counts");
    room.at(seconds(6));
    assert_eq!(room.followed(None).as_deref(), Some("old"), "6 s old does not");
    room.tell("s2", Outcome::Unreachable("gone".into()));
    assert_eq!(room.decide(None), Pick::Wait(ResolveFailure::NoSentinelReachable));
}

#[test]
fn one_sentinel_has_one_vote_and_is_asked_once() {
    // A service in front of all, and the name of one of them.
    let mut room = Room::new(&["service", "s1"]);
    room.says("service", "a", "m@3", &["b=s2"]);
    room.says("s1", "a", "m@3", &["b=s2"]);
    room.says("s2", "b", "m@3", &["a=10.0.0.1"]);
    assert_eq!(room.asked(), ["s1", "s2", "service"], "a is not asked at 10.0.0.1 as well");
    assert_eq!(room.council.views(room.now).len(), 2);
    assert_eq!(room.council.known().len(), 2);
    // The service leads to another one now, and s1 is gone: a is asked where it was announced.
    room.says("service", "b", "m@3", &["a=10.0.0.1"]);
    room.tell("s1", Outcome::Unreachable("gone".into()));
    assert_eq!(room.asked(), ["10.0.0.1", "s1", "service"]);
    assert_eq!(room.council.known().len(), 2);
    // Nor is a configured address asked twice when it does not answer.
    room.says("service", "b", "m@3", &["a=s1"]);
    assert_eq!(room.asked(), ["s1", "service"]);
    assert_eq!(room.council.known().len(), 2);
}

#[test]
fn without_ids_of_their_own_an_address_tells_who_it_is() {
    let mut room = Room::new(&["s1", "s2"]);
    room.says("s1", "", "m@3", &["b=s2"]);
    room.says("s2", "", "m@3", &["a=s1"]);
    assert_eq!(room.asked(), ["s1", "s2"]);
    assert_eq!(room.council.views(room.now).len(), 2);
    assert_eq!(room.council.known().len(), 2);
}

#[test]
fn a_missing_voice_keeps_an_older_epoch_out_until_it_is_forgotten() {
    let last = last("new", 4);
    let mut room = Room::new(&["s1"]);
    room.says("s1", "a", "old@3", &["b=s2"]);
    room.tell("s2", Outcome::Unreachable("gone".into()));
    let refused = Pick::Wait(ResolveFailure::OlderEpochRefused);
    for time in (0..30).step_by(2) {
        room.at(seconds(time));
        room.says("s1", "a", "old@3", &[]);
        assert_eq!(room.decide(last.as_ref()), refused, "at {time} s");
    }
    room.at(seconds(31));
    room.says("s1", "a", "old@3", &[]);
    assert_eq!(room.asked(), ["s1"]);
    assert_eq!(room.followed(last.as_ref()).as_deref(), Some("old"));
}

#[test]
fn nobody_is_forgotten_while_nobody_answers() {
    let mut room = Room::new(&["s1"]);
    room.says("s1", "a", "m@3", &["b=s2"]);
    room.tell("s1", Outcome::Unreachable("gone".into()));
    room.tell("s2", Outcome::Unreachable("gone".into()));
    room.at(seconds(3600));
    assert_eq!(room.asked(), ["s1", "s2"]);
    room.says("s2", "b", "m@3", &["a=s1"]);
    assert_eq!(room.followed(None).as_deref(), Some("m"));
}

#[test]
fn a_sentinel_that_moved_is_asked_at_its_new_address() {
    let mut room = Room::new(&["s1"]);
    room.says("s1", "a", "m@3", &["b=s2"]);
    room.says("s2", "b", "m@3", &[]);
    room.says("s1", "a", "m@3", &["b=stale"]);
    assert_eq!(room.asked(), ["s1", "s2"], "it answers where it was");
    room.tell("s2", Outcome::Unreachable("gone".into()));
    room.says("s1", "a", "m@3", &["b=s9"]);
    assert_eq!(room.asked(), ["s1", "s9"]);
}

#[test]
fn the_number_of_voices_is_bounded() {
    let mut room = Room::new(&["s1"]);
    let others: Vec<String> = (0..100).map(|n| format!("id{n}=address{n}")).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    room.says("s1", "a", "m@3", &others);
    assert_eq!(room.asked().len(), SENTINELS_MAX);
}

#[test]
fn a_message_says_what_each_one_said() {
    let mut room = Room::new(&["s1", "s2"]);
    room.says("s1", "a", "old@3", &[]);
    room.tell("s2", Outcome::Refused(Refusal::Login, "AUTH was refused: WRONGPASS".into()));
    let (pick, message) = room.council.decide(last("new", 4).as_ref(), room.now);
    assert_eq!(pick, Pick::Wait(ResolveFailure::OlderEpochRefused));
    assert_eq!(
        message,
        "what 2 of 2 Sentinels tell is older than new at epoch 4; s1: old at epoch 3; \
         s2: AUTH was refused: WRONGPASS"
    );
}
