//! The little of telnet and RFC 2217 that a serial port behind a network needs.
//!
//! Sources: RFC 854 (commands, escaping), RFC 856 (binary), RFC 858 (suppress go ahead), RFC 2217 (line settings).

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

const BINARY: u8 = 0;
const SUPPRESS_GO_AHEAD: u8 = 3;
const COM_PORT: u8 = 44;

const SET_BAUDRATE: u8 = 1;
const SET_DATASIZE: u8 = 2;
const SET_PARITY: u8 = 3;
const SET_STOPSIZE: u8 = 4;
const SET_CONTROL: u8 = 5;
const PARITY_NONE: u8 = 1;
const ONE_STOP_BIT: u8 = 1;
const NO_FLOW_CONTROL: u8 = 1;

/// What we ask for and grant.
const WANTED: [u8; 3] = [BINARY, SUPPRESS_GO_AHEAD, COM_PORT];

/// The telnet layer of one connection: takes commands out of what comes, escapes what goes.
#[derive(Debug)]
pub(crate) struct Telnet {
    baud: u32,
    state: State,
    /// Options of the other side that we have asked for or granted.
    theirs: Vec<u8>,
    refused: bool,
    configured: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Data,
    Command,
    Option(u8),
    Subnegotiation,
    SubnegotiationCommand,
}

impl Telnet {
    pub(crate) fn new(baud: u32) -> Self {
        Telnet { baud, state: State::Data, theirs: vec![BINARY, SUPPRESS_GO_AHEAD], refused: false, configured: false }
    }

    /// What to send first.
    pub(crate) fn greeting(&self) -> Vec<u8> {
        [[WILL, COM_PORT], [WILL, BINARY], [DO, BINARY], [WILL, SUPPRESS_GO_AHEAD], [DO, SUPPRESS_GO_AHEAD]]
            .into_iter()
            .flat_map(|[command, option]| [IAC, command, option])
            .collect()
    }

    /// Sorts received bytes: the data to `data`, what must be answered to `replies`.
    pub(crate) fn receive(&mut self, bytes: &[u8], data: &mut Vec<u8>, replies: &mut Vec<u8>) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Data, IAC) => State::Command,
                (State::Data, _) => {
                    data.push(byte);
                    State::Data
                }
                (State::Command, IAC) => {
                    data.push(IAC);
                    State::Data
                }
                (State::Command, WILL | WONT | DO | DONT) => State::Option(byte),
                (State::Command, SB) => State::Subnegotiation,
                (State::Command, _) => State::Data,
                (State::Option(command), option) => {
                    self.negotiate(command, option, replies);
                    State::Data
                }
                (State::Subnegotiation, IAC) => State::SubnegotiationCommand,
                (State::Subnegotiation, _) => State::Subnegotiation,
                (State::SubnegotiationCommand, SE) => State::Data,
                (State::SubnegotiationCommand, _) => State::Subnegotiation,
            };
        }
    }

    /// Escapes data for the line.
    pub(crate) fn escape(data: &[u8]) -> Vec<u8> {
        let mut escaped = Vec::with_capacity(data.len() + 2);
        for &byte in data {
            escaped.push(byte);
            if byte == IAC {
                escaped.push(IAC);
            }
        }
        escaped
    }

    /// Whether the other side refused to set the line: it may be set right all the same.
    pub(crate) fn was_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    fn negotiate(&mut self, command: u8, option: u8, replies: &mut Vec<u8>) {
        match command {
            WILL if self.theirs.contains(&option) => {}
            WILL if WANTED.contains(&option) => {
                self.theirs.push(option);
                replies.extend([IAC, DO, option]);
            }
            WILL => replies.extend([IAC, DONT, option]),
            DO if option == COM_PORT && !self.configured => {
                self.configured = true;
                self.configure(replies);
            }
            // Ours were offered in the greeting.
            DO if WANTED.contains(&option) => {}
            DO => replies.extend([IAC, WONT, option]),
            DONT if option == COM_PORT => self.refused = true,
            _ => {}
        }
    }

    fn configure(&self, replies: &mut Vec<u8>) {
        let mut set = |command: u8, value: &[u8]| {
            replies.extend([IAC, SB, COM_PORT, command]);
            replies.extend(Telnet::escape(value));
            replies.extend([IAC, SE]);
        };
        set(SET_BAUDRATE, &self.baud.to_be_bytes());
        set(SET_DATASIZE, &[8]);
        set(SET_PARITY, &[PARITY_NONE]);
        set(SET_STOPSIZE, &[ONE_STOP_BIT]);
        set(SET_CONTROL, &[NO_FLOW_CONTROL]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(telnet: &mut Telnet, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut data, mut replies) = (Vec::new(), Vec::new());
        // Byte by byte: commands come in pieces.
        for byte in bytes {
            telnet.receive(&[*byte], &mut data, &mut replies);
        }
        (data, replies)
    }

    #[test]
    fn data_passes_and_commands_do_not() {
        let mut telnet = Telnet::new(9600);
        let (data, replies) =
            receive(&mut telnet, &[0xC0, IAC, IAC, IAC, SB, COM_PORT, 101, 0, IAC, IAC, 9, IAC, SE, IAC, 241, 0xC0]);
        assert_eq!(data, [0xC0, 0xFF, 0xC0]);
        assert!(replies.is_empty());
        assert_eq!(Telnet::escape(&[0xC0, 0xFF, 0x01]), [0xC0, 0xFF, 0xFF, 0x01]);
    }

    #[test]
    fn the_line_is_set_once_the_server_agrees() {
        let mut telnet = Telnet::new(9600);
        let (_, replies) = receive(&mut telnet, &[IAC, DO, COM_PORT]);
        assert!(replies.starts_with(&[IAC, SB, COM_PORT, SET_BAUDRATE, 0, 0, 0x25, 0x80, IAC, SE]));
        let (_, again) = receive(&mut telnet, &[IAC, DO, COM_PORT]);
        assert!(again.is_empty(), "agreeing twice must not make a loop");
        assert!(!telnet.was_refused());
    }

    #[test]
    fn unknown_options_are_refused_and_known_ones_not_answered_twice() {
        let mut telnet = Telnet::new(9600);
        let (_, replies) = receive(&mut telnet, &[IAC, WILL, 1, IAC, DO, 24, IAC, WILL, BINARY, IAC, DO, BINARY]);
        assert_eq!(replies, [IAC, DONT, 1, IAC, WONT, 24]);
        receive(&mut telnet, &[IAC, DONT, COM_PORT]);
        assert!(telnet.was_refused());
    }
}
