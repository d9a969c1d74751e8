//! Random operations against a `Vec<u8>`, with starts in between.

use super::*;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

/// The live range as it should be.
struct Model {
    start: u64,
    bytes: Vec<u8>,
    durable: u64,
    replid: u32,
}

impl Model {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn position(&self, offset: u64) -> Position {
        Position { replid: self.name(), offset: Offset(offset) }
    }

    fn name(&self) -> ReplId {
        format!("{:040x}", self.replid).parse().unwrap()
    }
}

/// A reader, and the bytes it must have yielded if it is not stale.
struct Follower {
    reader: StreamReader,
    position: u64,
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let kit = Kit::with(300 + random.below(900), 1 << 20);
    let mut spool = kit.open();
    let mut model = Model { start: 1000, bytes: Vec::new(), durable: 1000, replid: 1 };
    spool.begin_copy(COPY, model.position(1000)).unwrap();
    let mut follower: Option<Follower> = None;
    for _ in 0..150 {
        match random.below(20) {
            0..=8 => {
                let count = 1 + random.below(600);
                let bytes = random.bytes(count);
                model.bytes.extend(&bytes);
                spool.append(&bytes, mark(model.end())).unwrap();
            }
            9..=11 => follow(&spool, &mut model, &mut follower, &mut random),
            12 => {
                let to = model.durable + random.below(model.end() - model.durable + 1);
                model.bytes.truncate((to - model.start) as usize);
                model.replid += 1;
                spool.cut(mark(to), model.name()).unwrap();
                if follower.as_ref().is_some_and(|follower| follower.position > to) {
                    let mut stale = follower.take().unwrap();
                    assert!(matches!(
                        stale.reader.read(&mut Vec::new(), 10),
                        Err(SpoolError::Stale)
                    ));
                }
            }
            13 => {
                model.replid += 1;
                spool.adopt(model.name()).unwrap();
            }
            14 | 15 => {
                model.durable += random.below(model.end() - model.durable + 1);
                spool
                    .set_durable(spool.live_range().unwrap().copy_id, Offset(model.durable))
                    .unwrap();
                follower = follower.filter(|follower| follower.position >= model.durable);
            }
            16 => {
                follower = None;
                let start = model.end() + random.below(1000);
                model.replid += random.below(2) as u32;
                spool.begin_range(COPY, model.position(start), None).unwrap();
                model.bytes.clear();
                (model.start, model.durable) = (start, start);
            }
            _ => {
                follower = None;
                drop(spool);
                // As after a kill in the middle of a write.
                if random.below(2) == 0 {
                    leave_junk(&kit, &mut random);
                }
                spool = kit.open();
            }
        }
        assert_eq!(spool.end().0, model.end());
        let start = live(&spool).start.0;
        assert!(start <= model.durable);
        let from = start + random.below(model.end() - start + 1);
        let mut reader = spool.reader_at(model.position(from)).unwrap();
        let read = read_all(&mut reader, 1 + random.below(700) as usize);
        assert!(read == model.bytes[(from - model.start) as usize..], "from {from}");
        let files: u64 =
            kit.files("stream-").iter().map(|path| path.metadata().unwrap().len()).sum();
        assert_eq!(spool.usage().bytes, files);
    }
}

fn follow(spool: &Spool, model: &mut Model, follower: &mut Option<Follower>, random: &mut Random) {
    let follower = follower.get_or_insert_with(|| Follower {
        reader: spool.reader_at(model.position(model.durable)).unwrap(),
        position: model.durable,
    });
    let mut got = Vec::new();
    follower.reader.read(&mut got, 1 + random.below(500) as usize).unwrap();
    let at = (follower.position - model.start) as usize;
    assert!(got == model.bytes[at..at + got.len()]);
    assert!(!got.is_empty() || follower.position == model.end());
    follower.position += got.len() as u64;
}

fn leave_junk(kit: &Kit, random: &mut Random) {
    use std::io::Write;
    if let Some(path) = kit.files("stream-").last() {
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        let count = 1 + random.below(100);
        let junk = if random.below(2) == 0 { vec![0; count as usize] } else { random.bytes(count) };
        file.write_all(&junk).unwrap();
    }
}

#[test]
fn random_operations_leave_what_the_model_says() {
    let seed = std::env::var("SPOOL_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = match seed {
        Some(seed) => seed..seed + 1,
        None => {
            let first = u64::from(getrandom::u32().unwrap());
            first..first + 60
        }
    };
    for seed in seeds {
        println!("SPOOL_SEED={seed}");
        run(seed);
    }
}
