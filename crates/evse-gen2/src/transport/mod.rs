//! Ways to the bus, as bytes that can be waited for.

mod memory;

pub use memory::{MemoryPort, memory_port};
