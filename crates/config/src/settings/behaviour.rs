//! Choices of how things are done.

use serde_json::{Value, json};

use super::{Settings, stored};
use crate::CommandPolicy;

/// How a car is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeStopMode {
    /// "1": by the car's cloud or Bluetooth.
    Vehicle,
    /// "2": by not answering the connector for a minute.
    StopAnswering,
    /// "3": by the connector's stop command.
    Connector,
}

/// Who sets the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeRateControl {
    /// 1: the connector.
    Connector,
    /// 2: the car.
    Vehicle,
    /// 3: both.
    Mixed,
}

/// Which cars may charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeAuthorization {
    /// 1: all but those in the deny group.
    AllowUnlessDenied,
    /// 2: only those in the allow group.
    DenyUnlessAllowed,
}

impl Settings {
    /// `chargeStopMode`.
    #[must_use]
    pub fn charge_stop_mode(&self) -> ChargeStopMode {
        match self.code("chargeStopMode") {
            Some(2) => ChargeStopMode::StopAnswering,
            Some(3) => ChargeStopMode::Connector,
            _ => ChargeStopMode::Vehicle,
        }
    }

    /// Sets `chargeStopMode`, stored as text.
    pub fn set_charge_stop_mode(&mut self, mode: ChargeStopMode) {
        let code = match mode {
            ChargeStopMode::Vehicle => "1",
            ChargeStopMode::StopAnswering => "2",
            ChargeStopMode::Connector => "3",
        };
        self.set_value("chargeStopMode", json!(code));
    }

    /// `chargeRateControl`.
    #[must_use]
    pub fn charge_rate_control(&self) -> ChargeRateControl {
        match self.code("chargeRateControl") {
            Some(2) => ChargeRateControl::Vehicle,
            Some(3) => ChargeRateControl::Mixed,
            _ => ChargeRateControl::Connector,
        }
    }

    /// Sets `chargeRateControl`.
    pub fn set_charge_rate_control(&mut self, control: ChargeRateControl) {
        let code = match control {
            ChargeRateControl::Connector => 1,
            ChargeRateControl::Vehicle => 2,
            ChargeRateControl::Mixed => 3,
        };
        self.set_value("chargeRateControl", json!(code));
    }

    /// `chargeAuthorizationMode`.
    #[must_use]
    pub fn charge_authorization(&self) -> ChargeAuthorization {
        match self.code("chargeAuthorizationMode") {
            Some(2) => ChargeAuthorization::DenyUnlessAllowed,
            _ => ChargeAuthorization::AllowUnlessDenied,
        }
    }

    /// Sets `chargeAuthorizationMode`.
    pub fn set_charge_authorization(&mut self, mode: ChargeAuthorization) {
        let code = match mode {
            ChargeAuthorization::AllowUnlessDenied => 1,
            ChargeAuthorization::DenyUnlessAllowed => 2,
        };
        self.set_value("chargeAuthorizationMode", json!(code));
    }

    /// `commandPolicy`; the configuration's one, when given, counts more.
    #[must_use]
    pub fn command_policy(&self) -> CommandPolicy {
        self.text("commandPolicy").and_then(CommandPolicy::from_name).unwrap_or_default()
    }

    /// Sets `commandPolicy`.
    pub fn set_command_policy(&mut self, policy: CommandPolicy) {
        self.set_value("commandPolicy", json!(policy.name()));
    }

    /// `respondToSlaves` with its end in seconds since 1970: whether connectors are answered now, and until when they are not.
    #[must_use]
    pub fn respond_to_slaves(&self) -> (bool, Option<f64>) {
        (self.flag("respondToSlaves", true), self.number("respondToSlavesExpiry"))
    }

    /// Sets `respondToSlaves` and, when not answering, its end.
    pub fn set_respond_to_slaves(&mut self, answer: bool, expiry: Option<f64>) {
        self.set_value("respondToSlaves", json!(i32::from(answer)));
        if let Some(expiry) = expiry {
            self.set_value("respondToSlavesExpiry", stored(expiry));
        }
    }

    /// `spikeAmpsProactively`: raise the rate for a moment before lowering it; on by default.
    #[must_use]
    pub fn spike_amps_proactively(&self) -> bool {
        self.flag("spikeAmpsProactively", true)
    }

    /// `spikeAmpsReactively`: the same when a car is seen to hang at a low rate; on by default.
    #[must_use]
    pub fn spike_amps_reactively(&self) -> bool {
        self.flag("spikeAmpsReactively", true)
    }

    /// Sets both spike switches.
    pub fn set_spike_amps(&mut self, proactively: bool, reactively: bool) {
        self.set_value("spikeAmpsProactively", json!(i32::from(proactively)));
        self.set_value("spikeAmpsReactively", json!(i32::from(reactively)));
    }

    /// `enableDebugCommands`: whether the page may send commands to connectors.
    #[must_use]
    pub fn enable_debug_commands(&self) -> bool {
        self.flag("enableDebugCommands", false)
    }

    /// Sets `enableDebugCommands`.
    pub fn set_enable_debug_commands(&mut self, enable: bool) {
        self.set_value("enableDebugCommands", if enable { json!("on") } else { json!(0) });
    }

    /// `sendServerTime`: whether the status carries the server's time.
    #[must_use]
    pub fn send_server_time(&self) -> bool {
        self.flag("sendServerTime", false)
    }

    /// Sets `sendServerTime`.
    pub fn set_send_server_time(&mut self, send: bool) {
        self.set_value("sendServerTime", json!(i32::from(send)));
    }

    /// `webControlTheme`.
    #[must_use]
    pub fn web_control_theme(&self) -> &str {
        self.text("webControlTheme").unwrap_or("Modern")
    }

    /// Sets `webControlTheme`.
    pub fn set_web_control_theme(&mut self, theme: &str) {
        self.set_value("webControlTheme", Value::from(theme));
    }
}
