//! Simulated Gen 2 Wall Connectors with cars plugged in, speaking the real bytes
