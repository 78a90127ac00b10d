//! Energy source: solar generation estimated from the clouds that OpenWeatherMap sees.
//!
//! The current weather is fetched every ten minutes; between, the sun moves on by calculation.
//!
//! Facts: the service's documentation, TWCManager's `EMS/OpenWeatherMap.py` (keys, formula); configuration and quirks in
//! `docs/ems/openweathermap.md`.

mod weather;

use std::time::Duration;

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_forecast::{Fetched, now, reading};
use http_client::{Class, Client};
use serde_json::Value;

pub use weather::{Weather, parse};

/// The service's data change as often. 144 calls a day; the free key allows 1 000 000 a month, One Call 1000 a day.
const INTERVAL: Duration = Duration::from_secs(600);
/// Clouds of an hour ago say little.
const LONGEST_AGE: Duration = Duration::from_secs(3600);
/// How often the estimate for "now" is told; costs no call.
const PACE: Duration = Duration::from_secs(30);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "OpenWeatherMap",
    summary: "solar generation estimated from OpenWeatherMap's clouds",
    keys: &[
        KeySpec::new("Latitude", KeyKind::Number, "Latitude in degrees, north positive"),
        KeySpec::new("Longitude", KeyKind::Number, "Longitude in degrees, east positive"),
        KeySpec::new("APIKey", KeyKind::Secret, "Key of your account there; the free one suffices"),
        KeySpec::new(
            "PeakKW",
            KeyKind::Numbers,
            "Peak power in kW on a clear day of each month: 12 numbers from January on",
        ),
        KeySpec::new(
            "oneCall",
            KeyKind::Flag,
            "Whether to use One Call 3.0, which needs a subscription (default false)",
        ),
        KeySpec::new(
            "baseUrl",
            KeyKind::Text,
            "Another address of the service (default https://api.openweathermap.org)",
        ),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let mut degrees = |key: &str, limit: f64| {
        if section.raw(key).is_none() {
            section.error(key, "is missing; the estimate needs it");
        }
        section.number_within(key, 0.0, -limit, limit)
    };
    let (latitude, longitude) = (degrees("Latitude", 90.0), degrees("Longitude", 180.0));
    let peak_kw = peak_kw(section);
    let key = section.required_text("APIKey");
    if ems_http::placeholder(&key).is_some() {
        section.error("APIKey", "is still the sample's placeholder; make a free account at openweathermap.org");
    }
    let one_call = section.flag("oneCall", false);
    let base = ems_http::cloud_base(section, "https://api.openweathermap.org");
    let place = format!("lat={latitude}&lon={longitude}&units=metric");
    let weather = Fetched::new(section, shared, place.clone(), INTERVAL, LONGEST_AGE);
    let client = ems_http::client(section, shared, base.as_deref(), "baseUrl", |builder| {
        builder.secret(&key).proxy_from_environment()
    });
    let client = client.filter(|_| !section.has_errors())?;
    let service = Service { path: section.path().to_owned(), client, place, key, one_call };
    Some(Box::new(OpenWeatherMap { service, peak_kw, weather }))
}

/// Twelve numbers; fewer are named.
fn peak_kw(section: &mut Section) -> [f64; 12] {
    let texts = section.texts("PeakKW");
    let mut peak = [0.0; 12];
    if texts.len() != peak.len() {
        let text = format!("has {} numbers; 12 are needed, the first for January", texts.len());
        section.error("PeakKW", text);
        return peak;
    }
    for (index, (kw, text)) in peak.iter_mut().zip(&texts).enumerate() {
        match text.parse::<f64>().ok().filter(|kw| (0.0..=1000.0).contains(kw)) {
            Some(number) => *kw = number,
            None => section.error(&format!("PeakKW[{index}]"), "is not a number of kW from 0 to 1000"),
        }
    }
    peak
}

/// How the weather is asked for.
struct Service {
    path: String,
    client: Client,
    place: String,
    key: String,
    one_call: bool,
}

impl Service {
    fn fetch(&mut self) -> Result<Weather, EmsError> {
        if self.one_call {
            let target = format!("/data/3.0/onecall?{}&exclude=minutely,hourly,daily,alerts", self.place);
            match self.get(&target) {
                Err(error) if error.kind() == EmsErrorKind::Denied => {
                    // The key may be good, and the product not ordered: the free one is next.
                    log::warn!("{}.oneCall: {error}; the free current weather is used instead", self.path);
                    self.one_call = false;
                }
                result => return parse(&result?),
            }
        }
        parse(&self.get(&format!("/data/2.5/weather?{}", self.place))?)
    }

    fn get(&self, target: &str) -> Result<Value, EmsError> {
        let answer = self.client.get(target).query("appid", &self.key).send_json();
        answer.map_err(|error| match error.class() {
            Class::Denied if target.contains("onecall") => EmsError::new(
                EmsErrorKind::Denied,
                "OpenWeatherMap wants a subscription to \"One Call by Call\" for this; order it, or switch oneCall off",
            ),
            Class::Denied => {
                let text = format!(
                    "OpenWeatherMap refuses {}.APIKey; copy it from your account there (a new one works after some hours)",
                    self.path
                );
                EmsError::new(EmsErrorKind::Denied, text)
            }
            _ => ems_http::failed(&error),
        })
    }
}

struct OpenWeatherMap {
    service: Service,
    peak_kw: [f64; 12],
    weather: Fetched<Weather>,
}

impl Ems for OpenWeatherMap {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let now = now();
        let weather = self.weather.get(now, || self.service.fetch())?;
        match weather.watts(&self.peak_kw, now) {
            Some(watts) => reading(watts),
            None => Err(EmsError::new(
                EmsErrorKind::Asleep,
                "OpenWeatherMap tells no sunrise and sunset there now, so nothing can be estimated",
            )),
        }
    }

    fn pace(&self) -> Pace {
        Pace::Every(PACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recordings::{Answer, Asked, Peer};
    use serde_json::json;

    fn open_at(url: &str, more: Value) -> (Option<Box<dyn Ems>>, Vec<String>) {
        let mut options = json!({"Latitude": 52.1, "Longitude": "5.2", "APIKey": "0123456789", "PeakKW": vec![json!(4); 12], "baseUrl": url});
        for (key, value) in more.as_object().into_iter().flatten() {
            options[key] = value.clone();
        }
        let mut section = Section::new("sources.OpenWeatherMap", options.as_object().cloned().unwrap_or_default());
        let driver = super::open(&mut section, &Shared::new());
        (driver, section.problems().iter().map(|problem| problem.key.clone()).collect())
    }

    /// Noon, clear, cool, as `data/2.5/weather` tells it.
    fn noon(_: &Asked) -> Answer {
        let now = now();
        let body = json!({"dt": now, "main": {"temp": 20.0}, "clouds": {"all": 0}, "timezone": 0,
            "sys": {"sunrise": now - 20_000, "sunset": now + 20_000}, "cod": 200});
        Answer::json(body.to_string())
    }

    #[test]
    fn the_estimate_for_now_costs_one_call() {
        let peer = Peer::start(noon);
        let mut driver = open_at(&peer.url(), json!({})).0.unwrap();
        for _ in 0..3 {
            let reading = driver.read(&Stop::never()).unwrap();
            assert_eq!((reading.generation.map(|watts| watts.get()), reading.is_estimate), (Some(4000.0), true));
        }
        assert_eq!(peer.count("/data/2.5/weather"), 1);
    }

    #[test]
    fn without_a_subscription_the_free_weather_is_used() {
        let peer = Peer::start(|asked| match asked.path() {
            "/data/3.0/onecall" => Answer { status: 401, ..Answer::json(r#"{"cod": 401, "message": "subscription"}"#) },
            _ => noon(asked),
        });
        let mut driver = open_at(&peer.url(), json!({"oneCall": true})).0.unwrap();
        assert!(driver.read(&Stop::never()).is_ok());
        assert_eq!((peer.count("/data/3.0/onecall"), peer.count("/data/2.5/weather")), (1, 1));
    }

    #[test]
    fn refusals_are_kept_to_and_hold_no_secret() {
        for (answer, kind) in [
            (Answer::status(401), EmsErrorKind::Denied),
            (Answer::status(429), EmsErrorKind::RateLimited),
            (Answer::status(500), EmsErrorKind::Retry),
            (Answer::html("<html>"), EmsErrorKind::Garbled),
            (Answer::json("{}"), EmsErrorKind::Garbled),
        ] {
            let peer = Peer::start(move |_| answer.clone());
            let mut driver = open_at(&peer.url(), json!({})).0.unwrap();
            for _ in 0..2 {
                let error = driver.read(&Stop::never()).unwrap_err();
                assert_eq!(error.kind(), kind, "{error}");
                assert!(!error.to_string().contains("0123456789"), "{error}");
            }
            assert_eq!(peer.asked().len(), 1);
        }
    }

    #[test]
    fn mistakes_name_their_key() {
        assert_eq!(open_at("http://h", json!({"PeakKW": [1, 2]})).1, ["sources.OpenWeatherMap.PeakKW"]);
        let mut peak = vec![json!("4.5"); 12];
        peak[3] = json!(-1);
        assert_eq!(open_at("http://h", json!({"PeakKW": peak})).1, ["sources.OpenWeatherMap.PeakKW[3]"]);
        assert_eq!(open_at("http://h", json!({"Latitude": null})).1, ["sources.OpenWeatherMap.Latitude"]);
    }
}
