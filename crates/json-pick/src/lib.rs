//! Picks a number, a text, a flag or a list out of a JSON document by path, and says plainly what was wrong if it can't.
//!
//! | part | answers |
//! |---|---|
//! | [`Doc`] | a place in a document; every question to it takes a path from there |
//! | [`Path`] | a path that a user wrote in the configuration, checked once at start |
//! | [`Measure`], [`parse_number`], [`watts_factor`] | numbers that devices send as text, with and without a unit |
//! | [`number_in`] | the number that is all of a body, or at a path in it |
//! | [`PickError`] | names the path and what was found there |
//!
//! Three outcomes are kept apart everywhere, because a missing value taken for zero makes a car charge from the grid all
//! night: `Ok(Some(value))`; `Ok(None)` when the device has no value now (the key is absent, `null`, or a text such as
//! `unavailable`); `Err` when something is there that can't be what was asked for.
//!
//! ```
//! use json_pick::Doc;
//!
//! let reply = serde_json::json!({"Body": {"Data": {"Site": {"P_PV": null, "P_Grid": "-350.5 W"}}}, "inverters": [{"p": 7}, {"p": 5}]});
//! let doc = Doc::new(&reply);
//! assert_eq!(doc.number("Body.Data.Site.P_Grid")?, Some(-350.5));
//! assert_eq!(doc.number("Body.Data.Site.P_PV")?, None);
//! assert_eq!(doc.number("inverters[0].p")?, Some(7.0));
//! assert_eq!(doc.number("inverters[*].p")?, Some(12.0));
//! # Ok::<(), json_pick::PickError>(())
//! ```
//!
//! ## Paths
//!
//! | written | means |
//! |---|---|
//! | `a.b` | key `b` of the object at key `a` |
//! | `list[2]`, `list[-1]`, `list.2` | third element, last element, third element |
//! | `phases[*].w`, `Inverters.*.P` | every element of a list or an object; a number asked for there is the **sum** |
//! | `["devices:"].x`, `['a.b']` | a key with odd characters |
//! | `/a/b/0` | the same as a JSON pointer (RFC 6901) |
//! | (empty) | the document itself |
//!
//! A sum is unknown (`None`) as soon as one of its members is unknown, and when there is no member at all.
//!
//! For parsers of replies; code that owns both ends of a format uses serde structs instead.

mod body;
mod doc;
mod error;
mod number;
mod path;

pub use body::number_in;
pub use doc::Doc;
pub use error::PickError;
pub use number::{LARGEST, Measure, NumberFault, parse_number, watts_factor};
pub use path::{Path, PathFault};
