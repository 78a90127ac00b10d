//! HTTP client for devices in the house and for clouds: always bounded in time and size, and silent about secrets.
//!
//! | part | does |
//! |---|---|
//! | [`Client`], [`ClientBuilder`], [`Request`], [`Response`] | one client per device: connection kept open, time-outs, log-in, cookies |
//! | [`HttpError`], [`Kind`], [`Class`] | what went wrong, and what the user can do about it |
//! | [`Tls`], [`Fingerprint`] | how the device's certificate is judged |
//! | [`Auth`] | none, basic, bearer, digest (MD5 and SHA-256) or a header of one's own |
//! | [`Transport`], [`Recorder`], [`JsonLines`], [`Replay`] | live, live with a recording, or from a recording without network |
//! | [`Redactor`] | takes secrets out of addresses, texts and bodies |
//! | [`Backoff`], [`DailyBudget`] | when to call again; values without a clock |
//! | [`url`] | percent-encoding, and a base address from what users write into `serverIP` |
//!
//! ```no_run
//! use http_client::{Auth, Client, Tls};
//!
//! let client = Client::builder(http_client::url::base("192.168.1.30", Some(443), true)?)
//!     .tls(Tls::AcceptSelfSignedFor("192.168.1.30".into()))
//!     .auth(Auth::Bearer("…".into()))
//!     .config_key("sources.Enphase.serverIP")
//!     .build()?;
//! let reply = client.get_json("/production.json?details=1")?;
//! # Ok::<(), http_client::HttpError>(())
//! ```
//!
//! Every call blocks its thread for at most the total time-out ([`DEFAULT_TOTAL`]) and reads at most the limit
//! ([`DEFAULT_LIMIT`]). A client is `Send + Sync`; drivers own theirs. For drivers and notifiers; the program's own web
//! server is another crate.
//!
//! ## What it does that devices need
//!
//! - Status codes are answers, not errors, until [`Response::ok`] (which `get_json` calls).
//! - JSON may come with a byte order mark, as UTF-16 or Latin-1, as `text/html`, or with bare `NaN` (read as null). HTML, an
//!   empty body and a body cut short are told apart.
//! - Redirects are followed for GET only, to the same host only, and never from https back to http.
//! - Secrets (passwords, tokens, and what is registered with [`Client::secret`]) do not appear in errors, in the log lines
//!   of this crate, or in recordings. The `ureq` and `ureq_proto` crates log addresses at debug level: keep their log level
//!   at `warn`.
//!
//! Not done: replies that ureq refuses (a header line without colon, folded headers, no status line) end as
//! [`Kind::Protocol`]; devices that offer only TLS 1.0/1.1 or static RSA can't be reached.

mod builder;
mod client;
mod cookies;
mod digest;
mod error;
mod json;
mod pace;
mod record;
mod replay;
mod request;
mod response;
mod secrets;
mod tls;
pub mod url;

pub use builder::{Auth, ClientBuilder, DEFAULT_CONNECT, DEFAULT_LIMIT, DEFAULT_TOTAL};
pub use client::Client;
pub use digest::{Algorithm, Challenge};
pub use error::{Class, HttpError, Kind};
pub use pace::{Backoff, BudgetState, DailyBudget, DayTime};
pub use record::{Exchange, JsonLines, Recorder};
pub use replay::{Recorded, Replay, Transport};
pub use request::Request;
pub use response::Response;
pub use secrets::Redactor;
pub use tls::{Fingerprint, Tls};
