//! The page and the HTTP interface: where they listen, and what can change while they run.

use std::sync::Arc;

use config::HttpControl;
use control_http::{AccessRules, Api};
use http_door::{DoorError, Listen, Server, ServerConfig, TlsFiles};

/// When the configured port is taken the next nine are tried, as TWCManager does.
const FURTHER_PORTS: u16 = 9;

/// Where it is served, and to whom.
pub struct WebPlan {
    listeners: Vec<Listen>,
    tls: Option<TlsFiles>,
    /// Who may ask.
    pub access: AccessRules,
}

impl WebPlan {
    /// As configured. With a certificate `listenPort` speaks HTTPS alone, unless that has a port of its own.
    pub fn of(http: &HttpControl) -> WebPlan {
        let main = Listen::everywhere(http.port).or_next_ports(FURTHER_PORTS).named("control.HTTP.listenPort");
        let listeners = match (&http.tls, http.tls_port) {
            (None, _) => vec![main],
            (Some(_), None) => vec![main.with_tls()],
            (Some(_), Some(port)) => {
                vec![main, Listen::everywhere(port).with_tls().named("control.HTTP.tlsPort")]
            }
        };
        let tls = http.tls.clone().map(|(certificate, key)| TlsFiles { certificate, key });
        WebPlan { listeners, tls, access: rules(http) }
    }

    /// On this computer alone.
    pub fn loopback(port: u16) -> WebPlan {
        let listeners = vec![Listen::loopback(port).named("--port")];
        WebPlan { listeners, tls: None, access: AccessRules::default() }
    }
}

/// Who may ask, as configured.
pub fn rules(http: &HttpControl) -> AccessRules {
    AccessRules { host_names: http.host_names.clone(), read_needs_password: http.read_needs_password }
}

/// The running server.
pub struct Web {
    plan: WebPlan,
    api: Arc<Api>,
    server: Option<Server>,
    /// Whether every listener is open.
    is_whole: bool,
}

impl Web {
    /// Opens what can be opened. Without a usable certificate nothing is served where HTTPS was asked for: never plain text in its
    /// place.
    pub fn start(plan: WebPlan, api: Arc<Api>) -> Web {
        let mut web = Web { plan, api, server: None, is_whole: false };
        web.open();
        web
    }

    fn open(&mut self) {
        let (all, tls) = (self.plan.listeners.clone(), self.plan.tls.clone());
        match self.serve(all, tls) {
            Ok(()) => self.is_whole = true,
            Err(error) => {
                log::error!("{error}");
                let plain: Vec<_> = self.plan.listeners.iter().filter(|listen| !listen.is_tls).cloned().collect();
                if (1..self.plan.listeners.len()).contains(&plain.len()) {
                    log::error!("only the port without encryption is served until this is mended and SIGHUP is sent");
                    if let Err(error) = self.serve(plain, None) {
                        log::error!("{error}");
                    }
                }
            }
        }
    }

    fn serve(&mut self, listeners: Vec<Listen>, tls: Option<TlsFiles>) -> Result<(), DoorError> {
        let config = ServerConfig { listeners, tls, ..ServerConfig::default() };
        let server = Server::start(config, Arc::clone(&self.api) as _)?;
        for listening in server.listening() {
            let scheme = if listening.is_tls { "https" } else { "http" };
            log::info!("the page is at {scheme}://localhost:{}/", listening.address.port());
        }
        self.server = Some(server);
        Ok(())
    }

    /// Reads the certificate again, for new connections; opens what could not be opened before.
    pub fn reload_certificates(&mut self) {
        if !self.is_whole {
            // The ports must be free before they are opened anew.
            self.server = None;
            self.open();
            return;
        }
        if let (Some(server), Some(_)) = (&self.server, &self.plan.tls) {
            match server.reload_certificates() {
                Ok(()) => log::info!("the certificate was read again; new connections get it"),
                Err(error) => log::error!("{error}. The certificate from before stays in use"),
            }
        }
    }

    /// Puts other rules of access in force.
    pub fn set_access(&mut self, rules: AccessRules) {
        if self.plan.access != rules {
            log::info!("hostNames and readNeedsPassword are taken over");
            self.api.set_access(rules.clone());
            self.plan.access = rules;
        }
    }

    /// Ends it.
    pub fn shutdown(self) {
        // Dropping the server does it.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(tls: bool, tls_port: Option<u16>) -> HttpControl {
        let tls = tls.then(|| ("a.pem".into(), "b.pem".into()));
        HttpControl { port: 8080, tls, tls_port, host_names: Vec::new(), read_needs_password: false }
    }

    #[test]
    fn with_a_certificate_nothing_is_plain_unless_a_second_port_says_so() {
        let listening =
            |http| WebPlan::of(&http).listeners.iter().map(|one| (one.port, one.is_tls)).collect::<Vec<_>>();
        assert_eq!(listening(http(false, None)), [(8080, false)]);
        assert_eq!(listening(http(true, None)), [(8080, true)]);
        assert_eq!(listening(http(true, Some(8443))), [(8080, false), (8443, true)]);
    }
}
