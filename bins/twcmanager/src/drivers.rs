//! Every driver that is compiled in: one line each.

use ems::EmsDriver;

use crate::controllers::ControllerDriver;

/// Energy sources by their names under `sources`.
const EMS: &[EmsDriver] = &[
    ems_dsmr::DRIVER,
    ems_dsmrreader::DRIVER,
    ems_efergy::DRIVER,
    ems_emoncms::DRIVER,
    ems_enphase::DRIVER,
    ems_exec::DRIVER,
    ems_forecast_solar::DRIVER,
    ems_fronius::DRIVER,
    ems_growatt::DRIVER,
    ems_hass::DRIVER,
    ems_homewizard::DRIVER,
    ems_iotawatt::DRIVER,
    ems_kostal::DRIVER,
    ems_modbus::DRIVER,
    ems_mqtt::DRIVER,
    ems_open_meteo::DRIVER,
    ems_openhab::DRIVER,
    ems_openweathermap::DRIVER,
    ems_p1monitor::DRIVER,
    ems_powerwall::DRIVER,
    ems_sct013::DRIVER,
    ems_shelly::DRIVER,
    ems_sma::DRIVER,
    ems_smartme::DRIVER,
    ems_smartpi::DRIVER,
    ems_solaredge::DRIVER,
    ems_solarlog::DRIVER,
    ems_ted::DRIVER,
    ems_tibber_pulse::DRIVER,
    ems_url::DRIVER,
    ems_victron::DRIVER,
    ems_volkszaehler::DRIVER,
];

/// What the configuration can name.
pub struct Drivers {
    /// Energy sources.
    pub ems: Vec<EmsDriver>,
    /// Controllers of charging points beside the Gen 2 ones.
    pub controllers: Vec<ControllerDriver>,
}

impl Drivers {
    /// Those that come with the program.
    pub fn builtin() -> Self {
        Drivers { ems: EMS.to_vec(), controllers: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::EMS;

    /// The table that people look into first.
    const TABLE: &str = include_str!("../../../docs/ems/README.md");

    #[test]
    fn every_source_has_a_page_and_a_row_in_the_table() {
        for driver in EMS {
            assert!(
                TABLE.contains(&format!("| `{}` |", driver.name)),
                "{} has no row in docs/ems/README.md",
                driver.name
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = EMS.iter().map(|driver| driver.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EMS.len());
    }
}
