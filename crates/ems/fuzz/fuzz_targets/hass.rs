//! See `ems_corpus::hass`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ems_corpus::hass(bytes);
});
