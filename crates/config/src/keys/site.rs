//! Sections `config` and `interface`: the installation and the wire.

use super::Kind::{Choice, Flag, Integer, Number, Secret, Text, TextOrFlag};
use super::{ENABLED, Key, Section, Shape};

/// More than any household circuit; beyond it a number is a slip.
const MAX_AMPS: f64 = 1000.0;

const CONFIG: &[Key] = &[
    Key::new("settingsPath", Text, "Folder of settings.json, the databases and other state.").text("/etc/twcmanager"),
    Key::new("wiringMaxAmpsAllTWCs", Number, "Limit of the circuit that all connectors share, per phase. No policy passes it.").unit("A").range(0.0, MAX_AMPS).required(),
    Key::new("wiringMaxAmpsPerTWC", Number, "Limit of the wiring to each single connector.").unit("A").range(0.0, MAX_AMPS).number(6.0),
    Key::new("minAmpsPerTWC", Number, "Below this a car is not charged. Most cars charge poorly below 6 A.").unit("A").range(0.0, MAX_AMPS).number(12.0),
    Key::new("maxAmpsAllowedFromGrid", Number, "Limit of house and cars together from the grid, per phase, in every policy.").unit("A").range(0.0, MAX_AMPS),
    Key::new("gridFuseAmpsPerPhase", Number, "Rating of the main fuse. When a meter shows more on any phase, the offer is lowered at once.").unit("A").range(0.0, MAX_AMPS),
    Key::new("failSafeAmps", Number, "Offered to each car by policies with a fixed rate while the readings that a limit needs are stale.").unit("A").range(0.0, MAX_AMPS).number(0.0),
    Key::new("staleAfter", Number, "A reading older than this no longer counts.").unit("s").range(1.0, 86_400.0).number(120.0),
    Key::new("startStopDelay", Number, "How long the surplus has to be there, or gone, before a car is started or stopped.").unit("s").range(0.0, 86_400.0).number(60.0),
    Key::new("latitude", Number, "Where the installation is, for sunrise and sunset; the home position in the settings is used otherwise.").unit("°").range(-90.0, 90.0),
    Key::new("longitude", Number, "See `latitude`; east is positive.").unit("°").range(-180.0, 180.0),
    Key::new("atHomeRadius", Number, "A car this near to the home position is at home.").unit("feet").range(0.0, 1e7).number(10_560.0),
    Key::new("atHomeRadiusMetres", Number, "The same as a circle in metres; it goes before `atHomeRadius`.").unit("m").range(1.0, 3e6),
    Key::new("defaultVoltage", Number, "Voltage between phase and neutral until a connector reports it.").unit("V").range(50.0, 500.0).number(240.0),
    Key::new("numberOfPhases", Integer, "Phases of the supply until a connector reports them: 1 or 3.").range(1.0, 3.0).number(1.0),
    Key::new("realPowerFactorMinAmps", Number, "Share of the apparent power that cars really draw at the lowest rate.").range(0.1, 2.0).number(1.0),
    Key::new("realPowerFactorMaxAmps", Number, "Share of the apparent power that cars really draw at the highest rate.").range(0.1, 2.0).number(1.0),
    Key::new("greenEnergyFlexAmps", Number, "Grid current that is tolerated to keep a car charging from surplus.").unit("A").range(0.0, MAX_AMPS).number(0.0),
    Key::new("useFlexAmpsToStartCharge", Flag, "Whether `greenEnergyFlexAmps` also counts when a charge is to start.").flag(false),
    Key::new("greenEnergyLatch", Number, "Once tracking surplus has begun it stays the policy for at least this long.").unit("min").range(0.0, 1440.0),
    Key::new("subtractChargerLoad", Flag, "Whether the consumption meter also measures the connectors.").flag(false),
    Key::new("treatGenerationAsGridDelivery", Flag, "Whether what the meter calls generation is really the export to the grid.").flag(false),
    Key::new("greenEnergyAmpsOffset", Number, "Constant load that no meter sees, added to the consumption.").unit("A").range(-MAX_AMPS, MAX_AMPS).number(0.0).legacy("add a consumption offset on the web page"),
    Key::new("surplusFrom", Choice(&["auto", "consumption"]), "Which meters tell the surplus: `auto` takes the grid meter where there is one, `consumption` always generation and consumption.").text("auto"),
    Key::new("batteryBeforeCars", Flag, "With a grid meter: whether the house battery is charged before cars, so that what charges it is no surplus.").flag(false),
    Key::new("batteryFeedsCars", Flag, "With a grid meter: whether what the house battery gives counts as surplus, so that cars may empty it.").flag(false),
    Key::new("minChargeLevel", Number, "Cars below this state of charge are never stopped.").unit("%").range(-1000.0, 1000.0).number(-1.0),
    Key::new("respectVehicleSchedule", Flag, "Whether a car that waits for its own timer is left alone.").flag(true),
    Key::new("chargeNowLimit", Number, "Charge limit set in cars at home while Charge Now is on; 50 to 100, anything else leaves the car's own.").unit("%").range(-1000.0, 1000.0).number(0.0),
    Key::new("greenEnergyLimit", Number, "The same while surplus is tracked.").unit("%").range(-1000.0, 1000.0).number(0.0),
    Key::new("scheduledLimit", Number, "The same during the schedule.").unit("%").range(-1000.0, 1000.0).number(0.0),
    Key::new("nonScheduledLimit", Number, "The same outside the schedule.").unit("%").range(-1000.0, 1000.0).number(0.0),
    Key::new("cloudUpdateInterval", Number, "How often an awake car that does not charge is looked at; 15 minutes at least.").unit("s").range(0.0, 604_800.0).number(1800.0),
    Key::new("wakeDelayMins", Number, "How long a sleeping car is left alone before it is woken to be told something.").unit("min").range(0.0, 1440.0).number(3.0),
    Key::new("teslaApiClientID", Text, "Client id of your application at Tesla's Fleet API.").text(""),
    Key::new("teslaApiRedirectUri", Text, "Redirect address as registered with the application.").text(""),
    Key::new("teslaApiClientSecret", Secret, "Client secret; without it the login uses a one-time proof instead.").text(""),
    Key::new("teslaApiRegion", Choice(&["NA", "EU", "CN"]), "Region of the Tesla account; only used with a client secret.").text("NA"),
    Key::new("teslaApiScope", Text, "Rights asked for at login, separated by blanks.").text("openid offline_access vehicle_device_data vehicle_cmds vehicle_location vehicle_charging_cmds"),
    Key::new("teslaProxy", Text, "Base address of a Tesla command proxy, if you run one.").text(""),
    Key::new("teslaProxyCert", TextOrFlag, "File with the proxy's certificate authority; `false` switches the check off.").flag(true),
    Key::new("teslaControlPath", Text, "Where the vendor's command-line program for Bluetooth is; searched for when absent."),
    Key::new("logLevel", Integer, "Least important message that is logged: 50 critical, 40 error, 30 warning, 20 info, 19 to 12 more and more detail, 10 and 9 debugging.").range(0.0, 100.0).number(20.0),
    Key::new("debugLevel", Integer, "Older form of `logLevel`: 0 is quiet, 11 shows everything. Used only without `logLevel`.").range(0.0, 11.0).legacy("set `logLevel`"),
    Key::new("displayMilliseconds", Flag, "Nothing.").ignored("times in the log follow the log's own format"),
    Key::new("webhookMethod", Choice(&["POST", "GET"]), "How webhooks are called: POST carries the status, GET carries nothing.").text("POST"),
    Key::new("fakeMaster", Integer, "Role on the bus: 1 master, 0 stands in for a connector towards another master, 2 only listens.").range(0.0, 2.0).number(1.0),
    Key::new("debugOutputToFile", Flag, "Nothing.").ignored("use `logging.FileLogger`"),
    Key::new("debugFile", Text, "Nothing.").ignored("drivers write to the common log"),
    Key::new("baud", Integer, "Speed of the RS-485 adapter.").range(300.0, 4_000_000.0).legacy("set `interface.RS485.baud`"),
    Key::new("rs485adapter", Text, "Device of the RS-485 adapter.").legacy("set `interface.RS485.port`"),
    Key::new("maxAmpsPerTWC", Number, "Most that Charge Now by MQTT may ask for.").unit("A").range(0.0, MAX_AMPS).number(32.0),
    Key::new("onlyChargeMultiCarsAtHome", Flag, "Nothing.").ignored("cars are matched to connectors by VIN"),
    Key::new("maxImportPrice", Number, "Import price that your own policies may compare with, as `config.maxImportPrice`."),
];

const BLE: &[Key] = &[
    Key::new(
        "commandTimeout",
        Number,
        "Longest wait for the connection to a car, which takes 5 to 20 s: less than 20 s counts as 20 s.",
    )
    .unit("s")
    .range(0.1, 600.0)
    .number(5.0),
    Key::new("maxRetries", Integer, "Further tries after a failure that came fast and surely did nothing.").range(0.0, 100.0).number(3.0),
    Key::new("retryDelay", Number, "Pause before a further try.").unit("s").range(0.0, 600.0).number(2.0),
    Key::new(
        "circuitBreakerThreshold",
        Integer,
        "After this many runs in a row that had to be ended Bluetooth is left alone for a while; after a failure of the adapter at once.",
    )
    .range(1.0, 1000.0)
    .number(5.0),
    Key::new("circuitBreakerTimeout", Number, "How long it is left alone at first; it doubles up to half an hour.").unit("s").range(0.0, 86_400.0).number(60.0),
    Key::new("processGroupManagement", Flag, "Nothing.")
        .ignored("helper programs are always ended with their children"),
    Key::new("dockerCompatibility", Flag, "Nothing.").ignored("containers need no special mode"),
    Key::new("statsReporting", Flag, "Nothing.").ignored("counters are always shown"),
];

const RS485: &[Key] = &[
    Key::new("enabled", Flag, "Whether this bus is used.").flag(true),
    Key::new("port", Text, "Serial device, `rfc2217://host:port` or `socket://host:port`.").text("/dev/ttyUSB0"),
    Key::new("baud", Integer, "Speed; Wall Connectors use 9600.").range(300.0, 4_000_000.0).number(9600.0),
    Key::new("slaveTimeout", Number, "A connector not heard for this long is taken as gone.")
        .unit("s")
        .range(1.0, 3600.0)
        .number(26.0),
];

const TCP: &[Key] = &[
    ENABLED,
    Key::new("listen", Flag, "Whether to wait for a connection instead of making one.").flag(false),
    Key::new("server", Text, "Host to connect to."),
];

const DUMMY: &[Key] = &[
    ENABLED,
    Key::new("twcID", Text, "Two characters whose codes are the simulated connector's id.").text("AB"),
    Key::new("connectors", Integer, "Number of simulated connectors.").range(1.0, 3.0).number(1.0),
    Key::new("scenario", Text, "File with a script for the simulation."),
];

const OLD_RS485: &[Key] = &[Key::new("slaveTimeout", Number, "Timeout of a connector.")
    .unit("s")
    .range(1.0, 3600.0)
    .legacy("set `interface.RS485.slaveTimeout`")];

pub(super) fn sections() -> Vec<Section> {
    vec![
        Section::new(&["config"], CONFIG, "The installation: limits first."),
        Section::new(&["config", "moduleConfiguration", "TeslaBLE"], BLE, "Patience with commands over Bluetooth."),
        Section::new(
            &["interface", "RS485"],
            RS485,
            "The bus of Gen 2 Wall Connectors. A list of objects stands for several buses.",
        )
        .shaped(Shape::OneOrMany),
        Section::new(&["interface", "TCP"], TCP, "The bus behind a TCP connection on port 6000."),
        Section::new(&["interface", "Dummy"], DUMMY, "Simulated connectors, for trying things out."),
        Section::new(&["interfaces", "RS485"], OLD_RS485, "A spelling that old programs read by mistake."),
    ]
}
