//! Decodes a capture of the bus.
fn main() {}
