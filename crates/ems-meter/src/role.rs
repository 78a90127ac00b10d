//! Where a meter sits, and which way round; both as the user says.

use ems::{KeyKind, KeySpec, Section};

/// Where a meter sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// At the grid connection: import positive, export negative.
    #[default]
    Grid,
    /// At a solar system: the magnitude is generation.
    Generation,
    /// At the house without its solar system: positive is consumption.
    Consumption,
}

/// The key `role`.
pub const ROLE: KeySpec = KeySpec::new(
    "role",
    KeyKind::Text,
    "Where the meter sits: grid (default), generation (a solar system) or consumption (the house)",
);

/// The key `invert`.
pub const INVERT: KeySpec = KeySpec::new(
    "invert",
    KeyKind::Texts,
    "Clamps that are the wrong way round: true for all, or a list of phases such as [\"L2\"]",
);

impl Role {
    /// Reads the key [`ROLE`].
    pub fn read(section: &mut Section) -> Self {
        let text = section.text(ROLE.name).unwrap_or_else(|| "grid".to_owned());
        match text.to_ascii_lowercase().as_str() {
            "grid" => Role::Grid,
            "generation" | "pv" | "production" => Role::Generation,
            "consumption" | "load" | "home" => Role::Consumption,
            _ => {
                section.error(ROLE.name, "is not a place; allowed are `grid`, `generation` and `consumption`");
                Role::Grid
            }
        }
    }
}

/// What is the wrong way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inversion {
    /// Nothing.
    #[default]
    None,
    /// The whole meter.
    All,
    /// These phases.
    Phases([bool; 3]),
}

impl Inversion {
    /// Reads the key [`INVERT`].
    pub fn read(section: &mut Section) -> Self {
        let names = match section.raw(INVERT.name).is_some_and(|value| value.is_array()) {
            true => section.texts(INVERT.name),
            false => match section.text(INVERT.name) {
                Some(name) if phase(&name).is_some() => vec![name],
                _ => return if section.flag(INVERT.name, false) { Inversion::All } else { Inversion::None },
            },
        };
        let mut which = [false; 3];
        for name in names {
            match phase(&name).and_then(|index| which.get_mut(index)) {
                Some(is_wrong) => *is_wrong = true,
                None => section.error(INVERT.name, format!("`{name}` is not a phase; allowed are L1, L2 and L3")),
            }
        }
        if which.contains(&true) { Inversion::Phases(which) } else { Inversion::None }
    }
}

/// The index of a phase by its name.
fn phase(name: &str) -> Option<usize> {
    ["L1", "L2", "L3"].iter().position(|phase| phase.eq_ignore_ascii_case(name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(json: &str) -> Section {
        Section::new("sources.Test", serde_json::from_str(json).unwrap())
    }

    #[test]
    fn places_are_named() {
        assert_eq!(Role::read(&mut section("{}")), Role::Grid);
        assert_eq!(Role::read(&mut section(r#"{"role": "Generation"}"#)), Role::Generation);
        let mut wrong = section(r#"{"role": "roof"}"#);
        Role::read(&mut wrong);
        assert!(wrong.has_errors());
    }

    #[test]
    fn what_is_the_wrong_way_round_is_a_flag_or_a_list_of_phases() {
        for (json, expected) in [
            ("{}", Inversion::None),
            (r#"{"invert": true}"#, Inversion::All),
            (r#"{"invert": "no"}"#, Inversion::None),
            (r#"{"invert": "l2"}"#, Inversion::Phases([false, true, false])),
            (r#"{"invert": ["L1", "L3"]}"#, Inversion::Phases([true, false, true])),
        ] {
            let mut section = section(json);
            assert_eq!(Inversion::read(&mut section), expected, "{json}");
            assert!(!section.has_errors(), "{json}");
        }
        let mut wrong = section(r#"{"invert": ["L4"]}"#);
        Inversion::read(&mut wrong);
        assert!(wrong.has_errors());
    }
}
