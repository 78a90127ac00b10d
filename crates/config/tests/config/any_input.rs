//! Input of any kind: nothing panics, places are real, and valid YAML reads as it always did.

use config::{Diagnostic, KeySet};
use proptest::prelude::*;
use serde_json::{Value, json};
/// Pieces that files are made of, so that random files get somewhere.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\n",
            "\"",
            "'",
            "//",
            "#",
            "/*",
            "*/",
            "\\",
            " ",
            "\t",
            "- ",
            "? ",
            "&a ",
            "*a",
            "<<",
            "|",
            ">",
            "%",
            "@",
            "!!str ",
            "---\n",
            "\r",
            "yes",
            "0x1f",
            "012",
            "1_0",
            "12:30",
            "~",
            "\"config\": ",
            "\"sources\": ",
            "wiringMaxAmpsAllTWCs: 6",
            "\"enabled\": true",
            "RS485",
            "\u{feff}",
            "é",
            "\u{85}",
        ])
        .prop_map(str::to_owned),
        "[a-z0-9\"': ]{0,6}",
    ]
}

fn check(bytes: &[u8]) {
    let loaded = config::parse("f", bytes, &KeySet::builtin());
    assert_eq!(loaded.config.is_some(), loaded.errors.is_empty());
    let text: String = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    for finding in loaded.errors.iter().chain(&loaded.warnings) {
        let line = lines.get(finding.line as usize - 1);
        let width = line.map(|line| line.chars().count());
        assert!(width.is_some_and(|width| finding.column as usize <= width + 2), "{finding} in {text:?}");
        assert!(!finding.message.is_empty());
    }
    let value = loaded.document.to_value();
    assert_eq!(
        config::masked(&value).as_object().map(serde_json::Map::len),
        value.as_object().map(serde_json::Map::len)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn pieces_of_files_never_panic(pieces in prop::collection::vec(piece(), 0..60)) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn a_cut_off_file_never_panics(cut in 0_usize..2000) {
        let whole = include_bytes!("../fixtures/missing-comma-1.3.4.json");
        check(&whole[..cut.min(whole.len())]);
    }

    #[test]
    fn json_reads_as_itself(keys in prop::collection::vec("[a-zA-Z./#]{1,8}", 0..6), texts in prop::collection::vec("\\PC{0,12}", 6), number in any::<i64>()) {
        let mut object = serde_json::Map::new();
        for (key, text) in keys.iter().zip(&texts) {
            object.insert(key.clone(), json!({ "t": text, "n": number, "l": [text, null, true, 1.5] }));
        }
        let value = Value::Object(object);
        for source in [value.to_string(), format!("{value:#}")] {
            let (document, found) = config::read("f", source.as_bytes());
            prop_assert!(found.is_empty(), "{found:?} {source}");
            prop_assert_eq!(&document.to_value(), &value);
        }
    }
}

/// The YAML reader of the old program as the judge, where it is installed.
#[test]
fn trees_are_those_of_the_old_reader() {
    let script = "import sys, json, yaml\n\
        for source in json.load(sys.stdin):\n\
        \x20   print(json.dumps(yaml.safe_load(source), default=str))\n";
    let sources = [
        r#"{"a": 1, "b": [yes, No, "x", 'it''s', ~, 0x1F, 0b101, 1_000, 012, 1.5, 1., .5, 1e3, 1.0e+3, -7, +7, -0x10, y, n, 08, null, Null,],}"#,
        "{a: b, c: http://host:80/x?y=z, d: a b  c, 'e f': \"g\\u00e9\\x41\\n\\/\", g: , h}",
        "a: 1\nb:\n  - c: yes\n    d: [1, {e: f}]\n  - 'x'\nc: \"two\n  lines\"\nd: |\n  text\n  more\n",
        "{a: {b: {c: []}}, \"d\": {}, e: two\n  words, f: \"a\n  b\"}",
        "base: &base {x: 1, y: 2}\nother: {<<: *base, y: 3}\n",
        "{\"a\": 1, \"a\": 2}",
        "a: {\n'b': [\n1, 2\n],\nc: 3\n}\nd: x[0]\ne: {f: g}\n",
        "!!str 5: x\nk: !!str 7\n",
    ];
    let Ok(mut child) = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
    else {
        return;
    };
    serde_json::to_writer(child.stdin.take().unwrap(), &sources).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return;
    }
    let answers = String::from_utf8(output.stdout).unwrap();
    for (source, answer) in sources.iter().zip(answers.lines()) {
        let (document, found) = config::read("f", source.as_bytes());
        assert!(!found.iter().any(Diagnostic::is_error), "{source} {found:?}");
        assert_eq!(document.to_value(), serde_json::from_str::<Value>(answer).unwrap(), "{source}");
    }
    assert_eq!(answers.lines().count(), sources.len());
}
