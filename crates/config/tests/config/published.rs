//! The schema and the reference page in `docs/` are those of the table of keys.

use std::fs;
use std::path::Path;

use config::KeySet;
/// Compares with a file of the repository, or writes it when `UPDATE_DOCS` is set.
fn same_as(name: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, content).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == content, "docs/{name} is out of date; run UPDATE_DOCS=1 cargo test -p config");
}

#[test]
fn the_schema_in_the_docs_is_the_one_of_the_table() {
    same_as("config.schema.json", &format!("{:#}\n", config::schema(&KeySet::builtin())));
}

#[test]
fn the_reference_in_the_docs_is_the_one_of_the_table() {
    same_as("configuration.md", &config::reference(&KeySet::builtin()));
}
