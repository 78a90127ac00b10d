//! Speed of decoding and encoding, with allocations counted: there must be none.
//!
//! The traffic is what a line with three connectors carries: a heartbeat and its answer each, now and then a meter reading,
//! the stray bytes that real units leave behind, an escape where currents and sums happen to need one, and a damaged frame in a hundred.

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use gen2_protocol::{
    CentiAmps, Decoder, EnergyCounter, MasterMessage, Message, Meter, Order, ProtocolVersion, Request, RequestKind,
    SlaveHeartbeat, SlaveMessage, SlaveState, TwcId,
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

enum Sent {
    Master(MasterMessage),
    Slave(SlaveMessage),
}

/// What one minute on the line looks like, roughly.
fn conversation() -> Vec<Sent> {
    let master = TwcId::FAKE_MASTER;
    let mut messages = Vec::new();
    for second in 0..60u16 {
        for slave in [0x2019, 0x4085, 0x02BB].map(TwcId::from_u16) {
            messages.push(Sent::Master(MasterMessage::Heartbeat {
                master,
                slave,
                version: ProtocolVersion::V2,
                order: if second % 10 == 0 { Order::Limit(CentiAmps(600 + 10 * second)) } else { Order::NoChange },
            }));
            messages.push(Sent::Slave(SlaveMessage::Heartbeat(SlaveHeartbeat {
                slave,
                master,
                state: SlaveState::Charging,
                limit: CentiAmps(1_600),
                drawn: CentiAmps(1_500 + second),
                version: ProtocolVersion::V2,
            })));
            if second % 10 == 5 {
                messages.push(Sent::Master(MasterMessage::Request(Request {
                    kind: RequestKind::Meter,
                    master,
                    slave,
                })));
                messages.push(Sent::Slave(SlaveMessage::Meter(Meter {
                    unit: slave,
                    energy: EnergyCounter(u32::from(second) + 900),
                    volts: [236, 238, 235],
                    half_amps: Some([31, 30, 31]),
                })));
            }
        }
    }
    messages
}

fn traffic() -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let messages = conversation();
    for (index, message) in messages.iter().enumerate() {
        let wire = match message {
            Sent::Master(message) => message.encode(),
            Sent::Slave(message) => message.encode(),
        };
        let start = bytes.len();
        bytes.extend_from_slice(wire.as_bytes());
        if index % 100 == 99 {
            bytes[start + 7] ^= 0x10;
        }
        bytes.extend_from_slice([&[0xFE][..], &[0xFC], &[]][index % 3]);
    }
    (bytes, messages.len())
}

/// Bytes to checked frames to typed messages, in one piece.
#[divan::bench]
fn decode(bencher: Bencher) {
    let (bytes, frames) = traffic();
    bencher.counter(ItemsCount::new(frames)).counter(BytesCount::new(bytes.len())).bench_local(|| {
        let mut decoder = Decoder::new();
        let mut drawn = 0u32;
        for frame in decoder.frames(black_box(&bytes)) {
            if let Message::SlaveHeartbeat(heartbeat) = black_box(frame.message()) {
                drawn += u32::from(heartbeat.drawn.0);
            }
        }
        drawn
    });
}

/// The same in pieces of 16 bytes, as a serial adapter delivers them.
#[divan::bench]
fn decode_in_pieces(bencher: Bencher) {
    let (bytes, frames) = traffic();
    bencher.counter(ItemsCount::new(frames)).counter(BytesCount::new(bytes.len())).bench_local(|| {
        let mut decoder = Decoder::new();
        let mut drawn = 0u32;
        for piece in black_box(&bytes).chunks(16) {
            for frame in decoder.frames(piece) {
                if let Message::SlaveHeartbeat(heartbeat) = black_box(frame.message()) {
                    drawn += u32::from(heartbeat.drawn.0);
                }
            }
        }
        drawn
    });
}

/// Typed messages to bytes on the wire.
#[divan::bench]
fn encode(bencher: Bencher) {
    let messages = conversation();
    let bytes: usize = messages
        .iter()
        .map(|message| match message {
            Sent::Master(message) => message.encode().as_bytes().len(),
            Sent::Slave(message) => message.encode().as_bytes().len(),
        })
        .sum();
    bencher.counter(ItemsCount::new(messages.len())).counter(BytesCount::new(bytes)).bench_local(|| {
        for message in black_box(&messages) {
            black_box(match message {
                Sent::Master(message) => message.encode(),
                Sent::Slave(message) => message.encode(),
            });
        }
    });
}
