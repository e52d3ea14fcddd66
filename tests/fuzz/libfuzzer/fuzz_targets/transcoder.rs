//! `nexus_fuzz::transcoder` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nexus_fuzz::transcoder(data));
