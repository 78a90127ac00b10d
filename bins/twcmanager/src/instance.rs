//! One program for each folder of settings: `TWCManager.pid`, as TWCManager names it, and a lock on it.
//!
//! Two programs with the same folder would both steer the bus. The lock ends with the process however that ends, so a file
//! that was left behind is no hindrance. It is not removed at the end: another program may be about to lock it.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Name of the file.
const NAME: &str = "TWCManager.pid";

/// The lock; another program may run when this is dropped.
pub struct Instance {
    _file: Option<File>,
}

impl Instance {
    /// Claims `folder` for this process and writes its number there.
    ///
    /// # Errors
    /// A sentence that names the process that has it. A folder that cannot be written is only warned of.
    pub fn claim(folder: &Path) -> Result<Instance, String> {
        if let Some(warning) = stranger(folder) {
            log::warn!("{warning}");
        }
        let path = folder.join(NAME);
        let opened = std::fs::create_dir_all(folder)
            .and_then(|()| File::options().read(true).write(true).create(true).truncate(false).mode(0o644).open(&path));
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                log::warn!(
                    "{} cannot be written ({error}), so a second program would not be noticed; let this user write \
                     to the folder named in config.settingsPath",
                    path.display()
                );
                return Ok(Instance { _file: None });
            }
        };
        let mut text = String::new();
        // What is no text is no number either.
        let _ = (&file).take(32).read_to_string(&mut text);
        let before: Option<u32> = text.trim().parse().ok();
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let who = before.map_or_else(|| "a process".to_owned(), |id| format!("process {id}"));
                return Err(format!(
                    "another twcmanager ({who}) already uses {}; stop it, or name another config.settingsPath",
                    folder.display()
                ));
            }
            Err(error) => {
                log::warn!("{} cannot be locked ({error}); a second program would not be noticed", path.display())
            }
        }
        if let Some(id) = before.filter(|id| *id != std::process::id() && is_older_program(*id)) {
            return Err(format!(
                "the older TWCManager (process {id}) still runs with {}; stop it first (`systemctl disable --now \
                 twcmanager`, or `kill -INT {id}`): two controllers on one bus stop all charging",
                folder.display()
            ));
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
        if let Err(error) = written {
            log::warn!("{} cannot be written: {error}", path.display());
        }
        Ok(Instance { _file: Some(file) })
    }
}

/// What to say when root writes into a folder that belongs to somebody else: what it makes there the service cannot read.
pub fn stranger(folder: &Path) -> Option<String> {
    let owner = std::fs::metadata(folder).ok()?.uid();
    (owner != 0 && rustix::process::geteuid().is_root()).then(|| {
        format!(
            "this is root, and {} belongs to another user: files that are made now cannot be read by the service; use \
             `sudo -u twcmanager twcmanager …` instead, and `sudo chown -R twcmanager: {}` mends what was done",
            folder.display(),
            folder.display()
        )
    })
}

/// Whether a process is the Python program, which takes no lock.
fn is_older_program(id: u32) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{id}/cmdline")) else { return false };
    let line = String::from_utf8_lossy(&line);
    line.contains("python") && (line.contains("TWCManager") || line.contains("twcmanager"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_program_is_refused_and_a_stale_file_is_not_minded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        std::fs::write(&file, "4194399999").unwrap();
        let first = Instance::claim(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), std::process::id().to_string());
        let refusal = Instance::claim(folder.path()).err().unwrap();
        assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
        assert!(refusal.contains("config.settingsPath"), "{refusal}");
        drop(first);
        assert!(Instance::claim(folder.path()).is_ok());
    }

    #[test]
    fn root_is_warned_of_a_folder_that_belongs_to_another() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(stranger(folder.path()), None, "its own");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
            assert!(stranger(folder.path()).unwrap().contains("sudo -u twcmanager"));
        }
    }

    #[test]
    fn a_folder_is_made_when_it_is_missing_and_done_without_when_it_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Instance::claim(&folder.path().join("new")).is_ok());
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(Instance::claim(&folder.path().join("file")).is_ok());
    }

    #[test]
    fn the_older_program_is_known_by_its_command_line() {
        let folder = tempfile::tempdir().unwrap();
        // Stands in for `python3 -m TWCManager`: a process whose arguments say so.
        let mut old = std::process::Command::new("sh")
            .args(["-c", "echo up; read line", "python3", "-m", "TWCManager"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Its arguments can be read once it runs, not yet when it has only been made.
        old.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
        std::fs::write(folder.path().join(NAME), old.id().to_string()).unwrap();
        let refusal = Instance::claim(folder.path()).err();
        drop(old.stdin.take());
        old.wait().unwrap();
        assert!(refusal.is_some_and(|text| text.contains("older TWCManager")));
        assert!(Instance::claim(folder.path()).is_ok(), "it has ended");
    }
}
