//! Over real brokers on loopback.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use mqtt_rig::{GENEROUS, connect, free_port, kinds};
use vehicle::{Answer, CarKey, Report, Trouble, VehicleListener, VehicleState, Vin};
use vehicle_fleet_telemetry::{Hub, Settings, open};

struct Ear(Sender<Report>);

impl VehicleListener for Ear {
    fn report(&self, report: Report) {
        let _ = self.0.send(report);
    }
    fn answered(&self, _: Answer) {}
    fn trouble(&self, _: &str, _: Option<Trouble>) {}
}

#[test]
fn a_car_streams_over_a_real_broker() {
    const VIN: &str = "5YJ30123456789ABC";
    for kind in kinds() {
        let port = free_port();
        let _peer = mqtt_rig::start(kind, port);
        let hub = Hub::new();
        let (sender, told) = channel();
        let settings = Settings { broker: mqtt_rig::broker(port), prefix: "a/b/telemetry/".into() };
        let source = open(settings, &hub, Arc::new(Ear(sender))).unwrap();
        let server = connect(&Hub::new(), mqtt_rig::broker(port));
        let probe = server.subscribe(&["probe"]).unwrap();
        let mut state = VehicleState::new(CarKey::Vin(Vin::parse(VIN).unwrap()));
        let end = Instant::now() + GENEROUS;
        while state.soc.is_none() || !state.is_charging() {
            assert!(Instant::now() < end, "{kind}: {state:?}");
            // Streams are not retained: repeated until the source has subscribed.
            let say = |field: &str, payload: &str| {
                server.send(&format!("a/b/telemetry/{VIN}/v/{field}"), payload).unwrap();
            };
            say("Soc", "{\"value\":63.2}");
            say("DetailedChargeState", "\"DetailedChargeStateCharging\"");
            server.send("probe", "x").unwrap();
            mqtt_rig::expect(&probe, "probe", "x");
            while let Ok(report) = told.recv_timeout(std::time::Duration::from_millis(300)) {
                state.take(&report);
            }
        }
        assert_eq!(source.name(), "teslaFleetTelemetryMQTT");
    }
}

#[test]
fn a_missing_prefix_names_its_key() {
    let (sender, _told) = channel();
    let settings = Settings { broker: mqtt_rig::broker(1), prefix: "/".into() };
    let Err(error) = open(settings, &Hub::new(), Arc::new(Ear(sender))) else { panic!("opened") };
    assert!(error.to_string().contains("vehicle.teslaFleetTelemetryMQTT.mqtt_prefix"), "{error}");
}
