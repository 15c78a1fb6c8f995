#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tuxlet_fuzz::run("rfb", data));
