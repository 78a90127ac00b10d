//! A field of modules, as the configuration describes it.

use ems::{KeyKind, KeySpec, Section};

/// The keys of a [`Plane`].
pub const PLANE: [KeySpec; 5] = [
    KeySpec::new("latitude", KeyKind::Number, "Latitude in degrees, north positive"),
    KeySpec::new("longitude", KeyKind::Number, "Longitude in degrees, east positive"),
    KeySpec::new("declination", KeyKind::Number, "Tilt of the modules in degrees: 0 flat, 90 upright"),
    KeySpec::new("azimuth", KeyKind::Number, "Direction of the modules in degrees: 0 south, -90 east, 90 west"),
    KeySpec::new("kwp", KeyKind::Number, "Peak power of the modules in kW"),
];

/// A field of modules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// Degrees from flat.
    pub declination: f64,
    /// Degrees from south, west positive.
    pub azimuth: f64,
    /// Peak power in kW.
    pub kwp: f64,
}

impl Plane {
    /// From a section; notes what is missing or impossible.
    pub fn read(section: &mut Section) -> Self {
        let mut required = |key: &str, low: f64, high: f64| {
            if section.raw(key).is_none() {
                section.error(key, "is missing; the estimate needs it");
            }
            section.number_within(key, 0.0, low, high)
        };
        Plane {
            latitude: required("latitude", -90.0, 90.0),
            longitude: required("longitude", -180.0, 180.0),
            declination: required("declination", 0.0, 90.0),
            azimuth: required("azimuth", -180.0, 180.0),
            kwp: required("kwp", 0.01, 1000.0),
        }
    }
}
