//! The message queue of TWCManager's old PHP page, as openWB uses it.

use std::sync::Arc;
use std::time::Duration;

use control_ipc::testing::Page;
use e2e::{Bus, Program, config_with, eventually, until};
use gen2_simulator::{CarSettings, ConnectorSettings};
use serde_json::json;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(1);

#[test]
fn the_old_page_sees_the_cars_and_commands_them() {
    let bus = Bus::start(vec![
        ConnectorSettings::european(gen2_simulator::gen2_protocol::TwcId::from_u16(0x4085))
            .with_car(CarSettings::default()),
    ]);
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let mut page = Page::open(folder.path()).expect("a queue");
    page.command("chargeNow").expect("it takes a request");
    let config = config_with(&bus.port(), &json!({"control": {"IPC": {"enabled": true}}}));
    let mut program = Program::start_in(Arc::clone(&folder), &config);
    program.wait_for_log("1 requests came before the start and are not obeyed");

    let mut status = || eventually("the page gets a status", || page.query("getStatus", PATIENCE).ok());
    until("the connector is seen", || status().contains("`0`1`4085~"));
    assert!(status().starts_with("0.00`32.00`6.00`0.00`0`"), "nobody asked for anything yet");
    page.command("setNonScheduledAmps=10").expect("it takes a request");
    let mut status = || eventually("the page gets a status", || page.query("getStatus", PATIENCE).ok());
    until("it is stored", || status().contains("`6.00`0.00`10`0`"));
    page.command("chargeNow").expect("it takes a request");
    until("32 A on the wire", || bus.limit(0) == 32.0);
    let dump = page.long_query("dumpState", Duration::from_secs(10)).expect("a long reply");
    assert!(dump.contains("currentPolicy=Charge Now: "), "{dump}");
    page.command("chargeNowCancel").expect("it takes a request");
    let mut status = || eventually("the page gets a status", || page.query("getStatus", PATIENCE).ok());
    until("Charge Now ends", || status().contains("`6.00`0.00`10`0`"));

    page.command("sendTWCMsg=FC19").expect("it takes a request");
    program.wait_for_log("sendTWCMsg is not obeyed: ");
    page.command("sendTWCMsg=FBEE77774085").expect("it takes a request");
    until("the connector answers", || {
        page.query("getLastTWCMsgResponse", PATIENCE).is_ok_and(|text| text.starts_with("FD EE 40 85 "))
    });

    program.signal("-TERM");
    assert_eq!(program.wait(), Some(0));
}
