//! Commands through brokers: the one of the rig, and mosquitto where it is installed.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use control_mqtt::{ControlConfig, ControlError, ControlMqtt, filter};
use mqtt_link::Hub;
use mqtt_rig::{Cable, GENEROUS, broker, connect, expect, free_port, kinds, start};
use serde_json::json;
use site::{Command, SitePort};
use twc_names::testing::{FakeSite, snapshot};
use units::Amps;

fn config() -> ControlConfig {
    ControlConfig { prefix: "home/TWC".to_owned(), most_charge_now_amps: 32.0 }
}

fn now(amps: i32, seconds: u64) -> Command {
    Command::ChargeNow { amps: Some(Amps::from_whole(amps)), duration: Duration::from_secs(seconds) }
}

#[test]
fn live_commands_are_obeyed_once_and_retained_ones_never() {
    for kind in kinds() {
        let port = free_port();
        let _peer = start(kind, port);
        let (ours, theirs) = (Hub::new(), Hub::new());
        let user = connect(&theirs, broker(port));
        let seen = user.subscribe(&[filter("home/TWC").as_str()]).unwrap();
        // Kept by the broker from some earlier day.
        user.publish("home/TWC/control/stop", "1", true).unwrap();
        user.publish("home/TWC/control/chargeNow", "32,3600", true).unwrap();
        expect(&seen, "home/TWC/control/chargeNow", "32,3600");

        let fake = Arc::new(FakeSite::new(snapshot(), json!({})));
        let (ended, wants_end) = channel();
        let site: Arc<dyn SitePort> = Arc::clone(&fake) as _;
        let cable = Cable::to(port);
        let link = connect(&ours, broker(cable.port));
        let told = link.subscribe(&[filter("home/TWC").as_str()]).unwrap();
        let control = ControlMqtt::start(link.clone(), config(), site, move || ended.send(()).unwrap()).unwrap();
        // The retained ones have come in, and nothing followed; then a live one.
        expect(&told, "home/TWC/control/chargeNow", "32,3600");
        user.send("home/TWC/control/chargeNow", "16,5400").unwrap();
        assert_eq!(fake.taken_within(GENEROUS), [now(16, 5400)], "{kind}");
        // Published with the flag while we listen: live for us, once.
        user.publish("home/TWC/control/chargeNow", "8,60", true).unwrap();
        assert_eq!(fake.taken_within(GENEROUS), [now(8, 60)], "{kind}");
        assert!(wants_end.try_recv().is_err());
        expect(&told, "home/TWC/control/chargeNow", "8,60");
        // The broker repeats it at the next connection, as something of before; only what is sent then counts.
        cable.cut();
        assert!(expect(&told, "home/TWC/control/chargeNow", "8,60").retained, "{kind}");
        user.send("home/TWC/control/chargeNow", "12,90").unwrap();
        assert_eq!(fake.taken_within(GENEROUS), [now(12, 90)], "{kind}");
        assert!(wants_end.try_recv().is_err());

        user.send("home/TWC/control/nonsense", "1").unwrap();
        user.send("home/TWC/control/stop", "").unwrap();
        wants_end.recv_timeout(GENEROUS).unwrap();
        control.shutdown();
        user.send("home/TWC/control/chargeNowEnd", "").unwrap();
        expect(&seen, "home/TWC/control/chargeNowEnd", "");
        assert!(!fake.taken().contains(&Command::CancelChargeNow));
    }
}

#[test]
fn a_prefix_that_is_none_is_refused() {
    let hub = Hub::new();
    let start = |prefix: &str| {
        let site: Arc<dyn SitePort> = Arc::new(FakeSite::new(snapshot(), json!({})));
        let link = hub.link(broker(free_port())).unwrap();
        ControlMqtt::start(link, ControlConfig { prefix: prefix.to_owned(), ..config() }, site, || {}).unwrap_err()
    };
    // What stands there is used as it stands.
    assert_eq!(filter("a/TWC/"), "a/TWC//control/#");
    assert!(matches!(start(""), ControlError::NoPrefix));
    assert!(matches!(start("a+"), ControlError::BadPrefix(_)));
}
