//! config.json and settings.json: tolerant parsing, validation and messages that name the key and the line
