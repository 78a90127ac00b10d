//! The brain: readings, charging points and commands in, targets and reasons out
