//! The `twcmanager` binary.
fn main() {}
