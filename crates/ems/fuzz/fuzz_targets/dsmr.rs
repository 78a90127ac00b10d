//! See `ems_corpus::dsmr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ems_corpus::dsmr(bytes);
});
