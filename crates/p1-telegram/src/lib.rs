//! Telegrams of the P1 port (customer interface) of smart meters: framing, checksum, decryption and what they tell.
//!
//! ```text
//! bytes --Framer--> one telegram --Telegram::parse--> Telegram --meter()--> ems_meter::Meter
//!   \--Decryptor (Luxembourg)--> bytes of one telegram --/
//! ```
//!
//! Known dialects: DSMR 2.2 and 3 (9600 baud, no checksum), 4 and 5 (Netherlands), e-MUCS (Belgium), Luxembourg (plain and
//! encrypted), Austria (watts instead of kilowatts), Hungary, Sweden and Finland, Ireland, Lithuania, EasyMeter (identifiers
//! with `*255`). They differ in registers and units only, so one parser that believes the units reads all of them.
//!
//! ```
//! use p1_telegram::{Framer, Telegram};
//!
//! let mut framer = Framer::new();
//! framer.push(b"...tail of another\r\n/XXX5 METER\r\n\r\n1-0:1.7.0(00.244*kW)\r\n1-0:2.7.0(00.000*kW)\r\n!\r\n");
//! let bytes = framer.next_telegram().ok_or("no telegram yet")?;
//! assert_eq!(Telegram::parse(&bytes)?.meter().watts, Some(244.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For drivers whose device gives P1 telegrams. Gas and water are left out, and so are identifiers of meters: they are
//! personal.
//!
//! Facts: DSMR companion standards 2.2 to 5.0.2, e-MUCS P1 1.7.1, Swedish HAN H1 2.0, Luxembourg P1 specification 1.1.3.

mod decrypt;
mod frame;
mod lines;
mod telegram;

pub use decrypt::{BadKey, Decryptor};
pub use frame::{Counters, Framer, LARGEST_TELEGRAM};
pub use telegram::{Checksum, Telegram, TelegramError};
