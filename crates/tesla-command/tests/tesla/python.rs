//! A third opinion on keys and signatures: the Python package `cryptography`, with which TWCManager makes its keys.

use std::process::Command as Process;
use std::time::Instant;

use tesla_command::{Command, Domain, Output, PrivateKey, Session, SystemRandom, Transport};

use crate::car::VIN;

/// Reads our stored key as TWCManager does, answers the greeting as a car, and checks the signature of the command.
const SCRIPT: &str = r#"
import base64, hashlib, hmac, sys
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec

def raw(key):
    return key.public_bytes(s.Encoding.X962, s.PublicFormat.UncompressedPoint)

mode, priv, pub, pub_pem, private_car, first, second = sys.argv[1:]
ours = s.load_pem_private_key(base64.b64decode(priv), None)
assert raw(ours.public_key()) == base64.b64decode(pub)
assert raw(s.load_pem_public_key(base64.b64decode(pub_pem))) == base64.b64decode(pub)
car = ec.derive_private_key(int(private_car, 16), ec.SECP256R1())
key = hashlib.sha1(car.exchange(ec.ECDH(), ours.public_key())).digest()[:16]
sign = lambda label, data: hmac.new(hmac.new(key, label, "sha256").digest(), data, "sha256").digest()
vin = b"\x02\x11" + VIN
if mode == "greet":
    uuid = bytes.fromhex(first)
    info = b"\x08\x06\x12\x41" + raw(car.public_key()) + b"\x1a\x10" + b"\x05" * 16 + b"\x25\x5a\x0a\0\0"
    tag = sign(b"session info", b"\0\x01\x06" + vin + b"\x06\x10" + uuid + b"\xff" + info)
    print((b"\x3a\x02\x08\x03\x6a\x24\x32\x22\x0a\x20" + tag + b"\x7a" + bytes([len(info)]) + info + b"\x92\x03\x10" + uuid).hex())
else:
    meta = b"\0\x01\x08\x01\x01\x03" + vin + b"\x03\x10" + b"\x05" * 16 + b"\x04\x04" + (2650 + 12).to_bytes(4, "big") + b"\x05\x04\0\0\0\x07\xff"
    tag = sign(b"authenticated command", meta + bytes.fromhex("120432021200"))
    print("good" if tag in bytes.fromhex(second) else "bad")
"#;

/// The car's private key: any number will do.
const CAR: &str = "344ee5b466a7cf1eeb12b6f50331db2e5ec5834ef5f4befcfd8cbe55c2528d70";

fn python(arguments: &[&str]) -> String {
    let script = SCRIPT.replace("VIN", &format!("b'{VIN}'"));
    let output = Process::new("python3").arg("-c").arg(script).args(arguments).output().expect("Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sent(session: &mut Session) -> Vec<u8> {
    std::iter::from_fn(|| session.poll_output())
        .find_map(|output| if let Output::Send(bytes) = output { Some(bytes) } else { None })
        .expect("a message")
}

#[test]
fn python_finds_keys_and_signatures_right() {
    let has_it =
        Process::new("python3").args(["-c", "import cryptography"]).output().is_ok_and(|out| out.status.success());
    if !has_it {
        return eprintln!("no Python with `cryptography` here: this opinion is not heard");
    }
    let now = Instant::now();
    let key = PrivateKey::generate(&mut SystemRandom).unwrap();
    let stored = key.to_stored().unwrap();
    let of_key = [stored.priv_key.as_str(), &stored.pub_key, &stored.pub_key_pem, CAR];
    let mut session =
        Session::new(key, VIN.parse().unwrap(), Domain::Infotainment, Transport::Internet, Box::new(SystemRandom));
    session.begin(now, Command::StartCharging).unwrap();
    let greeting = hex(&sent(&mut session));
    let uuid = &greeting[greeting.len() - 32..];
    let reply = python(&[&["greet"], &of_key[..], &[uuid, ""]].concat());
    let reply: Vec<u8> =
        (0..reply.len()).step_by(2).map(|at| u8::from_str_radix(&reply[at..at + 2], 16).unwrap()).collect();
    session.handle_bytes(now, &reply);
    let command = hex(&sent(&mut session));
    assert_eq!(python(&[&["check"], &of_key[..], &["", &command]].concat()), "good");
}
