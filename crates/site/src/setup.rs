//! What the site has to know before it starts: the parts of `config.json` that concern it.

use std::time::Duration;

use serde_json::{Map, Value};
use units::{Amps, Phases, Volts};

use crate::WebhookMethod;

/// The part of the configuration that concerns the site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteSetup {
    /// `config.wiringMaxAmpsAllTWCs`: what all charging points may share, per phase.
    pub max_amps_all: Amps,
    /// `config.wiringMaxAmpsPerTWC`.
    pub max_amps_each: Amps,
    /// `config.minAmpsPerTWC`.
    pub min_amps_each: Amps,
    /// `config.maxAmpsAllowedFromGrid`: what house and cars may import together, per phase.
    pub grid_limit: Option<Amps>,
    /// `config.gridFuseAmpsPerPhase`: rating of the main fuse.
    pub grid_fuse: Option<Amps>,
    /// `config.failSafeAmps`: what each car may have while readings that a limit needs are missing.
    pub fail_safe: Amps,
    /// `config.staleAfter`: a reading older than this no longer counts.
    pub stale_after: Duration,
    /// `config.startStopDelay`: how long the surplus has to be there, or gone, before a car is started or stopped.
    pub start_stop_delay: Duration,
    /// `config.defaultVoltage`.
    pub default_volts: Volts,
    /// `config.numberOfPhases`.
    pub phases: Phases,
    /// `config.realPowerFactorMinAmps`.
    pub power_factor_min: f64,
    /// `config.realPowerFactorMaxAmps`.
    pub power_factor_max: f64,
    /// `config.useFlexAmpsToStartCharge`.
    pub flex_starts: bool,
    /// `config.subtractChargerLoad`: the consumption meter also measures the cars.
    pub subtract_charger_load: bool,
    /// `config.treatGenerationAsGridDelivery`: what is called generation is really export.
    pub generation_is_delivery: bool,
    /// `config.greenEnergyAmpsOffset`, the old constant offset.
    pub legacy_offset: f64,
    /// `config.surplusFrom`.
    pub surplus_from: SurplusFrom,
    /// `config.batteryBeforeCars`: what charges the battery is not surplus.
    pub battery_before_cars: bool,
    /// `config.batteryFeedsCars`: what the battery gives counts as surplus.
    pub battery_feeds_cars: bool,
    /// `config.latitude` and `config.longitude` in degrees; the home position in the settings is used otherwise.
    pub position: Option<(f64, f64)>,
    /// `config.webhookMethod`.
    pub webhook_method: WebhookMethod,
    /// `policy.engine.policyCheckInterval`: how often the policies are judged when nothing happens.
    pub check_interval: Duration,
    /// So long after the start charging points are still found: a car that none of them is known to have waits until then
    /// before it counts as being on another charger.
    pub finding_connectors: Duration,
    /// Whether these are simulated charging points.
    pub is_demo: bool,
    /// Names of the energy sources in the order of the configuration.
    pub sources: Vec<String>,
    /// Those of them that are configured to tell a consumption, so that its absence is a gap and not a missing channel.
    pub consumption_sources: Vec<String>,
    /// The whole section `config`, for policies that compare with `config.X`.
    pub config: Map<String, Value>,
    /// The section `policy`, when there is one.
    pub policy: Option<Value>,
}

/// Which meters tell the surplus, when several could.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SurplusFrom {
    /// The grid meter where there is one, otherwise generation and consumption.
    #[default]
    Auto,
    /// Generation and consumption, also where there is a grid meter.
    Consumption,
}

impl SiteSetup {
    /// Takes `surplusFrom`, `batteryBeforeCars` and `batteryFeedsCars` from the section `config`, where they are given.
    pub(crate) fn with_own_keys(mut self) -> Self {
        let flag = |key: &str| self.config.get(key).map(|value| policy::is_truthy(Some(value)));
        let (before, feeds) = (flag("batteryBeforeCars"), flag("batteryFeedsCars"));
        if let Some(Value::String(word)) = self.config.get("surplusFrom") {
            self.surplus_from = match word.to_ascii_lowercase().as_str() {
                "consumption" => SurplusFrom::Consumption,
                _ => SurplusFrom::Auto,
            };
        }
        self.battery_before_cars = before.unwrap_or(self.battery_before_cars);
        self.battery_feeds_cars = feeds.unwrap_or(self.battery_feeds_cars);
        self
    }
}

impl Default for SiteSetup {
    /// The defaults of `config.json`, with a wiring of 6 A.
    fn default() -> Self {
        SiteSetup {
            max_amps_all: Amps::from_whole(6),
            max_amps_each: Amps::from_whole(6),
            min_amps_each: Amps::from_whole(6),
            grid_limit: None,
            grid_fuse: None,
            fail_safe: Amps::ZERO,
            stale_after: Duration::from_secs(120),
            start_stop_delay: Duration::from_secs(60),
            default_volts: Volts::saturating(240.0),
            phases: Phases::One,
            power_factor_min: 1.0,
            power_factor_max: 1.0,
            flex_starts: false,
            subtract_charger_load: false,
            generation_is_delivery: false,
            legacy_offset: 0.0,
            surplus_from: SurplusFrom::Auto,
            battery_before_cars: false,
            battery_feeds_cars: false,
            position: None,
            webhook_method: WebhookMethod::Post,
            check_interval: Duration::from_secs(30),
            finding_connectors: Duration::ZERO,
            is_demo: false,
            sources: Vec::new(),
            consumption_sources: Vec::new(),
            config: Map::new(),
            policy: None,
        }
    }
}
