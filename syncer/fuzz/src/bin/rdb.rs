//! libFuzzer's entry: `rdb`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| redissync_fuzz::rdb::run(data));
