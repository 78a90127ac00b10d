//! Brokers of either kind.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Mini;

/// A broker that ends with this value and can be started again on its port; it forgets everything when it ends.
pub trait Peer {}
impl Peer for Mini {}
impl Peer for Mosquitto {}

/// A broker that takes everyone: `own` or `mosquitto`.
#[must_use]
pub fn start(kind: &str, port: u16) -> Box<dyn Peer> {
    match kind {
        "own" => Box::new(Mini::start(port)),
        _ => Box::new(Mosquitto::start(port, "allow_anonymous true\n")),
    }
}

/// The kinds that can run here.
#[must_use]
pub fn kinds() -> Vec<&'static str> {
    if mosquitto_path().is_some() { vec!["own", "mosquitto"] } else { vec!["own"] }
}

/// Where mosquitto is, if it is installed.
#[must_use]
pub fn mosquitto_path() -> Option<&'static str> {
    let found = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    if found.is_none() {
        eprintln!("SKIPPED: mosquitto is not installed, so only the broker inside the test is used");
    }
    found
}

/// Mosquitto as a process of its own; ends with this value.
pub struct Mosquitto {
    child: Child,
    directory: PathBuf,
}

impl Mosquitto {
    /// Starts one on loopback, with these lines in its configuration.
    #[must_use]
    pub fn start(port: u16, settings: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("mqtt-rig-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let config = directory.join("mosquitto.conf");
        std::fs::write(&config, format!("user root\nlistener {port} 127.0.0.1\npersistence false\n{settings}"))
            .unwrap();
        let child = Command::new(mosquitto_path().unwrap())
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, directory }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
