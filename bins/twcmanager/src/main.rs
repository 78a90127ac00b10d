//! The `twcmanager` binary.

fn main() -> std::process::ExitCode {
    twcmanager::Program::new().main()
}
