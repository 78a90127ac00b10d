//! The one table of every key: its type, unit, default and meaning.
//!
//! Checking, defaults, the JSON Schema and `docs/configuration.md` all come from it.

mod control;
mod devices;
mod site;
mod sources;

use std::borrow::Cow;

/// What a key's value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// `true` or `false`, in any of the accepted spellings.
    Flag,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// Text.
    Text,
    /// Text that is never shown.
    Secret,
    /// One of a few words; letter case does not matter.
    Choice(&'static [&'static str]),
    /// A time of day, `HH:MM`.
    Clock,
    /// A text, or a list of texts.
    Texts,
    /// A list of numbers.
    Numbers,
    /// A text, or `true` or `false`.
    TextOrFlag,
    /// A list; its entries are judged elsewhere.
    List,
    /// An object; its members are judged elsewhere.
    Object,
    /// Anything.
    Any,
}

/// The value of a key that is not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preset {
    /// The key has no value then.
    Absent,
    /// A boolean.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(&'static str),
}

/// Whether a key still does something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    /// In use.
    Current,
    /// In use and must be given.
    Required,
    /// An old name that is still honoured; the text says what to write instead.
    Legacy(&'static str),
    /// Without effect; the text says why.
    Ignored(&'static str),
}

/// One key of a section.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: &'static str,
    pub(crate) preset: Preset,
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) standing: Standing,
    pub(crate) meaning: &'static str,
}

impl Key {
    /// An optional key without a default.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, meaning: &'static str) -> Key {
        Key { name, kind, unit: "", preset: Preset::Absent, range: None, standing: Standing::Current, meaning }
    }

    /// With a unit, such as `"A"`.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Key {
        self.unit = unit;
        self
    }

    /// With a number as default.
    #[must_use]
    pub const fn number(mut self, value: f64) -> Key {
        self.preset = Preset::Number(value);
        self
    }

    /// With a boolean as default.
    #[must_use]
    pub const fn flag(mut self, value: bool) -> Key {
        self.preset = Preset::Flag(value);
        self
    }

    /// With a text as default.
    #[must_use]
    pub const fn text(mut self, value: &'static str) -> Key {
        self.preset = Preset::Text(value);
        self
    }

    /// Numbers outside are errors; both ends are allowed.
    #[must_use]
    pub const fn range(mut self, low: f64, high: f64) -> Key {
        self.range = Some((low, high));
        self
    }

    /// The section is unusable without it.
    #[must_use]
    pub const fn required(mut self) -> Key {
        self.standing = Standing::Required;
        self
    }

    /// An old name that is honoured; `instead` says what to write today.
    #[must_use]
    pub const fn legacy(mut self, instead: &'static str) -> Key {
        self.standing = Standing::Legacy(instead);
        self
    }

    /// Accepted without effect; `why` says so to the user.
    #[must_use]
    pub const fn ignored(mut self, why: &'static str) -> Key {
        self.standing = Standing::Ignored(why);
        self
    }
}

/// How often a section may occur at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One object.
    One,
    /// One object or a list of objects.
    OneOrMany,
    /// A list of objects.
    Many,
}

/// One section: an object at a place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub(crate) path: Cow<'static, [&'static str]>,
    pub(crate) shape: Shape,
    pub(crate) is_open: bool,
    pub(crate) has_defaults: bool,
    pub(crate) keys: Cow<'static, [Key]>,
    pub(crate) meaning: &'static str,
}

impl Section {
    /// A section that occurs once. The path lists the names from the top of the file.
    #[must_use]
    pub const fn new(path: &'static [&'static str], keys: &'static [Key], meaning: &'static str) -> Section {
        Section {
            path: Cow::Borrowed(path),
            shape: Shape::One,
            is_open: false,
            has_defaults: true,
            keys: Cow::Borrowed(keys),
            meaning,
        }
    }

    /// The section of an EMS driver, `sources.<name>`: one object or a list of them, `enabled` included.
    #[must_use]
    pub fn source(name: &'static str, keys: impl Into<Cow<'static, [Key]>>, meaning: &'static str) -> Section {
        Section {
            path: Cow::Owned(vec!["sources", name]),
            shape: Shape::OneOrMany,
            is_open: false,
            has_defaults: false,
            keys: keys.into(),
            meaning,
        }
    }

    /// The section of a controller that is compiled in: `name` is the whole top-level key, such as `controller.Wallbox`.
    #[must_use]
    pub fn controller(name: &'static str, keys: impl Into<Cow<'static, [Key]>>, meaning: &'static str) -> Section {
        Section {
            path: Cow::Owned(vec![name]),
            shape: Shape::One,
            is_open: false,
            has_defaults: false,
            keys: keys.into(),
            meaning,
        }
    }

    const fn shaped(mut self, shape: Shape) -> Section {
        self.shape = shape;
        self
    }

    /// Members that are not in the table are fine and stay as they are.
    #[must_use]
    pub const fn open(mut self) -> Section {
        self.is_open = true;
        self
    }

    pub(crate) fn title(&self) -> String {
        self.path.join(".")
    }
}

/// The `enabled` key that most sections have.
pub(crate) const ENABLED: Key = Key::new("enabled", Kind::Flag, "Whether this section is used.").flag(false);

/// Every section that is known, in the order of the documentation.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySet {
    sections: Vec<Section>,
}

impl Default for KeySet {
    fn default() -> Self {
        KeySet::builtin()
    }
}

impl KeySet {
    /// The program's own sections, with what old files may contain in the sections of EMS drivers.
    #[must_use]
    pub fn builtin() -> KeySet {
        let mut sections = site::sections();
        sections.extend(control::sections());
        sections.extend(sources::sections());
        sections.extend(devices::sections());
        KeySet { sections }
    }

    /// Adds a section, or replaces the one with the same path: what a driver says of its own keys counts.
    #[must_use]
    pub fn with(mut self, section: Section) -> KeySet {
        match self.sections.iter_mut().find(|other| other.path == section.path) {
            Some(other) => *other = section,
            None => self.sections.push(section),
        }
        self
    }

    /// All sections.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub(crate) fn section(&self, path: &[&str]) -> Option<&Section> {
        self.sections.iter().find(|section| section.path.iter().eq(path))
    }

    /// Names of sections one level below `path`, each once.
    pub(crate) fn children(&self, path: &[&str]) -> Vec<&'static str> {
        let mut names = Vec::new();
        for section in self
            .sections
            .iter()
            .filter(|section| section.path.len() > path.len() && section.path.iter().zip(path).all(|(a, b)| a == b))
        {
            if let Some(&name) = section.path.get(path.len()).filter(|name| !names.contains(*name)) {
                names.push(name);
            }
        }
        names
    }
}
