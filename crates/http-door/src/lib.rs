//! Front door for the HTTP engine: owns the public listeners, limits and times every connection
