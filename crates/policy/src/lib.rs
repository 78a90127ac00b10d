//! Which charging policy holds now, and what it asks for.

mod now;

pub use now::Now;
