//! The driver's own charge limit comes back, whatever happens meanwhile.

use std::sync::Arc;

use e2e::{Bus, Program, until};
use serde_json::json;
use tesla_simulator::Supply;
use units::{Amps, Percent};

use super::rig::{CLEO, Folder, car, cloud, config, connector};
use super::secrets;

#[test]
fn a_charge_limit_is_put_back_after_kill_9() {
    let bus = Bus::start(vec![connector(0x4085, true)]);
    let cleo = car(CLEO, "Cleo").plugged_into(Supply::single(Amps::from_whole(16)));
    let cloud = cloud().car(cleo.limit(Percent::new(80.0).expect("a limit"))).start();
    let limit = || cloud.car(CLEO, |car| car.charge_limit().get());
    let more = json!({"config": {"chargeNowLimit": 60}});
    let folder = Folder::new(config(&cloud, &bus.port(), &more));
    folder.pair(&cloud);
    folder.sign_in(&cloud);

    let mut program = folder.start();
    assert_eq!(program.post("/api/chargeNow", &json!({"chargeNowRate": 10, "chargeNowDuration": 3600})), 200);
    until("the policy's limit is in the car", || limit() == 60.0);
    program.signal("-KILL");
    assert_eq!(program.wait(), None);
    drop(program);

    let program = Program::start_in(Arc::clone(&folder.folder), &folder.config);
    assert_eq!(limit(), 60.0);
    assert_eq!(program.post("/api/cancelChargeNow", &json!({})), 200);
    until("the driver's limit is back", || limit() == 80.0);
    until("nothing of ours is remembered", || {
        let kept = std::fs::read_to_string(folder.path().join("cars.json")).unwrap_or_default();
        !kept.contains("outside")
    });
    secrets::assert_kept(&program, &cloud, &folder);
}
