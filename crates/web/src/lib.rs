//! The page: HTML, CSS and JavaScript, embedded in the program.
//!
//! No framework, no build step and nothing from elsewhere: what lies in `assets/` is what the browser gets. The page takes
//! its data from `/api/v2/events` and gives commands through `/api/v2/`.
//!
//! | file | what it does |
//! | --- | --- |
//! | `index.html` | the parts that are always there |
//! | `app.js` | joins the stream to the views |
//! | `stream.js` | keeps the state up to date; notices a lost connection |
//! | `flow.js`, `evses.js`, `charge-now.js`, `notices.js` | one part of the page each, drawn from the state alone |
//! | `rules.js` | the schedule and what holds outside it, which are asked for apart |
//! | `access.js` | signing in and out, the tokens of programs |
//! | `cars.js`, `car-card.js`, `budget.js` | cars and what calls to them cost, which are asked for apart |
//! | `tesla.js` | signing in at Tesla |
//! | `text.js`, `text-cars.js` | every sentence, for translators |
//! | `format.js`, `dom.js` | numbers to text, text to elements |
//!
//! ```
//! let page = web::file("index.html").expect("the page is embedded");
//! assert!(page.content_type.starts_with("text/html"));
//! assert!(web::file("../Cargo.toml").is_none());
//! ```

use std::sync::LazyLock;

/// One embedded file.
#[derive(Debug)]
pub struct File {
    /// Its name, without a folder.
    pub name: &'static str,
    /// Its type, as a `Content-Type` header has it.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
    /// Changes whenever the bytes change; fit for an `ETag`.
    pub tag: String,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal: $kind:expr,)*) => {
        [$(File { name: $name, content_type: $kind, bytes: include_bytes!(concat!("../assets/", $name)), tag: tag(include_bytes!(concat!("../assets/", $name))) },)*]
    };
}

static FILES: LazyLock<[File; 19]> = LazyLock::new(|| {
    files! {
        "index.html": HTML,
        "style.css": CSS,
        "access.js": JS,
        "app.js": JS,
        "budget.js": JS,
        "car-card.js": JS,
        "cars.js": JS,
        "stream.js": JS,
        "flow.js": JS,
        "evses.js": JS,
        "charge-now.js": JS,
        "notices.js": JS,
        "rules.js": JS,
        "tesla.js": JS,
        "text.js": JS,
        "text-cars.js": JS,
        "format.js": JS,
        "dom.js": JS,
        "icon.svg": SVG,
    }
});

/// The file of this name.
#[must_use]
pub fn file(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

/// Every file.
#[must_use]
pub fn files() -> &'static [File] {
    &*FILES
}

/// FNV-1a, 64 bits: two versions of one file differ, which is all that is asked of it.
fn tag(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &File) -> &str {
        std::str::from_utf8(file.bytes).expect("UTF-8")
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_inline() {
        for file in files() {
            // The namespace of SVG is a name, not an address that anybody fetches.
            let text = text(file).replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http://", "https://", "//cdn", "@import"] {
                assert!(!text.contains(foreign), "{} holds {foreign}", file.name);
            }
            for unsafe_way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style="] {
                assert!(!text.contains(unsafe_way), "{} holds {unsafe_way}", file.name);
            }
        }
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        for file in files().iter().filter(|file| file.content_type == JS) {
            for line in text(file).lines().filter(|line| line.starts_with("import ")) {
                let name =
                    line.split("'./").nth(1).and_then(|rest| rest.split('\'').next()).expect("a relative module");
                assert!(super::file(name).is_some(), "{} imports {name}", file.name);
            }
        }
        let page = text(super::file("index.html").expect("the page"));
        for part in page.split("/assets/").skip(1) {
            let name = part.split('"').next().expect("a name");
            assert!(super::file(name).is_some(), "the page names {name}");
        }
    }

    #[test]
    fn the_page_is_small() {
        let total: usize = files().iter().map(|file| file.bytes.len()).sum();
        assert!(total < 100_000, "{total} bytes; 60 kB compressed is the bound");
    }
}
