//! What the site looks like in the words of the old page.

use evse::{Detail, Link};
use serde_json::Value;
use site::{EvseView, Snapshot};
use twc_names::{Number, id_of, setting, values};

/// What the ids of Gen 2 connectors begin with. Other charging points are no TWCs, and the page has no place for them.
const GEN2: &str = "gen2-";
/// Where settings lack it: every day.
const ALL_DAYS: f64 = 127.0;

/// The Gen 2 connectors that answer.
pub(crate) fn connectors(snapshot: &Snapshot) -> impl Iterator<Item = &EvseView> {
    snapshot.evses.iter().filter(|evse| evse.id.starts_with(GEN2) && evse.link != Link::Lost)
}

/// A number that only connectors have.
pub(crate) fn detail(evse: &EvseView, name: &str) -> Option<f64> {
    match evse.details.get(name) {
        Some(Detail::Number(number)) => Some(*number),
        _ => None,
    }
}

/// The reply to `getStatus`.
pub(crate) fn status(snapshot: &Snapshot, settings: &Value) -> String {
    let number = |key| setting(settings, key);
    let plain = |key, default| Number::Plain(number(key).unwrap_or(default)).to_string();
    let site = &snapshot.site;
    let connectors: Vec<&EvseView> = connectors(snapshot).collect();
    let mut fields = vec![
        format!("{:.2}", snapshot.power.granted_amps.min(snapshot.power.limit_amps)),
        format!("{:.2}", site.max_amps_all),
        format!("{:.2}", site.min_amps_each),
        format!("{:.2}", snapshot.charge_now.as_ref().map_or(0.0, |charge_now| charge_now.amps)),
        plain("nonScheduledAmpsMax", 0.0),
        plain("scheduledAmpsMax", 0.0),
        clock(number("scheduledAmpsStartHour")),
        clock(number("scheduledAmpsEndHour")),
        plain("scheduledAmpsDaysBitmap", ALL_DAYS),
        clock(number("hourResumeTrackGreenEnergy")),
        // Whether the page should ask for the e-mail address and password of a car's account. Never: nobody could use them.
        "0".to_owned(),
        connectors.len().to_string(),
    ];
    let states: Vec<(String, String)> = values(snapshot)
        .into_iter()
        .filter(|reported| reported.key == "state")
        .map(|reported| (reported.id, reported.value.to_string()))
        .collect();
    for evse in connectors {
        let id = id_of(&evse.id);
        let state = states.iter().find(|(of, _)| *of == id).map_or("0", |(_, state)| state.as_str());
        let rated = detail(evse, "max_amps_rating").unwrap_or(evse.max_a);
        fields.push(format!(
            "{id}~{}~{:.2}~{}~{state}",
            Number::Decimal(rated),
            // The page knows no absent value: unknown is zero here, as it always was.
            evse.drawn_a.unwrap_or(0.0),
            Number::Plain(evse.offered_a.unwrap_or(0.0)),
        ));
    }
    fields.join("`")
}

/// The reply to `dumpState`: the same for eyes, and why things are as they are.
pub(crate) fn dump(snapshot: &Snapshot) -> String {
    let site = &snapshot.site;
    let mut out = format!(
        "time={:.3}, wiringMaxAmpsAllTWCs={}, wiringMaxAmpsPerTWC={}, minAmpsPerTWC={}\ncurrentPolicy={}: {}\n\
         slaveTWCRoundRobin:\n",
        snapshot.at,
        site.max_amps_all,
        site.max_amps_each,
        site.min_amps_each,
        snapshot.policy.name,
        snapshot.policy.reason
    );
    for evse in &snapshot.evses {
        let amps = |amps: Option<f64>| amps.map_or_else(|| "?".to_owned(), |amps| Number::Plain(amps).to_string());
        let (offered, drawn) = (amps(evse.offered_a), amps(evse.drawn_a));
        out.push_str(&format!("TWCID={}, offered={offered}, drawn={drawn}: {}\n", id_of(&evse.id), evse.sentence));
    }
    out
}

/// The reply to `getLastTWCMsgResponse`.
pub(crate) fn spaced_hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "None".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

/// Hours with a fraction as `HH:MM`; `-1:00` when unset.
fn clock(hours: Option<f64>) -> String {
    let Some(hours) = hours.filter(|hours| (0.0..=24.0).contains(hours)) else {
        return "-1:00".to_owned();
    };
    // Rounded: 6:20 is kept as 6.333…, and 19.99… minutes are twenty.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1440")]
    let minutes = (hours * 60.0).round() as u32;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use site::ChargeNowView;
    use twc_names::testing::snapshot;

    #[test]
    fn a_status_has_its_fields_in_order() {
        let settings = json!({
            "nonScheduledAmpsMax": -1, "scheduledAmpsMax": "16", "scheduledAmpsStartHour": 22.25,
            "scheduledAmpsEndHour": 6.0 + 20.0 / 60.0, "scheduledAmpsDaysBitmap": 31, "hourResumeTrackGreenEnergy": 7
        });
        assert_eq!(
            status(&snapshot(), &settings),
            "8.73`32.00`6.00`0.00`-1`16`22:15`06:20`31`07:00`0`2`3A7C~40.0~8.00~8~1`4085~40.0~0.00~0~0"
        );
    }

    #[test]
    fn a_status_without_settings_has_those_of_a_fresh_start() {
        let mut snapshot = snapshot();
        snapshot.evses.clear();
        snapshot.charge_now = Some(ChargeNowView { amps: 32.0, until: 0.0 });
        snapshot.power.limit_amps = 6.5;
        assert_eq!(status(&snapshot, &json!({})), "6.50`32.00`6.00`32.00`0`0`-1:00`-1:00`127`-1:00`0`0");
    }

    #[test]
    fn only_wall_connectors_that_answer_are_listed() {
        let mut snapshot = snapshot();
        let mut other = snapshot.evses[1].clone();
        other.id = "ocpp-garage".to_owned();
        snapshot.evses.push(other);
        snapshot.evses[0].link = Link::Lost;
        snapshot.evses[1].drawn_a = None;
        assert!(status(&snapshot, &json!({})).ends_with("`0`1`4085~40.0~0.00~0~0"));
    }

    #[test]
    fn a_dump_tells_reasons_and_no_cars() {
        let text = dump(&snapshot());
        assert!(text.starts_with("time=1795000000.000, wiringMaxAmpsAllTWCs=32, "), "{text}");
        assert!(text.contains("TWCID=3A7C, offered=8, drawn=8: Charging with the sun"), "{text}");
        assert!(!text.contains("5YJ3"), "no VIN for everybody on this computer: {text}");
    }

    #[test]
    fn hex_is_spaced_and_nothing_is_none() {
        assert_eq!(spaced_hex(&[0xFD, 0x1B, 0x02]), "FD 1B 02");
        assert_eq!(spaced_hex(&[]), "None");
    }
}
