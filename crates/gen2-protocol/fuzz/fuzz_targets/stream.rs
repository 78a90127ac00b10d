//! Any bytes, whole and one by one: no panic, the same frames, every frame has a name.
#![no_main]

use gen2_protocol::{Decoder, Event, Frame};
use libfuzzer_sys::fuzz_target;

fn frames(decoder: &mut Decoder, mut input: &[u8], found: &mut Vec<Frame>) {
    while let Some(event) = decoder.next_event(&mut input) {
        match event {
            Event::Frame(frame) | Event::Salvaged(frame) => {
                assert!(!frame.message().to_string().is_empty());
                found.push(frame);
            }
            Event::Rejected(error) => {
                assert!(!error.to_string().is_empty());
                assert!(!decoder.rejected_bytes().is_empty());
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    for mut whole in [Decoder::new(), Decoder::salvaging()] {
        let mut split = whole.clone();
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        frames(&mut whole, data, &mut expected);
        for byte in data.chunks(1) {
            frames(&mut split, byte, &mut found);
        }
        assert_eq!(found, expected);
        assert_eq!(whole.counters(), split.counters());
    }
});
