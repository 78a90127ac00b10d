//! Properties that hold for any bytes and any message.

use gen2_protocol::{
    CentiAmps, ContactorAction, ContactorAnswer, ContactorCommand, Decoder, EnergyCounter, Event, Frame,
    MAX_WIRE_LENGTH, MasterLinkReady, MasterMessage, Message, Meter, Order, PlugState, PlugStatus, ProtocolVersion,
    Request, RequestKind, Serial, Sign, SlaveHeartbeat, SlaveLinkReady, SlaveMessage, SlaveState, Text, TwcId, Version,
    VinPart, VinThird, WireFrame, hex,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn id() -> impl Strategy<Value = TwcId> {
    // The delimiter and the escape byte must turn up often.
    let byte = prop_oneof![any::<u8>(), Just(0xC0), Just(0xDB)];
    (byte.clone(), byte).prop_map(|(a, b)| TwcId([a, b]))
}

fn current() -> impl Strategy<Value = CentiAmps> {
    prop_oneof![any::<u16>(), Just(0xC0DB), Just(0)].prop_map(CentiAmps)
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![Just(ProtocolVersion::V1), Just(ProtocolVersion::V2)]
}

fn action() -> impl Strategy<Value = ContactorAction> {
    prop_oneof![Just(ContactorAction::Close), Just(ContactorAction::Open)]
}

fn master_message() -> BoxedStrategy<MasterMessage> {
    let ready = || (id(), any::<u8>()).prop_map(|(master, sign)| MasterLinkReady { master, sign: Sign(sign) });
    let order = prop_oneof![
        Just(Order::NoChange),
        current().prop_map(Order::Limit),
        current().prop_map(Order::InitialLimit),
        current().prop_map(Order::AcknowledgeStop),
    ];
    let heartbeat = (id(), id(), version(), order)
        .prop_map(|(master, slave, version, order)| MasterMessage::Heartbeat { master, slave, version, order });
    let request = (id(), id(), prop::sample::select(&RequestKind::ALL[..])).prop_map(|(master, slave, kind)| Request {
        kind,
        master,
        slave,
    });
    let contactor =
        (id(), id(), action()).prop_map(|(master, slave, action)| ContactorCommand { action, master, slave });
    prop_oneof![
        ready().prop_map(MasterMessage::LinkReady1),
        ready().prop_map(MasterMessage::LinkReady2),
        heartbeat,
        request.prop_map(MasterMessage::Request),
        contactor.prop_map(MasterMessage::Contactor),
    ]
    .boxed()
}

fn slave_message() -> BoxedStrategy<SlaveMessage> {
    let ready = (id(), any::<u8>(), current(), version()).prop_map(|(slave, sign, rated, version)| SlaveLinkReady {
        slave,
        sign: Sign(sign),
        rated,
        version,
    });
    let heartbeat = (id(), id(), any::<u8>(), current(), current(), version()).prop_map(
        |(slave, master, state, limit, drawn, version)| SlaveHeartbeat {
            slave,
            master,
            state: SlaveState::from_code(state),
            limit,
            drawn,
            version,
        },
    );
    let meter = (id(), any::<u32>(), any::<[u16; 3]>(), any::<Option<[u8; 3]>>())
        .prop_map(|(unit, energy, volts, half_amps)| Meter { unit, energy: EnergyCounter(energy), volts, half_amps });
    let vin = (id(), any::<[u8; 7]>(), prop::sample::select(&[VinThird::First, VinThird::Second, VinThird::Last][..]))
        .prop_map(|(unit, bytes, third)| {
            let length = if third == VinThird::Last { 3 } else { 7 };
            VinPart { unit, third, characters: Text::new(&bytes[..length]) }
        });
    prop_oneof![
        ready.prop_map(SlaveMessage::LinkReady),
        heartbeat.prop_map(SlaveMessage::Heartbeat),
        meter.prop_map(SlaveMessage::Meter),
        (id(), any::<[u8; 4]>()).prop_map(|(unit, version)| SlaveMessage::Version(Version { unit, version })),
        (id(), any::<[u8; 11]>())
            .prop_map(|(unit, serial)| SlaveMessage::Serial(Serial { unit, serial: Text::new(&serial) })),
        vin.prop_map(SlaveMessage::VinPart),
        (id(), any::<u8>())
            .prop_map(|(unit, code)| SlaveMessage::PlugStatus(PlugStatus { unit, state: PlugState::from_code(code) })),
        (id(), action()).prop_map(|(slave, action)| SlaveMessage::Contactor(ContactorAnswer { action, slave })),
        any::<[u8; 11]>().prop_map(|bytes| SlaveMessage::AnonymousSerial(Text::new(&bytes))),
        any::<[u8; 17]>().prop_map(|bytes| SlaveMessage::AnonymousModel(Text::new(&bytes))),
        any::<[u8; 3]>().prop_map(SlaveMessage::AnonymousVersion),
    ]
    .boxed()
}

/// One encoded message of either side.
fn wire() -> BoxedStrategy<WireFrame> {
    prop_oneof![
        master_message().prop_map(|message| message.encode()),
        slave_message().prop_map(|message| message.encode()),
    ]
    .boxed()
}

/// Bytes in which delimiters, escapes and the starts of frames are common, and some whole frames.
fn line_noise() -> BoxedStrategy<Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..80),
        vec(prop_oneof![Just(0xC0), Just(0xDB), Just(0xDC), Just(0xDD), Just(0xFD), Just(0xE0), Just(0)], 0..40),
        wire().prop_map(|wire| wire.as_bytes().to_vec()),
        (wire(), 0usize..20).prop_map(|(wire, cut)| wire.as_bytes().iter().copied().skip(cut).collect()),
        (wire(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(wire, at, byte)| {
            let mut bytes = wire.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat()).boxed()
}

fn decoders() -> [Decoder; 2] {
    [Decoder::new(), Decoder::salvaging()]
}

/// Everything that `decoder` has to say about `bytes`, with what it rejected.
fn events(decoder: &mut Decoder, mut bytes: &[u8]) -> Vec<(Event, Vec<u8>)> {
    let mut events = Vec::new();
    while let Some(event) = decoder.next_event(&mut bytes) {
        let rejected = match event {
            Event::Rejected(_) => decoder.rejected_bytes().to_vec(),
            _ => Vec::new(),
        };
        events.push((event, rejected));
    }
    assert!(bytes.is_empty());
    events
}

fn check_round_trip(wire: WireFrame, message: Message) {
    let bytes = wire.as_bytes();
    assert!((15..=MAX_WIRE_LENGTH).contains(&bytes.len()));
    assert_eq!(bytes.iter().filter(|byte| **byte == 0xC0).count(), 2, "{wire}");
    for mut decoder in decoders() {
        let frames: Vec<Frame> = decoder.frames(bytes).collect();
        assert_eq!(frames.len(), 1, "{wire}");
        assert_eq!(frames[0].message(), message, "{wire}");
        assert_eq!(decoder.counters().rejected(), 0);
    }
    assert_eq!(hex::parse_frame(&wire.to_string()).map(|frame| frame.message()), Ok(message));
    assert!(message.is_known());
    assert!(!matches!(message, Message::Harmful(..)));
    assert!(!message.to_string().is_empty());
}

proptest! {
    #[test]
    fn master_messages_survive_the_round_trip(message in master_message()) {
        check_round_trip(message.encode(), message.into());
    }

    #[test]
    fn slave_messages_survive_the_round_trip(message in slave_message()) {
        check_round_trip(message.encode(), message.into());
    }

    #[test]
    fn splits_change_nothing(bytes in line_noise(), cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        for mut whole in decoders() {
            let mut split = whole.clone();
            let expected = events(&mut whole, &bytes);
            let mut found = Vec::new();
            let mut from = 0;
            for cut in &cuts {
                found.extend(events(&mut split, &bytes[from..*cut]));
                from = *cut;
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(whole.counters(), split.counters());
            prop_assert_eq!(whole.pending(), split.pending());
        }
    }

    #[test]
    fn one_good_frame_after_any_noise_is_enough(noise in line_noise(), wire in wire()) {
        for mut decoder in decoders() {
            let _ = events(&mut decoder, &noise);
            let found = events(&mut decoder, wire.as_bytes());
            let Some((Event::Frame(frame), _)) = found.last() else {
                panic!("{wire} not found after {noise:02X?}");
            };
            prop_assert_eq!(frame.message(), hex::parse_frame(&wire.to_string()).expect("encoded").message());
        }
    }

    #[test]
    fn every_byte_between_delimiters_is_accounted_for(bytes in line_noise()) {
        let mut decoder = Decoder::new();
        let found = events(&mut decoder, &bytes);
        let good = found.iter().filter(|(event, _)| matches!(event, Event::Frame(_))).count();
        prop_assert_eq!(decoder.counters().frames as usize, good);
        prop_assert_eq!(decoder.counters().rejected() as usize, found.len() - good);
    }

    #[test]
    fn any_bytes_have_a_name(body in vec(any::<u8>(), 0..24), family in 0xFAu8..=0xFE, code: u8) {
        let mut body = body;
        for (to, from) in body.iter_mut().zip([family, code]) {
            *to = from;
        }
        if body.len() > 1 {
            let data = body.len() - 1;
            body[data] = body[1..data].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        }
        let frame = Frame::from_body(&body);
        prop_assert_eq!(frame.is_ok(), (13..=20).contains(&body.len()));
        if let Ok(frame) = frame {
            prop_assert!(!frame.message().to_string().is_empty());
            if let Message::Unknown(kept) = frame.message() {
                prop_assert_eq!(kept.as_bytes(), &body[..]);
            }
        }
    }

    #[test]
    fn any_text_gives_a_frame_or_an_explanation(text in "\\PC{0,60}", digits in "[0-9A-Fa-f x:,]{0,80}") {
        for text in [text, digits] {
            if let Err(error) = hex::parse_frame(&text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// The inputs that the fuzzer keeps run as an ordinary test, so that none of them breaks unseen.
#[test]
fn corpus_of_the_fuzz_targets() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let Ok(targets) = std::fs::read_dir(&corpus) else {
        // The published package leaves the fuzz targets out.
        return;
    };
    let mut seen = 0;
    for target in targets {
        for input in std::fs::read_dir(target.expect("corpus").path()).expect("corpus") {
            let bytes = std::fs::read(input.expect("input").path()).expect("input");
            seen += 1;
            for mut whole in decoders() {
                let mut split = whole.clone();
                let expected = events(&mut whole, &bytes);
                let mut found = Vec::new();
                for byte in bytes.chunks(1) {
                    found.extend(events(&mut split, byte));
                }
                assert_eq!(found, expected);
                for (event, _) in found {
                    if let Event::Frame(frame) | Event::Salvaged(frame) = event {
                        assert!(!frame.message().to_string().is_empty());
                    }
                }
            }
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let _ = hex::parse_frame(text);
            }
        }
    }
    assert!(seen >= 8, "only {seen} inputs in {}", corpus.display());
}
