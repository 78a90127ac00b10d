//! Paths into a document: parsing only, no document in sight.

use std::fmt;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A key of an object, or an index of a list if it is a whole number.
    Key(String),
    /// An index of a list; negative counts from the end.
    Index(i64),
    /// Every element.
    All,
}

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathFault {
    /// `a..b`, or a dot at the start or the end.
    #[error("a name between two dots is empty")]
    EmptyName,
    /// `[` without `]`, or a quoted key without its second quote.
    #[error("a bracket is not closed")]
    OpenBracket,
    /// `[x]`.
    #[error("between [ and ] must be a whole number, * or a name in quotes")]
    BadIndex,
    /// `]x` or a stray `]`.
    #[error("after ] must come a dot, [ or the end")]
    AfterBracket,
}

/// A path that has been checked, as it stands in the configuration.
///
/// [`Doc`](crate::Doc) takes plain texts; this type is for a path that a user wrote, so that a slip is reported at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// A [`PathFault`] that says what can't be read.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        let text = text.trim();
        let steps = match text.strip_prefix('/') {
            Some(pointer) => pointer_steps(pointer),
            None => dotted_steps(text)?,
        };
        Ok(Self { text: text.to_owned(), steps })
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the path can lead to several places.
    pub fn has_wildcard(&self) -> bool {
        self.steps.contains(&Step::All)
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Path {
    type Err = PathFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn pointer_steps(pointer: &str) -> Vec<Step> {
    pointer.split('/').map(|part| Step::Key(part.replace("~1", "/").replace("~0", "~"))).collect()
}

fn dotted_steps(text: &str) -> Result<Vec<Step>, PathFault> {
    let mut steps = Vec::new();
    let mut rest = text;
    let mut need_name = false;
    while !rest.is_empty() || need_name {
        if let Some(inside) = rest.strip_prefix('[') {
            if need_name {
                return Err(PathFault::EmptyName);
            }
            let (step, after) = bracket(inside)?;
            steps.push(step);
            rest = after;
        } else {
            let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                return Err(PathFault::EmptyName);
            }
            steps.push(if name == "*" { Step::All } else { Step::Key(name.to_owned()) });
            rest = after;
        }
        need_name = false;
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            need_name = true;
        } else if !rest.is_empty() && !rest.starts_with('[') {
            return Err(PathFault::AfterBracket);
        }
    }
    Ok(steps)
}

/// Reads what stands behind `[`, gives the step and what follows `]`.
fn bracket(inside: &str) -> Result<(Step, &str), PathFault> {
    let quote = inside.chars().next().filter(|c| *c == '"' || *c == '\'');
    if let Some(quote) = quote {
        let body = inside.get(1..).unwrap_or_default();
        let (name, after) = body.split_once(quote).ok_or(PathFault::OpenBracket)?;
        let after = after.strip_prefix(']').ok_or(PathFault::OpenBracket)?;
        return Ok((Step::Key(name.to_owned()), after));
    }
    let (index, after) = inside.split_once(']').ok_or(PathFault::OpenBracket)?;
    let step = match index.trim() {
        "*" => Step::All,
        number => Step::Index(number.parse().map_err(|_| PathFault::BadIndex)?),
    };
    Ok((step, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_written_form() {
        let key = |k: &str| Step::Key(k.into());
        for (text, steps) in [
            ("", vec![]),
            ("a", vec![key("a")]),
            ("a.b.0", vec![key("a"), key("b"), key("0")]),
            ("a[0].b", vec![key("a"), Step::Index(0), key("b")]),
            ("a[-1][2]", vec![key("a"), Step::Index(-1), Step::Index(2)]),
            ("[*].w", vec![Step::All, key("w")]),
            ("x.*.P", vec![key("x"), Step::All, key("P")]),
            ("a[\"devices:\"].b", vec![key("a"), key("devices:"), key("b")]),
            ("['a.b']", vec![key("a.b")]),
            ("/a/b~1c/0", vec![key("a"), key("b/c"), key("0")]),
            (" em:0.a_current ", vec![key("em:0"), key("a_current")]),
        ] {
            assert_eq!(Path::parse(text).unwrap().steps(), steps, "{text}");
        }
    }

    #[test]
    fn slips_are_named() {
        for (text, fault) in [
            ("a..b", PathFault::EmptyName),
            (".a", PathFault::EmptyName),
            ("a.", PathFault::EmptyName),
            ("a.[0]", PathFault::EmptyName),
            ("a[0", PathFault::OpenBracket),
            ("a['x]", PathFault::OpenBracket),
            ("a[x]", PathFault::BadIndex),
            ("a[]", PathFault::BadIndex),
            ("a[0]b", PathFault::AfterBracket),
            ("a]", PathFault::AfterBracket),
        ] {
            assert_eq!(Path::parse(text).unwrap_err(), fault, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_or_a_fault(text in ".{0,40}") {
            let _ = Path::parse(&text);
        }

        #[test]
        fn plain_names_survive(names in proptest::collection::vec("[a-zA-Z_][a-zA-Z0-9_: -]{0,8}[a-z]", 1..6)) {
            let path = Path::parse(&names.join(".")).unwrap();
            let expected: Vec<Step> = names.into_iter().map(Step::Key).collect();
            prop_assert_eq!(path.steps(), expected);
        }
    }
}
