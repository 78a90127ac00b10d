//! `/metrics`: the state in the text format of Prometheus, version 0.0.4.

use std::collections::HashSet;
use std::fmt::Write;

use evse::{Activity, Link, Plug};
use http_door::Response;
use site::{FreshnessView, MeasuredView, Snapshot};

use crate::api::Inner;
use crate::route::{Call, Route};

pub(crate) const ROUTES: &[Route] = &[Route::open("/metrics", get)];

fn get(api: &Inner, call: &Call) -> Response {
    let text = render(&api.snapshot(), &api.config.version, call.now);
    Response::with_content(200, "text/plain; version=0.0.4; charset=utf-8", text)
}

/// Writes families one after the other; a series is written once, whatever the data hold.
struct Page {
    text: String,
    seen: HashSet<String>,
}

impl Page {
    fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        series: impl IntoIterator<Item = (Vec<(&'static str, String)>, f64)>,
    ) {
        let mut lines = String::new();
        for (labels, value) in series {
            let labels: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let id = format!("{name}{labels}");
            if value.is_finite() && self.seen.insert(id.clone()) {
                // Writing to a text cannot fail.
                let _ = writeln!(lines, "{id} {value}");
            }
        }
        if !lines.is_empty() {
            let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
        }
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn render(snapshot: &Snapshot, version: &str, now: f64) -> String {
    let mut page = Page { text: String::new(), seen: HashSet::new() };
    let one = |value: f64| [(Vec::new(), value)];
    let power = &snapshot.power;

    page.family("twcmanager_info", "gauge", "Version of the program.", [(vec![("version", version.to_owned())], 1.0)]);
    page.family("twcmanager_start_time_seconds", "gauge", "When the program started.", one(snapshot.started_at));
    page.family(
        "twcmanager_snapshot_age_seconds",
        "gauge",
        "Time since the last decision.",
        one((now - snapshot.at).max(0.0)),
    );
    let flows = [
        ("generation", &power.generation),
        ("house", &power.house),
        ("consumption", &power.consumption),
        ("grid", &power.grid),
        ("battery", &power.battery),
    ];
    // A stale value is left out: a gap in a graph says what a flat line hides.
    let live = flows.into_iter().filter_map(|(name, measured)| {
        let measured: &MeasuredView = measured.as_ref()?;
        (measured.freshness != FreshnessView::Stale).then(|| (vec![("flow", name.to_owned())], measured.w))
    });
    page.family("twcmanager_power_watts", "gauge", "Power now; grid import and battery discharge are positive.", live);
    let soc = power.battery_soc.into_iter().map(|soc| (Vec::new(), soc / 100.0));
    page.family("twcmanager_battery_charge_ratio", "gauge", "State of charge of the house battery, 0 to 1.", soc);
    page.family("twcmanager_cars_watts", "gauge", "Power that all cars draw.", one(power.cars_w));
    let surplus = power.surplus_w.into_iter().map(|watts| (Vec::new(), watts));
    page.family("twcmanager_surplus_watts", "gauge", "Surplus that cars could have.", surplus);
    page.family("twcmanager_granted_watts", "gauge", "Power that the policy grants to all cars.", one(power.granted_w));
    page.family("twcmanager_limit_amps", "gauge", "Limit for all cars together, per phase.", one(power.limit_amps));
    let policy = [(vec![("name", snapshot.policy.name.clone()), ("kind", snapshot.policy.kind.to_owned())], 1.0)];
    page.family("twcmanager_policy_info", "gauge", "The policy in force.", policy);
    evses(&mut page, snapshot, now);
    let sources = |value: fn(&site::SourceView, f64) -> Option<f64>| {
        snapshot
            .sources
            .iter()
            .filter_map(move |source| Some((vec![("source", source.name.clone())], value(source, now)?)))
            .collect::<Vec<_>>()
    };
    page.family(
        "twcmanager_source_up",
        "gauge",
        "Whether the last reading worked.",
        sources(|source, _| Some(f64::from(source.ok))),
    );
    page.family(
        "twcmanager_source_age_seconds",
        "gauge",
        "Age of the last reading.",
        sources(|source, now| source.taken_at.map(|taken| (now - taken).max(0.0))),
    );
    let alerts = snapshot.alerts.iter().map(|alert| {
        let labels = vec![
            ("code", alert.code.clone()),
            ("level", alert.level.to_owned()),
            ("evse", alert.evse.clone().unwrap_or_default()),
        ];
        (labels, 1.0)
    });
    page.family("twcmanager_alert", "gauge", "Alerts that stand.", alerts);
    page.text
}

fn evses(page: &mut Page, snapshot: &Snapshot, now: f64) {
    type Value = fn(&site::EvseView, f64) -> Option<f64>;
    let gauges: [(&str, &str, &str, Value); 9] = [
        ("twcmanager_evse_up", "gauge", "Whether the charging point answers.", |evse, _| {
            Some(f64::from(evse.link != Link::Lost))
        }),
        ("twcmanager_evse_heard_age_seconds", "gauge", "Time since it was last heard.", |evse, now| {
            Some((now - evse.heard_at).max(0.0))
        }),
        ("twcmanager_evse_plugged_in", "gauge", "Whether a car is plugged in; absent when unknown.", |evse, _| {
            match evse.plug {
                Plug::Unknown => None,
                plug => Some(f64::from(plug == Plug::PluggedIn)),
            }
        }),
        ("twcmanager_evse_charging", "gauge", "Whether current flows.", |evse, _| {
            Some(f64::from(evse.activity == Activity::Charging))
        }),
        ("twcmanager_evse_offered_amps", "gauge", "Current it was told, per phase.", |evse, _| evse.offered_a),
        ("twcmanager_evse_drawn_amps", "gauge", "Current that flows, the highest phase.", |evse, _| evse.drawn_a),
        ("twcmanager_evse_power_watts", "gauge", "Power that flows.", |evse, _| evse.power_w),
        ("twcmanager_evse_session_watthours", "gauge", "Energy of the session in progress.", |evse, _| {
            evse.session.as_ref().map(|session| session.energy_wh)
        }),
        ("twcmanager_evse_energy_watthours_total", "counter", "Energy counter of the device.", |evse, _| {
            evse.energy_total_wh
        }),
    ];
    for (name, kind, help, value) in gauges {
        let series = snapshot.evses.iter().filter_map(|evse| {
            let labels = vec![("evse", evse.id.clone()), ("name", evse.name.clone())];
            Some((labels, value(evse, now)?))
        });
        page.family(name, kind, help, series);
    }
}

#[cfg(test)]
mod tests {
    use twc_names::testing;

    use super::*;

    #[test]
    fn the_text_is_well_formed_whatever_names_hold() {
        let mut snapshot = testing::snapshot();
        snapshot.evses[0].name = "a \"b\"\\\nc".to_owned();
        snapshot.evses.push(snapshot.evses[0].clone());
        snapshot.power.cars_w = f64::NAN;
        let text = render(&snapshot, "1.2.3", testing::NOW);
        let mut series = HashSet::new();
        let mut families = HashSet::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().expect("a name").to_owned();
                assert!(families.insert(family.clone()), "{family} twice");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                assert!(kind.starts_with(&format!("{family} ")), "{line}");
            } else {
                let (id, value) = line.rsplit_once(' ').expect("a value");
                assert!(series.insert(id.to_owned()), "{id} twice");
                assert!(value.parse::<f64>().expect("a number").is_finite());
                assert_eq!(id.split('{').next(), Some(family.as_str()));
            }
        }
        assert!(text.contains("name=\"a \\\"b\\\"\\\\\\nc\""), "{text}");
        assert!(!text.contains("NaN") && !text.contains("cars_watts"));
        assert!(text.ends_with('\n'));
        assert!(text.contains("twcmanager_info{version=\"1.2.3\"} 1\n"));
    }
}
