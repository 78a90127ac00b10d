//! Decodes a capture of the load-sharing bus: the shortest useful program around `gen2-protocol`.
//!
//! ```text
//! embed-codec < capture.bin          raw bytes as they came from the line
//! embed-codec "C0 FD E2 … C0 FE"     hexadecimal text, several frames if you like
//! ```

use std::io::{self, Read, Write};
use std::process::ExitCode;

use gen2_protocol::{Decoder, Event, hex};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // `embed-codec | head` closes the pipe early; that is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed-codec: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut decoder = Decoder::salvaging();
    let mut out = io::stdout().lock();
    let text: Vec<String> = std::env::args().skip(1).collect();
    if text.is_empty() {
        let mut input = io::stdin().lock();
        let mut buffer = [0; 4096];
        loop {
            let length = input.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            print(&mut decoder, buffer.get(..length).unwrap_or(&[]), &mut out)?;
        }
    } else {
        let bytes: Vec<u8> = hex::bytes(&text.join(" "))
            .collect::<Result<_, _>>()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        print(&mut decoder, &bytes, &mut out)?;
    }
    // Pasted text often lacks the last delimiter.
    print(&mut decoder, &[0xC0], &mut out)?;
    let counters = decoder.counters();
    writeln!(
        out,
        "{} frames, {} runs thrown away, {} stray bytes",
        counters.frames,
        counters.rejected(),
        counters.stray_bytes
    )
}

fn print(decoder: &mut Decoder, mut bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    while let Some(event) = decoder.next_event(&mut bytes) {
        match event {
            Event::Frame(frame) => writeln!(out, "{}", frame.message())?,
            Event::Salvaged(frame) => writeln!(out, "{} (stray bytes removed)", frame.message())?,
            Event::Rejected(error) => {
                writeln!(out, "not a frame: {error}: {:02X?}", decoder.rejected_bytes())?;
            }
        }
    }
    Ok(())
}
