//! Cars: what is known of them, what calls to them cost, and what people ask of them.

use std::time::Instant;

use config::{ChargeRateControl, ChargeStopMode};
use evse::{EvseId, Vin};
use garage::CarView;
use http_door::{Method, Response};
use serde_json::{Value, json};
use site::{CarChange, Change, Command, Permission};
use units::{Amps, Percent, Phases};
use vehicle::{CarKey, Request};

use super::body::{Fields, bad};
use super::json_of;
use crate::api::Inner;
use crate::cars::{self, Cars, RATE_WORDS, STOP_WORDS};
use crate::route::{Call, Route};

/// Most amps that a car can be told.
const MOST_AMPS: i32 = 80;
/// What is set for one car.
const OPTIONS: [&str; 6] = ["permission", "priority", "min_soc", "phases", "rate_control", "stop_mode"];

pub(crate) const ROUTES: &[Route] = &[
    Route::get("/api/v2/cars", list),
    Route::get("/api/v2/cars/budget", budget),
    Route::native(Method::Post, "/api/v2/cars/budget/resume", resume),
    Route::get("/api/v2/cars/guests", guests),
    Route::native(Method::Put, "/api/v2/cars/guests", put_guests),
    Route::get("/api/v2/cars/{car}", one),
    Route::native(Method::Patch, "/api/v2/cars/{car}", change),
    Route::native(Method::Post, "/api/v2/cars/{car}/start", start),
    Route::native(Method::Post, "/api/v2/cars/{car}/stop", stop),
    Route::native(Method::Post, "/api/v2/cars/{car}/wake", wake),
    Route::native(Method::Post, "/api/v2/cars/{car}/amps", amps),
    Route::native(Method::Post, "/api/v2/cars/{car}/limit", limit),
    Route::native(Method::Post, "/api/v2/evses/{id}/pin", pin),
    Route::native(Method::Delete, "/api/v2/evses/{id}/pin", unpin),
];

type Answer = Result<Response, Response>;

fn finish(answer: Answer) -> Response {
    answer.unwrap_or_else(|response| response)
}

fn done() -> Response {
    Response::new(204)
}

fn all(api: &Inner) -> Vec<Value> {
    let views = api.cars().map(Cars::views).unwrap_or_default();
    let prices = api.cars().map(Cars::prices).unwrap_or_default();
    cars::all(&views, prices, &api.snapshot(), &api.site.settings(), Instant::now())
}

/// `GET cars`.
fn list(api: &Inner, call: &Call) -> Response {
    json_of(&json!({
        "at": call.now,
        "is_looked_after": api.cars().is_some(),
        "guests": permission_of_guests(api),
        "cars": all(api),
    }))
}

/// `GET cars/{car}`.
fn one(api: &Inner, call: &Call) -> Response {
    let found = all(api).into_iter().find(|car| car["id"].as_str() == call.parameter.as_deref());
    found.map_or_else(|| no_such_car(call), |car| json_of(&car))
}

fn no_such_car(call: &Call) -> Response {
    let id = call.parameter.as_deref().unwrap_or_default();
    Response::error(404, &format!("there is no car {id:?}; /api/v2/cars lists those that there are"))
}

/// `GET cars/budget`.
fn budget(api: &Inner, _: &Call) -> Response {
    finish(keeper(api).map(|cars| json_of(&cars::budget(&cars.budget(), cars.prices(), &cars.views()))))
}

/// `POST cars/budget/resume`.
fn resume(api: &Inner, _: &Call) -> Response {
    finish(keeper(api).map(|cars| {
        log::info!("command over HTTP: billed calls to cars are made again");
        cars.resume_billed_calls();
        done()
    }))
}

/// `GET cars/guests`.
fn guests(api: &Inner, _: &Call) -> Response {
    json_of(&json!({ "permission": permission_of_guests(api) }))
}

/// What cars may that nothing is known of or set for; `None` when nothing is set for them either.
fn permission_of_guests(api: &Inner) -> Option<Permission> {
    api.site.settings()["guestPermission"].as_str().and_then(Permission::from_word)
}

/// `PUT cars/guests`; `null` unsets.
fn put_guests(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let fields = Fields::of(call.request, &["permission"])?;
        let permission = match changed(&fields, "permission", permission)? {
            Change::Keep => return Err(bad("permission is missing: allow, green, deny or null")),
            Change::Clear => None,
            Change::Set(permission) => Some(permission),
        };
        api.command(Command::SetGuests(permission))?;
        Ok(done())
    })())
}

/// A permission that was sent.
fn permission(fields: &Fields, key: &str) -> Result<Option<Permission>, Response> {
    let word = fields.text(key)?;
    let permission = word.as_deref().and_then(Permission::from_word);
    permission.map(Some).ok_or_else(|| bad("permission must be allow, green, deny or null"))
}

/// Whoever looks after the cars.
fn keeper(api: &Inner) -> Result<&dyn Cars, Response> {
    api.cars().ok_or_else(|| {
        Response::error(409, "no source of cars is configured: switch one on under `vehicle`, such as vehicle.teslaAPI")
    })
}

/// `POST cars/{car}/start`.
fn start(api: &Inner, call: &Call) -> Response {
    finish(known(api, call).and_then(|(cars, car)| {
        if let Some(reason) = &car.not_permitted {
            let text = format!("it may not charge here: {reason} Change that before you start it");
            return Err(Response::error(409, &text));
        }
        order(cars, &car, Request::Start)
    }))
}

/// `POST cars/{car}/stop`.
fn stop(api: &Inner, call: &Call) -> Response {
    finish(known(api, call).and_then(|(cars, car)| order(cars, &car, Request::Stop)))
}

/// `POST cars/{car}/wake`.
fn wake(api: &Inner, call: &Call) -> Response {
    finish(known(api, call).and_then(|(cars, car)| order(cars, &car, Request::Wake)))
}

/// `POST cars/{car}/amps`.
fn amps(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let (cars, car) = known(api, call)?;
        let amps = Fields::of(call.request, &["amps"])?.whole("amps", 1, MOST_AMPS)?;
        let amps = amps.ok_or_else(|| bad("amps is missing: whole amps per phase"))?;
        order(cars, &car, Request::SetAmps(Amps::from_whole(amps)))
    })())
}

/// `POST cars/{car}/limit`.
fn limit(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let (cars, car) = known(api, call)?;
        let percent = Fields::of(call.request, &["percent"])?.whole("percent", 50, 100)?;
        let percent = percent.and_then(|percent| Percent::new(f64::from(percent)).ok());
        let percent = percent.ok_or_else(|| bad("percent is missing: the charge limit, 50 to 100"))?;
        order(cars, &car, Request::SetLimit(percent))
    })())
}

/// The car that the path names, and whoever looks after it.
fn known<'a>(api: &'a Inner, call: &Call) -> Result<(&'a dyn Cars, CarView), Response> {
    let id = call.parameter.as_deref().unwrap_or_default();
    let found = api.cars().and_then(|cars| Some((cars, view_of(cars, id)?)));
    found.ok_or_else(|| match api.snapshot().evses.iter().any(|evse| evse.vin.as_deref() == Some(id)) {
        true => Response::error(
            409,
            "no source leads to this car; start and stop it at its charging point, or set up a source under `vehicle`",
        ),
        false => no_such_car(call),
    })
}

fn view_of(cars: &dyn Cars, id: &str) -> Option<CarView> {
    cars.views().into_iter().find(|view| view.key.as_str() == id)
}

fn order(cars: &dyn Cars, car: &CarView, request: Request) -> Answer {
    log::info!("command over HTTP: {request:?} for {}", car.name());
    command(cars, &car.key, request).map(|()| done())
}

/// Gives a command, and an answer made of the refusal when there is one.
pub(crate) fn command(cars: &dyn Cars, car: &CarKey, request: Request) -> Result<(), Response> {
    cars.command(car, request).map_err(|text| Response::error(409, &text))
}

/// `PATCH cars/{car}`: what is set for it; `null` unsets.
fn change(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let vin = vin_of(api, call)?;
        let fields = Fields::of(call.request, &OPTIONS)?;
        let change = CarChange {
            permission: changed(&fields, "permission", permission)?,
            priority: changed(&fields, "priority", |fields, key| fields.whole(key, -100, 100))?,
            min_soc: changed(&fields, "min_soc", |fields, key| {
                Ok(fields.number(key, 0.0, 100.0)?.and_then(|percent| Percent::new(percent).ok()))
            })?,
            phases: changed(&fields, "phases", |fields, key| {
                let count = fields.whole(key, 1, 3)?.and_then(|count| u8::try_from(count).ok());
                Ok(count.and_then(Phases::from_count))
            })?,
            rate: rate_control(&fields)?,
            stop: stop_mode(&fields)?,
        };
        if change == CarChange::default() {
            return Err(bad(&format!("send at least one of {}", OPTIONS.join(", "))));
        }
        api.command(Command::SetCar { vin, change })?;
        Ok(done())
    })())
}

/// Who sets the rate, as sent for a car or a charging point.
pub(super) fn rate_control(fields: &Fields) -> Result<Change<ChargeRateControl>, Response> {
    use ChargeRateControl::{Connector, Mixed, Vehicle};
    changed(fields, "rate_control", |fields, key| chosen(fields, key, RATE_WORDS, [Connector, Vehicle, Mixed]))
}

/// How a car is stopped, as sent for a car or a charging point.
pub(super) fn stop_mode(fields: &Fields) -> Result<Change<ChargeStopMode>, Response> {
    use ChargeStopMode::{Connector, StopAnswering, Vehicle};
    changed(fields, "stop_mode", |fields, key| chosen(fields, key, STOP_WORDS, [Vehicle, StopAnswering, Connector]))
}

/// One option: absent keeps it, `null` unsets it.
fn changed<T>(
    fields: &Fields,
    key: &str,
    read: impl Fn(&Fields, &str) -> Result<Option<T>, Response>,
) -> Result<Change<T>, Response> {
    match fields.any(key) {
        None => Ok(Change::Keep),
        Some(Value::Null) => Ok(Change::Clear),
        Some(_) => {
            read(fields, key)?.map(Change::Set).ok_or_else(|| bad(&format!("{key} is not as /api/v2/cars shows it")))
        }
    }
}

fn chosen<T: Copy>(fields: &Fields, key: &str, words: [&str; 3], values: [T; 3]) -> Result<Option<T>, Response> {
    let told = fields.text(key)?;
    let found = words.into_iter().zip(values).find(|(word, _)| Some(*word) == told.as_deref());
    found.map(|(_, value)| Some(value)).ok_or_else(|| bad(&format!("{key} must be {} or null", words.join(", "))))
}

/// The VIN that the path names, of a car that is known or that something is set for.
fn vin_of(api: &Inner, call: &Call) -> Result<Vin, Response> {
    let id = call.parameter.as_deref().unwrap_or_default();
    let Some(vin) = Vin::parse(id) else {
        return Err(match api.cars().and_then(|cars| view_of(cars, id)) {
            Some(_) => Response::error(
                409,
                "options are kept by VIN, and no source tells the VIN of this car: configure it where its source is",
            ),
            None => no_such_car(call),
        });
    };
    if is_known(api, &vin) { Ok(vin) } else { Err(no_such_car(call)) }
}

fn is_known(api: &Inner, vin: &Vin) -> bool {
    let vin = vin.as_str();
    let settings = api.site.settings();
    let is_at = |evse: &site::EvseView| evse.vin.as_deref() == Some(vin) || evse.last_vin.as_deref() == Some(vin);
    api.cars().is_some_and(|cars| view_of(cars, vin).is_some())
        || api.snapshot().evses.iter().any(is_at)
        || settings["vehicleOptions"].get(vin).is_some()
}

/// `POST evses/{id}/pin`: a person says which car is there. A car's own view pinned to its own VIN says that it is on a
/// charger of somebody else's.
fn pin(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let text = Fields::of(call.request, &["vin"])?.text("vin")?;
        let vin =
            text.as_deref().and_then(Vin::parse).ok_or_else(|| bad("vin must be 17 capital letters and digits"))?;
        let id = call.parameter.as_deref().unwrap_or_default();
        if !has_point(api, id) && !is_own_view(id, &vin) {
            return Err(super::no_such_evse(call));
        }
        if !is_known(api, &vin) {
            return Err(Response::error(404, "there is no car with this VIN; /api/v2/cars lists those that there are"));
        }
        api.command(Command::SetPin { evse: EvseId::new(id), vin: Some(vin) })?;
        Ok(done())
    })())
}

/// `DELETE evses/{id}/pin`.
fn unpin(api: &Inner, call: &Call) -> Response {
    finish((|| {
        let id = call.parameter.as_deref().unwrap_or_default();
        if !has_point(api, id) && api.site.settings()["evsePins"].get(id).is_none() {
            return Err(super::no_such_evse(call));
        }
        api.command(Command::SetPin { evse: EvseId::new(id), vin: None })?;
        Ok(done())
    })())
}

fn has_point(api: &Inner, id: &str) -> bool {
    api.snapshot().evses.iter().any(|evse| evse.id == id)
}

fn is_own_view(id: &str, vin: &Vin) -> bool {
    cars::is_own_view(id, vin.as_str())
}
