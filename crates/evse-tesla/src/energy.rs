//! A counter of energy over a car's life with us, from the counters of its sessions.

use units::WattHours;

/// Strings together what a car counts per session: each begins at zero again.
///
/// The count begins at zero when the program starts, so it is good for differences only; a session that lasts over a
/// restart is reckoned from power and time instead. A session of which nothing was seen before it had passed the count of
/// the one before is taken for its continuation: what is missing then is what the earlier one had counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Energy {
    before: f64,
    session: Option<f64>,
}

impl Energy {
    /// Takes up what the car counts now.
    pub(crate) fn update(&mut self, added: Option<WattHours>) -> Option<WattHours> {
        let added = added.map(WattHours::get).filter(|added| *added >= 0.0);
        if let (Some(added), Some(last)) = (added, self.session)
            && added < last
        {
            self.before += last;
        }
        self.session = added.or(self.session);
        self.session.map(|session| WattHours::saturating(self.before + session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_falls_and_counts_each_session_once() {
        let mut energy = Energy::default();
        let mut counted = Vec::new();
        for added in [None, Some(500.0), Some(2500.0), Some(2500.0), Some(0.0), Some(700.0), None] {
            counted.push(energy.update(added.map(WattHours::saturating)).map(WattHours::get));
        }
        let expected = [None, Some(500.0), Some(2500.0), Some(2500.0), Some(2500.0), Some(3200.0), Some(3200.0)];
        assert_eq!(counted, expected);
    }
}
