//! Takes out of a message whatever could tell who or where somebody is, or open a door. In doubt a word goes.

use std::net::{IpAddr, SocketAddr};

/// First parts of keys in the configuration: what begins with them is no name of a host.
const SECTIONS: [&str; 10] =
    ["config", "interface", "control", "policy", "sources", "status", "vehicle", "logging", "controller", "pricing"];
/// Endings of names of files, which are no names of hosts.
const ENDINGS: [&str; 7] = [".rs", ".json", ".db", ".csv", ".md", ".toml", ".service"];
/// Places that are the same in every house.
const COMMON_PATHS: [&str; 4] = ["/dev/tty", "/etc/twcmanager", "/api/", "/proc/"];
/// Parts of names whose value is a secret.
const SECRET_NAMES: [&str; 8] = ["token", "pass", "secret", "key", "auth", "code", "credential", "cookie"];
/// From this length a word with a digit in it is a token, a serial number or a VIN.
const LONG_WITH_DIGIT: usize = 12;
/// From this length any word is.
const LONG: usize = 24;
/// From so many digits on, a number is an id.
const MANY_DIGITS: usize = 6;
/// From so many decimals on, a number is a position.
const MANY_DECIMALS: usize = 3;

/// The message without VINs, tokens, positions, addresses, paths, quoted texts and names.
///
/// ```
/// use logging_sentry::scrub;
/// assert_eq!(scrub("5YJ3E1EA8KF000001 at 52.3702, 4.8952"), "<id> at <number>, <number>");
/// assert_eq!(scrub("check `sources.Fronius.serverIP`: 192.168.1.7 refused"), "check `sources.Fronius.serverIP`: <address> refused");
/// ```
#[must_use]
pub fn scrub(text: &str) -> String {
    let mut scrubbed = String::with_capacity(text.len());
    let mut begins_sentence = true;
    let mut follows_secret_name = false;
    for part in unquoted(text).split_inclusive(char::is_whitespace) {
        let word = part.trim_end();
        let (before, core, after) = trimmed(word);
        scrubbed.push_str(before);
        if follows_secret_name && !core.is_empty() {
            scrubbed.push_str("<secret>");
        } else {
            scrubbed.push_str(&judged(core, begins_sentence));
        }
        scrubbed.push_str(after);
        scrubbed.push_str(part.get(word.len()..).unwrap_or_default());
        follows_secret_name = is_secret_name(core) && after.ends_with([':', '=']);
        begins_sentence = after.ends_with(['.', ':', '!', '?']) || (core.is_empty() && begins_sentence);
    }
    scrubbed
}

/// With what stands in double quotes blotted: names and answers of others.
fn unquoted(text: &str) -> String {
    let text = text.replace(['“', '”', '„', '«', '»'], "\"");
    let parts: Vec<_> = text.split('"').collect();
    let mut found = String::new();
    for (index, part) in parts.iter().enumerate() {
        let is_quoted = index % 2 == 1;
        found.push_str(match (is_quoted, part.is_empty()) {
            (true, false) => "\"<text>\"",
            (true, true) => "\"\"",
            (false, _) => part,
        });
    }
    found
}

/// A word apart from the punctuation around it.
fn trimmed(word: &str) -> (&str, &str, &str) {
    let is_around = |c: char| ".,;:!?()[]{}\"'`…".contains(c);
    let rest = word.trim_start_matches(is_around);
    let core = rest.trim_end_matches(is_around);
    let (start, end) = (word.len() - rest.len(), word.len() - rest.len() + core.len());
    (word.get(..start).unwrap_or_default(), core, word.get(end..).unwrap_or_default())
}

fn judged(core: &str, begins_sentence: bool) -> String {
    if core.is_empty() || matches!(core, "<text>") {
        return core.to_owned();
    }
    if let Some(instead) = whole(core) {
        return instead.to_owned();
    }
    if is_known_name(core) {
        return core.to_owned();
    }
    // `name=value`, `a/b`, `x:y`: each part for itself, and a secret's value whatever it is.
    if let Some(at) = core.find(['=', ':', '/', ',', '|', '&']) {
        let (name, rest) = core.split_at(at);
        let mark = rest.get(..1).unwrap_or_default();
        let value = rest.get(1..).unwrap_or_default();
        if mark != "/" && is_secret_name(name) && !value.is_empty() {
            return format!("{name}{mark}<secret>");
        }
        let inside = |part: &str| {
            let (before, part, after) = trimmed(part);
            format!("{before}{}{after}", judged(part, begins_sentence))
        };
        return format!("{}{mark}{}", inside(name), inside(value));
    }
    single(core, begins_sentence).unwrap_or(core).to_owned()
}

/// What is known for something by its whole form.
fn whole(core: &str) -> Option<&'static str> {
    let bare = core.trim_matches(['[', ']']);
    let bare = bare.split('%').next().unwrap_or_default();
    if core.contains("://") || core.contains('@') || core.starts_with("www.") {
        return Some("<address>");
    }
    if bare.parse::<IpAddr>().is_ok() || core.parse::<SocketAddr>().is_ok() || is_hardware_address(core) {
        return Some("<address>");
    }
    if core.starts_with('/') && core.len() > 1 {
        let is_common = COMMON_PATHS.iter().any(|common| core.starts_with(common)) && !core.contains("..");
        return (!is_common).then_some("<path>");
    }
    if core.starts_with('~') || core.contains('\\') {
        return Some("<path>");
    }
    None
}

/// Keys of the configuration, our own files, places in our own code.
fn is_known_name(core: &str) -> bool {
    let is_plain = core.chars().all(|c| c.is_ascii_alphanumeric() || "._-[]".contains(c));
    let first = core.split(['.', '[']).next().unwrap_or_default();
    let is_key = is_plain && core.contains('.') && SECTIONS.contains(&first);
    let is_file = is_plain && core.len() < LONG && ENDINGS.iter().any(|ending| core.ends_with(ending));
    let is_ours = core.starts_with("crates/") || core.starts_with("bins/");
    let is_place =
        is_ours && core.chars().all(|c| c.is_ascii_alphanumeric() || "_/.:-".contains(c)) && core.contains(".rs");
    is_key || is_file || is_place || COMMON_PATHS.iter().any(|common| core.starts_with(common))
}

/// What is known for something among single words.
fn single(core: &str, begins_sentence: bool) -> Option<&'static str> {
    let digits = core.chars().filter(char::is_ascii_digit).count();
    let letters = core.chars().filter(|c| c.is_alphabetic()).count();
    let length = core.chars().count();
    if letters == 0 || core.parse::<f64>().is_ok() {
        let decimals = core.rsplit_once('.').map_or(0, |(_, decimals)| decimals.len());
        let is_long = decimals >= MANY_DECIMALS || core.split('.').any(|part| part.len() >= MANY_DIGITS);
        return (digits > 0 && is_long).then_some("<number>");
    }
    if let Some((name, domain)) = core.rsplit_once('.')
        && !name.is_empty()
        && domain.chars().any(char::is_alphabetic)
    {
        return Some("<name>");
    }
    if (length >= LONG_WITH_DIGIT && digits > 0) || length >= LONG || digits >= MANY_DIGITS {
        return Some("<id>");
    }
    // Positions as text, such as 52.3702N.
    if core.contains('.') && digits > MANY_DECIMALS {
        return Some("<number>");
    }
    let is_name = core.chars().next().is_some_and(char::is_uppercase) && core.chars().any(char::is_lowercase);
    (is_name && !begins_sentence).then_some("<name>")
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

fn is_hardware_address(core: &str) -> bool {
    let parts: Vec<_> = core.split([':', '-']).collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_people_and_places_goes() {
        for (text, expected) in [
            ("car 5YJ3E1EA8KF000001 left", "car <id> left"),
            ("vin=5YJ3E1EA8KF000001,x", "vin=<id>,x"),
            ("(VIN:5YJ3E1EA8KF000001)", "(VIN:<id>)"),
            ("token=abc refused", "token=<secret> refused"),
            ("password: hunter2", "password: <secret>"),
            ("Bearer eyJhbGciOiJSUzI1NiIs.eyJpc3MiOi", "Bearer <name>"),
            ("GET http://u:p@10.0.0.1/x?token=y failed", "GET <address> failed"),
            ("at 52.37021, 4.89", "at <number>, 4.89"),
            ("at 52.37021,4.89521", "at <number>,<number>"),
            ("lat:52.3702N", "lat:<name>"),
            ("fronius.local:80 refused", "<name>:80 refused"),
            ("192.168.1.7:502 refused", "<address> refused"),
            ("[fe80::1%eth0] refused", "[<address>] refused"),
            ("from aa:bb:cc:dd:ee:ff", "from <address>"),
            ("mail to anna@example.org", "mail to <address>"),
            ("/home/anna/config.json: denied", "<path>: denied"),
            ("the policy \"Anna's night\" is unknown", "the policy \"<text>\" is unknown"),
            ("the car of Anna waits", "the car of <name> waits"),
            ("serial 123456", "serial <number>"),
            ("~/x and C:\\x", "<path> and <path>"),
        ] {
            assert_eq!(scrub(text), expected, "{text}");
        }
    }

    #[test]
    fn what_helps_to_mend_it_stays() {
        for text in [
            "the settings cannot be saved: No space left on device (os error 28)",
            "interface.RS485.port: /dev/ttyUSB0 is missing; check `interface.RS485.port`",
            "the thread site failed inside at crates/site/src/site.rs:190:12: index out of bounds: 3",
            "gen2-4142 still draws 12.25 A although nothing is offered",
            "check sources.HTTP[1].url in /etc/twcmanager/config.json",
            "TWC 3A7C does not answer: look at its supply and its cable.",
            "HTTP 503, try again",
        ] {
            let scrubbed = scrub(text);
            assert!(scrubbed == text || text.contains("No space") && !scrubbed.contains("<id>"), "{scrubbed}");
        }
    }

    #[test]
    fn any_text_can_be_scrubbed() {
        for text in ["", "\"", "\"\"\"", "=", ":::", "a=", "=b", "…", "ß=ü/é", "[::", "'`'", "@", "//", "\u{301}x"]
        {
            let _ = scrub(text);
        }
    }
}
