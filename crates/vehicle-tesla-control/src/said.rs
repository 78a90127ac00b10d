//! What the program's error output says.

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether surely nothing was done.
    pub(crate) is_undone: bool,
    /// The program's reason, without its own introduction.
    pub(crate) words: String,
}

/// How the program begins its last words, and whether they mean that nothing was done.
const BEGINNINGS: [(&str, bool); 7] = [
    ("Couldn't verify success: ", false),
    ("Failed to execute command: ", true),
    // Before a command is sent: connection and handshake.
    ("Error: ", true),
    ("Error loading credentials: ", true),
    ("Failed to load credential configuration: ", true),
    ("Missing required flag: ", true),
    ("You must provide a private key", true),
];

/// The last line that begins as the program begins its reasons; it writes warnings before. Anything else, such as a crash,
/// may have happened after the command was sent.
pub(crate) fn verdict(stderr: &str) -> Verdict {
    let known = stderr.lines().rev().find_map(|line| {
        let line = line.trim();
        let (beginning, is_undone) = BEGINNINGS.iter().find(|(beginning, _)| line.starts_with(beginning))?;
        let words = if beginning.ends_with(' ') { line.get(beginning.len()..)? } else { line };
        Some(Verdict { is_undone: *is_undone, words: words.to_owned() })
    });
    known.unwrap_or_else(|| {
        let last =
            stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it ended without a word");
        Verdict { is_undone: false, words: last.to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_programs_own_words_say_that_nothing_was_done() {
        for (stderr, is_undone, words) in [
            (
                "Failed to execute command: car could not execute command: is_charging\n",
                true,
                "car could not execute command: is_charging",
            ),
            ("Couldn't verify success: context deadline exceeded\n", false, "context deadline exceeded"),
            (
                "2026/01/01 [warn ] BLE failed\nError: failed to find a BLE device: x\n\nTry again after granting this:\n",
                true,
                "failed to find a BLE device: x",
            ),
            (
                "You must provide a private key with -key-name or -key-file to execute this command\n",
                true,
                "You must provide a private key with -key-name or -key-file to execute this command",
            ),
            ("panic: runtime error\ngoroutine 1\n\n", false, "goroutine 1"),
            ("", false, "it ended without a word"),
        ] {
            assert_eq!(verdict(stderr), Verdict { is_undone, words: words.into() }, "{stderr}");
        }
    }

    proptest! {
        #[test]
        fn any_words_are_one_line(stderr in "(?s).{0,200}") {
            prop_assert!(!verdict(&stderr).words.contains('\n'));
        }
    }
}
