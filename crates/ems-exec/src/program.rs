//! A program in a process group of its own, and the end of all of it.
//!
//! The group is led by a guard: a shell that waits for the end of its standard input and then kills the group. The other
//! end of that pipe is ours, so the group ends with us however we end, `kill -9` included. (Linux can signal a child
//! when its parent dies, but a child has to ask for that between `fork` and `exec`, which needs unsafe code.)
//! The guard also keeps the group's number from being used anew while we may still send it a signal.

use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ems::{EmsError, EmsErrorKind};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpgid};

/// What the guard runs. It survives its own SIGTERM, so that whoever needs longer gets the SIGKILL too.
const GUARD: &str = "trap '' TERM; read -r line; kill -TERM 0; sleep 1; kill -KILL 0";
const SHELL: &str = "/bin/sh";

/// Time to end by itself after SIGTERM, and again to be gone after SIGKILL, and again for what it had started.
const GRACE: Duration = Duration::from_millis(250);
/// Pause between two looks at a process that is about to end.
const LOOK: Duration = Duration::from_millis(5);

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Path of the section, for messages.
    pub source: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What is added to its environment.
    pub env: Vec<(String, String)>,
    /// Silence after which it is killed.
    pub timeout: Duration,
}

/// A running program. Dropping it ends it, and everything that it started in its group.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    group: Pid,
    /// Open as long as we live: see the page's top.
    _guard: Child,
    stdin: Option<ChildStdin>,
    /// What it prints.
    pub stdout: ChildStdout,
    /// What it says.
    pub stderr: ChildStderr,
    has_ended: bool,
}

impl Program {
    /// Starts it.
    pub fn start(settings: &Settings) -> Result<Self, EmsError> {
        use std::os::unix::process::CommandExt as _;
        let guard = Command::new(SHELL)
            .args(["-c", GUARD])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(|error| {
                EmsError::retry(format!("{SHELL} cannot be started: {error}; it is needed to end the program with us"))
            })?;
        let group = Pid::from_child(&guard);
        let started = Command::new(&settings.command)
            .args(&settings.args)
            .envs(settings.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(group.as_raw_pid())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                end_group(group, None);
                return Err(cannot_start(settings, &error));
            }
        };
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (stdin, Some(stdout), Some(stderr)) => {
                Ok(Program { child, group, _guard: guard, stdin, stdout, stderr, has_ended: false })
            }
            // All three were asked for above.
            _ => {
                end_group(group, Some(&mut child));
                Err(EmsError::retry("the program's output cannot be read; please report it"))
            }
        }
    }

    /// How it ended, if it did.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits a moment for its own end: one that has closed its output is about to.
    pub fn wait_for_end(&mut self) {
        drop(self.stdin.take());
        wait_until(&mut || self.exit_status().is_some());
    }

    /// Ends it: asked first, killed after a moment.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            drop(self.stdin.take());
            end_group(self.group, Some(&mut self.child));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends a group and takes all of it off the system's list: nothing stays behind as a zombie. Three graces at most.
fn end_group(group: Pid, mut child: Option<&mut Child>) {
    let mut is_gone = || child.as_deref_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
    if !is_gone() {
        signal(group, Signal::TERM);
        wait_until(&mut is_gone);
    }
    signal(group, Signal::KILL);
    wait_until(&mut is_gone);
    // The guard, and (where we are process 1 of a container) the program's own children that it left behind.
    wait_until(&mut || {
        loop {
            match waitpgid(group, WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    });
}

fn signal(group: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(group, signal) {
        log::debug!("the process group {group:?} cannot be signalled: {error}");
    }
}

fn wait_until(is_done: &mut dyn FnMut() -> bool) {
    let deadline = Instant::now() + GRACE;
    while !is_done() && Instant::now() < deadline {
        std::thread::sleep(LOOK);
    }
}

fn cannot_start(settings: &Settings, error: &std::io::Error) -> EmsError {
    /// `ENOEXEC`: neither a program for this computer nor a script with its first line.
    const NO_PROGRAM: i32 = 8;
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "write its whole path, and see that its first line (`#!`) names what is installed"
        }
        std::io::ErrorKind::PermissionDenied => "make it executable with `chmod +x` for the user of this program",
        _ if error.raw_os_error() == Some(NO_PROGRAM) => "begin a script with `#!/bin/sh` or the like",
        _ => return EmsError::retry(format!("{}.command cannot be started: {error}", settings.source)),
    };
    let text = format!("{}.command `{}` cannot be started: {error}; {help}", settings.source, settings.command);
    EmsError::new(EmsErrorKind::Misconfigured, text)
}
