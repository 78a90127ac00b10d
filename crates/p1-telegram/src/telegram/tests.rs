use super::*;
use crate::Framer;

/// A telegram from its data lines, with its checksum.
fn telegram(lines: &[&str]) -> Vec<u8> {
    let body = format!("/ABC5METER\r\n\r\n{}\r\n!", lines.join("\r\n"));
    format!("{body}{:04X}\r\n", crc16(body.bytes())).into_bytes()
}

fn meter(lines: &[&str]) -> Meter {
    Telegram::parse(&telegram(lines)).unwrap().meter()
}

#[test]
fn units_decide_and_not_the_digits() {
    assert_eq!(meter(&["1-0:1.7.0(000000286*W)", "1-0:2.7.0(000000000*W)"]).watts, Some(286.0));
    assert_eq!(meter(&["1-0:1.7.0(00.286*kW)", "1-0:2.7.0(00.000*kW)"]).watts, Some(286.0));
    assert_eq!(meter(&["1-0:1.8.0(006545000*Wh)"]).import_kwh, Some(6545.0));
}

#[test]
fn import_and_export_are_netted() {
    assert_eq!(meter(&["1-0:1.7.0(01.000*kW)", "1-0:2.7.0(01.500*kW)"]).watts, Some(-500.0));
    assert_eq!(meter(&["1-0:16.7.0(-0.500*kW)"]).watts, Some(-500.0));
}

#[test]
fn a_register_that_cannot_be_read_is_not_zero() {
    assert_eq!(meter(&["1-0:1.7.0(01.000*kW)"]).watts, Some(1000.0));
    assert_eq!(meter(&["1-0:1.7.0(01.000*kW)", "1-0:2.7.0(0?.500*kW)"]).watts, None);
    assert_eq!(meter(&["1-0:2.7.0(00.000*kW)"]).watts, None);
    assert_eq!(meter(&["1-0:15.7.0(00500*W)"]).watts, None);
    assert_eq!(meter(&["1-0:1.8.1(1*kWh)", "1-0:1.8.2(x*kWh)"]).import_kwh, None);
}

#[test]
fn phases_that_are_not_there_are_unknown() {
    let meter = meter(&["1-0:21.7.0(02.778*kW)", "1-0:22.7.0(00.000*kW)", "1-0:31.7.0(012*A)", "1-0:52.7.0(231.5*V)"]);
    assert_eq!(meter.phases.map(|phase| phase.watts), [Some(2778.0), None, None]);
    assert_eq!(meter.signed_amps(), [Some(12.0), None, None]);
    assert_eq!(meter.volts(), [None, Some(231.5), None]);
}

#[test]
fn whole_amps_are_noticed() {
    let whole = |line| Telegram::parse(&telegram(&[line])).unwrap().has_whole_amps;
    assert!(whole("1-0:31.7.0(012*A)"));
    assert!(!whole("1-0:31.7.0(012.3*A)"));
}

#[test]
fn checksums_are_required_where_the_version_has_them() {
    let bare = |version: &str| format!("/ABC5METER\r\n\r\n{version}1-0:1.7.0(01.000*kW)\r\n!\r\n").into_bytes();
    assert_eq!(Telegram::parse(&bare("")).unwrap().checksum, Checksum::Absent);
    assert_eq!(Telegram::parse(&bare("1-3:0.2.8(50)\r\n")), Err(TelegramError::NoChecksum));
    assert_eq!(Telegram::parse(&bare("0-0:96.1.4(50217)\r\n")), Err(TelegramError::NoChecksum));
    let mut nul = telegram(&["1-0:1.7.0(01.000*kW)"]);
    nul.insert(nul.len() - 2, 0);
    assert_eq!(Telegram::parse(&nul).unwrap().checksum, Checksum::Good);
    let mut changed = telegram(&["1-0:1.7.0(01.000*kW)"]);
    changed[30] ^= 1;
    assert!(matches!(Telegram::parse(&changed), Err(TelegramError::Checksum { .. })));
}

#[test]
fn checksums_may_lack_their_leading_zeros() {
    // Found by trying: a telegram whose checksum starts with a zero.
    let bytes = (0..10_000).map(|n| telegram(&[&format!("0-0:96.13.0({n})")])).find(|bytes| {
        bytes.ends_with(b"\r\n") && {
            let text = String::from_utf8_lossy(bytes);
            text.rsplit_once('!').is_some_and(|(_, digits)| digits.starts_with('0'))
        }
    });
    let text = String::from_utf8(bytes.unwrap()).unwrap();
    let short = text.replace("!0", "!");
    assert_eq!(Telegram::parse(short.as_bytes()).unwrap().checksum, Checksum::Good);
}

#[test]
fn seven_bit_telegrams_with_parity_are_read() {
    let odd = |byte: &u8| byte.count_ones() % 2 == 1;
    let bytes = b"/ISk5\\2MT382-1004\r\n\r\n1-0:1.7.0(0001.01*kW)\r\n1-0:2.7.0(0000.00*kW)\r\n!\r\n";
    let parity: Vec<u8> = bytes.iter().map(|byte| if odd(byte) { byte | 0x80 } else { *byte }).collect();
    assert_eq!(Telegram::parse(&parity).unwrap().meter().watts, Some(1010.0));
}

#[test]
fn impossible_powers_without_a_checksum_are_unknown() {
    let bytes = b"/EST5\r\n\r\n1-0:1.7.0(9286.000*kW)\r\n!\r\n";
    assert_eq!(Telegram::parse(bytes).unwrap().meter().watts, None);
}

#[test]
fn recordings_read_right() {
    for recording in recordings::vendor("dsmr") {
        let mut framer = Framer::new();
        framer.push(&recording.bytes());
        // A file may end without the line end that a line would bring, and then the next telegram ends it.
        framer.push(b"/");
        let telegrams: Vec<Vec<u8>> = std::iter::from_fn(|| framer.next_telegram()).collect();
        let good: Vec<Telegram> = telegrams.iter().filter_map(|bytes| Telegram::parse(bytes).ok()).collect();
        let expected = recording.expected();
        let name = recording.name();
        assert_eq!(good.len(), if expected["status"] == "ok" { 1 } else { 0 }, "{name}");
        let meter = good.first().map(Telegram::meter).unwrap_or_default();
        recording.assert_number("grid_w", meter.watts);
        recording.assert_number("consumption_w", meter.watts.map(|watts| watts.max(0.0)));
        recording.assert_number("generation_w", meter.watts.map(|watts| (-watts).max(0.0)));
        recording.assert_number("import_kwh", meter.import_kwh);
        recording.assert_number("export_kwh", meter.export_kwh);
        if let (Some(crc_ok), Some(telegram)) = (expected["crc_ok"].as_bool(), good.first()) {
            assert_eq!(telegram.checksum == Checksum::Good, crc_ok, "{name}");
        }
        recording.assert_phases(meter.phases.map(|phase| phase.watts), meter.signed_amps(), meter.volts());
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_give_a_telegram_or_an_error(bytes in proptest::collection::vec(0u8.., 0..600)) {
        let _ = Telegram::parse(&bytes).map(|telegram| telegram.meter());
    }

    #[test]
    fn any_line_gives_sane_numbers(id in "(1-0:)?[1-7]?[1-7]\\.[78]\\.[0-2]", value in "[-+0-9.eE]{0,12}", unit in "(kW|W|A|V|kWh)") {
        let bytes = format!("/A\r\n\r\n{id}({value}*{unit})\r\n!\r\n");
        let meter = Telegram::parse(bytes.as_bytes()).unwrap().meter();
        proptest::prop_assert!(meter.watts.is_none_or(|watts| watts.abs() <= LARGEST_UNCHECKED_W));
        proptest::prop_assert!(meter.phases.iter().all(|phase| phase.watts.is_none_or(|watts| watts.abs() <= LARGEST_UNCHECKED_W)));
    }
}
