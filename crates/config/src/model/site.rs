//! Section `config`: the installation.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use units::{Amps, Percent, Phases, Volts};

use super::fields::Fields;
use crate::{Document, Options, Secret};

/// The international foot.
const METRES_PER_FOOT: f64 = 0.3048;

/// Section `config`, resolved. Currents are per phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// `settingsPath`: folder of the state.
    pub settings_path: PathBuf,
    /// `wiringMaxAmpsAllTWCs`: limit of the circuit that all connectors share.
    pub wiring_max_all_twcs: Amps,
    /// `wiringMaxAmpsPerTWC`: limit of each connector's wiring; never above the shared limit.
    pub wiring_max_per_twc: Amps,
    /// `minAmpsPerTWC`: below this a car is not charged.
    pub min_per_twc: Amps,
    /// `maxAmpsPerTWC`: most that Charge Now by MQTT may ask for.
    pub max_per_twc_by_mqtt: Amps,
    /// `maxAmpsAllowedFromGrid`: limit of house and cars from the grid; none when absent.
    pub max_from_grid: Option<Amps>,
    /// `gridFuseAmpsPerPhase`: rating of the main fuse; none when absent.
    pub grid_fuse_per_phase: Option<Amps>,
    /// `failSafeAmps`: offered to each car under fixed rates while needed readings are stale.
    pub fail_safe: Amps,
    /// `staleAfter`: older readings do not count.
    pub stale_after: Duration,
    /// `startStopDelay`: hysteresis of starting and stopping by surplus.
    pub start_stop_delay: Duration,
    /// `latitude` and `longitude`, when both are given.
    pub position: Option<(f64, f64)>,
    /// `atHomeRadiusMetres`, or `atHomeRadius` in feet: radius of home in metres.
    pub at_home_radius: f64,
    /// `defaultVoltage`: until a connector reports it.
    pub default_voltage: Volts,
    /// `numberOfPhases`: until a connector reports them.
    pub phases: Phases,
    /// `realPowerFactorMinAmps`: at the lowest rate.
    pub power_factor_at_min: f64,
    /// `realPowerFactorMaxAmps`: at the highest rate.
    pub power_factor_at_max: f64,
    /// `greenEnergyFlexAmps`: grid current tolerated to keep charging.
    pub green_flex: Amps,
    /// `useFlexAmpsToStartCharge`.
    pub flex_starts_charge: bool,
    /// `greenEnergyLatch`: shortest stay of the surplus policy.
    pub green_latch: Option<Duration>,
    /// `subtractChargerLoad`: the consumption meter includes the connectors.
    pub subtract_charger_load: bool,
    /// `treatGenerationAsGridDelivery`: "generation" is the export.
    pub treat_generation_as_grid_delivery: bool,
    /// `greenEnergyAmpsOffset`: old way of adding to the consumption.
    pub consumption_offset: Amps,
    /// `minChargeLevel`: cars below are never stopped.
    pub min_charge_level: Option<Percent>,
    /// `respectVehicleSchedule`: leave a car alone that waits for its own timer.
    pub respect_vehicle_schedule: bool,
    /// The four charge limits.
    pub charge_limits: ChargeLimits,
    /// `cloudUpdateInterval`: how long cloud answers are kept.
    pub cloud_update_interval: Duration,
    /// `wakeDelayMins`: grace before a car is woken.
    pub wake_delay: Duration,
    /// The keys about Tesla's API.
    pub tesla: TeslaApi,
    /// `moduleConfiguration.TeslaBLE`.
    pub bluetooth: Bluetooth,
    /// `logLevel`, or what `debugLevel` means.
    pub log_level: u8,
    /// `webhookMethod`.
    pub webhook_method: WebhookMethod,
    /// `fakeMaster`.
    pub role: BusRole,
    /// The section as the file has it, without defaults: what `config.X` means in policies.
    pub as_given: Options,
}

/// Charge limits set in cars at home, by policy; `None` leaves the car's own.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChargeLimits {
    /// `chargeNowLimit`.
    pub charge_now: Option<Percent>,
    /// `greenEnergyLimit`.
    pub green_energy: Option<Percent>,
    /// `scheduledLimit`.
    pub scheduled: Option<Percent>,
    /// `nonScheduledLimit`.
    pub non_scheduled: Option<Percent>,
}

/// Access to Tesla's Fleet API.
#[derive(Debug, Clone, PartialEq)]
pub struct TeslaApi {
    /// `teslaApiClientID`.
    pub client_id: Option<String>,
    /// `teslaApiRedirectUri`.
    pub redirect_uri: Option<String>,
    /// `teslaApiClientSecret`.
    pub client_secret: Option<Secret>,
    /// `teslaApiRegion`: NA, EU or CN.
    pub region: String,
    /// `teslaApiScope`.
    pub scope: String,
    /// `teslaProxy`.
    pub proxy: Option<String>,
    /// `teslaProxyCert`.
    pub proxy_trust: ProxyTrust,
    /// `teslaControlPath`.
    pub control_path: Option<PathBuf>,
}

/// How the command proxy proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyTrust {
    /// By the usual authorities.
    System,
    /// By the authority in this file.
    Authority(PathBuf),
    /// Not at all.
    Unchecked,
}

/// Patience with Bluetooth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bluetooth {
    /// `commandTimeout`.
    pub command_timeout: Duration,
    /// `maxRetries`.
    pub max_retries: u32,
    /// `retryDelay`.
    pub retry_delay: Duration,
    /// `circuitBreakerThreshold`: failures in a row.
    pub breaker_threshold: u32,
    /// `circuitBreakerTimeout`.
    pub breaker_timeout: Duration,
}

/// How webhooks are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookMethod {
    /// With the status as body.
    Post,
    /// Without a body.
    Get,
}

/// What the program is on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusRole {
    /// The master of the connectors.
    Master,
    /// Stands in for a connector towards another master.
    Slave,
    /// Only listens.
    Listener,
}

impl Site {
    pub(super) fn resolve(root: &Value, document: &Document) -> Site {
        let fields = Fields::at(root, &["config"]);
        let wiring_max_all_twcs = fields.amps("wiringMaxAmpsAllTWCs");
        Site {
            settings_path: PathBuf::from(fields.text("settingsPath")),
            wiring_max_all_twcs,
            wiring_max_per_twc: fields.amps("wiringMaxAmpsPerTWC").min(wiring_max_all_twcs),
            min_per_twc: fields.amps("minAmpsPerTWC"),
            max_per_twc_by_mqtt: fields.amps("maxAmpsPerTWC"),
            max_from_grid: fields.opt_amps("maxAmpsAllowedFromGrid"),
            grid_fuse_per_phase: fields.opt_amps("gridFuseAmpsPerPhase"),
            fail_safe: fields.amps("failSafeAmps"),
            stale_after: fields.seconds("staleAfter"),
            start_stop_delay: fields.seconds("startStopDelay"),
            position: fields.opt_number("latitude").zip(fields.opt_number("longitude")),
            at_home_radius: (fields.opt_number("atHomeRadiusMetres"))
                .unwrap_or_else(|| fields.number("atHomeRadius") * METRES_PER_FOOT),
            default_voltage: Volts::saturating(fields.number("defaultVoltage")),
            phases: Phases::from_count(fields.whole("numberOfPhases")).unwrap_or_default(),
            power_factor_at_min: fields.number("realPowerFactorMinAmps"),
            power_factor_at_max: fields.number("realPowerFactorMaxAmps"),
            green_flex: fields.amps("greenEnergyFlexAmps"),
            flex_starts_charge: fields.flag("useFlexAmpsToStartCharge"),
            green_latch: fields.minutes("greenEnergyLatch"),
            subtract_charger_load: fields.flag("subtractChargerLoad"),
            treat_generation_as_grid_delivery: fields.flag("treatGenerationAsGridDelivery"),
            consumption_offset: fields.amps("greenEnergyAmpsOffset"),
            min_charge_level: fields.percent("minChargeLevel"),
            respect_vehicle_schedule: fields.flag("respectVehicleSchedule"),
            charge_limits: ChargeLimits {
                charge_now: fields.charge_limit("chargeNowLimit"),
                green_energy: fields.charge_limit("greenEnergyLimit"),
                scheduled: fields.charge_limit("scheduledLimit"),
                non_scheduled: fields.charge_limit("nonScheduledLimit"),
            },
            cloud_update_interval: fields.seconds("cloudUpdateInterval"),
            wake_delay: fields.minutes("wakeDelayMins").unwrap_or_default(),
            tesla: TeslaApi::resolve(fields),
            bluetooth: Bluetooth::resolve(fields.below("moduleConfiguration").below("TeslaBLE")),
            log_level: log_level(fields, document),
            webhook_method: if fields.text("webhookMethod") == "GET" {
                WebhookMethod::Get
            } else {
                WebhookMethod::Post
            },
            role: match fields.whole::<u8>("fakeMaster") {
                0 => BusRole::Slave,
                2 => BusRole::Listener,
                _ => BusRole::Master,
            },
            as_given: document
                .get("config")
                .map(|node| node.to_value())
                .and_then(|value| value.as_object().cloned())
                .unwrap_or_default()
                .into(),
        }
    }
}

impl TeslaApi {
    fn resolve(fields: Fields<'_>) -> TeslaApi {
        TeslaApi {
            client_id: fields.opt_text("teslaApiClientID"),
            redirect_uri: fields.opt_text("teslaApiRedirectUri"),
            client_secret: fields.secret("teslaApiClientSecret"),
            region: fields.text("teslaApiRegion"),
            scope: fields.text("teslaApiScope"),
            proxy: fields.opt_text("teslaProxy"),
            proxy_trust: match fields.get("teslaProxyCert") {
                Some(Value::Bool(false)) => ProxyTrust::Unchecked,
                Some(Value::String(path)) if !path.is_empty() => ProxyTrust::Authority(PathBuf::from(path)),
                _ => ProxyTrust::System,
            },
            control_path: fields.opt_path("teslaControlPath"),
        }
    }
}

impl Bluetooth {
    fn resolve(fields: Fields<'_>) -> Bluetooth {
        Bluetooth {
            command_timeout: fields.seconds("commandTimeout"),
            max_retries: fields.whole("maxRetries"),
            retry_delay: fields.seconds("retryDelay"),
            breaker_threshold: fields.whole("circuitBreakerThreshold"),
            breaker_timeout: fields.seconds("circuitBreakerTimeout"),
        }
    }
}

/// `debugLevel` 0 to 11 as the levels they became; one in between counts as the next higher.
const DEBUG_LEVELS: [u8; 12] = [40, 20, 19, 18, 17, 16, 15, 14, 13, 12, 10, 9];

fn log_level(fields: Fields<'_>, document: &Document) -> u8 {
    let is_given = document.get("config.logLevel").is_some_and(|node| !node.is_null());
    let older = fields.opt_whole::<usize>("debugLevel").and_then(|level| DEBUG_LEVELS.get(level)).copied();
    older.filter(|_| !is_given).unwrap_or_else(|| fields.whole("logLevel"))
}
