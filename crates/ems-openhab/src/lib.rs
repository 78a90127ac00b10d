//! Energy source: items of openHAB, one `GET /rest/items/<item>/state` for each.
//!
//! Facts: openHAB's documentation of its REST API and of units, TWCManager's `EMS/openHAB.py` (keys); configuration and
//! quirks in `docs/ems/openhab.md`.

use std::time::{Duration, Instant};

use ems::units::Phase;
use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Section, Shared, Stop};
use ems_items::{Item, Quantity};
use http_client::{Auth, Class, Client, Tls};

/// For one call. TWCManager waited for 2 s, which a busy Raspberry Pi does not always keep.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where openHAB itself serves https.
const OWN_TLS_PORT: u16 = 8443;

const KEYS: [(Quantity, &str); 11] = [
    (Quantity::Consumption, "consumptionItem"),
    (Quantity::Generation, "generationItem"),
    (Quantity::Grid, "gridItem"),
    (Quantity::Battery, "batteryItem"),
    (Quantity::BatterySoc, "batterySocItem"),
    (Quantity::GridAmps(Phase::L1), "gridAmpsL1Item"),
    (Quantity::GridAmps(Phase::L2), "gridAmpsL2Item"),
    (Quantity::GridAmps(Phase::L3), "gridAmpsL3Item"),
    (Quantity::GridPower(Phase::L1), "gridPowerL1Item"),
    (Quantity::GridPower(Phase::L2), "gridPowerL2Item"),
    (Quantity::GridPower(Phase::L3), "gridPowerL3Item"),
];

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "openHAB",
    summary: "items of openHAB",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of openHAB"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 8080, 8443 with useHttps)"),
        KeySpec::new("useHttps", KeyKind::Flag, "Whether to encrypt (default false)"),
        KeySpec::new("tlsFingerprint", KeyKind::Text, "SHA-256 of its certificate, to accept no other"),
        KeySpec::new("apiKey", KeyKind::Secret, "API token, where openHAB asks for one"),
        KeySpec::new("consumptionItem", KeyKind::Text, "Item of consumption; a - before any item turns its sign"),
        KeySpec::new("generationItem", KeyKind::Text, "Item of generation"),
        KeySpec::new("gridItem", KeyKind::Text, "Item of grid power, import positive"),
        KeySpec::new("batteryItem", KeyKind::Text, "Item of battery power, discharge positive"),
        KeySpec::new("batterySocItem", KeyKind::Text, "Item of the battery's charge in percent"),
        KeySpec::new("gridAmpsL1Item", KeyKind::Text, "Item of the grid current on L1"),
        KeySpec::new("gridAmpsL2Item", KeyKind::Text, "Item of the grid current on L2"),
        KeySpec::new("gridAmpsL3Item", KeyKind::Text, "Item of the grid current on L3"),
        KeySpec::new("gridPowerL1Item", KeyKind::Text, "Item of the grid power on L1; gives the current its sign"),
        KeySpec::new("gridPowerL2Item", KeyKind::Text, "Item of the grid power on L2"),
        KeySpec::new("gridPowerL3Item", KeyKind::Text, "Item of the grid power on L3"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let is_tls = section.flag("useHttps", false);
    let port = section.port("serverPort", if is_tls { OWN_TLS_PORT } else { 8080 });
    let base = ems_http::base(section, "serverIP", port, is_tls);
    let items = Item::all(section, &KEYS);
    for item in &items {
        if item.name.is_empty() || !item.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            section
                .error(item.key, "is no item; names of items are letters, digits and underscores, like `House_Power`");
        }
    }
    let token = section.text("apiKey");
    // On its own port openHAB shows a certificate that it made itself; elsewhere a proxy stands before it.
    let tls = match &base {
        Some(base) if port == OWN_TLS_PORT || section.raw("tlsFingerprint").is_some() => {
            ems_http::device_tls(section, base)
        }
        _ => Tls::Verified,
    };
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| {
        builder.auth(token.map_or(Auth::None, Auth::Bearer)).tls(tls).total_timeout(TIMEOUT)
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(OpenHab { path: section.path().to_owned(), client, items }))
}

struct OpenHab {
    path: String,
    client: Client,
    items: Vec<Item>,
}

impl OpenHab {
    fn state(&self, item: &Item) -> Result<Option<f64>, EmsError> {
        let answer = self
            .client
            .get(&format!("/rest/items/{}/state", item.name))
            .header("Accept", "text/plain")
            .send()
            .map_err(|error| ems_http::failed(&error))?;
        // 404 in JSON is about the item; any other one is about the address.
        if answer.status() == 404 && answer.json().is_ok_and(|body| body.get("error").is_some()) {
            let text = format!("openHAB knows no item {}; correct {}.{}", item.name, self.path, item.key);
            return Err(EmsError::new(EmsErrorKind::Misconfigured, text));
        }
        let answer = answer.ok().map_err(|error| match error.class() {
            Class::Denied => {
                let text = format!(
                    "openHAB refuses us; make an API token on your profile page there and put it into {}.apiKey",
                    self.path
                );
                EmsError::new(EmsErrorKind::Denied, text)
            }
            _ => ems_http::failed(&error),
        })?;
        if answer.looks_like_html() {
            let base = self.client.base_url();
            return Err(EmsError::garbled(format!(
                "the answer is a web page; does {base} lead to openHAB's REST API?"
            )));
        }
        item.value(&answer.text(), None)
    }
}

impl Ems for OpenHab {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let mut values = Vec::with_capacity(self.items.len());
        for item in &self.items {
            if stop.is_asked() {
                return Err(EmsError::stopped());
            }
            values.push((item.clone(), self.state(item)?));
        }
        ems_items::reading(&values, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recordings::{Answer, Peer};

    fn open(port: u16, more: &str) -> Box<dyn Ems> {
        let json = format!(r#"{{"serverIP": "127.0.0.1", "serverPort": "{port}", {more}}}"#);
        let mut section = Section::new("sources.openHAB", serde_json_map(&json));
        let driver = super::open(&mut section, &Shared::new());
        driver.unwrap_or_else(|| panic!("{:?}", section.problems()))
    }

    fn serde_json_map(json: &str) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(json).expect("JSON")
    }

    fn text(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: 200, headers: vec!["Content-Type: text/plain".into()], body: body.into() }
    }

    #[test]
    fn items_are_read_with_their_units() {
        let peer = Peer::start(|asked| match (asked.path(), asked.header("accept"), asked.header("authorization")) {
            ("/rest/items/House_Power/state", Some("text/plain"), Some("Bearer oh.t0ken")) => text("1.2 kW"),
            ("/rest/items/Grid_Power/state", ..) => text("350.0 W"),
            ("/rest/items/Amps1/state", ..) => text("UNDEF"),
            ("/rest/items/Soc/state", ..) => text("80 %"),
            _ => Answer::status(500),
        });
        let keys = r#""consumptionItem": "House_Power", "gridItem": "-Grid_Power", "gridAmpsL1Item": "Amps1",
            "batterySocItem": "Soc", "generationItem": "", "apiKey": "oh.t0ken""#;
        let reading = open(peer.port(), keys).read(&Stop::never()).unwrap();
        assert_eq!(reading.consumption.map(|watts| watts.get()), Some(1200.0));
        assert_eq!(reading.grid.map(|watts| watts.get()), Some(-350.0));
        assert_eq!((reading.generation, reading.grid_current.l1), (None, None));
        assert_eq!(reading.battery_soc.map(|soc| soc.get()), Some(80.0));
    }

    #[test]
    fn errors_say_what_to_do() {
        let kind = |answer: Answer| {
            let peer = Peer::start(move |_| answer.clone());
            let error = open(peer.port(), r#""generationItem": "Sun""#).read(&Stop::never()).unwrap_err();
            (error.kind(), error.to_string())
        };
        let missing = r#"{"error": {"message": "Item Sun does not exist!", "http-code": 404}}"#;
        let (found, said) = kind(Answer { status: 404, ..Answer::json(missing) });
        assert_eq!(found, EmsErrorKind::Misconfigured);
        assert!(said.contains("sources.openHAB.generationItem"), "{said}");
        let (found, said) = kind(Answer::status(401));
        assert_eq!(found, EmsErrorKind::Denied);
        assert!(said.contains("sources.openHAB.apiKey"), "{said}");
        assert_eq!(kind(Answer::html("<html>")).0, EmsErrorKind::Garbled);
        assert_eq!(kind(text("ON")).0, EmsErrorKind::Garbled);
        assert_eq!(kind(text("1e308")).0, EmsErrorKind::Garbled);
        assert_eq!(kind(text("17.5 kWh")).0, EmsErrorKind::Misconfigured);
        assert_eq!(kind(Answer::status(503)).0, EmsErrorKind::Retry);
    }

    #[test]
    fn mistakes_name_their_key() {
        for (json, key) in [
            (r#"{"serverIP": "oh"}"#, "consumptionItem"),
            (r#"{"serverIP": "oh", "gridItem": "../x"}"#, "gridItem"),
            (r#"{"serverIP": "oh", "gridItem": "Grid", "serverPort": "web"}"#, "serverPort"),
            (r#"{"gridItem": "Grid"}"#, "serverIP"),
        ] {
            let mut section = Section::new("sources.openHAB", serde_json_map(json));
            assert!(super::open(&mut section, &Shared::new()).is_none());
            assert_eq!(section.problems()[0].key, format!("sources.openHAB.{key}"));
        }
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("openhab") {
            let peer = {
                let (body, path) = (recording.bytes(), recording.text_at(&["request", "path"]).to_owned());
                Peer::start(move |asked| if asked.path() == path { text(body.clone()) } else { Answer::status(404) })
            };
            let item = recording.text_at(&["request", "path"]).split('/').nth(3).unwrap_or_default().to_owned();
            let mut driver = open(peer.port(), &format!(r#""consumptionItem": "{item}", "generationItem": "{item}""#));
            let reading = driver.read(&Stop::never()).unwrap();
            recording.assert_number("consumption_w", reading.consumption.map(|watts| watts.get()));
            recording.assert_number("generation_w", reading.generation.map(|watts| watts.get()));
        }
    }
}
