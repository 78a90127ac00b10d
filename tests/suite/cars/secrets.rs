//! Tokens, codes, keys and the client secret must be found nowhere but in the two files that are theirs.

use std::path::Path;

use e2e::Program;
use tesla_simulator::Running;

use super::rig::Folder;

/// All that anybody can ask for without a password.
const ASKED: [&str; 29] = [
    "/",
    "/metrics",
    "/debug",
    "/settings",
    "/vehicles",
    "/policy",
    "/schedule",
    "/api/getActivePolicyAction",
    "/api/getConfig",
    "/api/getConsumptionOffsets",
    "/api/getHistory",
    "/api/getPolicy",
    "/api/getSlaveTWCs",
    "/api/getStatus",
    "/api/v2/cars",
    "/api/v2/cars/budget",
    "/api/v2/config",
    "/api/v2/evses",
    "/api/v2/home",
    "/api/v2/logs",
    "/api/v2/policy",
    "/api/v2/policy/explain",
    "/api/v2/rules",
    "/api/v2/settings",
    "/api/v2/settings/carApiBearerToken",
    "/api/v2/settings/carApiRefreshToken",
    "/api/v2/snapshot",
    "/api/v2/tesla",
    "/api/v2/vehicle-groups",
];

/// Files that hold secrets by purpose. The configuration is the owner's own.
const HOLDERS: [&str; 4] = ["settings.json", "settings.json.backup", "tesla-command-key.pem", "config.json"];

/// Looks through everything that the program said, answers and wrote.
pub fn assert_kept(program: &Program, cloud: &Running, folder: &Folder) {
    let secrets = secrets_of(cloud, folder.path());
    assert!(secrets.len() >= 3, "there was something to keep");
    let look = |place: &str, text: &str| {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{place} shows the secret {}…", &secret[..6.min(secret.len())]);
        }
    };
    let pages: Vec<(String, String)> = ASKED
        .iter()
        .map(|path| {
            let answer = ureq::get(program.url(path)).config().http_status_as_error(false).build().call();
            let text = answer.expect("an answer").body_mut().read_to_string().unwrap_or_default();
            ((*path).to_owned(), text)
        })
        .collect();
    for (path, text) in &pages {
        look(path, text);
    }
    // The log last: it may tell of the questions.
    look("the log", &program.output());
    for file in files_below(folder.path()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if HOLDERS.contains(&name.as_str()) {
            assert_is_private(&file, &name);
            continue;
        }
        let bytes = std::fs::read(&file).unwrap_or_default();
        look(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
    }
}

fn assert_is_private(file: &Path, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).expect("the file").permissions().mode();
    assert!(name == "config.json" || mode & 0o077 == 0, "{name} can be read by others: {mode:o}");
}

/// What the cloud gave out, and each line of the private key.
fn secrets_of(cloud: &Running, folder: &Path) -> Vec<String> {
    let mut secrets = cloud.secrets();
    let key = std::fs::read_to_string(folder.join("tesla-command-key.pem")).unwrap_or_default();
    let mut is_private = false;
    for line in key.lines() {
        match line {
            line if line.starts_with("-----") => is_private = line.contains("BEGIN") && line.contains("PRIVATE"),
            line if is_private => secrets.push(line.to_owned()),
            _ => {}
        }
    }
    secrets
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
