//! The published vectors, and the faults.

use super::*;

const VIN: &str = "5YJ30123456789ABC";
const OWN_PUBLIC: &str = "04b2b6bc68c2da0665ce656815594996c62394edd8bea905fe781a754fe6a845a714330902f225e9269d466e05b349981fda9d85cc23c6fb444aa73b629105dc6e";
const OWN_PRIVATE: &str = "2538cdc29a97c19c1e99a637d6cf4f8c970c118b56ede1e6323e6d162c4b30db";
const CAR_PRIVATE: &str = "344ee5b466a7cf1eeb12b6f50331db2e5ec5834ef5f4befcfd8cbe55c2528d70";
const EPOCH: &str = "4c463f9cc0d3d26906e982ed224adde6";
const UUID: &str = "1588d5a30eabc6f8fc9a951b11f6fd11";
const SESSION_INFO: &str = "0806124104c7a1f47138486aa4729971494878d33b1a24e39571f748a6e16c5955b3d877d3a6aaa0e955166474af5d32c410f439a2234137ad1bb085fd4e8813c958f11d971a104c463f9cc0d3d26906e982ed224adde6255a0a0000";
const SESSION_TAG: &str = "996c1fe38331be138f8039c194b14db2198846ed7d8251e6749284d7b32ea002";
/// Charge start, counter 7, expires at 2655, flags 0 and 2.
const START: &str = "120432021200";
const START_TAG: &str = "0cd72f9bf441e254299bce9e188163795b00b434859d35f1bec9f0c8212b62f6";
const START_TAG_FLAGS: &str = "9293d414f2dc55ef6ec6de3a66b2bdb6b3e3292a782d02bc852d6ea3fdc06a25";
const SIXTEEN: &str = "1205da02020810";
const SIXTEEN_TAG: &str = "c47c23a52ba8ca1d0fc9d0c620f502b279c3f79fb644ec9de17704ee8094fa71";
/// The car's clock in the vectors.
const CLOCK: Duration = Duration::from_secs(2650);

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn car() -> Security {
    let mut security = Security::new(VIN);
    security.use_key(&hex(CAR_PRIVATE).try_into().unwrap(), hex(EPOCH).try_into().unwrap());
    security.pair(&hex(OWN_PUBLIC));
    security
}

/// A command as the signing side would send it, with a tag that may be any.
fn message(domain: u64, epoch: &str, counter: u64, expires: u32, flags: u64, payload: &str, tag: &[u8]) -> Envelope {
    let signature = Writer::new()
        .message(1, Writer::new().bytes(1, &hex(OWN_PUBLIC)))
        .message(8, Writer::new().bytes(1, &hex(epoch)).number(2, counter).fixed(3, expires).bytes(4, tag));
    let bytes = Writer::new()
        .message(6, Writer::new().number(1, domain))
        .message(7, Writer::new().bytes(2, &[9; 16]))
        .bytes(10, &hex(payload))
        .message(13, signature)
        .bytes(51, &hex(UUID))
        .number(52, flags)
        .done();
    Envelope::open(&bytes).unwrap()
}

/// A command signed for the car with the published keys.
fn signed(counter: u32, expires: u32) -> Envelope {
    let own = SecretKey::from_slice(&hex(OWN_PRIVATE)).unwrap();
    let car = SecretKey::from_slice(&hex(CAR_PRIVATE)).unwrap().public_key();
    let shared: [u8; 16] = first(&Sha1::digest(own.diffie_hellman(&car).raw_secret_bytes()));
    let key = hmac(&shared, &[b"authenticated command"]);
    let mut bytes = hex("000108010103021135594a333031323334353637383941424303104c463f9cc0d3d26906e982ed224adde6");
    bytes.extend([4, 4]);
    bytes.extend(expires.to_be_bytes());
    bytes.extend([5, 4]);
    bytes.extend(counter.to_be_bytes());
    bytes.push(0xff);
    let tag = hmac(&key, &[&bytes, &hex(START)]);
    message(3, EPOCH, u64::from(counter), expires, 0, START, &tag)
}

fn handshake(domain: u64, key: &[u8]) -> Envelope {
    let bytes = Writer::new()
        .message(6, Writer::new().number(1, domain))
        .message(7, Writer::new().bytes(2, &[9; 16]))
        .message(14, Writer::new().bytes(1, key))
        .bytes(51, &hex(UUID))
        .done();
    Envelope::open(&bytes).unwrap()
}

fn fault_of(heard: &Heard) -> u32 {
    match heard {
        Heard::Answered { fault, .. } => *fault,
        Heard::Payload { .. } => 0,
    }
}

fn reply_of(heard: Heard) -> Fields {
    match heard {
        Heard::Answered { reply, .. } => Fields::read(&reply).unwrap(),
        Heard::Payload { .. } => panic!("accepted"),
    }
}

#[test]
fn the_published_handshake_comes_out() {
    let mut car = car();
    car.infotainment.window(&hex(OWN_PUBLIC)).take(6);
    let reply = reply_of(car.hear(CLOCK, &handshake(3, &hex(OWN_PUBLIC)), None));
    assert_eq!(reply.bytes(15), Some(&hex(SESSION_INFO)[..]));
    let tag = reply.message(13).unwrap().message(6).unwrap();
    assert_eq!(tag.bytes(1), Some(&hex(SESSION_TAG)[..]));
    assert_eq!(reply.bytes(50), Some(&hex(UUID)[..]));
    assert_eq!(reply.message(6).unwrap().bytes(2), Some(&[9; 16][..]), "to whoever asked");
    assert_eq!(reply.message(7).unwrap().number(1), 3, "from infotainment");
    assert!(!reply.has(12), "no status");
}

#[test]
fn the_published_commands_are_accepted_once() {
    for (flags, payload, tag) in [(0, START, START_TAG), (2, START, START_TAG_FLAGS), (0, SIXTEEN, SIXTEEN_TAG)] {
        let mut car = car();
        let message = message(3, EPOCH, 7, 2655, flags, payload, &hex(tag));
        assert_eq!(car.hear(CLOCK, &message, None), Heard::Payload { domain: 3, payload: hex(payload) });
        assert_eq!(fault_of(&car.hear(CLOCK, &message, None)), fault::INVALID_COUNTER, "a replay");
    }
}

/// The files are looked for beside the checkout; without them the constants above have to do.
#[test]
fn the_recorded_exchange_comes_out() {
    let found: Vec<_> = recordings::vendor("tesla")
        .into_iter()
        .filter(|recording| recording.name() == "signed_command_vectors.json")
        .collect();
    for recording in found {
        let vectors = recording.json();
        let text = |value: &serde_json::Value| hex(value.as_str().unwrap());
        let part = &vectors["handshake"];
        let mut car = car();
        car.infotainment.window(&hex(OWN_PUBLIC)).take(6);
        let envelope = Envelope::open(&text(&part["request_hex"])).unwrap();
        let Heard::Answered { reply, fault } = car.hear(CLOCK, &envelope, None) else { panic!("a payload") };
        assert_eq!((reply, fault), (text(&part["reply_hex"]), 0));
        let commands = vectors["hmac_commands"].as_array().unwrap();
        assert!(!commands.is_empty());
        for command in commands {
            let mut car = self::car();
            let envelope = Envelope::open(&text(&command["routable_message_hex"])).unwrap();
            let payload = text(&command["payload_hex"]);
            assert_eq!(car.hear(CLOCK, &envelope, None), Heard::Payload { domain: 3, payload });
        }
    }
}

#[test]
fn each_thing_wrong_has_its_fault() {
    let tag = hex(START_TAG);
    let mut flipped = tag.clone();
    flipped[31] ^= 1;
    let other_epoch = "00000000000000000000000000000000";
    let cases = [
        ("tag", message(3, EPOCH, 7, 2655, 0, START, &flipped), fault::INVALID_SIGNATURE),
        ("no tag", message(3, EPOCH, 7, 2655, 0, START, &[]), fault::INVALID_SIGNATURE),
        ("payload", message(3, EPOCH, 7, 2655, 0, SIXTEEN, &tag), fault::INVALID_SIGNATURE),
        ("flags", message(3, EPOCH, 7, 2655, 2, START, &tag), fault::INVALID_SIGNATURE),
        ("counter", message(3, EPOCH, 8, 2655, 0, START, &tag), fault::INVALID_SIGNATURE),
        ("expiry", message(3, EPOCH, 7, 2656, 0, START, &tag), fault::INVALID_SIGNATURE),
        ("other domain", message(2, EPOCH, 7, 2655, 0, START, &tag), fault::WRONG_EPOCH),
        ("no domain", message(1, EPOCH, 7, 2655, 0, START, &tag), fault::INVALID_DOMAIN),
        ("epoch", message(3, other_epoch, 7, 2655, 0, START, &tag), fault::WRONG_EPOCH),
        ("late", message(3, EPOCH, 7, 2649, 0, START, &tag), fault::EXPIRED),
        ("long", message(3, EPOCH, 7, 2651 + (1 << 30), 0, START, &tag), fault::LIVES_TOO_LONG),
    ];
    for (what, message, expected) in cases {
        let heard = car().hear(CLOCK, &message, None);
        assert_eq!(fault_of(&heard), expected, "{what}");
        let reply = reply_of(heard);
        let status = reply.message(12).unwrap();
        assert_eq!((status.number(1), status.number(2)), (2, u64::from(expected)), "{what}");
        assert_eq!(reply.has(15), fault::OUT_OF_STEP.contains(&expected), "{what}: session info");
    }
}

#[test]
fn another_cars_vin_breaks_the_signature() {
    let mut other = Security::new("5YJ30123456789ABD");
    other.use_key(&hex(CAR_PRIVATE).try_into().unwrap(), hex(EPOCH).try_into().unwrap());
    other.pair(&hex(OWN_PUBLIC));
    let heard = other.hear(CLOCK, &message(3, EPOCH, 7, 2655, 0, START, &hex(START_TAG)), None);
    assert_eq!(fault_of(&heard), fault::INVALID_SIGNATURE);
}

#[test]
fn keys_have_to_be_paired_and_able() {
    let message = message(3, EPOCH, 7, 2655, 0, START, &hex(START_TAG));
    let key = hex(OWN_PUBLIC);
    let mut car = car();
    for (standing, expected) in
        [(Standing::Inactive, fault::INACTIVE_KEY), (Standing::Powerless, fault::INSUFFICIENT_PRIVILEGES)]
    {
        car.pair_as(&key, standing);
        assert_eq!(fault_of(&car.hear(CLOCK, &message, None)), expected);
    }
    car.unpair(&key);
    assert_eq!(fault_of(&car.hear(CLOCK, &message, None)), fault::UNKNOWN_KEY);
    let reply = reply_of(car.hear(CLOCK, &handshake(3, &key), None));
    let info = Fields::read(reply.bytes(15).unwrap()).unwrap();
    assert_eq!(info.number(5), 1, "the handshake says that the key is not on the list");
    assert_eq!(fault_of(&car.hear(CLOCK, &handshake(3, &[4; 65]), None)), fault::UNKNOWN_KEY, "no point of the curve");
}

#[test]
fn counters_may_come_out_of_order_but_not_twice() {
    let mut car = car();
    let steps: [(u32, u32, u32); 9] = [
        (100, 2655, 0),
        (100, 2655, fault::INVALID_COUNTER),
        (98, 2655, 0),
        (98, 2655, fault::INVALID_COUNTER),
        (99, 2690, fault::LIVES_TOO_LONG),
        (99, 2655, 0),
        (67, 2655, fault::INVALID_COUNTER),
        (140, 2690, 0),
        (101, 2655, fault::INVALID_COUNTER),
    ];
    for (counter, expires, expected) in steps {
        assert_eq!(fault_of(&car.hear(CLOCK, &signed(counter, expires), None)), expected, "{counter}");
    }
}

/// Every counter of a window is new exactly once, in any order.
#[test]
fn the_window_takes_each_counter_once() {
    for stride in [1, 3, 7, 11] {
        let mut window = Window::default();
        let order: Vec<u32> = (0..29).map(|n| 10 + n * stride % 29).collect();
        let taken = order.iter().filter(|counter| window.take(**counter)).count();
        assert_eq!(taken, 29, "stride {stride}");
        assert!(order.iter().all(|counter| !window.take(*counter)), "stride {stride}");
    }
}

#[test]
fn a_reboot_ends_all_sessions_and_tells_the_new_epoch() {
    let mut car = car();
    let message = message(3, EPOCH, 7, 2655, 0, START, &hex(START_TAG));
    car.reboot(CLOCK);
    let reply = reply_of(car.hear(CLOCK + Duration::from_secs(3), &message, None));
    assert_eq!(reply.message(12).unwrap().number(2), u64::from(fault::WRONG_EPOCH));
    let info = Fields::read(reply.bytes(15).unwrap()).unwrap();
    assert_ne!(info.bytes(3), Some(&hex(EPOCH)[..]));
    assert_eq!((info.number(1), info.number(4)), (0, 3), "counter and clock begin anew");
}

#[test]
fn the_security_controller_has_its_own_session_and_tells_its_status_to_anybody() {
    let mut car = car();
    let reply = reply_of(car.hear(CLOCK, &handshake(2, &hex(OWN_PUBLIC)), None));
    let info = Fields::read(reply.bytes(15).unwrap()).unwrap();
    assert_ne!(info.bytes(3), Some(&hex(EPOCH)[..]));
    assert!(!reply.has(50), "it leaves the request's number out");
    let unsigned = |domain: u64, payload: &[u8]| {
        let bytes = Writer::new().message(6, Writer::new().number(1, domain)).bytes(10, payload).done();
        Envelope::open(&bytes).unwrap()
    };
    let heard = car.hear(CLOCK, &unsigned(2, &[0x0a, 0]), None);
    assert_eq!(heard, Heard::Payload { domain: 2, payload: vec![0x0a, 0] });
    assert_eq!(fault_of(&car.hear(CLOCK, &unsigned(2, &[0x10, 0x1e]), None)), fault::INVALID_SIGNATURE);
    assert_eq!(fault_of(&car.hear(CLOCK, &unsigned(3, &hex(START)), None)), fault::INVALID_SIGNATURE);
}

#[test]
fn a_fault_on_order_comes_once_and_uses_no_counter() {
    let mut car = car();
    car.fault_next(fault::BUSY);
    let message = message(3, EPOCH, 7, 2655, 0, START, &hex(START_TAG));
    assert_eq!(fault_of(&car.hear(CLOCK, &message, None)), fault::BUSY);
    assert_eq!(fault_of(&car.hear(CLOCK, &message, None)), 0);
}
