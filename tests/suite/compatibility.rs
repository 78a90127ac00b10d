//! `docs/compatibility.md` names tests; all of them exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands for a test where there is none.
const NO_TEST: &str = "*none*";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Rows of the tables: the line's number and its cells.
fn rows(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(inner) = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else { continue };
        let cells = cells(inner);
        let is_frame = cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':' | ' ')));
        if !is_frame && cells.first().map(String::as_str) != Some("What") {
            rows.push((index + 1, cells));
        }
    }
    rows
}

/// Splits a row at its bars; a bar behind a backslash belongs to the text.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut before = ' ';
    for c in row.chars() {
        if c == '|' && before != '\\' {
            cells.push(String::new());
        } else if let Some(cell) = cells.last_mut() {
            cell.push(c);
        }
        before = c;
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// Every `crate::test` between back quotes.
fn names(cell: &str) -> Vec<(String, String)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|name| {
            let (place, test) = name.split_once("::")?;
            let is_name =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            (is_name(place) && is_name(test)).then(|| (place.to_owned(), test.to_owned()))
        })
        .collect()
}

/// All Rust source of a package, by the name of its folder.
fn source_of(package: &str) -> Option<String> {
    let root = root();
    let places = [root.join("crates").join(package), root.join("bins").join(package)];
    let folder =
        if package == "tests" { root.join("tests") } else { places.into_iter().find(|place| place.is_dir())? };
    let mut source = String::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                source.push_str(&std::fs::read_to_string(&path).expect("readable source"));
            }
        }
    }
    Some(source)
}

/// Whether there is a function of this name behind a `#[test]`.
fn has_test(source: &str, name: &str) -> bool {
    let line = format!("fn {name}(");
    let mut is_marked = false;
    for text in source.lines().map(str::trim) {
        if is_marked && text.starts_with(&line) {
            return true;
        }
        let is_attribute = text.starts_with("#[") || text.starts_with("//") || text.is_empty();
        is_marked = text == "#[test]" || (is_marked && is_attribute);
    }
    // Properties stand in a macro that marks them.
    source.contains("proptest!") && source.contains(&line)
}

#[test]
fn every_test_that_the_compatibility_list_names_exists() {
    let text = std::fs::read_to_string(root().join("docs/compatibility.md")).expect("docs/compatibility.md");
    let mut sources: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut faults = Vec::new();
    let rows = rows(&text);
    assert!(rows.len() > 50, "the tables are not read: {} rows", rows.len());
    for (line, cells) in rows {
        let [_, _, test] = &cells[..] else {
            faults.push(format!("line {line}: {} cells, not three (What, Behaviour, Test)", cells.len()));
            continue;
        };
        let named = names(test);
        if named.is_empty() && !test.starts_with(NO_TEST) {
            faults.push(format!("line {line}: names no test as `crate::test`, and does not say {NO_TEST}"));
        }
        for (package, test) in named {
            let source = sources.entry(package.clone()).or_insert_with(|| source_of(&package));
            match source {
                None => faults.push(format!("line {line}: there is no package {package}")),
                Some(source) if has_test(source, &test) => {}
                Some(_) => faults.push(format!("line {line}: {package} has no test {test}")),
            }
        }
    }
    assert!(faults.is_empty(), "docs/compatibility.md\n{}", faults.join("\n"));
}

#[test]
fn rows_and_names_are_read_as_written() {
    let text = "| What | Behaviour | Test |\n| --- | --- | --- |\n| a \\| b | c | `x-y::z`, `no` and `q::r` |\ntext\n";
    let found = rows(text);
    assert_eq!(found, [(3, vec!["a \\| b".to_owned(), "c".to_owned(), "`x-y::z`, `no` and `q::r`".to_owned()])]);
    let pair = |place: &str, test: &str| (place.to_owned(), test.to_owned());
    assert_eq!(names(&found[0].1[2]), [pair("x-y", "z"), pair("q", "r")]);
    assert!(has_test("#[test]\n// why\nfn a() {", "a") && !has_test("fn a() {\n#[test]\nfn b() {", "a"));
}
