//! At which charging point a car is, by the site's snapshot.

use evse::{MatchedBy, View};
use serde_json::{Value, json};
use site::{EvseView, Snapshot};

/// Beginning of the id of a car's own view, before its VIN.
const OWN_VIEW: &str = "tesla-";

/// Where a car is among the charging points.
pub(super) struct Place<'a> {
    /// The charging point that it takes part by; its own view where it is on a charger of somebody else's.
    pub(super) evse: Option<&'a EvseView>,
    /// Those that it may be at: its own view and theirs did the same so far.
    pub(super) candidates: Vec<(&'a EvseView, &'a View)>,
}

/// Whether a view is a car's own.
pub(crate) fn is_own_view(id: &str, vin: &str) -> bool {
    id.strip_prefix(OWN_VIEW) == Some(vin)
}

impl<'a> Place<'a> {
    /// The place of the car with this VIN.
    pub(super) fn of(snapshot: &'a Snapshot, vin: &str) -> Place<'a> {
        let mut place = Place { evse: None, candidates: Vec::new() };
        for evse in &snapshot.evses {
            let own = evse.car.views.iter().find(|view| is_own_view(view.id.as_str(), vin));
            match own {
                Some(view) if view.by == MatchedBy::Possible => place.candidates.push((evse, view)),
                Some(_) => place.evse = Some(evse),
                None if evse.vin.as_deref() == Some(vin) || is_own_view(&evse.id, vin) => place.evse = Some(evse),
                None => {}
            }
        }
        place
    }

    /// The charging point as JSON.
    pub(super) fn evse_json(&self, vin: &str) -> Value {
        let Some(evse) = self.evse else { return Value::Null };
        let own = evse.car.views.iter().find(|view| is_own_view(view.id.as_str(), vin));
        json!({
            "id": evse.id,
            "name": evse.name,
            "is_own_charger": is_own_view(&evse.id, vin) && !evse.car.views.iter().any(|view| view.is_local),
            "matched_by": own.map(|view| view.by),
            "confidence": own.map(|view| view.confidence),
        })
    }

    /// The charging points that it may be at, as JSON.
    pub(super) fn candidates_json(&self) -> Value {
        let one = |(evse, view): &(&EvseView, &View)| json!({"id": evse.id, "name": evse.name, "confidence": view.confidence});
        self.candidates.iter().map(one).collect()
    }
}
