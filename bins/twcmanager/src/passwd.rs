//! `passwd`: sets or removes the password of the page.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use config::KeySet;
use control_http::{AccessFile, LONGEST_PASSWORD, SHORTEST_PASSWORD};
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// Sets the password, or removes it. 0 when that is done, 1 when it failed, 2 when the configuration cannot be read.
pub fn run(named: Option<&Path>, removes: bool) -> ExitCode {
    let path = config::find(named);
    let loaded = config::load(&path, &KeySet::builtin());
    // Mistakes elsewhere in the file do not matter here.
    let Some(config) = loaded.config else {
        for error in &loaded.errors {
            eprint!("{}", crate::check::line_of("error", error));
        }
        eprintln!("without config.settingsPath it is not known where the password belongs");
        return ExitCode::from(2);
    };
    let folder = config.site.settings_path;
    if let Some(warning) = crate::instance::stranger(&folder) {
        eprintln!("{warning}");
    }
    let result = std::fs::create_dir_all(&folder)
        .map_err(|error| format!("{} cannot be made: {error}; check config.settingsPath", folder.display()))
        .and_then(|()| change(&AccessFile::in_folder(&folder), removes));
    match result {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn change(file: &AccessFile, removes: bool) -> Result<String, String> {
    if removes {
        let was_there = file.remove_password().map_err(|error| error.to_string())?;
        let said = if was_there { "The password and all tokens are removed" } else { "There was no password" };
        return Ok(format!("{said}. Commands are taken from the local network, without being asked for anything."));
    }
    let password = ask()?;
    let tokens = file.set_password(&password).map_err(|error| error.to_string())?;
    let tokens = match tokens {
        0 => String::new(),
        1 => " One token of a program stays valid; the page can revoke it.".to_owned(),
        count => format!(" {count} tokens of programs stay valid; the page can revoke them."),
    };
    Ok(format!("The password is set in {}. A running program uses it at once.{tokens}", file.path().display()))
}

/// Twice from a terminal, without showing it; one line otherwise.
fn ask() -> Result<String, String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        // One byte more than allowed is enough to see that it is too much; two more may be the line's end.
        let most = u64::try_from(LONGEST_PASSWORD).unwrap_or(u64::MAX).saturating_add(3);
        stdin
            .lock()
            .take(most)
            .read_line(&mut line)
            .map_err(|error| format!("the password cannot be read: {error}"))?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = hidden(&format!("New password for the page ({SHORTEST_PASSWORD} characters or more): "))?;
    if first.chars().count() < SHORTEST_PASSWORD {
        return Err(format!("that is shorter than {SHORTEST_PASSWORD} characters; nothing was changed"));
    }
    if hidden("The same again: ")? != first {
        return Err("the two are different; nothing was changed".to_owned());
    }
    Ok(first)
}

/// Reads a line from the terminal without showing it.
fn hidden(prompt: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the terminal cannot be used: {error}");
    let stdin = std::io::stdin();
    let mut out = std::io::stderr();
    out.write_all(prompt.as_bytes()).and_then(|()| out.flush()).map_err(failed)?;
    let quiet = Quiet::new().map_err(failed)?;
    let mut line = Vec::new();
    let mut input = stdin.lock();
    let step = loop {
        let mut byte = [0];
        if input.read(&mut byte).map_err(failed)? == 0 {
            break Step::GiveUp;
        }
        match type_in(&mut line, byte[0]) {
            Step::More => {}
            step => break step,
        }
    };
    drop(quiet);
    eprintln!();
    match step {
        Step::Done => {
            String::from_utf8(line).map_err(|_| "the terminal does not send UTF-8; nothing was changed".to_owned())
        }
        _ => Err("given up; nothing was changed".to_owned()),
    }
}

/// What a key leads to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    More,
    Done,
    GiveUp,
}

/// One key on the way to a line: the terminal does no editing while it is quiet, and sends no signals, so that it is never
/// left quiet.
fn type_in(line: &mut Vec<u8>, key: u8) -> Step {
    match key {
        b'\r' | b'\n' => return Step::Done,
        // Ctrl-C, Ctrl-D, Ctrl-\.
        3 | 4 | 28 => return Step::GiveUp,
        // Backspace takes the whole character.
        8 | 127 => while line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {},
        // Ctrl-U.
        21 => line.clear(),
        key if key >= b' ' && line.len() <= LONGEST_PASSWORD => line.push(key),
        _ => {}
    }
    Step::More
}

/// A terminal that shows nothing; as before when dropped.
struct Quiet(Termios);

impl Quiet {
    fn new() -> std::io::Result<Quiet> {
        let before = tcgetattr(std::io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        quiet.input_modes.insert(InputModes::ICRNL);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Quiet(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_a_line() {
        let mut line = Vec::new();
        for key in "wrong\u{15}höh\u{7f}\u{7f}\u{1b}x".bytes() {
            assert_eq!(type_in(&mut line, key), Step::More);
        }
        assert_eq!(line, b"hx");
        assert_eq!(type_in(&mut line, b'\n'), Step::Done);
        assert_eq!(type_in(&mut line, 3), Step::GiveUp);
        line.clear();
        for _ in 0..2 * LONGEST_PASSWORD {
            type_in(&mut line, b'x');
        }
        assert!(line.len() <= LONGEST_PASSWORD + 1, "and then it is refused for its length");
    }
}
