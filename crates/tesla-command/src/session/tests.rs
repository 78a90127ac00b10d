//! A session against the published numbers, byte by byte. How it behaves is tested against a car of its own in `tests/`.

use super::*;
use crate::command::ChargingAmps;
use crate::random::NoRandomness;
use crate::routable::FLAG_ENCRYPT_REPLY;
use crate::vectors::{self, hex};

/// Gives the published address, uuid and nonce instead of anything random.
#[derive(Default)]
struct Published {
    is_uuid_next: bool,
}

impl Random for Published {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        let text = match (bytes.len(), self.is_uuid_next) {
            (12, _) => vectors::GCM_NONCE,
            (_, false) => vectors::ADDRESS,
            (_, true) => vectors::UUID,
        };
        self.is_uuid_next ^= bytes.len() == 16;
        bytes.copy_from_slice(&hex(text));
        Ok(())
    }
}

/// A session of the published keys whose commands live for the published 5 s.
fn session(transport: Transport) -> Session {
    let key = PrivateKey::from_scalar(&hex(vectors::OWN_PRIVATE)).expect("published");
    let vin = vectors::VIN.parse().expect("published");
    let mut session = Session::new(key, vin, Domain::Infotainment, transport, Box::new(Published::default()));
    session.lifetime = Duration::from_secs(5);
    session
}

fn sent(session: &mut Session) -> Vec<u8> {
    loop {
        match session.poll_output() {
            Some(Output::Send(bytes)) => return bytes,
            Some(Output::Save(_)) => {}
            other => panic!("{other:?} instead of a message"),
        }
    }
}

/// The bytes of `command` after the published handshake.
fn signed(command: Command, flags: u32) -> Vec<u8> {
    let now = Instant::now();
    let mut session = session(Transport::Internet);
    session.wants_encrypted_reply = flags == FLAG_ENCRYPT_REPLY;
    session.begin(now, command).expect("idle");
    assert_eq!(sent(&mut session), hex(vectors::HANDSHAKE_REQUEST));
    assert_eq!(session.handle_bytes(now, &hex(vectors::HANDSHAKE_REPLY)), Heard::Taken);
    sent(&mut session)
}

#[test]
fn the_published_handshake_leads_to_the_published_command() {
    assert_eq!(signed(Command::StartCharging, 0), hex(vectors::CHARGE_START_MESSAGE));
}

/// All of the recorded vectors, where they are.
#[test]
fn every_recorded_vector_comes_out() {
    let Some(folder) = recordings::folder("tesla") else { return eprintln!("no recordings of `tesla` here") };
    let text = std::fs::read_to_string(folder.join("signed_command_vectors.json")).expect("the vectors");
    let vectors: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let commands = vectors["hmac_commands"].as_array().expect("commands");
    assert_eq!(commands.len(), 3);
    for vector in commands {
        let command = match vector["payload_hex"].as_str().expect("a payload") {
            "120432021200" => Command::StartCharging,
            "1205da02020810" => Command::SetChargingAmps(ChargingAmps::new(16).expect("in range")),
            other => panic!("an unknown payload {other}"),
        };
        let flags = u32::try_from(vector["flags"].as_u64().expect("flags")).expect("small");
        let expected = hex(vector["routable_message_hex"].as_str().expect("a message"));
        let message = signed(command, flags);
        assert_eq!(message, expected, "{}", vector["name"]);
        assert!(message.windows(32).any(|window| window == hex(vector["tag_hex"].as_str().expect("a tag"))));
    }
    for (key, expected) in [
        ("client_private_key_hex", vectors::OWN_PRIVATE),
        ("K_hex", vectors::SHARED_KEY),
        ("session_info_key_hex", vectors::SESSION_INFO_KEY),
        ("command_key_hex", vectors::COMMAND_KEY),
    ] {
        assert_eq!(vectors[key], expected, "{key}");
    }
    let handshake = &vectors["handshake"];
    for (key, expected) in [
        ("request_hex", vectors::HANDSHAKE_REQUEST),
        ("reply_hex", vectors::HANDSHAKE_REPLY),
        ("session_info_hex", vectors::SESSION_INFO),
        ("metadata_hex", vectors::SESSION_INFO_METADATA),
        ("tag_hex", vectors::SESSION_INFO_TAG),
    ] {
        assert_eq!(handshake[key], expected, "{key}");
    }
}

/// What a battered session info leads to: never a command.
#[test]
fn any_damage_to_the_session_info_is_noticed() {
    let reply = hex(vectors::HANDSHAKE_REPLY);
    let range = 26..reply.len() - 19;
    for at in range {
        for bit in [1, 0x80] {
            let mut damaged = reply.clone();
            damaged[at] ^= bit;
            let now = Instant::now();
            let mut session = session(Transport::Internet);
            session.begin(now, Command::StartCharging).expect("idle");
            sent(&mut session);
            session.handle_bytes(now, &damaged);
            let signed = std::iter::from_fn(|| session.poll_output()).any(|output| matches!(output, Output::Save(_)));
            assert!(!signed, "byte {at}, bit {bit}");
        }
    }
}
