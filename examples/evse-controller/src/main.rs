//! The whole program, with one make of charging point more.

fn main() -> std::process::ExitCode {
    twcmanager::Program::new().with_controller(evse_controller::DRIVER).main()
}
