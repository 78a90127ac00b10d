//! Real programs: what they print is read, and they end when they should.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ems::{Attribute, Ems, EmsError, EmsErrorKind, EmsReading, Section, Shared, Stop, StopHandle};
use serde_json::{Value, json};

/// For what takes milliseconds on an idle computer.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(options: Value) -> Box<dyn Ems> {
    let Value::Object(options) = options else { panic!("not an object") };
    let mut section = Section::new("sources.Exec", options);
    let driver = (ems_exec::DRIVER.open)(&mut section, &Shared::new());
    driver.unwrap_or_else(|| panic!("{:?}", section.problems()))
}

fn shell(script: &str, timeout: u32) -> Box<dyn Ems> {
    open(
        json!({"command": "/bin/sh", "args": ["-c", script], "timeout": timeout, "env": {"SECRET": "hunter2-hunter2"}}),
    )
}

/// Reads until a reading passes, errors aside.
fn read_until(
    driver: &mut dyn Ems,
    is_wanted: impl Fn(&Result<EmsReading, EmsError>) -> bool,
) -> Result<EmsReading, EmsError> {
    let handle = StopHandle::new();
    let stop = handle.stop();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let result = driver.read(&stop);
        if is_wanted(&result) {
            return result;
        }
    }
    panic!("nothing of the kind came");
}

fn grid(reading: &EmsReading) -> Option<f64> {
    reading.grid.map(|watts| watts.get())
}

fn pid(reading: &EmsReading, name: &str) -> i32 {
    match reading.attributes.get(name) {
        Some(Attribute::Number(pid)) => format!("{pid:.0}").parse().expect("a whole number"),
        other => panic!("{name} is {other:?}"),
    }
}

/// Whether a process is there and not only waiting to be fetched by the system.
fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn assert_gone(pid: i32) {
    let deadline = Instant::now() + PATIENCE;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "process {pid} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Children of this process that ended and were not fetched.
fn zombies() -> Vec<String> {
    let me = format!(" {} ", std::process::id());
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    processes
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(&format!(" Z{me}"))))
        .collect()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/ems-driver/scripts")
}

#[test]
fn lines_are_pushed_and_all_ends_with_the_driver() {
    let script =
        "echo not JSON; sleep 1000 & echo '{\"grid_w\": -350, \"attributes\": {\"pid\": '$$', \"child\": '$!'}}'; wait";
    let mut driver = shell(script, 60);
    let reading = read_until(&mut *driver, Result::is_ok).unwrap();
    assert_eq!(grid(&reading), Some(-350.0));
    drop(driver);
    assert_gone(pid(&reading, "pid"));
    assert_gone(pid(&reading, "child"));
}

#[test]
fn one_that_does_not_listen_to_sigterm_is_killed() {
    let script = "trap '' TERM HUP INT; echo '{\"attributes\": {\"pid\": '$$'}}'; while :; do sleep 1; done";
    let mut driver = shell(script, 60);
    let reading = read_until(&mut *driver, Result::is_ok).unwrap();
    drop(driver);
    assert_gone(pid(&reading, "pid"));
}

#[test]
fn one_that_dies_is_told_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("second");
    // The first time it fails, from then on it works: what the child process of the script holds open must not matter.
    let script = format!(
        "if [ -e {0} ]; then echo '{{\"grid_w\": 7}}'; sleep 1000; else touch {0}; echo no $SECRET >&2; sleep 1000 & exit 3; fi",
        flag.display()
    );
    let mut driver = shell(&script, 60);
    let error = read_until(&mut *driver, Result::is_err).unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("no ***"), "{error}");
    assert_eq!(grid(&read_until(&mut *driver, Result::is_ok).unwrap()), Some(7.0));
}

#[test]
fn one_that_hangs_is_killed() {
    let mut driver = shell("echo '{\"attributes\": {\"pid\": '$$'}}'; exec sleep 1000", 1);
    let reading = read_until(&mut *driver, Result::is_ok).unwrap();
    // Nobody reads meanwhile: it must be killed all the same.
    assert_gone(pid(&reading, "pid"));
    let error = read_until(&mut *driver, Result::is_err).unwrap_err().to_string();
    assert!(error.contains("no line within 1 s") && error.contains("sources.Exec.timeout"), "{error}");
}

#[test]
fn the_last_words_of_a_program_count() {
    let mut driver = shell("echo '{\"grid_w\": 1}'; printf unfinished >&2; exit 0", 60);
    let first = read_until(&mut *driver, |_| true);
    // The reading may already be replaced by what came after it.
    if let Ok(reading) = first {
        assert_eq!(grid(&reading), Some(1.0));
    }
    let error = read_until(&mut *driver, Result::is_err).unwrap_err().to_string();
    assert!(error.contains("exit status: 0") && error.contains("unfinished"), "{error}");
}

#[test]
fn lines_that_are_no_readings_are_an_error_with_their_count() {
    let mut driver = shell("while :; do echo '{\"grid\": 5}'; sleep 0.05; done", 60);
    let error = read_until(&mut *driver, Result::is_err).unwrap_err();
    assert_eq!(error.kind(), EmsErrorKind::Garbled);
    assert!(error.to_string().contains("`grid`") && error.to_string().contains("bad ones"), "{error}");
}

#[test]
fn a_flood_is_read_and_stopped() {
    let mut driver = shell("yes '{\"grid_w\": 1}' & yes trouble >&2 & wait", 60);
    for _ in 0..5 {
        assert_eq!(grid(&read_until(&mut *driver, Result::is_ok).unwrap()), Some(1.0));
    }
}

#[test]
fn programs_that_cannot_be_started_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let no_script = folder.path().join("meter");
    std::fs::write(&no_script, "no program at all").unwrap();
    let attempt = |command: &Path| {
        let error = open(json!({"command": command})).read(&Stop::never()).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, text) = attempt(Path::new("/nowhere/meter"));
    assert!(kind == EmsErrorKind::Misconfigured && text.contains("sources.Exec.command"), "{text}");
    assert!(attempt(&no_script).1.contains("chmod +x"));
    Command::new("chmod").arg("+x").arg(&no_script).status().unwrap();
    assert!(attempt(&no_script).1.contains("#!/bin/sh"));
}

#[test]
fn asked_to_stop_it_stops() {
    let mut driver = shell("sleep 1000", 60);
    let handle = StopHandle::new();
    let stop = handle.stop();
    let reader = std::thread::spawn(move || driver.read(&stop).unwrap_err().kind());
    handle.end();
    assert_eq!(reader.join().unwrap(), EmsErrorKind::Stopped);
}

#[test]
fn the_examples_work() {
    let folder = tempfile::tempdir().unwrap();
    let meter = folder.path().join("meter.txt");
    std::fs::write(&meter, "-350.5\n").unwrap();
    let mut commands = vec!["meter.sh"];
    match Command::new("python3").arg("--version").stdout(Stdio::null()).status() {
        Ok(status) if status.success() => commands.push("meter.py"),
        _ => eprintln!("no python3 here: the Python example is not tested"),
    }
    for command in commands {
        let mut driver = open(json!({"command": scripts().join(command), "args": [meter]}));
        assert_eq!(grid(&read_until(&mut *driver, Result::is_ok).unwrap()), Some(-350.5), "{command}");
    }
}

#[test]
fn nothing_is_left_behind_as_a_zombie() {
    let mut driver = shell("sleep 1000 & echo '{\"grid_w\": 1}'; exit 0", 60);
    let _ = read_until(&mut *driver, Result::is_err);
    drop(driver);
    let deadline = Instant::now() + PATIENCE;
    // Other tests end processes at the same time, which are zombies for a moment.
    while !zombies().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", zombies());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Name of the variable that makes the next test the parent that gets killed.
const PARENT: &str = "EMS_EXEC_PARENT";

#[test]
fn as_parent() {
    if std::env::var_os(PARENT).is_none() {
        return;
    }
    let script =
        "trap '' TERM; sleep 1000 & echo '{\"attributes\": {\"pid\": '$$', \"child\": '$!'}}'; wait; sleep 1000";
    let mut driver = shell(script, 600);
    let reading = read_until(&mut *driver, Result::is_ok).unwrap();
    let mut output = std::io::stdout();
    writeln!(output, "\npids {} {}", pid(&reading, "pid"), pid(&reading, "child")).unwrap();
    output.flush().unwrap();
    let _ = driver.read(&Stop::never());
}

#[test]
fn when_the_parent_is_killed_the_program_ends_too() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["as_parent", "--exact", "--nocapture"])
        .env(PARENT, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("pids ")).expect("the parent says so");
    let pids: Vec<i32> = line.split(' ').skip(1).map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    // SIGKILL: the parent can do nothing about it.
    parent.kill().unwrap();
    parent.wait().unwrap();
    pids.into_iter().for_each(assert_gone);
}
