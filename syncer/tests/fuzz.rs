//! The short form of `make fuzz`: every input of the kept corpus, then some seconds of inputs made from them. The targets are
//! the same code.

#![allow(unreachable_pub, reason = "the targets are public in their own crate")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

#[path = "../fuzz/src/pack.rs"]
mod pack;
#[path = "../fuzz/src/rdb.rs"]
mod rdb;
#[path = "../fuzz/src/resp.rs"]
mod resp;
#[path = "../fuzz/src/sentinel.rs"]
mod sentinel;
#[path = "../fuzz/src/spool.rs"]
mod spool;

/// How long inputs are made, for each target.
const MADE_FOR: Duration = Duration::from_secs(3);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }
}

fn feed(target: &str, run: fn(&[u8])) {
    let path = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let corpus = pack::read(&fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
    assert!(corpus.len() >= 100, "the corpus of {target} has {} inputs", corpus.len());
    for input in &corpus {
        try_one(target, run, input);
    }
    let seed = match std::env::var("FUZZ_SEED") {
        Ok(seed) => seed.parse().expect("FUZZ_SEED is a number"),
        Err(_) => getrandom::u64().expect("a random number") | 1,
    };
    println!("FUZZ_SEED={seed}");
    let mut random = Random(seed);
    let started = Instant::now();
    let mut made = 0_u64;
    while started.elapsed() < MADE_FOR {
        try_one(target, run, &mutate(&corpus, &mut random));
        made += 1;
    }
    println!("{target}: {} inputs of the corpus, {made} made", corpus.len());
}

fn try_one(target: &str, run: fn(&[u8]), input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| run(input))).is_err() {
        panic!("{target} does not stand this input: \"{}\"", input.escape_ascii());
    }
}

/// One input of the corpus with some bytes changed, cut out, doubled, or put in from another.
fn mutate(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        let count = random.below(16).min(input.len() - at);
        match random.below(5) {
            0 if at < input.len() => input[at] = random.below(256) as u8,
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => drop(input.drain(at..at + count)),
            3 => {
                let doubled = input[at..at + count].to_vec();
                input.splice(at..at, doubled);
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below(64).min(other.len() - from);
                input.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    input
}

#[test]
fn whatever_a_server_sends_the_resp_readers_agree() {
    feed("resp", resp::run);
}

#[test]
fn whatever_an_rdb_holds_its_pieces_do_not_matter() {
    feed("rdb", rdb::run);
}

#[test]
fn whatever_a_sentinel_says_an_address_can_be_dialled() {
    feed("sentinel", sentinel::run);
}

#[test]
fn whatever_happens_to_its_files_a_spool_yields_what_was_written() {
    feed("spool", spool::run);
}
