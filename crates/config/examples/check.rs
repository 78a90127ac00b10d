//! Prints what is wrong with a configuration file, or, when nothing stops the program, the tree without secrets.
//!
//! `cargo run -p config --example check -- /etc/twcmanager/config.json`

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let path = config::find(std::env::args_os().nth(1).map(PathBuf::from).as_deref());
    let loaded = config::load(&path, &config::KeySet::builtin());
    for finding in loaded.errors.iter().chain(&loaded.warnings) {
        eprintln!("{finding}");
    }
    if loaded.config.is_none() {
        return ExitCode::FAILURE;
    }
    println!("{:#}", config::masked(&loaded.document.to_value()));
    ExitCode::SUCCESS
}
