//! Written by ../programs.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::target("cardano_header").run)(data));
