//! Written by ../programs.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::target("pieces").run)(data));
