//! See `ems_corpus::sma`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ems_corpus::sma(bytes);
});
