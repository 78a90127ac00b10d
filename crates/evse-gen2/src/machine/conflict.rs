//! Who else talks on the line: echoes of our own frames, other controllers, identities that collide.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use evse::EventLevel;
use gen2_protocol::{MasterMessage, Message, Sign, TwcId};

use super::controller::{Controller, Line};

/// An echo comes back within this time, over the slowest network too.
const ECHO_WINDOW: Duration = Duration::from_secs(15);
/// Frames remembered to recognise echoes.
const MOST_REMEMBERED: usize = 64;
/// A frame of another controller counts only with a second one in this time: one in 256 damaged frames passes the checksum.
const FOREIGN_WINDOW: Duration = Duration::from_secs(10);
/// So many frames with our id that we did not send, within [`FOREIGN_WINDOW`] of each other, are another controller's.
const STRANGERS_WITH_OUR_ID: u32 = 5;
/// The line is taken back when nothing was heard of the other controller for this long.
const GONE_AFTER: Duration = Duration::from_secs(60);
/// If it comes back again and again, the line is left to it for longer, up to this.
const GONE_AFTER_MOST: Duration = Duration::from_secs(600);
/// A connector keeps announcing itself with our id: after this many announcements in vain we choose another.
const MOST_COLLISIONS: u32 = 3;
/// So often must one id come back to a sign that it had before within [`SIGN_WINDOW`] to be two connectors: one that
/// restarts shows a new sign each time.
const SIGN_RETURNS: usize = 2;
const SIGN_WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Suspect {
    last: Instant,
    frames: u32,
}

#[derive(Debug, Clone, Copy)]
struct Other {
    id: Option<TwcId>,
    last_heard: Instant,
}

/// What is known of everybody who sends like a controller.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sent: VecDeque<(Instant, Message)>,
    suspect: Option<Suspect>,
    namesake: Option<Suspect>,
    other: Option<Other>,
    gone_after: Option<Duration>,
    collisions: u32,
    collided_at: Option<Instant>,
}

impl Watch {
    pub(super) fn line_opened(&mut self) {
        self.sent.clear();
        self.suspect = None;
        self.namesake = None;
    }

    /// Remembers what leaves, to recognise its echo.
    pub(super) fn sent(&mut self, message: MasterMessage, now: Instant) {
        while self.sent.len() >= MOST_REMEMBERED
            || self.sent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > ECHO_WINDOW)
        {
            self.sent.pop_front();
        }
        self.sent.push_back((now, Message::from(message)));
    }

    fn is_echo(&self, message: &Message, now: Instant) -> bool {
        self.sent.iter().any(|(at, sent)| sent == message && now.saturating_duration_since(*at) <= ECHO_WINDOW)
    }

    /// The other controller that we stood down for.
    pub(super) fn other(&self) -> Option<TwcId> {
        self.other.and_then(|other| other.id)
    }
}

impl Suspect {
    fn count(suspect: &mut Option<Suspect>, now: Instant) -> u32 {
        let frames = match *suspect {
            Some(known) if now.saturating_duration_since(known.last) <= FOREIGN_WINDOW => known.frames + 1,
            _ => 1,
        };
        *suspect = Some(Suspect { last: now, frames });
        frames
    }
}

impl Controller {
    /// A frame that only controllers send.
    pub(super) fn hear_master(&mut self, message: &Message, salvaged: bool, now: Instant) {
        if self.watch.is_echo(message, now) {
            self.tally.echoes += 1;
            return;
        }
        if salvaged || matches!(message, Message::Unknown(_)) {
            // Put together or of no known meaning: too little to give up the line for.
            return;
        }
        let sender = message.sender();
        if let (Line::StoodDown, Some(other)) = (self.line, self.watch.other.as_mut()) {
            other.last_heard = now;
            return;
        }
        if sender == Some(self.own_id) {
            if Suspect::count(&mut self.watch.namesake, now) >= STRANGERS_WITH_OUR_ID {
                self.stand_down(sender, now);
            }
        } else if Suspect::count(&mut self.watch.suspect, now) >= 2 {
            self.stand_down(sender, now);
        }
    }

    fn stand_down(&mut self, other: Option<TwcId>, now: Instant) {
        self.watch.other = Some(Other { id: other, last_heard: now });
        self.line = Line::StoodDown;
        self.in_flight = None;
        self.announcing = None;
        let who = match other {
            Some(id) if id == self.own_id => format!("another controller with our own id {id}"),
            Some(id) => format!("another controller, {id},"),
            None => "another controller".to_owned(),
        };
        self.raise(
            None,
            EventLevel::Alarm,
            "second_controller",
            format!(
                "{who} talks on the bus, and there may be only one: nothing is sent until it has been silent for a while. Turn \
                 the rotary switch of every Wall Connector to F, and stop any other program that controls them"
            ),
        );
    }

    /// Looks whether the other controller has gone.
    pub(super) fn judge_conflict(&mut self, now: Instant) {
        let gone_after = self.watch.gone_after.unwrap_or(GONE_AFTER);
        if let (Line::StoodDown, Some(other)) = (self.line, self.watch.other)
            && now.saturating_duration_since(other.last_heard) >= gone_after
        {
            self.watch.other = None;
            self.watch.suspect = None;
            self.watch.namesake = None;
            // Should it come back, it is left alone for longer.
            self.watch.gone_after = Some((gone_after * 2).min(GONE_AFTER_MOST));
            self.line = Line::Open;
            self.clear(
                None,
                "second_controller",
                "the other controller has gone from the bus; the connectors are controlled again".to_owned(),
            );
            self.take_line_over(now);
        }
        let quiet = |at: Instant| now.saturating_duration_since(at) >= GONE_AFTER;
        if self.watch.collided_at.is_some_and(quiet) {
            self.watch.collisions = 0;
            self.watch.collided_at = None;
            self.clear(None, "id_conflict", "no connector uses the controller's id any more".to_owned());
        }
    }

    /// A connector announces itself with the controller's id. It yields when it hears an announcement with that id.
    pub(super) fn own_id_taken(&mut self, now: Instant) {
        let announcing = self.announcing.is_some();
        let again = self.watch.collided_at.is_none_or(|at| now.saturating_duration_since(at) > Duration::from_secs(2));
        if announcing || !again {
            return;
        }
        self.watch.collisions += 1;
        self.watch.collided_at = Some(now);
        if self.watch.collisions > MOST_COLLISIONS {
            self.watch.collisions = 0;
            self.choose_other_id(now);
            return;
        }
        let own = self.own_id;
        self.raise(
            None,
            EventLevel::Warning,
            "id_conflict",
            format!("a connector uses the controller's id {own}; it is asked to choose another"),
        );
        self.announce(own, now);
    }

    /// The controller takes another identity.
    pub(super) fn choose_other_id(&mut self, now: Instant) {
        let mut number = self.own_id.to_u16();
        loop {
            number = number.wrapping_add(1);
            let id = TwcId::from_u16(number);
            if number != 0 && !self.connectors.contains_key(&id) {
                self.own_id = id;
                break;
            }
        }
        let own = self.own_id;
        self.tell(
            None,
            EventLevel::Info,
            "own_id_changed",
            format!("the controller now calls itself {own}, because a connector has its former id"),
        );
        self.announce(own, now);
    }

    /// An id's sign changed. Once is a restart; to and fro, it is two connectors with one id.
    pub(super) fn sign_changed(&mut self, id: TwcId, former: Sign, now: Instant) {
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        connector.former_signs.push_back((now, former));
        connector.former_signs.retain(|(at, _)| now.saturating_duration_since(*at) <= SIGN_WINDOW);
        let signs: Vec<Sign> = connector.former_signs.iter().map(|(_, sign)| *sign).chain(connector.sign).collect();
        let returns =
            (0..signs.len()).filter(|at| signs.iter().take(*at).any(|earlier| Some(earlier) == signs.get(*at)));
        if returns.count() >= SIGN_RETURNS && self.announcing.is_none() {
            connector.former_signs.clear();
            self.tell(
                Some(id),
                EventLevel::Warning,
                "shared_id",
                format!(
                    "two connectors seem to use the id {id}: both are asked to choose others. If \
                     this repeats, switch one of them off and on"
                ),
            );
            self.announce(id, now);
        }
    }

    /// A serial number that ends in the controller's id belongs to a connector that would like that id.
    pub(super) fn judge_serial(&mut self, id: TwcId, now: Instant) {
        let own = self.own_id.to_string();
        let clash = id != self.own_id
            && self
                .connectors
                .get(&id)
                .and_then(|connector| connector.serial.as_deref())
                .is_some_and(|serial| serial.ends_with(&own));
        if clash {
            self.choose_other_id(now);
        }
    }
}
