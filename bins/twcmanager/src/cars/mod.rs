//! Cars: what the configuration says of each way to them.

#[allow(dead_code, reason = "waits for `run` to open the sources of cars")]
pub mod tesla_account;
#[allow(dead_code, reason = "what the command line does not use waits for `run` to open the sources of cars")]
pub mod tesla_api;

#[allow(dead_code, reason = "waits for `run` to open the sources of cars")]
pub mod fleet_telemetry;
#[allow(dead_code, reason = "waits for `run` to open the sources of cars")]
pub mod home_assistant;
#[allow(dead_code, reason = "waits for `run` to open the sources of cars")]
pub mod teslamate;
