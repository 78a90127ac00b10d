//! Any text: a frame or an explanation, and a frame's own text gives the frame again.
#![no_main]

use gen2_protocol::hex;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match hex::parse_frame(text) {
        Ok(frame) if frame.as_bytes().first() != Some(&0xC0) => {
            assert_eq!(hex::parse_frame(&frame.to_string()), Ok(frame));
        }
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
