//! The real binary.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::eventually;

/// The binary that belongs to this build; built first when it is not there or not up to date.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // target/<profile>/deps/<this test>: the binary lies two floors up.
        let test = std::env::current_exe().expect("the path of this test");
        let folder = test.ancestors().nth(2).expect("the target folder").to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "twcmanager", "--bin", "twcmanager"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status().expect("cargo runs");
        assert!(status.success(), "the binary cannot be built");
        folder.join("twcmanager")
    })
}

/// A configuration for tests: one bus at `port`, 230 V on three phases, 32 A, an HTTP port that the system chose, and
/// delays as short as they can be; `more` is laid over it, section by section.
///
/// # Panics
/// When `more` is not an object of objects.
#[must_use]
pub fn config_with(port: &str, more: &Value) -> Value {
    let mut config = json!({
        "config": {
            "wiringMaxAmpsAllTWCs": 32, "wiringMaxAmpsPerTWC": 32, "minAmpsPerTWC": 6, "defaultVoltage": 230,
            "numberOfPhases": 3, "subtractChargerLoad": true, "startStopDelay": 1, "fakeMaster": 1
        },
        "interface": {"RS485": {"enabled": true, "port": port}},
        "control": {"HTTP": {"enabled": true, "listenPort": free_port()}},
        "policy": {"engine": {"policyCheckInterval": 1}},
        "sources": {}
    });
    for (section, values) in more.as_object().expect("an object of sections") {
        for (key, value) in values.as_object().expect("a section") {
            config[section][key] = value.clone();
        }
    }
    config
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Runs the binary to its end and gives what it printed.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run_to_end(args: &[&str]) -> Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().expect("the binary runs")
}

/// `twcmanager run` with a configuration of its own, killed when dropped. Its folder stays for a second start.
pub struct Program {
    child: Child,
    folder: Arc<TempDir>,
    port: u16,
    lines: Mutex<Receiver<String>>,
    output: Arc<Mutex<String>>,
}

impl Program {
    /// Starts it in a fresh folder and waits until its page answers.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(config: &Value) -> Program {
        Program::start_in(Arc::new(TempDir::new().expect("a folder")), config)
    }

    /// Starts it in a folder that another one used.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_in(folder: Arc<TempDir>, config: &Value) -> Program {
        let mut config = config.clone();
        config["config"]["settingsPath"] = json!(folder.path());
        let file = folder.path().join("config.json");
        std::fs::write(&file, config.to_string()).expect("the configuration is written");
        Program::start_with_file(folder, &file, &config)
    }

    /// Starts it when the port of `config` is in use by somebody else, so that it serves at one of the next, which it says.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_at_next_port(config: &Value) -> Program {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let mut config = config.clone();
        config["config"]["settingsPath"] = json!(folder.path());
        let file = folder.path().join("config.json");
        std::fs::write(&file, config.to_string()).expect("the configuration is written");
        let mut program = Program::spawn(folder, &file, &config);
        let line = program.wait_for_log("the page is at http://");
        let port = line.trim_end().trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        program.port = port.expect("the port that it says");
        eventually("the page answers", || program.try_get("/healthz"));
        program
    }

    /// Starts it with a file that stands already; `config` tells where its page will be.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with_file(folder: Arc<TempDir>, file: &Path, config: &Value) -> Program {
        let program = Program::spawn(folder, file, config);
        eventually("the page answers", || program.try_get("/healthz"));
        program
    }

    fn spawn(folder: Arc<TempDir>, file: &Path, config: &Value) -> Program {
        let mut child = Command::new(binary())
            .arg("run")
            .arg("--config")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = child.stdout.take().expect("its standard output");
        let errors = child.stderr.take().expect("its standard error");
        let output = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        listen(log, &output, Some(sender));
        listen(errors, &output, None);
        let port = config["control"]["HTTP"]["listenPort"].as_u64().and_then(|port| u16::try_from(port).ok());
        Program { child, folder, port: port.expect("a port"), lines: Mutex::new(lines), output }
    }

    /// Waits for a log line that contains `text`.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for_log(&self, text: &str) -> String {
        let lines = self.lines.lock().expect("the log");
        eventually(&format!("the log says `{text}`"), || lines.try_iter().find(|line| line.contains(text)))
    }

    /// All that it printed so far, on standard output and standard error.
    ///
    /// # Panics
    /// When a thread that listens failed.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().expect("the output").clone()
    }

    /// Its folder, to look into or to start another one in.
    #[must_use]
    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// The address of its page.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What a path answers, as JSON.
    ///
    /// # Panics
    /// When it does not answer with JSON.
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        let text = self.try_get(path).unwrap_or_else(|| panic!("{path} does not answer"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path} answers {text:?}: {error}"))
    }

    fn try_get(&self, path: &str) -> Option<String> {
        let answer = ureq::get(self.url(path)).config().timeout_global(Some(Duration::from_secs(10))).build().call();
        answer.ok()?.body_mut().read_to_string().ok()
    }

    /// Posts JSON and gives the status code.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub fn post(&self, path: &str, body: &Value) -> u16 {
        let answer = ureq::post(self.url(path))
            .config()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .header("Content-Type", "application/json")
            .send(body.to_string());
        answer.unwrap_or_else(|error| panic!("{path}: {error}")).status().as_u16()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        self.get("/api/v2/snapshot")
    }

    /// One charging point of the snapshot, as soon as it is there.
    #[must_use]
    pub fn evse(&self, id: &str) -> Option<Value> {
        let snapshot = self.snapshot();
        snapshot["evses"].as_array()?.iter().find(|evse| evse["id"] == id).cloned()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When `kill` does not run.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(name).arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end and gives the exit code; `None` when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        eventually("the program ends", || self.child.try_wait().ok().flatten()).code()
    }
}

/// Keeps what comes, and passes lines on to whoever waits for one.
fn listen(from: impl Read + Send + 'static, output: &Arc<Mutex<String>>, lines: Option<Sender<String>>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            println!("{line}");
            let mut output = output.lock().expect("the output");
            output.push_str(&line);
            output.push('\n');
            drop(output);
            // The program goes on when nobody waits for lines any more.
            let _ = lines.as_ref().map(|lines| lines.send(line));
        }
    });
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
