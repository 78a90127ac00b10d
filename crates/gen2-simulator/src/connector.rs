//! One connector as a slave on the line: link-up, heartbeats, questions, conflicts.

use std::time::{Duration, Instant};

use gen2_protocol::{
    AnonymousKind, CentiAmps, ContactorAnswer, EnergyCounter, HeartbeatCommand, MasterHeartbeat, Message, Meter,
    PlugStatus, ProtocolVersion, RequestKind, Serial, Sign, SlaveHeartbeat, SlaveLinkReady, SlaveMessage, Text, TwcId,
    Version, VinPart, VinThird,
};
use units::{Amps, PerPhase, Phase, WattHours};

use crate::car::Car;
use crate::outlet::Outlet;
use crate::random::Random;
use crate::settings::{ConnectorSettings, EnergyUnit, MeterForm};

/// Between two announcements of a slave without a master.
const ANNOUNCEMENTS: Duration = Duration::from_secs(10);
/// A slave takes its master for lost after this long without a heartbeat.
const MASTER_LOST: Duration = Duration::from_secs(10);
/// And opens the contactor after this long.
const CONTACTOR_OPENS: Duration = Duration::from_secs(30);
/// Announcements after the second E2, and when the first of them comes.
const BURST: u8 = 5;
const BURST_DELAY: Duration = Duration::from_millis(200);
/// Silence after power-up, milliseconds.
const BOOT_MILLIS: (u64, u64) = (1_000, 8_000);
/// From the end of a request to its answer, milliseconds.
const ANSWER_MILLIS: (u64, u64) = (20, 30);

/// What is wrong with a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ailment {
    /// Nothing.
    #[default]
    None,
    /// Hears and obeys, but says nothing: its transmit line is broken.
    Mute,
    /// Hears nothing, so announces itself for ever: its receive line is broken.
    Deaf,
    /// Neither hears nor is heard, its wire is off; it charges on until the contactor opens for want of a master.
    CutOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Booting {
        until: Instant,
    },
    Searching {
        announce_at: Instant,
        burst: u8,
    },
    Up {
        master: TwcId,
    },
    /// Told to go into error: silent until reset.
    Failed,
}

/// Something a connector wants to say, and when.
#[derive(Debug, Clone)]
pub(crate) struct Saying {
    pub(crate) at: Instant,
    pub(crate) message: SlaveMessage,
}

#[derive(Debug, Clone)]
pub(crate) struct Connector {
    settings: ConnectorSettings,
    id: TwcId,
    sign: Sign,
    link: Link,
    /// Last heartbeat, while the contactor still waits for another.
    heard: Option<Instant>,
    second_announcements: u8,
    pub(crate) outlet: Outlet,
    pub(crate) ailment: Ailment,
    energy: WattHours,
    broadcast_at: Option<Instant>,
    broadcast: usize,
    now: Instant,
    random: Random,
    pub(crate) sayings: Vec<Saying>,
}

impl Connector {
    pub(crate) fn new(now: Instant, settings: ConnectorSettings, random: Random) -> Connector {
        let mut connector = Connector {
            id: settings.id,
            sign: Sign::default(),
            link: Link::Failed,
            heard: None,
            second_announcements: 0,
            outlet: Outlet::new(settings.version, settings.rated),
            ailment: Ailment::None,
            energy: settings.energy_before,
            broadcast_at: settings.broadcasts.map(|every| now + every),
            broadcast: 0,
            now,
            random,
            sayings: Vec::new(),
            settings,
        };
        connector.reboot(now);
        if let Some(car) = connector.settings.car.clone() {
            connector.outlet.plug_in(now, Car::new(car));
        }
        connector
    }

    pub(crate) fn id(&self) -> TwcId {
        self.id
    }

    pub(crate) fn set_id(&mut self, id: TwcId) {
        self.id = id;
    }

    pub(crate) fn master(&self) -> Option<TwcId> {
        match self.link {
            Link::Up { master } => Some(master),
            _ => None,
        }
    }

    pub(crate) fn energy(&self) -> WattHours {
        self.energy
    }

    /// Power-up: a new sign, and silence for a while.
    pub(crate) fn reboot(&mut self, now: Instant) {
        self.sign = Sign(self.random.byte());
        self.heard = None;
        self.second_announcements = 0;
        self.sayings.clear();
        let silence = Duration::from_millis(self.random.between(BOOT_MILLIS.0, BOOT_MILLIS.1));
        self.link = Link::Booting { until: now + silence };
        self.outlet.restart(now);
    }

    /// Volts of the terminals that the car uses, added up.
    fn car_volts(&self) -> f64 {
        self.terminals()
            .into_iter()
            .zip(self.settings.volts)
            .filter(|(used, _)| *used)
            .map(|(_, volts)| f64::from(volts))
            .sum()
    }

    /// Which terminals the car draws from.
    fn terminals(&self) -> [bool; 3] {
        let mut left = self.outlet.car().map_or(0, |car| car.settings().phases.count());
        self.settings.volts.map(|volts| {
            let used = volts > 0 && left > 0;
            left -= u8::from(used);
            used
        })
    }

    /// What flows on each phase of the house.
    pub(crate) fn draw(&self) -> PerPhase<Amps> {
        let drawn = Amps::new(self.outlet.drawn()).unwrap_or(Amps::ZERO);
        let terminals = self.terminals();
        PerPhase::from_fn(|phase: Phase| {
            let used = terminals.iter().zip(self.settings.wiring).any(|(used, wired)| *used && wired == phase);
            if used { drawn } else { Amps::ZERO }
        })
    }

    /// Lets time pass until `now` and does what is due then.
    pub(crate) fn advance(&mut self, now: Instant) {
        let duration = now.saturating_duration_since(self.now);
        self.energy = WattHours::saturating(self.energy.get() + self.outlet.pass(duration, self.car_volts()).get());
        self.now = self.now.max(now);
        self.outlet.settle(now);
        match self.link {
            Link::Booting { until } if until <= now => self.search(now, 0),
            Link::Searching { announce_at, burst } if announce_at <= now => {
                self.announce(now);
                let pause = match burst {
                    0 | 1 => ANNOUNCEMENTS,
                    _ => self.between(80, 140),
                };
                self.link = Link::Searching { announce_at: now + pause, burst: burst.saturating_sub(1) };
            }
            Link::Up { .. } if self.heard.is_none_or(|at| at + MASTER_LOST <= now) => {
                self.search(now, 0);
            }
            _ => {}
        }
        if let Some(heard) = self.heard
            && heard + CONTACTOR_OPENS <= now
        {
            self.heard = None;
            self.outlet.abandon(now);
        }
        if let (Some(at), Some(every)) = (self.broadcast_at, self.settings.broadcasts)
            && at <= now
        {
            self.broadcast_at = Some(now + every);
            if !matches!(self.link, Link::Booting { .. } | Link::Failed) {
                self.say_unasked(now);
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Booting { until } => Some(until),
            Link::Searching { announce_at, .. } => Some(announce_at),
            Link::Up { .. } => self.heard.map(|at| at + MASTER_LOST),
            Link::Failed => None,
        };
        let contactor = self.heard.map(|at| at + CONTACTOR_OPENS);
        let outlet = self.outlet.next_timeout(self.now);
        [link, contactor, outlet, self.broadcast_at].into_iter().flatten().min()
    }

    fn between(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.random.between(low, high))
    }

    fn search(&mut self, now: Instant, burst: u8) {
        let delay = if burst > 0 { BURST_DELAY + self.between(0, 60) } else { self.between(0, 500) };
        self.link = Link::Searching { announce_at: now + delay, burst };
    }

    fn announce(&mut self, now: Instant) {
        let ready = SlaveLinkReady {
            slave: self.id,
            sign: self.sign,
            rated: self.settings.rated,
            version: self.settings.version,
        };
        self.say(now, SlaveMessage::LinkReady(ready));
    }

    fn say(&mut self, at: Instant, message: SlaveMessage) {
        if !matches!(self.ailment, Ailment::Mute | Ailment::CutOff) {
            self.sayings.push(Saying { at, message });
        }
    }

    fn answer(&mut self, now: Instant, message: SlaveMessage) {
        let delay = self.between(ANSWER_MILLIS.0, ANSWER_MILLIS.1);
        self.say(now + delay, message);
    }

    /// A message on the line, from whoever.
    pub(crate) fn hear(&mut self, now: Instant, message: &Message) {
        let is_deaf = matches!(self.ailment, Ailment::Deaf | Ailment::CutOff);
        if is_deaf || matches!(self.link, Link::Booting { .. } | Link::Failed) {
            return;
        }
        match message {
            Message::MasterLinkReady1(ready) if ready.master == self.id => self.yield_id(now),
            Message::MasterLinkReady2(ready) if ready.master == self.id => self.yield_id(now),
            Message::MasterLinkReady1(_) => self.second_announcements = 0,
            Message::MasterLinkReady2(_) => {
                self.second_announcements = self.second_announcements.saturating_add(1);
                if self.second_announcements == 2 && matches!(self.link, Link::Searching { .. }) {
                    self.search(now, BURST);
                }
            }
            Message::MasterHeartbeat(heartbeat) if heartbeat.slave == self.id => {
                self.heartbeat(now, heartbeat);
            }
            Message::Request(request) if request.slave == self.id => {
                if let Some(answer) = self.answer_to(request.kind) {
                    self.answer(now, answer);
                }
            }
            Message::ContactorCommand(command) if command.slave == self.id && self.answers_questions() => {
                self.outlet.contactor(now, command.action);
                self.answer(now, SlaveMessage::Contactor(ContactorAnswer { action: command.action, slave: self.id }));
            }
            Message::AnonymousRequest(request) if request.slave == self.id || request.slave == TwcId::default() => {
                let answer = match request.kind {
                    AnonymousKind::Serial => SlaveMessage::AnonymousSerial(self.settings.serial),
                    AnonymousKind::Model => SlaveMessage::AnonymousModel(Text::new(b"1050067-01-B")),
                    AnonymousKind::Version => {
                        let [a, b, c, _] = self.settings.firmware.unwrap_or([3, 6, 1, 0]);
                        SlaveMessage::AnonymousVersion([a, b, c])
                    }
                };
                self.answer(now, answer);
            }
            _ => {}
        }
    }

    /// Somebody else has this identity and is a master: the slave yields.
    fn yield_id(&mut self, now: Instant) {
        let [first, second] = [self.random.byte(), self.random.byte()];
        let old = self.id;
        self.id = TwcId([first, second]);
        if self.id == old {
            self.id = TwcId([first, second.wrapping_add(1)]);
        }
        self.sign = Sign(self.random.byte());
        self.sayings.clear();
        log::debug!("simulated connector {old} yields its identity and is {} now", self.id);
        self.search(now, 0);
    }

    fn heartbeat(&mut self, now: Instant, heartbeat: &MasterHeartbeat) {
        self.link = Link::Up { master: heartbeat.master };
        self.heard = Some(now);
        self.second_announcements = 0;
        if let HeartbeatCommand::Unknown { .. } = heartbeat.command {
            log::debug!("simulated connector {} ignores {}", self.id, heartbeat.command);
        }
        self.outlet.obey(now, heartbeat.command);
        let flowing = CentiAmps((self.outlet.drawn() * 100.0).round() as u16);
        let drawn = if flowing.is_zero() { self.settings.idle_offset } else { flowing };
        self.answer(
            now,
            SlaveMessage::Heartbeat(SlaveHeartbeat {
                slave: self.id,
                master: heartbeat.master,
                state: self.outlet.state(),
                limit: self.outlet.limit(),
                drawn,
                version: self.settings.version,
            }),
        );
        if self.outlet.has_failed() {
            self.link = Link::Failed;
        }
    }

    fn answers_questions(&self) -> bool {
        self.settings.version == ProtocolVersion::V2 && self.settings.firmware.is_some()
    }

    fn answer_to(&self, kind: RequestKind) -> Option<SlaveMessage> {
        if !self.answers_questions() {
            return None;
        }
        let unit = self.id;
        Some(match kind {
            RequestKind::Meter => SlaveMessage::Meter(self.meter()),
            RequestKind::Version => SlaveMessage::Version(Version { unit, version: self.settings.firmware? }),
            RequestKind::Serial => SlaveMessage::Serial(Serial { unit, serial: self.settings.serial }),
            RequestKind::Vin(third) => SlaveMessage::VinPart(VinPart { unit, third, characters: self.vin_part(third) }),
            RequestKind::PlugState => SlaveMessage::PlugStatus(PlugStatus { unit, state: self.outlet.plug_state() }),
        })
    }

    fn vin_part(&self, third: VinThird) -> Text<7> {
        let range = match third {
            VinThird::First => 0..7,
            VinThird::Second => 7..14,
            VinThird::Last => 14..17,
        };
        self.outlet
            .car()
            .and_then(|car| car.settings().vin.as_ref())
            .and_then(|vin| vin.as_bytes().get(range))
            .map_or_else(Text::default, Text::new)
    }

    fn meter(&self) -> Meter {
        let watt_hours = self.energy.get();
        let counter = match self.settings.energy_unit {
            EnergyUnit::KilowattHours => watt_hours / 1_000.0,
            EnergyUnit::WattHours => watt_hours,
        };
        let half_amps = (self.outlet.drawn() * 2.0).round() as u8;
        Meter {
            unit: self.id,
            energy: EnergyCounter(counter as u32),
            volts: self.settings.volts,
            half_amps: match self.settings.meter_form {
                MeterForm::WithCurrents => Some(self.terminals().map(|used| half_amps * u8::from(used))),
                MeterForm::WithoutCurrents => None,
            },
        }
    }

    fn say_unasked(&mut self, now: Instant) {
        const ROUND: [RequestKind; 6] = [
            RequestKind::Meter,
            RequestKind::Version,
            RequestKind::Serial,
            RequestKind::Vin(VinThird::First),
            RequestKind::Vin(VinThird::Second),
            RequestKind::Vin(VinThird::Last),
        ];
        let kind = ROUND.get(self.broadcast % ROUND.len());
        self.broadcast = self.broadcast.wrapping_add(1);
        if let Some(message) = kind.and_then(|kind| self.answer_to(*kind)) {
            self.say(now, message);
        }
    }
}
