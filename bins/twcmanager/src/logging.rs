//! Log lines on standard error.

use log::LevelFilter;

/// Starts logging. `RUST_LOG` wins over `verbosity` (0 info, 1 debug, 2 trace); a check prints its findings itself, so it
/// starts quieter.
pub fn start(verbosity: u8, is_check: bool) {
    let level = match (verbosity, is_check) {
        (0, true) => LevelFilter::Error,
        (0, false) => LevelFilter::Info,
        (1, _) => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    // What libraries say at these levels is about sockets, not about cars.
    for library in ["rustls", "ureq", "ureq_proto", "rumqttc", "serialport"] {
        builder.filter_module(library, level.min(LevelFilter::Warn));
    }
    builder.parse_default_env().init();
}
