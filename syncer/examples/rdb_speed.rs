//! How fast the decoder is: nanoseconds per small key, bytes per second in containers. Run it with
//! `cargo run --release -p redissync-syncer --example rdb_speed` on a quiet machine.
use std::{hint::black_box, time::Instant};

use redissync_syncer::rdb::{
    decode::{RdbDecoder, RdbLimits},
    dump::dump_trailer,
    event::RdbEvent,
    value::{Family, ValueType},
};

fn len(out: &mut Vec<u8>, n: usize) {
    match n {
        0..64 => out.push(n as u8),
        64..16384 => out.extend([0x40 | (n >> 8) as u8, n as u8]),
        _ => {
            out.push(0x80);
            out.extend((n as u32).to_be_bytes());
        }
    }
}

fn str(out: &mut Vec<u8>, s: &[u8]) {
    len(out, s.len());
    out.extend(s);
}

fn run(name: &str, rdb: &[u8], with_trailer: bool) {
    let mut best = f64::MAX;
    let mut keys = 0u64;
    for _ in 0..5 {
        let mut d = RdbDecoder::new(RdbLimits { value_bytes_max: 1 << 30, split_above: u64::MAX });
        keys = 0;
        let started = Instant::now();
        for piece in rdb.chunks(256 << 10) {
            d.push(piece);
            while let Some(event) = d.next().expect("the example writes valid RDBs") {
                if let RdbEvent::Entry(e) = event {
                    keys += 1;
                    if with_trailer {
                        black_box(dump_trailer(e.value_type, e.value, 10));
                    }
                    black_box(e.key.len() + e.value.len());
                }
            }
        }
        d.finish().expect("the example writes whole RDBs");
        best = best.min(started.elapsed().as_secs_f64());
    }
    println!(
        "{name:40} {:8.1} ns/key  {:6.2} GB/s",
        best * 1e9 / keys as f64,
        rdb.len() as f64 / best / 1e9
    );
}

fn end(mut rdb: Vec<u8>) -> Vec<u8> {
    rdb.push(255);
    rdb.extend([0; 8]);
    rdb
}

fn main() {
    for size in [10usize, 20, 32, 48, 64, 80, 96, 112, 128, 160, 200, 300] {
        let bytes = vec![7u8; size];
        let started = Instant::now();
        for _ in 0..2_000_000 {
            black_box(dump_trailer(
                ValueType { family: Family::Redis, byte: 0 },
                &black_box(&bytes)[..],
                10,
            ));
        }
        let t = started.elapsed().as_secs_f64() / 2e6 * 1e9;
        println!("trailer of {size:4} B {t:24.1} ns");
    }
    let mut rdb = b"REDIS0011".to_vec();
    for i in 0..3_000_000u64 {
        rdb.push(0);
        str(&mut rdb, format!("key:{i:012}").as_bytes());
        str(&mut rdb, &[b'v'; 32]);
    }
    let rdb = end(rdb);
    run("16 B key, 32 B string", &rdb, false);
    run("16 B key, 32 B string, trailer", &rdb, true);
    let mut rdb = b"REDIS0011".to_vec();
    for i in 0..2_000_000u64 {
        rdb.push(252);
        rdb.extend([1; 8]);
        rdb.push(0);
        str(&mut rdb, format!("key:{i:012}").as_bytes());
        str(&mut rdb, &[b'v'; 100]);
    }
    run("expiry, 16 B key, 100 B string", &end(rdb), false);
    let mut rdb = b"REDIS0011".to_vec();
    for i in 0..100_000u64 {
        rdb.push(16);
        str(&mut rdb, format!("key:{i:012}").as_bytes());
        str(&mut rdb, &[b'v'; 2000]);
    }
    run("2000 B listpack", &end(rdb), false);
    for (fields, size) in [(1000, 20), (100_000, 20), (1_000_000, 8), (100_000, 200)] {
        let mut rdb = b"REDIS0011".to_vec();
        for i in 0..(2_000_000 / fields).min(200) {
            rdb.push(4);
            str(&mut rdb, format!("key:{i:012}").as_bytes());
            len(&mut rdb, fields);
            for f in 0..fields {
                str(&mut rdb, format!("{f:08}").as_bytes());
                str(&mut rdb, &vec![b'v'; size]);
            }
        }
        run(&format!("hash of {fields} x (8 B, {size} B)"), &end(rdb), false);
    }
    let mut rdb = b"REDIS0011".to_vec();
    for _ in 0..4 {
        rdb.push(0);
        str(&mut rdb, b"big");
        str(&mut rdb, &vec![b'v'; 100 << 20]);
    }
    run("string of 100 MiB", &end(rdb), false);
}
