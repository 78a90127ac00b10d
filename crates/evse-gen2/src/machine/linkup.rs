//! Connectors that appear, restart, change their identity, fall silent and return.

use std::time::{Duration, Instant};

use evse::{EventLevel, Link};
use gen2_protocol::{ProtocolVersion, SlaveLinkReady, TwcId};
use units::Amps;

use super::Output;
use super::connector::Connector;
use super::controller::{Controller, FORGET_AFTER, Line, amps};

/// Answers missed in a row before an offer may not rise any more.
const DEGRADED_AFTER: u32 = 3;
/// Link-readys although heartbeats were sent: the connector does not hear us.
const DEAF_AFTER: u32 = 3;
/// Real controllers lead so many at most; the vendor supports no more.
const VENDOR_MOST: usize = 3;
/// A rating outside of this is a damaged frame.
const PLAUSIBLE_RATING: std::ops::RangeInclusive<Amps> = Amps::from_whole(5)..=Amps::from_whole(100);
/// Frames but no connector for this long: announce anew.
const LONELY: Duration = Duration::from_secs(60);
/// No byte while connectors are known: a network connection is dead.
const DEAD_NETWORK: Duration = Duration::from_secs(15);
/// The same for a local port: an adapter that hangs.
const DEAD_SERIAL: Duration = Duration::from_secs(60);

impl Controller {
    /// A connector looks for a controller.
    pub(super) fn take_link_ready(&mut self, ready: &SlaveLinkReady, now: Instant) {
        let id = ready.slave;
        if id == self.own_id {
            self.own_id_taken(now);
            return;
        }
        let known = self.connectors.contains_key(&id);
        if !known {
            self.create(id, ready.version, now);
        }
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        let former_sign = connector.sign.filter(|sign| *sign != ready.sign);
        let restarted = known && former_sign.is_some();
        let silenced = connector.is_silenced(now);
        connector.sign = Some(ready.sign);
        connector.heard_at = now;
        connector.version = ready.version;
        let rated = amps(ready.rated);
        if PLAUSIBLE_RATING.contains(&rated) {
            connector.rated = Some(rated);
        }
        // It announces itself in bursts: what it was just told need not be told again.
        let just_served =
            connector.sent_at.is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(1));
        if restarted {
            connector.queries.restart();
            connector.heard = None;
            connector.deaf_link_readys = 0;
        } else if connector.missed >= DEAF_AFTER && !silenced {
            connector.deaf_link_readys += 1;
        }
        let returned = connector.link == Link::Lost;
        if returned {
            connector.link = Link::Degraded;
        }
        if !silenced && (!just_served || restarted || !known) {
            connector.must_tell = true;
            connector.due = now;
        }
        if !known || restarted || returned {
            self.ledger.link_up(id, ready.version, now);
        }
        if let Some(former) = former_sign {
            self.tell(Some(id), EventLevel::Info, "connector_restarted", format!("{id} has restarted"));
            self.sign_changed(id, former, now);
        }
        if !known {
            self.welcome(id);
        }
        self.judge_deafness(id);
        self.show(id, now);
    }

    /// A connector answers us although it was not known: the program restarted within ten seconds.
    pub(super) fn find(&mut self, id: TwcId, version: ProtocolVersion, now: Instant) {
        self.create(id, version, now);
        self.ledger.link_up(id, version, now);
        self.welcome(id);
    }

    fn create(&mut self, id: TwcId, version: ProtocolVersion, now: Instant) {
        self.connectors.insert(id, Connector::new(id, version, &self.settings, now));
    }

    fn welcome(&mut self, id: TwcId) {
        let Some(connector) = self.connectors.get(&id) else { return };
        let per = self.settings.wiring_max_per;
        let (version, rated) = (connector.version, connector.rated);
        let rating = rated.map_or_else(|| "of unknown rating".to_owned(), |rated| format!("rated {rated:.0}"));
        let text = format!("{id} found, {rating}, {version}");
        self.tell(Some(id), EventLevel::Info, "connector_found", text);
        if let Some(rated) = rated.filter(|rated| *rated < per) {
            let text = format!(
                "wiringMaxAmpsPerTWC is {per:.0}, but {id} is rated {rated:.0}: it is never offered more than that"
            );
            self.tell(Some(id), EventLevel::Warning, "rated_below_wiring", text);
        }
        let count = self.connectors.values().filter(|connector| connector.link != Link::Lost).count();
        if count > VENDOR_MOST {
            self.raise(
                None,
                EventLevel::Warning,
                "many_connectors",
                format!(
                    "{count} connectors on one line, {VENDOR_MOST} are what Tesla supports: all are served, but watch the line's \
                     error counts"
                ),
            );
        }
    }

    /// A connector answered.
    pub(super) fn revive(&mut self, id: TwcId, now: Instant) {
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        if connector.link == Link::Lost {
            connector.must_tell = true;
            connector.due = now;
        }
        connector.link = Link::Up;
        self.clear(Some(id), "connector_silent", format!("{id} answers again"));
        self.clear(Some(id), "connector_deaf", format!("{id} hears us now"));
    }

    /// Judges by time and missed answers whether a connector is there.
    pub(super) fn judge_link(&mut self, id: TwcId, now: Instant) {
        let timeout = self.settings.connector_timeout;
        let reserved = self.ledger.is_reserved(id, now);
        let newest = self.connectors.values().filter(|other| other.id != id).map(|other| other.created_at).max();
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        if connector.is_silenced(now) {
            return;
        }
        let silent_for = now.saturating_duration_since(connector.heard_at);
        let unheard = match self.line {
            Line::Closed => true,
            // Another controller's heartbeats are not ours to count.
            Line::StoodDown => silent_for >= timeout,
            Line::Open => connector.missed >= DEGRADED_AFTER,
        };
        if connector.link == Link::Up && unheard {
            connector.link = Link::Degraded;
        }
        // A newcomer since its last word may be itself under a new id: then it is not waited for. If it is not, it announces
        // itself again; what it was told stays counted either way.
        let succeeded = newest.is_some_and(|at| at > connector.heard_at)
            && connector.missed >= DEGRADED_AFTER
            && connector.answered_at.is_some();
        if connector.link == Link::Degraded && (silent_for >= timeout || succeeded) {
            connector.link = Link::Lost;
            connector.contactor = None;
            let seconds = silent_for.as_secs();
            self.raise(
                Some(id),
                EventLevel::Warning,
                "connector_silent",
                format!(
                    "{id} has been silent for {seconds} s and is not waited for; what it may still draw stays counted for a \
                     while. Check its power and the bus wiring; it is taken back when it announces itself"
                ),
            );
        }
        let Some(connector) = self.connectors.get(&id) else { return };
        if connector.link == Link::Lost && silent_for >= FORGET_AFTER && !reserved {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: TwcId) {
        self.connectors.remove(&id);
        self.ledger.forget(id);
        self.shown.remove(&id);
        self.conditions.retain(|(connector, _)| *connector != Some(id));
        self.outputs.push_back(Output::Gone(id));
    }

    fn judge_deafness(&mut self, id: TwcId) {
        let deaf = self.connectors.get(&id).is_some_and(|connector| connector.deaf_link_readys >= DEAF_AFTER);
        if !deaf || self.conditions.contains(&(Some(id), "connector_deaf")) {
            return;
        }
        self.raise(
            Some(id),
            EventLevel::Alarm,
            "connector_deaf",
            format!(
                "{id} announces itself again and again but never answers: it does not hear us (four red blinks). Swap D+ and \
                 D-, check that the adapter transmits (several kinds only receive), connect its ground, and put 120 ohms at \
                 both ends of the line"
            ),
        );
        // Some adapters transmit only after they were opened a second time.
        self.outputs.push_back(Output::Reopen("a connector does not hear us"));
    }

    /// Looks after the line as a whole.
    pub(super) fn judge_line(&mut self, now: Instant) {
        self.judge_conflict(now);
        if self.line != Line::Open {
            return;
        }
        let Some(last_byte) = self.last_byte_at else { return };
        let silent_for = now.saturating_duration_since(last_byte);
        let anybody =
            self.connectors.values().any(|connector| connector.link != Link::Lost && !connector.is_silenced(now));
        let network = self.settings.port.is_network();
        if anybody && silent_for >= if network { DEAD_NETWORK } else { DEAD_SERIAL } {
            self.last_byte_at = Some(now);
            self.outputs.push_back(Output::Reopen("nothing was heard for a while although connectors are known"));
        }
        if anybody {
            self.lonely_since = None;
        } else {
            let since = *self.lonely_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= LONELY && self.announcing.is_none() {
                self.lonely_since = Some(now);
                self.announce(self.own_id, now);
            }
        }
        let count = self.connectors.values().filter(|connector| connector.link != Link::Lost).count();
        if count <= VENDOR_MOST {
            self.clear(None, "many_connectors", format!("{count} connectors on the line"));
        }
    }

    /// The line is ours (again): everybody hears from us at once.
    pub(super) fn take_line_over(&mut self, now: Instant) {
        for connector in self.connectors.values_mut() {
            connector.due = now;
            connector.must_tell = true;
            if connector.link == Link::Lost {
                // A try: without an answer it is lost again at the next look.
                connector.link = Link::Degraded;
            }
        }
        self.announce(self.own_id, now);
    }
}
