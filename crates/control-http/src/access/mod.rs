//! Who may ask for what.
//!
//! | part | what |
//! | --- | --- |
//! | `rules` | the verdict; pure, open it first |
//! | `gate` | who asks: session cookie, bearer token or HTTP Basic, held against the file |
//! | `file` | `access.json`: the password's hash and the tokens' hashes |
//! | `password`, `token` | hashing and comparing |
//! | `session` | who is signed in; in memory, so a restart signs everybody out |
//! | `brake` | slows down wrong passwords |

mod brake;
mod file;
mod gate;
mod password;
mod rules;
mod session;
mod token;

pub use file::{AccessError, AccessFile};
pub(crate) use gate::{Gate, TokenView};
pub use password::{LONGEST_PASSWORD, SHORTEST_PASSWORD};
pub use rules::{AccessRules, Caller, Denied, Intent, Proof};
