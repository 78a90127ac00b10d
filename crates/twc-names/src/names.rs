//! Ids of charging points.

use site::{EvseView, Snapshot};

/// What the ids of Gen 2 connectors begin with.
const GEN2: &str = "gen2-";

/// The id as it stands in topics and entity names: of a Gen 2 connector its four digits in capitals, of others their own id
/// with everything but letters, digits, `-` and `_` replaced.
#[must_use]
pub fn id_of(evse: &str) -> String {
    match evse.strip_prefix(GEN2) {
        Some(digits) => digits.to_ascii_uppercase(),
        None => evse.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect(),
    }
}

/// The charging point that a topic means: by [`id_of`] in any letter case, or by its full id.
#[must_use]
pub fn evse_named<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s EvseView> {
    snapshot.evses.iter().find(|evse| evse.id == name || id_of(&evse.id).eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fit_for_topics() {
        assert_eq!(id_of("gen2-4a85"), "4A85");
        assert_eq!(id_of("ocpp-Garage left/1"), "ocpp-Garage_left_1");
    }
}
