//! See `ems_corpus::tibber`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ems_corpus::tibber(bytes);
});
