//! Section `sources`: what files may contain for each meter, inverter and battery. Drivers may replace their own section.

use super::Kind::{Clock, Flag, Integer, List, Number, Numbers, Secret, Text, Texts};
use super::control::{BROKER, BROKER_PORT, PASSWORD, USERNAME};
use super::{ENABLED, Key, Section};

const fn host(name: &'static str) -> Key {
    Key::new(name, Text, "Host name or address of the device.")
}

const fn port(name: &'static str, default: f64) -> Key {
    Key::new(name, Integer, "Port of the device.").range(1.0, 65_535.0).number(default)
}

const fn text(name: &'static str, meaning: &'static str) -> Key {
    Key::new(name, Text, meaning)
}

const HTTPS: Key = Key::new("useHttps", Flag, "Whether to use HTTPS.").flag(false);
const UNIT_ID: Key = Key::new("unitID", Integer, "Modbus unit.").range(0.0, 255.0);
const SERVER: Key = host("serverIP");
const PORT_80: Key = port("serverPort", 80.0);
const TOKEN: Key = Key::new("token", Secret, "Access token.");
const API_KEY: Key = Key::new("apiKey", Secret, "Access key.");
const CONSUMPTION_ITEM: Key = text("consumptionItem", "Item with the consumption in watts.");
const GENERATION_ITEM: Key = text("generationItem", "Item with the generation in watts.");

pub(super) fn sections() -> Vec<Section> {
    let mut all = metering();
    all.extend(vendors());
    all
}

/// Sources that speak for any meter.
fn metering() -> Vec<Section> {
    vec![
        source(
            "DSMRreader",
            &[
                ENABLED,
                BROKER,
                BROKER_PORT,
                USERNAME,
                PASSWORD,
                text("topic", "Topic of the telegrams.").text("dsmr/json"),
            ],
            "Dutch and Belgian smart meters by DSMR-reader and MQTT.",
        ),
        source(
            "EmonCMS",
            &[
                ENABLED,
                SERVER,
                PORT_80,
                text("serverPath", "Path of the installation on its server."),
                HTTPS,
                API_KEY,
                text("consumptionFeed", "Feed with the consumption."),
                text("generationFeed", "Feed with the generation."),
            ],
            "Feeds of EmonCMS.",
        ),
        source(
            "HASS",
            &[
                ENABLED,
                SERVER,
                port("serverPort", 8123.0),
                HTTPS,
                API_KEY,
                text("hassEntityConsumption", "Entity with the consumption in watts."),
                text("hassEntityGeneration", "Entity with the generation in watts."),
            ],
            "Entities of Home Assistant.",
        ),
        source(
            "MQTT",
            &[
                ENABLED,
                BROKER,
                BROKER_PORT,
                USERNAME,
                PASSWORD,
                text("topicConsumption", "Topic with the consumption in watts."),
                text("topicGeneration", "Topic with the generation in watts."),
            ],
            "Numbers published by MQTT.",
        ),
        source(
            "openHAB",
            &[ENABLED, SERVER, port("serverPort", 8080.0), CONSUMPTION_ITEM, GENERATION_ITEM],
            "Items of openHAB.",
        ),
        source(
            "OpenWeatherMap",
            &[
                ENABLED,
                Key::new("Latitude", Number, "Latitude.").unit("°"),
                Key::new("Longitude", Number, "Longitude.").unit("°"),
                Key::new("APIKey", Secret, "Access key."),
                Key::new("PeakKW", Numbers, "Peak power of the panels for each month from January.").unit("kW"),
            ],
            "An estimate of solar power from the weather.",
        ),
        source(
            "P1Monitor",
            &[
                ENABLED,
                SERVER,
                Key::new("samples", Integer, "Readings that are averaged.").range(1.0, 10.0).number(1.0),
            ],
            "Dutch and Belgian smart meters by P1 Monitor.",
        ),
        source(
            "URL",
            &[ENABLED, text("url", "Base address, without a slash at its end."), CONSUMPTION_ITEM, GENERATION_ITEM],
            "A number per address.",
        ),
        source(
            "Volkszahler",
            &[
                ENABLED,
                SERVER,
                PORT_80,
                text("uuidPhotovoltaikW", "Channel with the solar power."),
                text("uuidTotalGridW", "Channel with the grid power."),
            ],
            "Channels of Volkszähler.",
        ),
        source(
            "ScenarioEMS",
            &[ENABLED, text("scenarioFile", "File with a script."), text("stepFile", "File with the current step.")],
            "Scripted values for tests.",
        ),
        source(
            "SCT013",
            &[
                ENABLED,
                Key::new("consumption", Flag, "Whether it measures the consumption.").flag(false),
                Key::new("generation", Flag, "Whether it measures the generation.").flag(false),
                text("arduinoPort", "Serial device of the board."),
                host("arduinoIP"),
            ],
            "Home-made boards with current transformers.",
        ),
        source(
            "DSMR",
            &[
                ENABLED,
                Key::new("baudrate", Integer, "Speed of the port.").number(115_200.0),
                text("serialPort", "Serial device of the P1 cable.").text("/dev/ttyUSB2"),
            ],
            "A smart meter's P1 port.",
        ),
    ]
}

/// Sources that belong to one maker.
fn vendors() -> Vec<Section> {
    vec![
        source("Efergy", &[ENABLED, TOKEN], "Efergy's cloud."),
        source(
            "Enphase",
            &[
                ENABLED,
                API_KEY,
                text("systemID", "System in the cloud."),
                text("userID", "User in the cloud."),
                SERVER,
                PORT_80,
                TOKEN,
            ],
            "Enphase Envoy, locally or by the cloud.",
        ),
        source(
            "Fronius",
            &[ENABLED, Key::new("serverIP", Texts, "Host of the inverter, or a list of several."), PORT_80],
            "Fronius inverters with a Smart Meter.",
        ),
        source(
            "Growatt",
            &[
                ENABLED,
                USERNAME,
                PASSWORD,
                Key::new("useBatteryAt", Number, "The battery helps above this state of charge.")
                    .unit("%")
                    .range(0.0, 100.0),
                Key::new("useBatteryTill", Number, "It goes on helping down to this state of charge.")
                    .unit("%")
                    .range(0.0, 100.0),
                Key::new("batteryMaxOutput", Number, "Power of the battery.").unit("W"),
                Key::new("useBatteryBefore", Clock, "It helps from midnight until this time.").text("00:00"),
            ],
            "Growatt's cloud.",
        ),
        source(
            "IotaWatt",
            &[
                ENABLED,
                SERVER,
                text("outputConsumption", "Output with the consumption."),
                text("outputGeneration", "Output with the generation."),
            ],
            "IoTaWatt.",
        ),
        source(
            "Kostal",
            &[ENABLED, SERVER, port("modbusPort", 1502.0), UNIT_ID.number(71.0)],
            "Kostal inverters by Modbus.",
        ),
        source(
            "Powerwall2",
            &[
                ENABLED,
                SERVER,
                port("serverPort", 443.0),
                PASSWORD,
                Key::new("minBatteryLevel", Number, "Solar power counts only while the battery is above this.")
                    .unit("%")
                    .range(0.0, 100.0)
                    .number(0.0),
                text("cloudID", "Site in Tesla's cloud."),
            ],
            "Tesla Powerwall.",
        ),
        source(
            "SmartMe",
            &[ENABLED, USERNAME, PASSWORD, text("serialNumber", "Serial number of the meter.")],
            "smart-me's cloud.",
        ),
        source(
            "SmartPi",
            &[
                ENABLED,
                SERVER,
                PORT_80,
                Key::new("showConsumption", Flag, "Whether it also measures the consumption.").flag(false),
            ],
            "SmartPi.",
        ),
        source(
            "SolarEdge",
            &[
                ENABLED,
                API_KEY,
                text("siteID", "Site in the cloud."),
                host("inverterHost"),
                port("inverterPort", 1502.0),
                Key::new(
                    "smartMeters",
                    List,
                    "Meters at the inverter: `name` Meter1 to Meter3, `type` consumption or export.",
                ),
                Key::new("pollMode", Integer, "Which values the cloud is asked for.")
                    .ignored("it is found out by asking"),
                Key::new("debugMode", Flag, "Nothing.").ignored("drivers write to the common log"),
            ],
            "SolarEdge, by Modbus or by the cloud.",
        ),
        source(
            "SolarLog",
            &[
                ENABLED,
                SERVER,
                Key::new("excludeConsumptionInverters", Numbers, "Inverters whose power is taken off the consumption."),
            ],
            "Solar-Log.",
        ),
        source("TED", &[ENABLED, SERVER, PORT_80], "The Energy Detective."),
        source(
            "Victron",
            &[
                ENABLED,
                SERVER,
                port("serverPort", 502.0),
                UNIT_ID.number(100.0),
                Key::new("timeout", Number, "Longest wait for an answer.").unit("s").range(0.1, 600.0).number(10.0),
                Key::new("consumptionRegisters", Numbers, "Registers that are summed as consumption."),
                Key::new("generationRegisters", Numbers, "Registers that are summed as generation."),
            ],
            "Victron GX devices by Modbus.",
        ),
    ]
}

fn source(name: &'static str, keys: &[Key], meaning: &'static str) -> Section {
    Section::source(name, keys.to_vec(), meaning)
}
