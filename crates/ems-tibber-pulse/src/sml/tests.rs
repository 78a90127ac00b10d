use super::*;

/// CRC-16/X-25, as SML messages have inside.
fn crc(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0xFFFF, |crc: u16, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x8408 } else { crc >> 1 })
    })
}

fn octets(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len() + 1).unwrap()], bytes].concat()
}

fn message(tag: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        [[0x76].as_slice(), &octets(b"t1"), &[0x62, 0x00, 0x62, 0x00, 0x72, 0x63], &tag.to_be_bytes(), body].concat();
    let crc = crc(&bytes).to_le_bytes();
    bytes.extend([0x63, crc[0], crc[1], 0x00]);
    bytes
}

/// An entry: C and D of its name, unit, scaler and value.
fn entry((c, d, unit, scaler, number): (u8, u8, u8, i8, i32)) -> Vec<u8> {
    let name = octets(&[1, 0, c, d, 0, 255]);
    let end = [0x62, unit, 0x52, scaler.to_be_bytes()[0], 0x55];
    [[0x77].as_slice(), &name, &[0x01, 0x01], &end, &number.to_be_bytes(), &[0x01]].concat()
}

/// What a meter sends.
pub(crate) fn sml(entries: &[(u8, u8, u8, i8, i32)]) -> Vec<u8> {
    let open = [[0x76, 0x01, 0x01].as_slice(), &octets(b"r1"), &octets(b"meter"), &[0x01, 0x01]].concat();
    let count = u8::try_from(entries.len()).unwrap();
    let values: Vec<u8> = entries.iter().flat_map(|values| entry(*values)).collect();
    let list =
        [[0x77, 0x01].as_slice(), &octets(b"meter"), &[0x01, 0x01, 0x70 + count], &values, &[0x01, 0x01]].concat();
    let close = [0x71, 0x01];
    let file = [message(0x0101, &open), message(0x0701, &list), message(0x0201, &close)].concat();
    sml_rs::transport::encode::<Vec<u8>>(file).unwrap()
}

#[test]
fn powers_have_scale_and_sign() {
    let meter = meter(&sml(&[
        (1, 8, WATT_HOUR, -1, 12_345_678),
        (2, 8, WATT_HOUR, -1, 1_000),
        (16, 7, WATT, -2, -250_050),
        (36, 7, WATT, 0, -2_000),
        (56, 7, WATT, 0, -600),
        (76, 7, WATT, 0, 100),
        (32, 7, VOLT, -1, 2_305),
        (31, 7, AMPERE, -2, 868),
    ]))
    .unwrap();
    let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-6;
    assert!(close(meter.watts, -2500.5) && close(meter.import_kwh, 1234.5678) && close(meter.export_kwh, 0.1));
    assert_eq!(meter.phases.map(|phase| phase.watts), [Some(-2000.0), Some(-600.0), Some(100.0)]);
    assert!(close(meter.signed_amps()[0], -8.68) && close(meter.volts()[0], 230.5));
}

#[test]
fn a_magnitude_is_import_only_where_nothing_is_exported() {
    let magnitude = (15, 7, WATT, 0, 500);
    assert_eq!(meter(&sml(&[magnitude])).unwrap().watts, Some(500.0));
    assert_eq!(meter(&sml(&[magnitude, (2, 8, WATT_HOUR, 0, 5)])).unwrap().watts, None);
    assert_eq!(meter(&sml(&[(1, 7, WATT, 0, 500), (2, 7, WATT, 0, 700)])).unwrap().watts, Some(-200.0));
}

#[test]
fn other_units_and_scales_are_unknown() {
    assert_eq!(meter(&sml(&[(16, 7, WATT_HOUR, 0, 500)])).unwrap().watts, None);
    assert_eq!(meter(&sml(&[(16, 7, WATT, 100, 500)])).unwrap().watts, None);
}

#[test]
fn damage_is_noticed() {
    let good = sml(&[(16, 7, WATT, 0, 500)]);
    for at in 8..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        assert!(meter(&damaged).is_err(), "{at}");
    }
    assert!(meter(&good[..good.len() - 6]).is_err());
    // The newest whole message counts.
    let both = [good.as_slice(), &sml(&[(16, 7, WATT, 0, 700)]), &good[..20]].concat();
    assert_eq!(meter(&both).unwrap().watts, Some(700.0));
}
