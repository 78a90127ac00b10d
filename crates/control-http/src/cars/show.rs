//! A car as JSON, each field with its age and source.
//!
//! A position is never shown: where a car is when it is not at home is nobody's business here, only that it is not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use config::Settings;
use garage::{CarView, Prices, Proof, Wish};
use serde::Serialize;
use serde_json::{Map, Value, json};
use site::{Permission, Snapshot, terms_of};
use vehicle::{Seen, VehicleState, Whereabouts};

use super::place::Place;
use super::spent::dollars;
use super::{RATE_WORDS, STOP_WORDS};

/// What a car's JSON is made of beside itself.
struct Surroundings<'a> {
    now: Instant,
    snapshot: &'a Snapshot,
    settings: Settings,
    prices: Prices,
}

/// All cars: those that somebody looks after, and those that a charging point was told the VIN of.
pub(crate) fn all(
    views: &[CarView],
    prices: Prices,
    snapshot: &Snapshot,
    settings: &Value,
    now: Instant,
) -> Vec<Value> {
    let settings = Settings::from_map(settings.as_object().cloned().unwrap_or_default());
    let around = Surroundings { now, snapshot, settings, prices };
    let mut cars: Vec<Value> = views.iter().map(|view| looked_after(&around, view)).collect();
    let known: BTreeSet<&str> = views.iter().map(|view| view.key.as_str()).collect();
    let mut told: BTreeSet<&str> = snapshot.evses.iter().filter_map(|evse| evse.vin.as_deref()).collect();
    told.retain(|vin| !known.contains(vin));
    cars.extend(told.into_iter().map(|vin| only_told(&around, vin)));
    cars
}

fn looked_after(around: &Surroundings<'_>, view: &CarView) -> Value {
    let age = |at: Option<Instant>| at.map(|at| seconds(around.now.saturating_duration_since(at)));
    let (place, proof) = view.place;
    let mut car = json!({
        "id": view.key.as_str(),
        "vin": view.key.vin().map(evse::Vin::as_str),
        "name": view.name(),
        "sources": view.sources.iter().map(|source| &**source).collect::<Vec<&str>>(),
        "heard_s": age(view.heard_at),
        "place": place_word(place),
        "proof": proof_word(proof),
        "wakefulness": view.wakefulness,
        "is_plugged_in": view.plugged,
        "is_charging": view.flows,
        "facts": facts(&view.state, around.now),
        "wanted": wanted(view.wish),
        "told": view.set.map(|(amps, at)| json!({"amps": amps.get(), "age_s": age(Some(at))})),
        "started_s": age(view.started_at),
        "stopped_s": age(view.stopped_at),
        "asked": view.asked.as_ref().map(|asked| {
            json!({"text": asked.text, "age_s": age(Some(asked.at)), "outcome": asked.outcome})
        }),
        "why": {"code": view.why.code(), "text": view.why.to_string()},
        "declines": view.declines.as_ref().map(|why| json!({"code": why.code(), "text": why.to_string()})),
        "not_permitted": view.not_permitted,
        "tries_left": view.tries_left,
        "starts_last_hour": view.starts,
        "next_in_s": view.next_at.map(|at| seconds(at.saturating_duration_since(around.now))),
        "can_command": view.can_command,
        "can_wake": view.can_wake,
        "is_billed": view.is_billed,
        "wake_usd": if view.is_wake_billed { dollars(around.prices.wake) } else { 0.0 },
    });
    put_terms(around, view.key.vin().map(evse::Vin::as_str), &mut car);
    car
}

/// A car of which no more is known than what the charging point tells.
fn only_told(around: &Surroundings<'_>, vin: &str) -> Value {
    let place = Place::of(around.snapshot, vin);
    let evse = place.evse;
    let plugged = evse.and_then(|evse| match evse.plug {
        evse::Plug::PluggedIn => Some(true),
        evse::Plug::Unplugged => Some(false),
        evse::Plug::Unknown => None,
    });
    let mut known = Map::new();
    if let Some((soc, evse)) = evse.and_then(|evse| Some((evse.soc?, evse))) {
        let age = (around.snapshot.at - evse.heard_at).max(0.0).round();
        known.insert("soc".to_owned(), json!({"value": soc, "age_s": age, "source": evse.controller}));
    }
    let mut car = json!({
        "id": vin,
        "vin": vin,
        "name": vin,
        "sources": evse.map(|evse| vec![evse.controller.as_str()]).unwrap_or_default(),
        "heard_s": evse.map(|evse| (around.snapshot.at - evse.heard_at).max(0.0).round()),
        "place": place_word(Whereabouts::Home),
        "proof": proof_word(Proof::Connector),
        "wakefulness": null,
        "is_plugged_in": plugged,
        "is_charging": evse.map(|evse| evse.activity == evse::Activity::Charging),
        "facts": known,
        "wanted": {"kind": "none", "amps": null},
        "told": null, "started_s": null, "stopped_s": null, "asked": null,
        "why": {
            "code": "no_source",
            "text": "It is known from the charging point alone, which steers it. To see its battery and to command it, set \
                     up one of the sources of cars (`vehicle`).",
        },
        "declines": null,
        "not_permitted": null,
        "tries_left": 0,
        "starts_last_hour": 0,
        "next_in_s": null,
        "can_command": false,
        "can_wake": false,
        "is_billed": false,
        "wake_usd": 0.0,
    });
    put_terms(around, Some(vin), &mut car);
    car
}

/// On what terms it takes part, and where. A car without a VIN has none: nothing can be set for it.
fn put_terms(around: &Surroundings<'_>, vin: Option<&str>, car: &mut Value) {
    let Some(vin) = vin else {
        for key in ["terms", "options", "evse", "pinned_to"] {
            car[key] = Value::Null;
        }
        car["candidates"] = json!([]);
        return;
    };
    let place = Place::of(around.snapshot, vin);
    let terms = place.evse.map_or_else(|| terms_of(&around.settings, vin), |evse| evse.car.clone());
    car["terms"] = json!({
        "permission": terms.permission,
        "permission_by": terms.permission_by,
        "permission_text": terms.permission_text,
        "priority": terms.priority.or(place.evse.map(|evse| evse.priority)).unwrap_or(0),
        "min_soc": terms.min_soc,
        "is_first": terms.is_first,
    });
    let option = |key: &str| around.settings.value("vehicleOptions").and_then(|all| all.get(vin)?.get(key));
    let number = |key: &str| option(key).and_then(crate::compat::as_number);
    let permission = option("permission").and_then(Value::as_str).and_then(Permission::from_word);
    car["options"] = json!({
        "permission": permission,
        "priority": terms_of(&around.settings, vin).priority,
        "min_soc": number("minSoc"),
        "phases": number("phases"),
        "rate_control": number("chargeRateControl").and_then(|code| code_word(code, &RATE_WORDS)),
        "stop_mode": number("chargeStopMode").and_then(|code| code_word(code, &STOP_WORDS)),
    });
    car["evse"] = place.evse_json(vin);
    car["candidates"] = place.candidates_json();
    let pins = around.settings.value("evsePins").and_then(Value::as_object);
    let pin = pins.into_iter().flatten().find(|(_, pinned)| pinned.as_str() == Some(vin));
    car["pinned_to"] = pin.map(|(id, _)| id.as_str()).into();
}

/// The word for a code of the settings, 1 to 3.
fn code_word(code: f64, words: &[&'static str; 3]) -> Option<&'static str> {
    words.iter().zip([1.0, 2.0, 3.0]).find(|(_, number)| *number == code).map(|(word, _)| *word)
}

fn wanted(wish: Wish) -> Value {
    let (kind, amps) = match wish {
        Wish::None => ("none", None),
        Wish::AtMost(amps) => ("at_most", Some(amps.get())),
        Wish::Granted(amps) => ("granted", Some(amps.get())),
    };
    json!({"kind": kind, "amps": amps})
}

fn place_word(place: Whereabouts) -> &'static str {
    match place {
        Whereabouts::Home => "home",
        Whereabouts::Away => "away",
        Whereabouts::Unknown => "unknown",
    }
}

fn proof_word(proof: Proof) -> &'static str {
    match proof {
        Proof::Connector => "connector",
        Proof::Radio => "radio",
        Proof::Position => "position",
        Proof::Geofence => "geofence",
        Proof::None => "none",
    }
}

/// What is known, each with its age and source; what is not known is absent.
fn facts(state: &VehicleState, now: Instant) -> Map<String, Value> {
    let mut out = Facts { now, out: Map::new() };
    out.put("name", state.name.as_ref(), Clone::clone);
    out.put("soc", state.soc.as_ref(), |soc| soc.get());
    out.put("limit", state.limit.as_ref(), |limit| limit.get());
    out.put("charging", state.charging.as_ref(), |charging| *charging);
    out.put("plugged", state.plugged.as_ref(), |plugged| *plugged);
    out.put("amps_requested", state.amps_requested.as_ref(), |amps| amps.get());
    out.put("amps_possible", state.amps_possible.as_ref(), |amps| amps.get());
    out.put("amps_offered", state.amps_offered.as_ref(), |amps| amps.get());
    out.put("amps", state.amps.as_ref(), |amps| amps.get());
    out.put("volts", state.volts.as_ref(), |volts| volts.get());
    out.put("drawn_w", state.drawn.as_ref(), |drawn| drawn.get());
    out.put("phases", state.phases.as_ref(), |phases| phases.count());
    out.put("energy_added_wh", state.energy_added.as_ref(), |energy| energy.get());
    out.put("to_limit_s", state.to_limit.as_ref(), |time| seconds(*time));
    out.put("wakefulness", state.wakefulness.as_ref(), |wakefulness| *wakefulness);
    out.put("parked", state.parked.as_ref(), |parked| *parked);
    out.put("says_home", state.says_home.as_ref(), |home| *home);
    out.put("schedule_pending", state.schedule_pending.as_ref(), |pending| *pending);
    out.put("fast_charger", state.fast_charger.as_ref(), |fast| *fast);
    out.out
}

struct Facts {
    now: Instant,
    out: Map<String, Value>,
}

impl Facts {
    fn put<T, J: Serialize>(&mut self, name: &str, seen: Option<&Seen<T>>, to: impl Fn(&T) -> J) {
        let Some(seen) = seen else { return };
        let age = seen.age(self.now).map(seconds);
        let fact = json!({"value": to(&seen.value), "age_s": age, "source": &*seen.source});
        self.out.insert(name.to_owned(), fact);
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs()
}
