//! libFuzzer's entry: `spool`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| redissync_fuzz::spool::run(data));
