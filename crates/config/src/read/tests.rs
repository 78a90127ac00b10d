//! What the reader accepts, and what it says about what it does not.

use super::read;
use crate::{Diagnostic, Position};
use serde_json::{Value, json};

fn accepted(text: &str) -> (Value, Vec<Diagnostic>) {
    let (document, found) = read("config.json", text.as_bytes());
    assert!(!found.iter().any(Diagnostic::is_error), "{text:?} gave {found:?}");
    (document.to_value(), found)
}

fn complaints(text: &str) -> Vec<String> {
    let (_, found) = read("config.json", text.as_bytes());
    let shown = |d: &Diagnostic| format!("{}:{} {}", d.line, d.column, d.message);
    found.iter().filter(|d| d.is_error()).map(shown).collect()
}

#[test]
fn every_accepted_style_reads_as_the_same_tree() {
    let expected = json!({ "config": { "a": 1, "b": true, "c": "x#y" }, "list": ["p", "q"] });
    for text in [
        r##"{"config": {"a": 1, "b": true, "c": "x#y"}, "list": ["p", "q"]}"##,
        "# head\n{ // note\n\"config\": { # note\n\t\"a\": 1, // one\n\"b\": yes, /* two */ \"c\": 'x#y',\n},\n\"list\": [\"p\", \"q\",],}",
        "{config: {a: 1, b: On, c: \"x#y\"}, list: [p, q]}",
        "{\"config\": {\"a\": 1\n\"b\": true\n\"c\": \"x#y\"}\n\"list\": [\"p\"\n\"q\"]}",
        "config:\n  a: 1   # one\n  b: yes\n  c: 'x#y'\nlist:\n  - p\n  - q // last\n",
        "---\nconfig: {a: 1, b: TRUE, c: \"x#y\",}\nlist: [p, q]\n...\n",
        "\u{feff}{\r\n\"config\":{\"a\":1,\"b\":true,\"c\":\"x\\u0023y\"},\r\n\"list\":[\"p\",\"q\"]}\r\n",
        "{'config': {a:1, 'b':true, c: 'x#y'}, \"list\"\n: [\n'p'\n,\n'q']}",
        "{config: &c {a: 1, b: on, c: \"x#y\"}, list: [p, q]}",
    ] {
        let (value, _) = accepted(text);
        assert_eq!(value, expected, "{text}");
    }
}

#[test]
fn the_comma_that_the_shipped_sample_lacks_is_supplied() {
    let text = "{\n  \"vehicle\": {\n    \"HomeAssistant\": {\n      \"enabled\": false\n    }\n    \"TeslaMate\": {\n      \"enabled\": true\n    }\n  }\n}";
    let (value, found) = accepted(text);
    assert_eq!(value["vehicle"]["TeslaMate"]["enabled"], json!(true));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].column), (5, 6));
}

#[test]
fn the_last_of_two_equal_names_counts_and_is_said() {
    for text in ["{\"a\": 1, \"a\": 2}", "a: 1\na: 2\n"] {
        let (value, found) = accepted(text);
        assert_eq!(value, json!({ "a": 2 }));
        assert!(found[0].message.contains("`a` was given before"), "{found:?}");
    }
}

#[test]
fn positions_are_those_of_the_file() {
    let text = "# one\n{\n  \"controller.Gen3TWCs\": { \"port\": \"x\" }, // two\n\t\"interface\": { \"RS485\": [ { \"baud\": 1 }, { \"baud\": 2 } ] } }";
    let (document, _) = read("config.json", text.as_bytes());
    let at = |line, column| Some(Position { line, column });
    assert_eq!(document.position("controller.Gen3TWCs.port"), at(3, 28));
    assert_eq!(document.position("interface.RS485[1].baud"), at(4, 45));
    assert_eq!(document.position("interface.RS485[2].baud"), None);
    assert_eq!(document.nearest_position("interface.RS485[2].baud"), Position { line: 4, column: 17 });

    let (document, _) = read("config.json", b"config:\n  # c\n  minAmpsPerTWC: 6\nlist:\n- {a: 1}\n");
    assert_eq!(document.position("config.minAmpsPerTWC"), at(3, 3));
    assert_eq!(document.position("list[0].a"), at(5, 4));
}

#[test]
fn one_run_names_several_mistakes() {
    let found = complaints("{\n\"a\": \"unclosed,\n\"b\" 1,\n\"c\": [1, 2},\n\"d\": \"\\q\",\n\"e\": 1 \"f\": 2\n}");
    let mut lines: Vec<&str> = found.iter().filter_map(|text| text.split(':').next()).collect();
    lines.dedup();
    assert_eq!(lines, ["2", "3", "4", "5", "6"], "{found:#?}");
}

#[test]
fn each_mistake_is_explained() {
    for (text, part) in [
        ("", "1:1 the file is empty"),
        ("{\"a\": {\"b\": 1}", "1:1 the `{` opened here is never closed"),
        ("{\"a\": 1}}", "1:9 found `}` after the closing"),
        ("{\"a\": 1 /* x", "1:9 the comment opened here"),
        ("[1]", "1:1 the file has to be an object"),
        ("hello", "1:1 the file has to be an object"),
        ("{\"a\": @x}", "1:7 a value cannot begin with `@`"),
        ("{\"a\": {\"x\": 1 ], \"b\": 2}", "1:15 found `]`, but the bracket opened at 1:7"),
        ("{a\": 1, b: @}", "1:2 this looks like a name whose opening quote is missing"),
        ("{\"a\": \"x\" \"b\": 1}", "1:11 found `\"` after the value of `a`"),
        ("{: 1, b: @}", "1:2 there is no name before this colon"),
        ("a: 1\n b: 2\n", "neither JSON"),
        ("\u{0}", "control character"),
    ] {
        let found = complaints(text);
        assert!(found.iter().any(|message| message.contains(part)), "{text:?}: {found:#?}");
    }
}

#[test]
fn depth_and_number_of_values_are_bounded() {
    for (open, close) in [("[", ""), ("[", "]"), ("{a: ", "}")] {
        let text = format!("{{a: {}{}}}", open.repeat(5000), close.repeat(5000));
        assert!(!complaints(&text).is_empty());
    }
    assert!(!complaints(&format!("a: {}", "[".repeat(5000))).is_empty());
    assert!(!complaints(&format!("{{a: [{}]}}", "1,".repeat(30_000))).is_empty());
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d]\n";
    assert!(!complaints(bomb).is_empty());
}

#[test]
fn a_warning_never_hides_an_error() {
    let text = format!("{{ {} \"b\": @ }}", "\"a\": 1,\n".repeat(200));
    assert!(!complaints(&text).is_empty());
}
