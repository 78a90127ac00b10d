//! One run of the program: bounded in time and size, and nothing of it is left behind.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Most that is read of either output; a state of charge has some two thousand bytes.
const MOST_BYTES: u64 = 64 * 1024;
/// Pause between two looks at a run that takes seconds.
const LOOK: Duration = Duration::from_millis(20);
/// Output is there once the program is gone; this is for one that hands its output on to others.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(500);

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Ran {
    /// By itself.
    Ended { is_success: bool, stdout: String, stderr: String },
    /// It took too long, and was killed.
    TimedOut,
    /// The source ends, and it was killed.
    Stopped,
    /// It did not begin.
    NotStarted(io::Error),
}

/// Runs the program in a process group of its own. Blocks until it ends, for `limit` at most; everything that it started is
/// killed then.
pub(crate) fn run(program: &Path, args: &[&OsStr], limit: Duration, is_over: &dyn Fn() -> bool) -> Ran {
    let deadline = Instant::now() + limit;
    let mut command = Command::new(program);
    command.args(args).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // It would take tokens, keys and verbosity from these.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TESLA_")) {
        command.env_remove(name);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ran::NotStarted(error),
    };
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let group = Pid::from_child(&child);
    let ended = loop {
        if has_ended(group) {
            break None;
        }
        if is_over() {
            break Some(Ran::Stopped);
        }
        if Instant::now() >= deadline {
            break Some(Ran::TimedOut);
        }
        std::thread::sleep(LOOK);
    };
    // Before it is taken off the system's list, so that the group's number cannot mean another group yet.
    if let Err(error) = kill_process_group(group, Signal::KILL) {
        log::debug!("the process group {group:?} cannot be killed: {error}");
    }
    let is_success = reap(&mut child);
    ended.unwrap_or_else(|| Ran::Ended { is_success, stdout: text(&stdout), stderr: text(&stderr) })
}

/// Whether it has ended, without taking it off the system's list. When that cannot be told, it is as good as ended.
fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

fn reap(child: &mut Child) -> bool {
    child.wait().is_ok_and(|status| status.success())
}

/// Reads an output to its end, or until it is too much.
fn collect(output: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    let Some(output) = output else { return receiver };
    let read = move || {
        let mut bytes = Vec::new();
        if let Err(error) = output.take(MOST_BYTES).read_to_end(&mut bytes) {
            log::debug!("the output of tesla-control cannot be read to its end: {error}");
        }
        // Nobody waits for it any more when the run was killed.
        let _ = sender.send(bytes);
    };
    if let Err(error) = std::thread::Builder::new().name("tesla-control".to_owned()).spawn(read) {
        log::debug!("no thread for the output of tesla-control: {error}");
    }
    receiver
}

fn text(output: &Receiver<Vec<u8>>) -> String {
    let bytes = output.recv_timeout(OUTPUT_PATIENCE).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(120);

    fn sh(script: &str, limit: Duration, is_over: bool) -> Ran {
        run(Path::new("/bin/sh"), &[OsStr::new("-c"), OsStr::new(script)], limit, &|| is_over)
    }

    #[test]
    fn what_it_prints_and_how_it_ends_is_told() {
        let Ran::Ended { is_success, stdout, stderr } = sh("echo out; echo err >&2", LONG, false) else { panic!() };
        assert_eq!((is_success, &*stdout, &*stderr), (true, "out\n", "err\n"));
        assert!(matches!(sh("exit 1", LONG, false), Ran::Ended { is_success: false, .. }));
        assert!(matches!(run(Path::new("/no/such"), &[], LONG, &|| false), Ran::NotStarted(_)));
        let Ran::Ended { stdout, .. } = sh("head -c 100000 /dev/zero", LONG, false) else { panic!() };
        assert_eq!(stdout.len(), 65_536);
    }

    #[test]
    fn it_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        // However slow this computer is: until the number is written.
        let is_written = || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'));
        let ran = run(Path::new("/bin/sh"), &[OsStr::new("-c"), OsStr::new(&script)], LONG, &is_written);
        assert!(matches!(ran, Ran::Stopped));
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + LONG;
        let is_alive = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while is_alive() {
            assert!(Instant::now() < deadline, "what it had started lives on");
            std::thread::sleep(LOOK);
        }
        assert!(matches!(sh("sleep 600", Duration::from_millis(1), false), Ran::TimedOut));
    }
}
