//! Which charging policy holds now, and what it asks for
