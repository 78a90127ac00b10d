//! See `ems_corpus::exec`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ems_corpus::exec(bytes);
});
