//! See `ems_corpus::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ems_corpus::json(bytes);
});
