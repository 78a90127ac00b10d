//! The names of loggers that people know from TWCManager, found from the module that speaks.

/// Crates by how their name begins: section, pictogram, name. The first that fits counts; without a name it is what follows
/// in the crate's name.
const CRATES: &[(&str, &str, &str, &str)] = &[
    ("record::green_energy", "TWCManager", "⛽", "Manager"),
    ("record::slave_status", "TWCManager", "⛽", "Manager"),
    ("record::slave_power", "TWCManager", "⛽", "Slave"),
    ("record::", "TWCManager", "⛽", "Master"),
    ("control_http", "Control", "🎮", "HTTP"),
    ("http_door", "Control", "🎮", "HTTP"),
    ("control_", "Control", "🎮", ""),
    ("ems_", "EMS", "⚡", ""),
    ("ems", "EMS", "⚡", "EMS"),
    ("status_", "Status", "📊", ""),
    ("logging_", "Logging", "📄", ""),
    ("logging", "Logging", "📄", "Logging"),
    ("journal", "Logging", "📄", "Journal"),
    ("vehicle_", "Vehicle", "🚗", ""),
    ("evse_tesla", "Vehicle", "🚗", "Tesla"),
    ("tesla_", "Vehicle", "🚗", "Tesla"),
    ("gen2_", "Interface", "📡", "TWC"),
    ("evse_gen2", "Interface", "📡", "TWC"),
    ("policy", "TWCManager", "⛽", "Policy"),
    ("site", "TWCManager", "⛽", "Manager"),
    ("twcmanager", "TWCManager", "⛽", "Master"),
];

/// Parts of crate names that are not written like words.
const CAPITALS: &[&str] =
    &["csv", "dsmr", "hass", "http", "mqtt", "mysql", "ocpp", "p1", "sma", "sqlite", "ted", "url", "api", "ble"];

/// The name of a logger: with its pictogram, or with its section in brackets.
///
/// ```
/// assert_eq!(logging::display_name("control_http::api", true), "🎮 HTTP");
/// assert_eq!(logging::display_name("ems_fronius", false), "[EMS] Fronius");
/// ```
#[must_use]
pub fn display_name(target: &str, with_icons: bool) -> String {
    let krate = target.split("::").next().unwrap_or_default();
    let (section, icon, name) = CRATES.iter().find(|(begins, ..)| target.starts_with(begins)).map_or_else(
        || ("TWCManager", "⛽", spelled(krate)),
        |(begins, section, icon, name)| {
            let rest = krate.strip_prefix(begins).unwrap_or(krate);
            (*section, *icon, if name.is_empty() { spelled(rest) } else { (*name).to_owned() })
        },
    );
    if with_icons { format!("{icon} {name}") } else { format!("[{section}] {name}") }
}

/// `some_words` as `SomeWords`.
fn spelled(name: &str) -> String {
    let word = |word: &str| {
        if CAPITALS.contains(&word) {
            return word.to_ascii_uppercase();
        }
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    name.split('_').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn names_are_those_that_people_search_for() {
        for (target, icons, words) in [
            ("control_mqtt", "🎮 MQTT", "[Control] MQTT"),
            ("ems_hass::poll", "⚡ HASS", "[EMS] HASS"),
            ("ems_host", "⚡ Host", "[EMS] Host"),
            ("policy", "⛽ Policy", "[TWCManager] Policy"),
            ("site::surplus", "⛽ Manager", "[TWCManager] Manager"),
            ("logging_mysql", "📄 MYSQL", "[Logging] MYSQL"),
            ("rumqttc", "⛽ Rumqttc", "[TWCManager] Rumqttc"),
            (Kind::GreenEnergy.target(), "⛽ Manager", "[TWCManager] Manager"),
            (Kind::ChargeSessions.target(), "⛽ Master", "[TWCManager] Master"),
            ("", "⛽ ", "[TWCManager] "),
        ] {
            assert_eq!((display_name(target, true).as_str(), display_name(target, false).as_str()), (icons, words));
        }
    }
}
