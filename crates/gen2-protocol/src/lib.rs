//! Codec for the RS-485 load-sharing protocol of Tesla Gen 2 Wall Connectors: no_std, no allocation, no dependencies
