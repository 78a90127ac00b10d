//! The HTTP interface: everything that answers under the program's web address.
//!
//! | part | paths | for whom |
//! | --- | --- | --- |
//! | `compat` | `/api/…` and the forms of the old pages | scripts and dashboards written for TWCManager |
//! | `v2` | `/api/v2/…` | new programs and the page |
//! | `page` | `/`, `/assets/…` | people |
//! | `metrics`, `health` | `/metrics`, `/healthz` | monitoring |
//! | [`AccessRules`], [`AccessFile`] | all of them | decide who may ask |
//! | [`LogOutputs`] | `/api/v2/logs`, `/healthz` | how the outputs of the log are doing |
//! | [`History`], [`DebugBus`] | a few old ones | what else the program is asked |
//! | [`Cars`] | `/api/v2/cars…`, a few old ones | whoever looks after the cars |
//! | [`TeslaAccount`] | `/teslaAccount/…`, `/api/v2/tesla…`, the public key | signing in at the maker of the cars |
//!
//! An [`Api`] holds a [`site::SitePort`] and turns one request into one answer; sockets are the business of `http-door`.
//! Answers that many clients poll are rendered once for each snapshot and then shared.
//!
//! ```
//! use std::sync::Arc;
//!
//! use control_http::{Api, ApiConfig};
//! use http_door::Handler;
//!
//! fn serve(site: Arc<dyn site::SitePort>) -> Arc<dyn Handler> {
//!     Arc::new(Api::new(ApiConfig::default(), site))
//! }
//! ```

mod access;
mod api;
mod cache;
mod cars;
mod compat;
mod health;
mod logs;
mod mask;
mod metrics;
mod page;
mod ports;
mod route;
mod tesla;
mod v2;

pub use access::{
    AccessError, AccessFile, AccessRules, Caller, Denied, Intent, LONGEST_PASSWORD, Proof, SHORTEST_PASSWORD,
};
pub use api::{Api, ApiConfig};
pub use cars::Cars;
pub use logs::{LogOutput, LogOutputs};
pub use ports::{DebugBus, DebugMessage, Flows, History};
pub use tesla::{TeslaAccount, TeslaRefusal, TeslaReturn};

/// Every route of the native interface, for whoever checks a description against it.
pub fn native_routes() -> impl Iterator<Item = (http_door::Method, &'static str)> {
    [v2::ROUTES, health::ROUTES, logs::ROUTES, metrics::ROUTES, tesla::ROUTES, v2::CAR_ROUTES]
        .into_iter()
        .flatten()
        .map(|route| (route.method, route.path))
}

/// Every route there is, for whoever asks them all.
pub fn routes() -> impl Iterator<Item = (http_door::Method, &'static str)> {
    api::TABLES.into_iter().flatten().map(|route| (route.method, route.path))
}
