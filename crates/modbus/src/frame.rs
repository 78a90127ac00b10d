//! Frames: requests to bytes, bytes to replies. No I/O.

use crate::client::Table;
use crate::error::ExceptionCode;
use crate::{MOST_READ, MOST_WRITTEN};
use rmodbus::ModbusProto;
use rmodbus::client::ModbusRequest;

/// How a frame is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Modbus TCP: transaction, protocol, length, unit.
    Mbap,
    /// Serial: unit in front, CRC behind.
    Rtu,
}

/// What is asked of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) unit: u8,
    pub(crate) address: u16,
    pub(crate) action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Read { table: Table, count: u16 },
    WriteOne { value: u16 },
    WriteMany { values: Vec<u16> },
}

/// What is wrong with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Exception(ExceptionCode),
    Broken(&'static str),
}

impl Ask {
    /// Checks what the protocol allows.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let count = match &self.action {
            Action::Read { count, .. } => usize::from(*count),
            Action::WriteOne { .. } => 1,
            Action::WriteMany { values } => values.len(),
        };
        let most = match self.action {
            Action::Read { .. } => usize::from(MOST_READ),
            _ => MOST_WRITTEN,
        };
        if count == 0 {
            return Err("no register is asked for");
        }
        if count > most {
            return Err("too many registers for one request");
        }
        if usize::from(self.address) + count > 0x1_0000 {
            return Err("the registers end after 65535");
        }
        Ok(())
    }

    pub(crate) fn function(&self) -> u8 {
        match self.action {
            Action::Read { table: Table::Holding, .. } => 3,
            Action::Read { table: Table::Input, .. } => 4,
            Action::WriteOne { .. } => 6,
            Action::WriteMany { .. } => 16,
        }
    }

    pub(crate) fn what(&self) -> &'static str {
        match self.action {
            Action::Read { table: Table::Holding, .. } => "reading holding registers",
            Action::Read { table: Table::Input, .. } => "reading input registers",
            _ => "writing registers",
        }
    }

    /// The request on the wire.
    pub(crate) fn encode(&self, framing: Framing, transaction: u16) -> Result<Vec<u8>, &'static str> {
        self.check()?;
        let mut request = match framing {
            Framing::Mbap => ModbusRequest::new_tcp_udp(self.unit, transaction),
            Framing::Rtu => ModbusRequest::new(self.unit, ModbusProto::Rtu),
        };
        let mut out = Vec::with_capacity(260);
        match &self.action {
            Action::Read { table: Table::Holding, count } => {
                request.generate_get_holdings(self.address, *count, &mut out)
            }
            Action::Read { table: Table::Input, count } => request.generate_get_inputs(self.address, *count, &mut out),
            Action::WriteOne { value } => request.generate_set_holding(self.address, *value, &mut out),
            Action::WriteMany { values } => request.generate_set_holdings_bulk(self.address, values, &mut out),
        }
        .map_err(|_| "the request does not fit into a frame")?;
        Ok(out)
    }

    /// Length of a good reply's function code and data.
    fn reply_length(&self) -> usize {
        match self.action {
            Action::Read { count, .. } => 2 + 2 * usize::from(count),
            _ => 5,
        }
    }

    /// The registers in a reply (function code and data); none for a write.
    pub(crate) fn decode(&self, pdu: &[u8]) -> Result<Vec<u16>, Fault> {
        let (function, data) = pdu.split_first().ok_or(Fault::Broken("it is empty"))?;
        if *function == self.function() | 0x80 {
            let code = data.first().ok_or(Fault::Broken("it is an exception without a code"))?;
            return Err(Fault::Exception((*code).into()));
        }
        if *function != self.function() {
            return Err(Fault::Broken("it answers another function"));
        }
        match &self.action {
            Action::Read { count, .. } => {
                let (length, data) = data.split_first().ok_or(Fault::Broken("it has no length"))?;
                if usize::from(*length) != data.len() || data.len() != 2 * usize::from(*count) {
                    return Err(Fault::Broken("it has another number of registers"));
                }
                Ok(words(data))
            }
            Action::WriteOne { value } => self.confirm(data, *value),
            Action::WriteMany { values } => self.confirm(data, u16::try_from(values.len()).unwrap_or(u16::MAX)),
        }
    }

    fn confirm(&self, data: &[u8], second: u16) -> Result<Vec<u16>, Fault> {
        if words(data) == [self.address, second] && data.len() == 4 {
            Ok(Vec::new())
        } else {
            Err(Fault::Broken("it confirms another write"))
        }
    }
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

/// What stands at the start of received TCP bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mbap<'b> {
    /// Not yet complete.
    More,
    /// A frame, and how many bytes it took.
    Frame { transaction: u16, unit: u8, pdu: &'b [u8], taken: usize },
    /// No Modbus.
    Broken(&'static str),
}

pub(crate) fn take_mbap(bytes: &[u8]) -> Mbap<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<7>() else { return Mbap::More };
    let [t0, t1, p0, p1, l0, l1, unit] = *head;
    if (p0, p1) != (0, 0) {
        return Mbap::Broken("it is not Modbus TCP (perhaps RTU over TCP)");
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    // Unit, function and one byte at least; unit and 253 bytes at most.
    if !(3..=254).contains(&length) {
        return Mbap::Broken("its length is impossible");
    }
    match rest.get(..length - 1) {
        None => Mbap::More,
        Some(pdu) => Mbap::Frame { transaction: u16::from_be_bytes([t0, t1]), unit, pdu, taken: 6 + length },
    }
}

/// Finds the reply to `ask` in received serial bytes, passing over noise and echoes: function code and data.
pub(crate) fn find_rtu<'b>(bytes: &'b [u8], ask: &Ask) -> Option<&'b [u8]> {
    (0..bytes.len()).find_map(|start| rtu_at(bytes.get(start..)?, ask))
}

fn rtu_at<'b>(bytes: &'b [u8], ask: &Ask) -> Option<&'b [u8]> {
    let (unit, function) = (*bytes.first()?, *bytes.get(1)?);
    let length = if function == ask.function() | 0x80 {
        2
    } else if function == ask.function() {
        ask.reply_length()
    } else {
        return None;
    };
    if unit != ask.unit {
        return None;
    }
    let frame = bytes.get(..1 + length)?;
    let sum = bytes.get(1 + length..3 + length)?;
    (crc(frame).to_le_bytes() == *sum).then(|| frame.get(1..)).flatten()
}

/// CRC-16/MODBUS: polynomial 0xA001 reflected, start 0xFFFF.
pub(crate) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(unit: u8, table: Table, address: u16, count: u16) -> Ask {
        Ask { unit, address, action: Action::Read { table, count } }
    }

    /// Request and reply of an SDM630 (230.2 V), from its manual's protocol page; CRCs checked.
    #[test]
    fn a_serial_meter_reads_230_volts() {
        let ask = read(1, Table::Input, 0, 2);
        assert_eq!(ask.encode(Framing::Rtu, 0).unwrap(), [0x01, 0x04, 0x00, 0x00, 0x00, 0x02, 0x71, 0xcb]);
        let reply = [0x01, 0x04, 0x04, 0x43, 0x66, 0x33, 0x34, 0x1b, 0x38];
        assert_eq!(ask.decode(find_rtu(&reply, &ask).unwrap()), Ok(vec![0x4366, 0x3334]));
    }

    #[test]
    fn echo_and_noise_are_passed_over() {
        let ask = read(1, Table::Input, 0, 2);
        let mut bytes = vec![0x00, 0xff, 0x01];
        bytes.extend(ask.encode(Framing::Rtu, 0).unwrap());
        assert_eq!(find_rtu(&bytes, &ask), None);
        bytes.extend([0x01, 0x04, 0x04, 0x43, 0x66, 0x33, 0x34, 0x1b, 0x38, 0x00]);
        assert!(find_rtu(&bytes, &ask).is_some());
        let other = read(2, Table::Input, 0, 2);
        assert_eq!(find_rtu(&bytes, &other), None);
    }

    #[test]
    fn a_tcp_request_and_its_replies() {
        let ask = read(71, Table::Holding, 0x0102, 2);
        assert_eq!(ask.encode(Framing::Mbap, 7).unwrap(), [0, 7, 0, 0, 0, 6, 71, 3, 1, 2, 0, 2]);
        let reply = [0, 7, 0, 0, 0, 7, 71, 3, 4, 0xde, 0xad, 0xbe, 0xef, 0x99];
        let Mbap::Frame { transaction: 7, unit: 71, pdu, taken: 13 } = take_mbap(&reply) else { panic!() };
        assert_eq!(ask.decode(pdu), Ok(vec![0xdead, 0xbeef]));
        assert_eq!(ask.decode(&[0x83, 11]), Err(Fault::Exception(ExceptionCode::GatewayTarget)));
        for broken in [&[][..], &[0x83], &[4, 2, 0, 0], &[3], &[3, 2, 0, 0], &[3, 4, 0, 0], &[3, 2, 0, 0, 0, 0]] {
            assert!(matches!(ask.decode(broken), Err(Fault::Broken(_))), "{broken:?}");
        }
        assert_eq!(take_mbap(&reply[..12]), Mbap::More);
        assert!(matches!(take_mbap(&[0, 7, 0, 1, 0, 7, 71]), Mbap::Broken(_)));
        assert!(matches!(take_mbap(&[0, 7, 0, 0, 0, 2, 71, 3]), Mbap::Broken(_)));
        assert!(matches!(take_mbap(b"HTTP/1.1"), Mbap::Broken(_)));
    }

    #[test]
    fn writes_are_confirmed_to_the_letter() {
        let one = Ask { unit: 1, address: 5, action: Action::WriteOne { value: 9 } };
        assert_eq!(one.decode(&[6, 0, 5, 0, 9]), Ok(vec![]));
        assert!(one.decode(&[6, 0, 5, 0, 8]).is_err());
        let many = Ask { unit: 1, address: 5, action: Action::WriteMany { values: vec![1, 2] } };
        assert_eq!(many.encode(Framing::Mbap, 1).unwrap(), [0, 1, 0, 0, 0, 11, 1, 16, 0, 5, 0, 2, 4, 0, 1, 0, 2]);
        assert_eq!(many.decode(&[16, 0, 5, 0, 2]), Ok(vec![]));
        assert!(many.decode(&[16, 0, 5, 0, 2, 0]).is_err());
    }

    #[test]
    fn impossible_requests_are_refused() {
        for ask in [
            read(1, Table::Input, 0, 0),
            read(1, Table::Input, 0, 126),
            read(1, Table::Input, 65535, 2),
            Ask { unit: 1, address: 0, action: Action::WriteMany { values: vec![0; 124] } },
            Ask { unit: 1, address: 0, action: Action::WriteMany { values: vec![] } },
        ] {
            assert!(ask.encode(Framing::Rtu, 0).is_err(), "{ask:?}");
        }
    }

    fn any_ask() -> impl Strategy<Value = Ask> {
        let action = prop_oneof![
            (any::<bool>(), 1u16..=125).prop_map(|(holding, count)| Action::Read {
                table: if holding { Table::Holding } else { Table::Input },
                count
            }),
            any::<u16>().prop_map(|value| Action::WriteOne { value }),
            proptest::collection::vec(any::<u16>(), 1..=123).prop_map(|values| Action::WriteMany { values }),
        ];
        (any::<u8>(), 0u16..60_000, action).prop_map(|(unit, address, action)| Ask { unit, address, action })
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300), ask in any_ask()) {
            let _ = take_mbap(&bytes);
            let _ = find_rtu(&bytes, &ask);
            let _ = ask.decode(&bytes);
        }

        #[test]
        fn requests_have_the_right_length_and_crc(ask in any_ask(), transaction in any::<u16>()) {
            let tcp = ask.encode(Framing::Mbap, transaction).unwrap();
            let is_frame = matches!(take_mbap(&tcp), Mbap::Frame { taken, .. } if taken == tcp.len());
            prop_assert!(is_frame);
            let rtu = ask.encode(Framing::Rtu, 0).unwrap();
            prop_assert_eq!(crc(&rtu), 0);
            prop_assert_eq!(&rtu[..rtu.len() - 2], &tcp[6..]);
        }

        #[test]
        fn a_damaged_serial_reply_is_not_believed(words in proptest::collection::vec(any::<u16>(), 1..20), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let ask = read(9, Table::Holding, 0, u16::try_from(words.len()).unwrap());
            let mut reply = vec![9, 3, u8::try_from(2 * words.len()).unwrap()];
            reply.extend(words.iter().flat_map(|w| w.to_be_bytes()));
            let sum = crc(&reply);
            reply.extend(sum.to_le_bytes());
            prop_assert_eq!(ask.decode(find_rtu(&reply, &ask).unwrap()), Ok(words));
            let at = at.index(reply.len());
            reply[at] ^= 1 << bit;
            prop_assert!(find_rtu(&reply, &ask).is_none());
        }
    }
}
