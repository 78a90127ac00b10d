//! Energy source: numbers behind URLs, one for each quantity.
//!
//! `GET <url>/<item>` answers a number in watts, with or without a unit; with an item such as `api/live#data.power` the
//! answer is JSON and the part behind `#` is the path of the number in it.
//!
//! Facts: TWCManager's `EMS/URL.py` (keys, time-outs); configuration and quirks in `docs/ems/url.md`.

use std::time::Duration;

use ems::{Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Section, Shared, Stop};
use http_client::{Auth, Client};

/// TWCManager waits as long.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "URL",
    summary: "numbers behind URLs, one for each quantity",
    keys: &[
        KeySpec::new("url", KeyKind::Text, "Base address, such as http://192.168.1.5:1880/energy; no slash at the end"),
        KeySpec::new("consumptionItem", KeyKind::Text, "Path below the address for consumption in W"),
        KeySpec::new("generationItem", KeyKind::Text, "Path below the address for generation in W"),
        KeySpec::new("gridItem", KeyKind::Text, "Path below the address for grid power in W, import positive"),
        KeySpec::new("batteryItem", KeyKind::Text, "Path below the address for battery power in W, discharge positive"),
        KeySpec::new("batterySocItem", KeyKind::Text, "Path below the address for the battery's charge in percent"),
        KeySpec::new("username", KeyKind::Text, "User for HTTP Basic"),
        KeySpec::new("password", KeyKind::Secret, "Password for HTTP Basic"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let base = section.required_text("url");
    let port = if base.starts_with("https:") { 443 } else { 80 };
    let base = ems_http::base_of(section, "url", &base, port, false);
    let items = Items {
        consumption: section.text("consumptionItem"),
        generation: section.text("generationItem"),
        grid: section.text("gridItem"),
        battery: section.text("batteryItem"),
        battery_soc: section.text("batterySocItem"),
    };
    if items == Items::default() {
        section.error(
            "consumptionItem",
            "no item is named; name at least one of consumptionItem, generationItem, gridItem",
        );
    }
    let login = (section.text("username"), section.text("password"));
    let client = ems_http::client(section, shared, base.as_deref(), "url", |builder| {
        let builder = builder.total_timeout(TIMEOUT);
        match login {
            (Some(user), Some(password)) => builder.auth(Auth::Basic { user, password }),
            _ => builder,
        }
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(Urls { client, items }))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Items {
    consumption: Option<String>,
    generation: Option<String>,
    grid: Option<String>,
    battery: Option<String>,
    battery_soc: Option<String>,
}

struct Urls {
    client: Client,
    items: Items,
}

impl Urls {
    fn get<T>(
        &self,
        item: Option<&String>,
        parse: impl Fn(f64) -> Result<T, ems::units::OutOfRange>,
    ) -> Result<Option<T>, EmsError> {
        let Some(item) = item else { return Ok(None) };
        let (path, pick) = match item.split_once('#') {
            Some((path, pick)) => (path, Some(pick)),
            None => (item.as_str(), None),
        };
        let answer = self
            .client
            .get(&format!("/{}", path.trim_start_matches('/')))
            .send_ok()
            .map_err(|error| ems_http::failed(&error))?;
        let number = json_pick::number_in(&answer.text(), pick)
            .map_err(|text| EmsError::garbled(format!("{}: {text}", self.client.redactor().url(item))))?;
        Ok(number.map(parse).transpose()?)
    }
}

impl Ems for Urls {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        use ems::units::{Percent, Watts};
        let consumption = self.get(self.items.consumption.as_ref(), Watts::new)?;
        let generation = self.get(self.items.generation.as_ref(), Watts::new)?;
        let grid = self.get(self.items.grid.as_ref(), Watts::new)?;
        let battery = self.get(self.items.battery.as_ref(), Watts::new)?;
        let battery_soc = self.get(self.items.battery_soc.as_ref(), Percent::new)?;
        Ok(EmsReading { consumption, generation, grid, battery, battery_soc, ..EmsReading::now() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_client::Recorded;

    fn read(items: Items, answers: Vec<Recorded>) -> Result<EmsReading, EmsError> {
        let replay = http_client::Transport::Replay(http_client::Replay::new(answers).into());
        let client = Client::builder("http://192.0.2.1/energy").transport(replay).build().unwrap();
        Urls { client, items }.read(&Stop::never())
    }

    #[test]
    fn each_item_is_asked_below_the_address() {
        let items =
            Items { generation: Some("sun".to_owned()), grid: Some("live#data.grid".to_owned()), ..Items::default() };
        let answers =
            vec![Recorded::get("/energy/sun", "1.5 kW"), Recorded::get("/energy/live", r#"{"data": {"grid": -350}}"#)];
        let reading = read(items, answers).unwrap();
        assert_eq!(reading.generation.map(|watts| watts.get()), Some(1500.0));
        assert_eq!(reading.grid.map(|watts| watts.get()), Some(-350.0));
        assert_eq!(reading.consumption, None);
    }

    #[test]
    fn an_error_page_is_an_error_and_not_a_number() {
        let items = Items { consumption: Some("house".to_owned()), ..Items::default() };
        let missing = Recorded::get("/energy/house", "404").with_status(404);
        assert!(read(items, vec![missing]).is_err());
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("url") {
            let key = if recording.text_at(&["role"]) == "generationItem" { "generation_w" } else { "consumption_w" };
            recording.assert_number(key, json_pick::number_in(&recording.text(), None).ok().flatten());
        }
    }
}
