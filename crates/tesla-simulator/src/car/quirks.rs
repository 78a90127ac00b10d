//! What is odd about a car, switchable one by one.

use std::time::Duration;

use units::Percent;

/// Which commands a car takes over the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CommandWay {
    /// Signed ones; plain ones get 403. All cars but the oldest.
    #[default]
    Signed,
    /// Plain ones; signed ones get 422. Model S and X before 2021.
    Plain,
    /// Either, as behind a third party's host that signs by itself.
    Both,
}

/// What is odd about a car. Facts are from users' reports; times are within what they report.
#[derive(Debug, Clone, PartialEq)]
pub struct Quirks {
    /// Which commands it takes over the cloud.
    pub commands: CommandWay,
    /// Amps below 5 are ignored unless told twice, at least two seconds apart.
    pub low_amps_twice: bool,
    /// 0 and 1 A become 2 A, 2 A become 3 A.
    pub coarse_low_amps: bool,
    /// Three phases are told as `charger_phases` 2.
    pub three_phases_told_as_two: bool,
    /// A full car goes on when its limit is raised.
    pub restarts_when_limit_rises: bool,
    /// A sleeping car is listed as `offline`, as from software 2024.20 on.
    pub sleeps_as_offline: bool,
    /// Old software: no `charge_amps`, no `minutes_to_full_charge`.
    pub is_old: bool,
    /// The name is absent beside the VIN, and only in `vehicle_state`.
    pub nameless: bool,
    /// Numbers of the charge state come as text.
    pub numbers_as_text: bool,
    /// Mobile access is switched off in the car.
    pub denies_access: bool,
    /// Undisturbed and idle so long, it sleeps.
    pub sleeps_after: Duration,
    /// How long it takes to wake.
    pub wake_takes: Duration,
    /// After waking, so long, its charging state is null and signed commands get fault 11.
    pub groggy: Duration,
    /// From plugged or told to start, to charging.
    pub start_takes: Duration,
    /// From new amps to the first change of the draw.
    pub reaction: Duration,
    /// Of what the wall gives, so much reaches the battery.
    pub efficiency: Percent,
}

impl Default for Quirks {
    fn default() -> Self {
        Quirks {
            commands: CommandWay::Signed,
            low_amps_twice: true,
            coarse_low_amps: false,
            three_phases_told_as_two: true,
            restarts_when_limit_rises: true,
            sleeps_as_offline: false,
            is_old: false,
            nameless: false,
            numbers_as_text: false,
            denies_access: false,
            sleeps_after: Duration::from_secs(12 * 60),
            wake_takes: Duration::from_secs(15),
            groggy: Duration::ZERO,
            start_takes: Duration::from_secs(5),
            reaction: Duration::from_secs(2),
            efficiency: Percent::FULL,
        }
    }
}
