//! Sections `control`, `policy`, `status` and `pricing`.

use super::Kind::{Choice, Flag, Integer, List, Number, Object, Secret, Text, Texts};
use super::{ENABLED, Key, Section};

const fn port(name: &'static str) -> Key {
    Key::new(name, Integer, "Port.").range(1.0, 65_535.0)
}

pub(super) const BROKER: Key = Key::new("brokerIP", Text, "Host name or address of the MQTT broker.");
pub(super) const BROKER_PORT: Key =
    Key::new("brokerPort", Integer, "Port of the broker; 1883, or 8883 with TLS.").range(1.0, 65_535.0);
pub(super) const USERNAME: Key = Key::new("username", Text, "User name; used only together with a password.");
pub(super) const PASSWORD: Key = Key::new("password", Secret, "Password.");
const TLS: Key = Key::new("brokerTLS", Flag, "Whether the broker is spoken to over TLS.").flag(false);
const BROKER_CA: Key = Key::new(
    "brokerCA",
    Text,
    "File with the certificate of the authority that signed the broker's (PEM); with `brokerTLS`. The usual authorities otherwise.",
);
const BROKER_CERT: Key = Key::new(
    "brokerCert",
    Text,
    "File with our own certificate (PEM), for brokers that ask for one; with `brokerKey`.",
);
const BROKER_KEY: Key = Key::new("brokerKey", Text, "File with the private key of `brokerCert` (PEM).");

const HTTP: &[Key] = &[
    ENABLED,
    port("listenPort").number(8080.0),
    Key::new(
        "certificate",
        Text,
        "File with our certificate and those that link it to its authority (PEM); with `key`. `listenPort` then speaks HTTPS \
         alone, unless there is a `tlsPort`. SIGHUP reads the files again.",
    ),
    Key::new("key", Text, "File with the private key of `certificate` (PEM), without a passphrase."),
    Key::new("tlsPort", Integer, "Port for HTTPS beside `listenPort`, which stays without; with `certificate`.")
        .range(1.0, 65_535.0),
    Key::new(
        "hostNames",
        Texts,
        "Further names under which the page is reached, such as `cars.example.org`. Addresses, names without a dot and names \
         in `.local`, `.lan`, `.home.arpa` and `.internal` need not be listed. SIGHUP takes changes over.",
    ),
    Key::new(
        "readNeedsPassword",
        Flag,
        "Whether looking needs the password too, once `twcmanager passwd` has set one; commands always do then. `/healthz` \
         and `/metrics` stay open. SIGHUP takes changes over.",
    )
    .flag(false),
];
const MQTT: &[Key] = &[
    ENABLED,
    BROKER,
    BROKER_PORT,
    TLS,
    BROKER_CA,
    BROKER_CERT,
    BROKER_KEY,
    Key::new("topicPrefix", Text, "First part of all topics."),
    USERNAME,
    PASSWORD,
];
const IPC: &[Key] = &[ENABLED];
const OCPP: &[Key] = &[
    ENABLED,
    Key::new("serverHost", Text, "Address to listen on.").text("0.0.0.0"),
    port("serverPort").number(9000.0),
];

const POLICY: &[Key] = &[
    Key::new("alwaysPollEMS", Flag, "Whether meters are read in every policy.").flag(false),
    Key::new(
        "override",
        List,
        "Policies that replace the built-in list; `extend` and `greenEnergyLatch` have no effect then.",
    ),
];
const ENGINE: &[Key] = &[Key::new("policyCheckInterval", Number, "How often the policies are judged anew.")
    .unit("s")
    .range(0.0, 3600.0)
    .number(30.0)];
const EXTEND: &[Key] = &[
    Key::new("emergency", List, "Policies that come before all others."),
    Key::new("before", List, "Policies after Charge Now and before the schedule."),
    Key::new("after", List, "Policies after tracking surplus and before the last resort."),
    Key::new(
        "restrictions",
        Object,
        "Further conditions of built-in policies, by policy name: lists `match`, `condition` and `value`.",
    ),
    Key::new("webhooks", Object, "Addresses to call, by policy name: `enter`, `start`, `stop`, `exit`."),
];

const HASS: &[Key] = &[
    ENABLED,
    Key::new("serverIP", Text, "Host of Home Assistant."),
    port("serverPort").number(8123.0),
    Key::new("useHttps", Flag, "Whether to use HTTPS.").flag(false),
    Key::new("apiKey", Secret, "Long-lived access token of Home Assistant."),
    Key::new("msgRateInSeconds", Number, "Pause between rounds of sending.")
        .unit("s")
        .range(0.0, 86_400.0)
        .number(60.0),
    Key::new("resendRateInSeconds", Number, "Unchanged values are repeated after this time.")
        .unit("s")
        .range(0.0, 604_800.0)
        .number(3600.0),
    Key::new("retryRateInSeconds", Number, "Pause after an error.").unit("s").range(0.0, 86_400.0).number(60.0),
];
const MQTT_STATUS: &[Key] = &[
    ENABLED,
    BROKER,
    BROKER_PORT,
    TLS,
    BROKER_CA,
    BROKER_CERT,
    BROKER_KEY,
    Key::new("topicPrefix", Text, "First part of all topics."),
    USERNAME,
    PASSWORD,
    Key::new("ratelimit", Number, "Shortest time between two messages on one topic; 0 sends every change.")
        .unit("s")
        .range(0.0, 86_400.0)
        .number(60.0),
    Key::new("homeassistantDiscovery", Flag, "Whether Home Assistant is told of all sensors.").flag(false),
    Key::new("discoveryPrefix", Text, "First part of Home Assistant's discovery topics.").text("homeassistant"),
    Key::new(
        "discoveryFormat",
        Choice(&["device", "single"]),
        "How Home Assistant is told: a message for each device (its release 2024.11 or later), or one for each sensor.",
    )
    .text("device"),
    Key::new("deviceNamePrefix", Text, "First part of the device names in Home Assistant.").text("TWC"),
];
const OTEL: &[Key] = &[
    ENABLED,
    Key::new("exporter", Choice(&["otlp", "jaeger"]), "Kind of receiver.").text("otlp"),
    Key::new("otlpEndpoint", Text, "Address of the OTLP receiver.").text("http://localhost:4317"),
    Key::new("jaegerEndpoint", Text, "Address of the Jaeger receiver."),
    Key::new("serviceName", Text, "Name to report under.").text("twcmanager"),
    Key::new("serviceVersion", Text, "Version to report.").text("1.4.0"),
];

const PRICING_POLICY: &[Key] = &[Key::new(
    "multiPrice",
    Choice(&["first", "add"]),
    "With several price sources: the first that has a price, or their sum.",
)
.text("first")];
const STATIC: &[Key] = &[ENABLED];
const PEAK: &[Key] = &[
    Key::new("import", Number, "Price of a kilowatt-hour from the grid.").unit("per kWh"),
    Key::new("export", Number, "Price of a kilowatt-hour to the grid.").unit("per kWh"),
];
const AWATTAR: &[Key] = &[ENABLED];
const PVPC: &[Key] = &[ENABLED, Key::new("token", Secret, "Access token of the price service.")];
const AMBER: &[Key] = &[
    ENABLED,
    Key::new("token", Secret, "Access token of the price service."),
    Key::new("siteId", Text, "Site; found by itself when absent."),
    Key::new("cacheTime", Number, "How long prices are kept.").unit("s").range(1.0, 86_400.0).number(300.0),
];

pub(super) fn sections() -> Vec<Section> {
    vec![
        Section::new(
            &["control", "HTTP"],
            HTTP,
            "The web page and the HTTP interface. If the port is taken the next nine are tried. See docs/security.md.",
        ),
        Section::new(&["control", "MQTT"], MQTT, "Commands by MQTT."),
        Section::new(&["control", "IPC"], IPC, "The message queue of the old PHP page."),
        Section::new(&["control", "OCPP"], OCPP, "Charge points that connect to this program by OCPP."),
        Section::new(&["policy"], POLICY, "What decides how fast cars are charged."),
        Section::new(&["policy", "engine"], ENGINE, "How policies are judged."),
        Section::new(&["policy", "extend"], EXTEND, "Additions to the built-in policies."),
        Section::new(
            &["status", "HASS"],
            HASS,
            "Values pushed to Home Assistant over HTTP. MQTT with discovery is the better way.",
        ),
        Section::new(&["status", "MQTT"], MQTT_STATUS, "Values published by MQTT."),
        Section::new(&["status", "OTEL"], OTEL, "Values exported by OpenTelemetry."),
        Section::new(&["pricing", "policy"], PRICING_POLICY, "How prices are combined."),
        Section::new(&["pricing", "Static"], STATIC, "Fixed prices."),
        Section::new(&["pricing", "Static", "peak"], PEAK, "The fixed prices."),
        Section::new(&["pricing", "aWATTar"], AWATTAR, "Hourly prices of aWATTar."),
        Section::new(&["pricing", "PVPCes"], PVPC, "The regulated tariff of Spain."),
        Section::new(&["pricing", "Amber"], AMBER, "Prices of Amber."),
        Section::new(&["config", "pricing", "policy"], PRICING_POLICY, "An old place of `pricing.policy`."),
    ]
}
