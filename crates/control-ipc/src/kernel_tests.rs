//! The whole, over real queues of the kernel.

use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use site::{Command, SitePort};
use tempfile::TempDir;
use twc_names::testing::{FakeSite, snapshot};

use crate::testing::Page;
use crate::{ControlIpc, IpcConfig};

const GENEROUS: Duration = Duration::from_secs(20);

struct Rig {
    folder: TempDir,
    site: Arc<FakeSite>,
    // The queue is removed last, so that the end of the thread is an ordinary one.
    control: Option<ControlIpc>,
    page: Page,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(|_| {})
    }

    /// What `before` puts into the queue waits there when serving begins.
    fn with(before: impl FnOnce(&Page)) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let page = Page::open(folder.path()).unwrap();
        before(&page);
        let site = Arc::new(FakeSite::new(snapshot(), json!({})));
        let port: Arc<dyn SitePort> = Arc::clone(&site) as _;
        let control = ControlIpc::start(IpcConfig { folder: folder.path().into() }, port, None).unwrap();
        Rig { folder, site, control: Some(control), page }
    }

    /// Asks until there is an answer: what comes before serving begins is thrown away.
    fn wait_until_served(&mut self) {
        eventually(|| self.page.query("getStatus", Duration::from_millis(200)).is_ok());
    }
}

fn eventually(mut what: impl FnMut() -> bool) {
    let until = Instant::now() + GENEROUS;
    while !what() {
        assert!(Instant::now() < until, "in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_page_asks_and_commands() {
    let mut rig = Rig::new();
    rig.wait_until_served();
    let status = rig.page.query("getStatus", GENEROUS).unwrap();
    assert!(status.starts_with("8.73`32.00`6.00`0.00`0`0`-1:00`"), "{status}");
    rig.page.command("setNonScheduledAmps=16").unwrap();
    let expected = Command::SetSetting { key: "nonScheduledAmpsMax".to_owned(), value: json!(16) };
    assert_eq!(rig.site.taken_within(GENEROUS), [expected]);
    rig.page.command("chargeNow").unwrap();
    assert!(matches!(rig.site.taken_within(GENEROUS)[..], [Command::ChargeNow { .. }]));
    let status = rig.page.query("getStatus", GENEROUS).unwrap();
    assert!(status.starts_with("8.73`32.00`6.00`32.00`16`"), "{status}");
    assert_eq!(rig.page.query("getLastTWCMsgResponse", GENEROUS).unwrap(), "None");
    let dump = rig.page.long_query("dumpState", GENEROUS).unwrap();
    assert!(dump.len() > 290 && dump.contains("slaveTWCRoundRobin:\n"), "more than a packet: {dump}");
}

#[test]
fn garbage_is_counted_and_ignored() {
    let mut rig = Rig::new();
    rig.wait_until_served();
    for garbage in [&b""[..], b"junk", b"123456", b"123456\xFF\xFE", &[b'x'; 512]] {
        assert!(rig.page.put(2, garbage).unwrap());
    }
    assert!(rig.page.put(9, b"123456getStatus").unwrap(), "another type");
    rig.page.command("carApiEmailPassword=me@example.org\nsecret").unwrap();
    rig.page.command("chargeNow=").unwrap();
    // Requests are served in order, so all of the above has been seen to when this is answered.
    rig.page.query("getStatus", GENEROUS).unwrap();
    assert_eq!(rig.control.as_ref().unwrap().ignored(), 6);
    assert_eq!(rig.site.taken(), []);
}

#[test]
fn a_queue_that_vanishes_is_made_again() {
    let mut rig = Rig::new();
    rig.wait_until_served();
    for _ in 0..2 {
        rig.page.remove().unwrap();
        // Whoever is first makes it: the page does it as well.
        eventually(|| {
            let Ok(mut page) = Page::open(rig.folder.path()) else { return false };
            let is_served = page.query("getStatus", Duration::from_millis(200)).is_ok();
            std::mem::swap(&mut rig.page, &mut page);
            std::mem::forget(page);
            is_served
        });
    }
}

#[test]
fn what_waited_before_the_start_is_not_obeyed() {
    let mut rig = Rig::with(|page| {
        page.command("chargeNow").unwrap();
        page.command("setNonScheduledAmps=32").unwrap();
    });
    rig.wait_until_served();
    assert_eq!(rig.site.taken(), []);
    rig.page.command("chargeNowCancel").unwrap();
    assert_eq!(rig.site.taken_within(GENEROUS), [Command::CancelChargeNow]);
}

#[test]
fn it_ends_while_it_waits_and_with_a_full_queue() {
    let mut rig = Rig::new();
    rig.wait_until_served();
    rig.control.take().unwrap().shutdown();
    assert!(rig.page.query("getStatus", Duration::from_millis(50)).is_err(), "nobody is there");

    let mut rig = Rig::new();
    rig.wait_until_served();
    while rig.page.put(1, &[b'x'; 290]).unwrap() {}
    while rig.page.put(1, b"").unwrap() {}
    rig.control.take().unwrap().shutdown();
}

#[test]
fn it_ends_while_the_queue_cannot_be_had() {
    let site: Arc<dyn SitePort> = Arc::new(FakeSite::new(snapshot(), json!({})));
    let config = IpcConfig { folder: "/nowhere/at/all".into() };
    ControlIpc::start(config, site, None).unwrap().shutdown();
}

/// The page as a program of its own, which knows nothing of this crate: `ftok`, `msgsnd` and `msgrcv` of the C library, and
/// the bytes as Python packs them.
const PEER: &str = r#"
import ctypes, os, struct, sys, time
c = ctypes.CDLL(None, use_errno=True)
c.ftok.restype = ctypes.c_int
c.msgrcv.restype = ctypes.c_ssize_t
c.msgrcv.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long, ctypes.c_int]
c.msgsnd.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
NOWAIT = 0o4000
queue = c.msgget(c.ftok(sys.argv[1].encode(), ord('T')), 0o666)
assert queue >= 0, os.strerror(ctypes.get_errno())

def send(stamp, number, text):
    body = struct.pack('=LH', stamp, number) + text
    packed = ctypes.create_string_buffer(struct.pack('@l', 2) + body)
    assert c.msgsnd(queue, packed, len(body), NOWAIT) == 0

def receive():
    room = ctypes.create_string_buffer(8 + 300)
    while True:
        got = c.msgrcv(queue, room, 300, 1, NOWAIT)
        if got >= 0:
            head = struct.calcsize('@l')
            body = room.raw[head:head + got]
            return struct.unpack('=LH', body[:6]) + (body[6:],)
        time.sleep(0.01)

send(1234567890, 4711, b'getStatus')
print(*receive())
send(7, 65535, b'dumpState')
stamp, number, count = receive()
packets = [receive() for _ in range(count[0])]
print(stamp, number, len(packets), {packet[:2] for packet in packets}, len(packets[0][2]))
send(0, 0, b'setScheduledAmps=16\nstartTime=22:15\nendTime=06:00\ndays=31')
"#;

#[test]
fn a_program_that_knows_only_the_c_library_is_understood() {
    let mut rig = Rig::new();
    rig.wait_until_served();
    let Some(printed) = python(PEER, rig.folder.path()) else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let expected = "1234567890 4711 b'8.73`32.00`6.00`0.00`0`0`-1:00`-1:00`127`-1:00`0`2`3A7C~40.0~8.00~8~1`4085~40.0~0.00~0~0'\n\
                    7 65535 2 {(7, 65535)} 290\n";
    assert_eq!(printed, expected);
    let taken = rig.site.taken_within(GENEROUS);
    assert!(matches!(&taken[..], [Command::SetSettings(changes)] if changes.len() == 4), "{taken:?}");
}

fn python(script: &str, folder: &Path) -> Option<String> {
    let child = Process::new("python3").arg("-").arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok();
    let mut child = child?;
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script fails");
    Some(String::from_utf8(output.stdout).unwrap())
}
