//! See `ems_corpus::text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ems_corpus::text(bytes);
});
