//! Which cars are in the account. Others, such as a guest's at a charging point that tells its VIN, are not asked about:
//! each such question would be refused and billed.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vehicle::Vin;

/// What is said of a car that is not in the account.
pub(crate) const GUEST: &str = "the car is not in the Tesla account that is signed in: a guest, whom Tesla's cloud tells \
                                nothing about; if it is yours, sign in with its account, or have it shared with yours";

/// What is known of who is in the account.
#[derive(Debug, Default)]
pub(crate) struct Members(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The last full list.
    listed: Option<BTreeSet<Vin>>,
    /// Refused by the cloud as unknown since then.
    refused: BTreeSet<Vin>,
}

impl Members {
    /// The cloud told its list. One that may leave cars out, or that has none, says nothing of those that it lacks.
    pub(crate) fn listed(&self, cars: BTreeSet<Vin>, is_whole: bool) {
        let mut known = self.lock();
        known.refused.retain(|vin| !cars.contains(vin));
        known.listed = (is_whole && !cars.is_empty()).then_some(cars);
    }

    /// The cloud says that it knows no such car. Whether it is a guest: of a car on its list the cloud means something else.
    pub(crate) fn refused(&self, vin: &Vin) -> bool {
        let mut known = self.lock();
        let is_guest = known.listed.as_ref().is_none_or(|listed| !listed.contains(vin));
        if is_guest {
            known.refused.insert(vin.clone());
        }
        is_guest
    }

    /// Whether it surely is not in the account.
    pub(crate) fn is_guest(&self, vin: &Vin) -> bool {
        let known = self.lock();
        known.refused.contains(vin) || known.listed.as_ref().is_some_and(|listed| !listed.contains(vin))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_who_is_missing_on_a_whole_list_or_was_refused() {
        let vin = |text: &str| Vin::parse(text).unwrap();
        let (ours, other) = (vin("5YJ30123456789ABC"), vin("LRW3F7EK0NC000001"));
        let members = Members::default();
        assert!(!members.is_guest(&ours));
        members.listed([ours.clone()].into(), false);
        assert!(!members.is_guest(&other), "there may be more");
        members.listed(BTreeSet::new(), true);
        assert!(!members.is_guest(&other), "an account without cars is no account to go by");
        assert!(members.refused(&other) && members.is_guest(&other));
        members.listed([ours.clone()].into(), true);
        assert!(members.is_guest(&other) && !members.is_guest(&ours));
        assert!(!members.refused(&ours) && !members.is_guest(&ours), "it is on the list");
        members.listed([ours, other.clone()].into(), true);
        assert!(!members.is_guest(&other), "it was shared since");
    }
}
