//! The whole program, with one driver more.

fn main() -> std::process::ExitCode {
    twcmanager::Program::new().with_ems(ems_driver::DRIVER).main()
}
