//! From the configuration to what each part of the program is told.

use config::{BusRole, Config, Settings, WebhookMethod};
use evse_gen2::{FakeMaster, Gen2Error, Gen2Settings, StopMode};
use site::SiteSetup;

use crate::old_page::OldPage;

/// What the site has to know.
pub fn site_setup(config: &Config, sources: Vec<String>, policy: Option<serde_json::Value>) -> SiteSetup {
    let site = &config.site;
    SiteSetup {
        max_amps_all: site.wiring_max_all_twcs,
        max_amps_each: site.wiring_max_per_twc,
        min_amps_each: site.min_per_twc,
        grid_limit: site.max_from_grid,
        grid_fuse: site.grid_fuse_per_phase,
        fail_safe: site.fail_safe,
        stale_after: site.stale_after,
        start_stop_delay: site.start_stop_delay,
        default_volts: site.default_voltage,
        phases: site.phases,
        power_factor_min: site.power_factor_at_min,
        power_factor_max: site.power_factor_at_max,
        flex_starts: site.flex_starts_charge,
        subtract_charger_load: site.subtract_charger_load,
        generation_is_delivery: site.treat_generation_as_grid_delivery,
        legacy_offset: site.consumption_offset.get(),
        position: site.position,
        webhook_method: match site.webhook_method {
            WebhookMethod::Post => site::WebhookMethod::Post,
            WebhookMethod::Get => site::WebhookMethod::Get,
        },
        check_interval: config.policy.check_interval,
        sources,
        config: site.as_given.clone().into_map(),
        policy,
        ..SiteSetup::default()
    }
}

/// Sections that are switched on and that this version does not serve yet. Nobody should find that out from a car that
/// was not charged.
pub fn unserved(config: &Config) -> Vec<&'static str> {
    [
        (config.interface.tcp.is_some(), "interface.TCP"),
        (config.control.ipc && !OldPage::IS_BUILT_IN, "control.IPC"),
        (config.control.ocpp.is_some(), "control.OCPP"),
        (config.gen3.is_some(), "controller.Gen3TWCs"),
        (config.status.otel.is_some(), "status.OTEL"),
        (has_prices(config), "pricing"),
    ]
    .into_iter()
    .filter_map(|(is_on, section)| is_on.then_some(section))
    .collect()
}

/// Whether a source of prices is switched on.
fn has_prices(config: &Config) -> bool {
    config.pricing.values().any(|section| section.get("enabled").and_then(serde_json::Value::as_bool) == Some(true))
}

/// What each Gen 2 bus is told. The first is called `Gen2TWCs`, the others count on.
///
/// # Errors
/// For a port that is no port; the message names the key.
pub fn buses(config: &Config, settings: &Settings) -> Result<Vec<Gen2Settings>, Gen2Error> {
    let site = &config.site;
    let mut buses = Vec::new();
    for (index, bus) in config.interface.rs485.iter().enumerate() {
        let mut plan = Gen2Settings::new(bus.port.parse()?, site.wiring_max_all_twcs, site.wiring_max_per_twc);
        if index > 0 {
            plan.name = format!("{}-{}", plan.name, index + 1);
        }
        plan.baud = bus.baud;
        plan.connector_timeout = bus.slave_timeout;
        buses.push(common(plan, config, settings));
    }
    Ok(buses)
}

/// What all buses are told alike.
pub fn common(mut plan: Gen2Settings, config: &Config, settings: &Settings) -> Gen2Settings {
    plan.mode = match config.site.role {
        BusRole::Slave => FakeMaster::Connector,
        BusRole::Master => FakeMaster::Controller,
        BusRole::Listener => FakeMaster::Listen,
    };
    plan.default_volts = config.site.default_voltage;
    // Not the default: it would make a three-phase connector single-phase until its currents are read.
    plan.phases = config.site.as_given.contains_key("numberOfPhases").then_some(config.site.phases);
    plan.spike_proactively = settings.spike_amps_proactively();
    plan.spike_reactively = settings.spike_amps_reactively();
    plan.stop_mode = match settings.charge_stop_mode() {
        config::ChargeStopMode::Vehicle => StopMode::Vehicle,
        config::ChargeStopMode::StopAnswering => StopMode::Silence,
        config::ChargeStopMode::Connector => StopMode::Contactor,
    };
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unserved_in(sections: &str) -> Vec<&'static str> {
        let text = format!(r#"{{"config": {{"wiringMaxAmpsAllTWCs": 16, "wiringMaxAmpsPerTWC": 16}}, {sections}}}"#);
        let loaded = config::parse("config.json", text.as_bytes(), &config::KeySet::builtin());
        unserved(&loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.errors)))
    }

    #[test]
    fn a_section_that_has_no_effect_yet_is_named() {
        let on = r#""control": {"OCPP": {"enabled": true}}, "status": {"OTEL": {"enabled": true}},
            "controller.Gen3TWCs": {"enabled": true, "fuseAmps": 25, "devices": [{"name": "garage", "ip": "192.168.1.7"}]},
            "pricing": {"Static": {"enabled": true, "peak": {"import": 0.3}}}"#;
        assert_eq!(unserved_in(on), ["control.OCPP", "controller.Gen3TWCs", "status.OTEL", "pricing"]);
        let off = on.replace("true", "false");
        assert_eq!(unserved_in(&off), [""; 0]);
    }
}
