//! The same driver as a plug-in: a program that prints one JSON object a line.
//!
//! ```json
//! "sources": {"Exec": {"enabled": true, "command": "/usr/local/bin/plugin", "args": ["/run/meter.json"]}}
//! ```

use ems_driver::MeterFile;

fn main() -> std::io::Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| "meter.json".into()).into();
    ems::plugin::run(MeterFile { path })
}
