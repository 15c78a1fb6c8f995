#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tuxlet_fuzz::run("patch", data));
