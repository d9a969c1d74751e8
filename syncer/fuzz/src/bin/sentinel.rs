//! libFuzzer's entry: `sentinel`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| redissync_fuzz::sentinel::run(data));
