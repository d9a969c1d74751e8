//! libFuzzer's entry: `resp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| redissync_fuzz::resp::run(data));
