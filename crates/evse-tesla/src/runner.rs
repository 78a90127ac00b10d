//! The thread: waits for mail or a deadline, and gives the fleet its turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::controller::NAME;
use crate::fleet::Fleet;

/// Pauses after a panic, the last for ever after.
const RESTARTS: [u64; 4] = [1, 5, 30, 300];

/// Runs until it shall stop; a panic is logged and the fleet begun anew with what was kept.
pub(crate) fn supervise(mut fleet: Fleet) {
    let mailbox = fleet.mailbox();
    let mut failures = 0;
    while catch_unwind(AssertUnwindSafe(|| run(&mut fleet))).is_err() {
        let wait = RESTARTS.get(failures).or(RESTARTS.last()).copied().unwrap_or(300);
        failures += 1;
        log::error!("{NAME}: the thread failed (see the panic above) and starts anew in {wait} s; please report this");
        let until = Instant::now() + Duration::from_secs(wait);
        while !mailbox.must_stop() && Instant::now() < until {
            // What arrives meanwhile is about a state that is gone.
            drop(mailbox.take(until));
        }
        fleet.begin_anew(Instant::now());
    }
    mailbox.end();
}

fn run(fleet: &mut Fleet) {
    let mailbox = fleet.mailbox();
    loop {
        let mail = mailbox.take(fleet.next_timeout());
        if mail.stop {
            return;
        }
        let today = (fleet.settings().today)();
        fleet.take(mail, Instant::now(), today);
    }
}
