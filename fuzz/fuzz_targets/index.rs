#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dyntta_fuzzing::fuzz("index", bytes));
