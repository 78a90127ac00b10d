//! Energy source: Enphase IQ Gateways (formerly Envoy) in the house, and the Enphase cloud.
//!
//! | part | does |
//! |---|---|
//! | [`info`] | reads what a gateway says of itself without a login |
//! | [`production`], [`production_v1`], [`production_page`] | read the pages that every generation of firmware has |
//! | [`meters`], [`readings`], [`live_data`] | read the meters' own pages: fast, by phase, with batteries |
//! | [`Token`] | what a gateway's token says of itself |
//!
//! Facts: pyenphase and its fixtures, Enphase's technical brief on local access with tokens; quirks and configuration in
//! `docs/ems/enphase.md`.

mod cloud;
mod info;
mod local;
mod meters;
mod production;
mod token;

use std::time::Duration;

use ems::{Ems, EmsDriver, KeyKind, KeySpec, Section, Shared};

use cloud::{Access, Cloud};
pub use info::{Info, info};
use local::{Gateway, State};
pub use meters::{Live, Meter, Role, live_data, meters, readings};
pub use production::{Found, production, production_page, production_v1};
use token::Account;
pub use token::Token;

/// Gateways are slow on bad days; longer than this a poll is not worth waiting for.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(15);
const CLOUD_TIMEOUT: Duration = Duration::from_secs(30);
const LOGIN_BASE: &str = "https://enlighten.enphaseenergy.com";
const TOKEN_BASE: &str = "https://entrez.enphaseenergy.com";
const CLOUD_BASE: &str = "https://api.enphaseenergy.com";
/// A thousand calls a month, the free plan, are one in so many seconds.
const CLOUD_INTERVAL_S: f64 = 2700.0;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Enphase",
    summary: "Enphase IQ Gateways (Envoy) with meters and batteries, and the Enphase cloud",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the gateway in the house"),
        KeySpec::new(
            "serverPort",
            KeyKind::Port,
            "Its port (default 80; https on 443 is found where the firmware wants it)",
        ),
        KeySpec::new("token", KeyKind::Secret, "Token for firmware 7 and later; fetched when `username` is set"),
        KeySpec::new("username", KeyKind::Text, "E-mail of the Enphase account, to fetch and renew the token"),
        KeySpec::new("password", KeyKind::Secret, "Its password"),
        KeySpec::new("tlsFingerprint", KeyKind::Text, "SHA-256 of the gateway's certificate, to accept no other"),
        KeySpec::new("apiKey", KeyKind::Secret, "Cloud: key of the application"),
        KeySpec::new("systemID", KeyKind::Text, "Cloud: number of the system"),
        KeySpec::new("userID", KeyKind::Text, "Cloud interface v2 (switched off in 2023): user"),
        KeySpec::new("clientID", KeyKind::Text, "Cloud: client id of the application"),
        KeySpec::new("clientSecret", KeyKind::Secret, "Cloud: its secret"),
        KeySpec::new("refreshToken", KeyKind::Secret, "Cloud: the refresh token of your authorisation"),
        KeySpec::new(
            "interval",
            KeyKind::Number,
            "Cloud: seconds between calls (default 2700: the free plan's 1000 a month)",
        ),
        KeySpec::new("baseUrl", KeyKind::Text, "Cloud: another address for login, tokens and data"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    if section.text("serverIP").is_some() {
        if section.text("apiKey").is_some() {
            section.warn("apiKey", "is not used, since `serverIP` is set: the gateway tells more, and sooner");
        }
        open_gateway(section, shared).map(|gateway| Box::new(gateway) as Box<dyn Ems>)
    } else {
        open_cloud(section, shared).map(|cloud| Box::new(cloud) as Box<dyn Ems>)
    }
}

fn open_gateway(section: &mut Section, shared: &Shared) -> Option<Gateway> {
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, port == 443);
    let configured = section.text("token").map(|text| Token::parse(&text));
    let account = open_account(section, shared);
    let base = base?;
    let tls = ems_http::device_tls(section, &base);
    let make = |section: &mut Section, base: &str| {
        ems_http::client(section, shared, Some(base), "serverIP", |builder| {
            let builder = builder.total_timeout(GATEWAY_TIMEOUT).follow_redirects(false);
            if base.starts_with("https") { builder.tls(tls.clone()) } else { builder }
        })
    };
    let plain = make(section, &base);
    // Only an address as old firmware has it leaves room for another; what was written out is meant.
    let secure = match base.strip_prefix("http://").and_then(|rest| rest.strip_suffix(":80")) {
        Some(host) => make(section, &format!("https://{host}:443")),
        None => None,
    };
    if section.has_errors() {
        return None;
    }
    let path = section.path().to_owned();
    Some(Gateway { plain: plain?, secure, account, configured, keep: shared.get(), path, state: State::default() })
}

fn open_account(section: &mut Section, shared: &Shared) -> Option<Account> {
    let username = section.text("username")?;
    let password = section.required_text("password");
    let login = ems_http::cloud_base(section, LOGIN_BASE);
    let tokens = ems_http::cloud_base(section, TOKEN_BASE);
    let login = open_cloud_client(section, shared, login.as_deref(), "username");
    let tokens = open_cloud_client(section, shared, tokens.as_deref(), "username");
    let (login, tokens) = (login?, tokens?);
    login.secret(&password);
    Some(Account { login, tokens, username, password })
}

fn open_cloud_client(
    section: &mut Section,
    shared: &Shared,
    base: Option<&str>,
    key: &str,
) -> Option<http_client::Client> {
    ems_http::client(section, shared, base, key, |builder| {
        builder.total_timeout(CLOUD_TIMEOUT).proxy_from_environment()
    })
}

fn open_cloud(section: &mut Section, shared: &Shared) -> Option<Cloud> {
    let Some(api_key) = section.text("apiKey") else {
        section.error("serverIP", "is missing; put the address of the gateway (Envoy) in your house there");
        return None;
    };
    let system_id = section.required_text("systemID");
    let access = match (section.text("refreshToken"), section.text("userID")) {
        (Some(refresh_token), _) => {
            let client_id = section.required_text("clientID");
            let client_secret = section.required_text("clientSecret");
            Access::V4 { api_key, client_id, client_secret, refresh_token }
        }
        (None, Some(user_id)) if section.text("baseUrl").is_some() => Access::V2 { api_key, user_id },
        _ => {
            section.error(
                "apiKey",
                "belongs to a cloud interface that Enphase switched off in January 2023; put the address of the gateway in \
                 your house into `serverIP`, or set `refreshToken`, `clientID` and `clientSecret` for today's interface",
            );
            return None;
        }
    };
    let interval = section.number_within("interval", CLOUD_INTERVAL_S, 60.0, 86_400.0);
    let base = ems_http::cloud_base(section, CLOUD_BASE);
    let client = open_cloud_client(section, shared, base.as_deref(), "baseUrl");
    if section.has_errors() {
        return None;
    }
    let path = section.path().to_owned();
    Some(Cloud::new(client?, system_id, access, Duration::from_secs_f64(interval), shared.get(), path))
}

#[cfg(test)]
mod tests;
