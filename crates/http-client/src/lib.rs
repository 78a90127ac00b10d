//! HTTP client for local devices and clouds: time-outs, size limits, retries, redacted errors
