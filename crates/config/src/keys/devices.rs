//! Sections `vehicle`, `logging` and `controller.Gen3TWCs`.

use super::Kind::{Choice, Flag, Integer, Number, Object, Secret, Text, Texts};
use super::control::{PASSWORD, USERNAME};
use super::{ENABLED, Key, Section, Shape};

const fn text(name: &'static str, meaning: &'static str) -> Key {
    Key::new(name, Text, meaning)
}

const VEHICLE: &[Key] = &[
    Key::new(
        "commandPolicy",
        Choice(&["prefer_ble", "ble_only", "api_only"]),
        "Which way cars are told something; when given here the web page cannot change it.",
    ),
    Key::new(
        "chargingInterval",
        Number,
        "How often a car that charges at home is read through a source whose calls cost; less often when the budget asks.",
    )
    .unit("s")
    .range(60.0, 86_400.0)
    .number(300.0),
    Key::new(
        "cars",
        Object,
        "What is special about a car, by VIN: `{\"LRW3F7EK0NC000001\": {\"circuit\": \"connectors\"}}` says that the charger \
         it uses at home hangs on the circuit of the Wall Connectors.",
    ),
];
const BUDGET: &[Key] = &[
    dollars("perMonth", "Most that calls to cars may cost in a calendar month.").number(10.0),
    dollars("perDay", "Most that they may cost in a day."),
    calls("commandsPerMonth", "Most commands in a month."),
    calls("commandsPerDay", "Most commands in a day."),
    calls("dataPerMonth", "Most readings in a month."),
    calls("dataPerDay", "Most readings in a day."),
    calls("wakesPerMonth", "Most wakes in a month."),
    calls("wakesPerDay", "Most wakes in a day."),
    dollars("pricePerCommand", "What a command costs.").number(0.001),
    dollars("pricePerReading", "What a reading costs.").number(0.002),
    dollars("pricePerWake", "What it costs to wake a car.").number(0.02),
];

const fn dollars(name: &'static str, meaning: &'static str) -> Key {
    Key::new(name, Number, meaning).unit("US$").range(0.0, 1e6)
}

const fn calls(name: &'static str, meaning: &'static str) -> Key {
    Key::new(name, Integer, meaning).range(0.0, 1e9)
}

const API: &[Key] = &[
    Key::new("enabled", Flag, "Whether Tesla's cloud is used.").flag(true),
    text(
        "apiUrl",
        "Base address of the Fleet API, where it is not Tesla's own: a drop-in service with the same calls.",
    ),
    text("authUrl", "Base address of the token service and the page to sign in on, where they are not Tesla's own."),
    Key::new(
        "token",
        Secret,
        "Fixed token of the drop-in service at `apiUrl`; nobody signs in then, and the service signs commands.",
    ),
    text("domain", "Domain that the public key is published on; the host of `config.teslaApiRedirectUri` when absent."),
];
const BLE: &[Key] = &[Key::new("enabled", Flag, "Whether cars are spoken to over Bluetooth.").flag(true)];
const BLE_PROXY: &[Key] = &[
    ENABLED,
    text("url", "Address of the TeslaBleHttpProxy, such as `http://192.168.1.20:8080`."),
    Key::new("vins", Texts, "VINs of the cars that it reaches; all that are known when absent."),
];
const MQTT_HOST: Key = text("mqtt_host", "Host of the MQTT broker.");
const MQTT_USER: Key = text("mqtt_user", "User name at the broker.");
const MQTT_PASS: Key = Key::new("mqtt_pass", Secret, "Password at the broker.");
const MQTT_PREFIX: Key = text("mqtt_prefix", "First part of the topics; may have several levels.");
const MQTT_PORT: Key =
    Key::new("mqtt_port", Integer, "Port of the MQTT broker; 1883, or 8883 with `mqtt_tls`.").range(1.0, 65_535.0);
const MQTT_TLS: Key = Key::new("mqtt_tls", Flag, "Whether the connection to the broker is encrypted.").flag(false);
const MQTT_CA: Key = text("mqtt_ca", "File with the certificate of the broker's own authority.");
const MQTT_CERT: Key = text("mqtt_cert", "File with our certificate, for brokers that ask for one.");
const MQTT_KEY: Key = text("mqtt_key", "File with the key of `mqtt_cert`.");
const SYNC_TELEMETRY: Key =
    Key::new("syncTelemetry", Flag, "Whether the state of cars is taken from MQTT.").flag(false);
const FLEET: &[Key] = &[
    ENABLED,
    SYNC_TELEMETRY,
    MQTT_HOST,
    MQTT_PORT,
    MQTT_USER,
    MQTT_PASS,
    MQTT_PREFIX,
    MQTT_TLS,
    MQTT_CA,
    MQTT_CERT,
    MQTT_KEY,
];
const HOME_ASSISTANT: &[Key] = &[
    ENABLED,
    text("url", "Address of Home Assistant, such as `http://192.168.1.5:8123`."),
    Key::new("longLivedToken", Secret, "Long-lived access token of Home Assistant."),
    text("tlsFingerprint", "SHA-256 of its certificate, where no authority vouches for it."),
    Key::new("discover", Flag, "Whether cars of its integrations tesla_fleet, teslemetry and tessie are looked for.")
        .flag(true),
];
const HOME_ASSISTANT_CARS: &[Key] = &[
    text("vin", "VIN of the car; entities named here win over those that were found for it."),
    text("name", "Name of the car; needed where it has no `vin`."),
    text("soc", "Entity of the state of charge, in percent."),
    text("limit", "Number entity of the charge limit, in percent; read and set."),
    text("charging", "Entity that tells whether it charges, in words or as on and off."),
    text("plug", "Entity that tells whether a cable is plugged in."),
    text("amps", "Number entity of the current that it may take; read and set."),
    text("current", "Entity of the current that flows, per phase."),
    text("voltage", "Entity of the voltage of one phase."),
    text("phases", "Entity of the number of phases."),
    text("power", "Entity of the power that it draws, in W or kW."),
    text("energy", "Entity of the energy of this session, in Wh or kWh."),
    text("timeToLimit", "Entity of the time to the limit, as a duration or a time of day."),
    text("location", "Device tracker of the car."),
    text("awake", "Entity that tells whether it can be reached."),
    text("scheduled", "Entity that tells whether it waits for its own timer."),
    text("gear", "Entity of the selected gear."),
    text("fastCharger", "Entity that tells whether it hangs on a fast charger."),
    text("charge", "Switch that starts and stops charging."),
    text("start", "Button that starts charging, where there is no switch."),
    text("stop", "Button that stops charging, where there is no switch."),
    text("wake", "Button that wakes it."),
];
const TESLAMATE: &[Key] = &[
    ENABLED,
    Key::new("syncTokens", Flag, "Whether the login to Tesla's cloud is taken from TeslaMate's database.").flag(false),
    text("db_host", "Host of TeslaMate's database."),
    Key::new("db_port", Integer, "Port of the database.").range(1.0, 65_535.0).number(5432.0),
    text("db_name", "Name of the database."),
    text("db_user", "User of the database."),
    Key::new("db_pass", Secret, "Password of the database."),
    Key::new("encryption_key", Secret, "TeslaMate's ENCRYPTION_KEY; needed for `syncTokens`."),
    SYNC_TELEMETRY,
    MQTT_HOST,
    MQTT_PORT,
    MQTT_USER,
    MQTT_PASS,
    MQTT_PREFIX,
    MQTT_TLS,
    MQTT_CA,
    MQTT_CERT,
    MQTT_KEY,
    Key::new("cars", Object, "TeslaMate's number of each car to its VIN, such as `{\"1\": \"LRW3F7EK0NC000001\"}`."),
    text("home_geofence", "Name of TeslaMate's geofence at home; a car outside it is away then."),
];

const LOGGING: &[Key] = &[Key::new("use_icons", Flag, "Whether logger names carry a pictogram.").flag(true)];
const CONSOLE: &[Key] = &[
    Key::new("enabled", Flag, "Whether messages are written to standard output.").flag(true),
    Key::new("simple", Flag, "Without time and colour, for the journal.").flag(false),
];
const FILE: &[Key] = &[ENABLED, text("path", "Folder of the log files.").text("/etc/twcmanager/log")];
const SENTRY: &[Key] = &[ENABLED, Key::new("DSN", Secret, "Address that errors are reported to.")];
const CSV: &[Key] = &[ENABLED, text("path", "Folder of the CSV files.").text("/etc/twcmanager/csv")];
const MYSQL: &[Key] = &[
    ENABLED,
    text("host", "Host of the database."),
    Key::new("port", Integer, "Port of the database.").range(1.0, 65_535.0).number(3306.0),
    text("database", "Name of the database."),
    USERNAME,
    PASSWORD,
];
const SQLITE: &[Key] = &[ENABLED, text("path", "The database file.")];
const MUTE: &[Key] = &[
    Key::new("ChargeSessions", Flag, "Leaves out charging sessions.").flag(false),
    Key::new("GreenEnergy", Flag, "Leaves out generation and consumption.").flag(false),
    Key::new("SlavePower", Flag, "Leaves out the power of each connector.").flag(false),
    Key::new("SlaveStatus", Flag, "Leaves out meter readings and voltages of each connector.").flag(false),
    Key::new("DebugLogLevelGreaterThan", Integer, "Nothing.").number(1.0).ignored("set `config.logLevel`"),
];

const GEN3: &[Key] = &[
    ENABLED,
    text("port", "Serial device of the meter line.").text("/dev/ttyUSB1"),
    Key::new("baudrate", Integer, "Speed.").range(300.0, 4_000_000.0).number(115_200.0),
    Key::new("stopbits", Integer, "Stop bits.").range(1.0, 2.0).number(1.0),
    Key::new("bytesize", Integer, "Data bits.").range(7.0, 8.0).number(8.0),
    Key::new("parity", Choice(&["N", "E", "O"]), "Parity: none, even, odd.").text("N"),
];
const GEN3_DEVICES: &[Key] = &[
    text("ip", "Address of the Wall Connector."),
    Key::new("fuseAmps", Number, "Fuse that the connector believes it guards.")
        .unit("A")
        .range(0.0, 1000.0)
        .number(48.0),
    Key::new("phases", Integer, "Phases it is wired with.").range(1.0, 3.0).number(1.0),
];

pub(super) fn sections() -> Vec<Section> {
    vec![
        Section::new(&["vehicle"], VEHICLE, "How cars are spoken to."),
        Section::new(
            &["vehicle", "budget"],
            BUDGET,
            "What calls to cars may cost, where their maker charges for them.",
        ),
        Section::new(&["vehicle", "teslaAPI"], API, "Tesla's cloud."),
        Section::new(&["vehicle", "teslaBLE"], BLE, "Bluetooth, through the vendor's program `tesla-control`."),
        Section::new(
            &["vehicle", "teslaBleHttpProxy"],
            BLE_PROXY,
            "Bluetooth, through a TeslaBleHttpProxy in the house.",
        ),
        Section::new(&["vehicle", "teslaFleetTelemetryMQTT"], FLEET, "Telemetry that cars send themselves, by MQTT."),
        Section::new(&["vehicle", "HomeAssistant"], HOME_ASSISTANT, "Cars that Home Assistant knows."),
        Section::new(&["vehicle", "HomeAssistant", "cars"], HOME_ASSISTANT_CARS, "Cars by entities of any kind.")
            .shaped(Shape::Many),
        Section::new(&["vehicle", "TeslaMate"], TESLAMATE, "Cars that TeslaMate knows."),
        Section::new(&["logging"], LOGGING, "Where messages and records go."),
        Section::new(&["logging", "Console"], CONSOLE, "Standard output."),
        Section::new(&["logging", "FileLogger"], FILE, "Log files, a new one each hour."),
        Section::new(&["logging", "FileLogger", "mute"], MUTE, "Kinds of records left out."),
        Section::new(&["logging", "Sentry"], SENTRY, "Error reports to Sentry."),
        Section::new(&["logging", "Sentry", "mute"], MUTE, "Kinds of records left out."),
        Section::new(&["logging", "CSV"], CSV, "CSV files."),
        Section::new(&["logging", "CSV", "mute"], MUTE, "Kinds of records left out."),
        Section::new(&["logging", "MySQL"], MYSQL, "A MySQL or MariaDB database."),
        Section::new(&["logging", "MySQL", "mute"], MUTE, "Kinds of records left out."),
        Section::new(&["logging", "SQLite"], SQLITE, "An SQLite database."),
        Section::new(&["logging", "SQLite", "mute"], MUTE, "Kinds of records left out."),
        Section::new(
            &["controller.Gen3TWCs"],
            GEN3,
            "Gen 3 Wall Connectors, steered by standing in for their meter. The name really contains a dot.",
        ),
        Section::new(&["controller.Gen3TWCs", "devices"], GEN3_DEVICES, "The connectors.").shaped(Shape::Many),
    ]
}
