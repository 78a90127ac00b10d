//! Checks that need more than one key: each key may be fine, and the whole still not do what its owner expects.

use serde_json::Value;
use units::Amps;

use crate::check::nearest;
use crate::model::{Config, PolicyRule, Terms};
use crate::{Content, Diagnostic, Document, Node};

/// The operators of policy conditions.
const OPERATORS: [&str; 8] = ["gt", "gte", "lt", "lte", "eq", "ne", "false", "none"];

/// The names of the built-in policies.
const POLICIES: [&str; 4] = ["Charge Now", "Scheduled Charging", "Track Green Energy", "Non Scheduled Charging"];

/// Everything that looks wrong about the whole.
pub(crate) fn check(config: &Config, document: &Document) -> Vec<Diagnostic> {
    let mut rules = Rules { config, document, found: Vec::new() };
    rules.limits();
    rules.supply();
    rules.sources();
    rules.charge_limits();
    rules.wires();
    rules.services();
    rules.policies();
    rules.placeholders(document.root(), "");
    rules.found
}

struct Rules<'a> {
    config: &'a Config,
    document: &'a Document,
    found: Vec<Diagnostic>,
}

impl Rules<'_> {
    fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.found.push(Diagnostic::warning(self.document.file(), self.document.nearest_position(key), key, message));
    }

    fn error(&mut self, key: &str, message: impl Into<String>) {
        self.found.push(Diagnostic::error(self.document.file(), self.document.nearest_position(key), key, message));
    }

    /// A number as the file has it, before anything was clamped.
    fn given_amps(&self, key: &str) -> Option<Amps> {
        let value = self.document.get(key)?.to_value();
        let number = value.as_f64().or_else(|| crate::convert::number_in(value.as_str()?)?.as_f64())?;
        Amps::new(number).ok()
    }

    fn limits(&mut self) {
        let site = &self.config.site;
        let (all, each, min) = (site.wiring_max_all_twcs, site.wiring_max_per_twc, site.min_per_twc);
        if all == Amps::ZERO {
            self.warn(
                "config.wiringMaxAmpsAllTWCs",
                "with 0 A for all connectors no car is ever charged; set the rating of their circuit",
            );
        } else if min > each {
            self.warn(
                "config.minAmpsPerTWC",
                format!(
                    "no car will ever be charged: a car needs at least {min} (`config.minAmpsPerTWC`), but a connector may only offer {each} \
                     (the smaller of `config.wiringMaxAmpsPerTWC` and `config.wiringMaxAmpsAllTWCs`). Set the wiring limits to what an electrician \
                     installed, or lower `minAmpsPerTWC` to 6"
                ),
            );
        }
        if let Some(given) = self.given_amps("config.wiringMaxAmpsPerTWC").filter(|given| *given > all) {
            self.warn(
                "config.wiringMaxAmpsPerTWC",
                format!("{given} for one connector is more than the {all} that all share (`config.wiringMaxAmpsAllTWCs`); {all} is used"),
            );
        }
        if site.fail_safe > each {
            self.warn(
                "config.failSafeAmps",
                format!("{} is more than a connector may offer; {each} is used", site.fail_safe),
            );
        } else if site.fail_safe > Amps::ZERO && site.fail_safe < min {
            self.warn("config.failSafeAmps", format!("{} is below `config.minAmpsPerTWC` ({min}), so cars are not charged at all while readings are stale", site.fail_safe));
        }
        if let (Some(grid), Some(fuse)) = (site.max_from_grid, site.grid_fuse_per_phase)
            && grid > fuse
        {
            self.warn("config.maxAmpsAllowedFromGrid", format!("{grid} from the grid is more than the main fuse carries (`config.gridFuseAmpsPerPhase`, {fuse}); the fuse counts"));
        }
    }

    fn supply(&mut self) {
        let site = &self.config.site;
        if site.default_voltage.get() > 300.0 {
            let volts = site.default_voltage;
            self.warn("config.defaultVoltage", format!("{volts} looks like the voltage between two phases; the one between phase and neutral is meant, such as 230"));
        }
        if site.phases.count() == 2 {
            self.warn(
                "config.numberOfPhases",
                "2 is unusual; a European supply has 1 or 3 phases, and an American one of 240 V counts as 1",
            );
        }
        for (key, other) in [("latitude", "longitude"), ("longitude", "latitude")] {
            let is_given = |key: &str| self.document.get(&format!("config.{key}")).is_some();
            if is_given(key) && !is_given(other) {
                self.warn(&format!("config.{key}"), format!("this has no effect without `config.{other}`"));
            }
        }
    }

    /// In use although they do not say so.
    fn sources(&mut self) {
        let config = self.config;
        for source in
            config.sources.iter().filter(|source| source.is_enabled && !source.options.contains_key("enabled"))
        {
            self.warn(
                &source.path,
                "this source is in use without `enabled`, as it was in TWCManager; write `\"enabled\": true`, or `false` to stop that",
            );
        }
    }

    fn charge_limits(&mut self) {
        for key in ["chargeNowLimit", "greenEnergyLimit", "scheduledLimit", "nonScheduledLimit"] {
            let key = format!("config.{key}");
            let given = self.document.get(&key).and_then(|node| node.to_value().as_f64());
            if given.is_some_and(|limit| limit > 0.0 && limit < 50.0) {
                self.warn(&key, "cars take charge limits from 50 to 100 %; with this one their own limit stays");
            }
        }
    }

    fn wires(&mut self) {
        let interface = &self.config.interface;
        if interface.rs485.is_empty()
            && interface.tcp.is_none()
            && interface.dummy.is_none()
            && self.config.gen3.is_none()
        {
            self.warn("interface", "no interface is switched on, so no Gen 2 connector can be reached; set `interface.RS485.enabled` to true");
        }
        for (index, bus) in interface.rs485.iter().enumerate() {
            if interface.rs485.iter().take(index).any(|other| other.port == bus.port) {
                self.error(
                    "interface.RS485",
                    format!("two buses use `{}`; each adapter carries one bus, so remove one of them", bus.port),
                );
            }
        }
        if let Some(gen3) = &self.config.gen3 {
            if gen3.devices.is_empty() {
                self.warn("controller.Gen3TWCs.devices", "no connector is listed here, so this section does nothing");
            }
            if interface.rs485.iter().any(|bus| bus.port == gen3.port) {
                self.error(
                    "controller.Gen3TWCs.port",
                    format!("`{}` is also used by `interface.RS485`; the two need adapters of their own", gen3.port),
                );
            }
        }
    }

    fn services(&mut self) {
        let control = &self.config.control;
        let status = &self.config.status;
        let brokers = [
            ("control.MQTT", control.mqtt.as_ref().map(|mqtt| (&mqtt.broker.host, &mqtt.topic_prefix))),
            ("status.MQTT", status.mqtt.as_ref().map(|mqtt| (&mqtt.broker.host, &mqtt.topic_prefix))),
        ];
        for (section, given) in brokers {
            let Some((host, prefix)) = given else { continue };
            for (key, value) in [("brokerIP", host), ("topicPrefix", prefix)] {
                if value.is_empty() {
                    self.warn(
                        &format!("{section}.{key}"),
                        format!("`{section}` is switched on, but does nothing without `{key}`"),
                    );
                }
            }
        }
        for (section, broker) in [
            ("control.MQTT", control.mqtt.as_ref().map(|mqtt| &mqtt.broker)),
            ("status.MQTT", status.mqtt.as_ref().map(|mqtt| &mqtt.broker)),
        ] {
            if broker.is_some_and(|broker| !broker.tls && (broker.ca.is_some() || broker.client.is_some())) {
                self.warn(
                    &format!("{section}.brokerTLS"),
                    "the certificates of this section are not used, since `brokerTLS` is off; switch it on".to_owned(),
                );
            }
        }
        if status.hass.as_ref().is_some_and(|hass| hass.host.is_empty() || hass.api_key.is_none()) {
            self.warn("status.HASS", "this section is switched on, but does nothing without `serverIP` and `apiKey`");
        }
        if let Some(http) = &control.http {
            self.https(http);
        }
        if let (Some(http), Some(ocpp)) = (control.http.as_ref().map(|http| http.port), &control.ocpp)
            && http == ocpp.port
        {
            self.warn(
                "control.OCPP.serverPort",
                format!("port {http} is also `control.HTTP.listenPort`; the two need ports of their own"),
            );
        }
        if self.config.logging.sqlite.as_ref().is_some_and(|sqlite| sqlite.path.is_empty()) {
            self.warn("logging.SQLite.path", "this log is switched on, but has no file to write to");
        }
    }

    fn https(&mut self, http: &crate::HttpControl) {
        // Half of a pair must not end in a page without encryption that its owner thinks encrypted.
        let is_given =
            |key: &str| self.document.get(&format!("control.HTTP.{key}")).is_some_and(|node| !node.is_null());
        let (certificate, key) = (is_given("certificate"), is_given("key"));
        if http.tls.is_none() && (certificate || key) {
            let (given, missing) = if certificate { ("certificate", "key") } else { ("key", "certificate") };
            self.error(
                &format!("control.HTTP.{given}"),
                format!("HTTPS needs both files: add `{missing}`, or remove `{given}` to serve without encryption"),
            );
        } else if http.tls.is_none() && http.tls_port.is_some() {
            self.error(
                "control.HTTP.tlsPort",
                "HTTPS needs a certificate: add `certificate` and `key`, or remove `tlsPort`",
            );
        }
        if http.tls_port == Some(http.port) {
            self.error(
                "control.HTTP.tlsPort",
                "this is also `listenPort`: remove it, and `listenPort` speaks HTTPS alone",
            );
        }
        if let Some(wrong) = http.host_names.iter().find(|name| name.contains(['/', ':', '*', ' '])) {
            self.warn(
                "control.HTTP.hostNames",
                format!("`{wrong}` is no name of a host: write it like `cars.example.org`"),
            );
        }
    }

    fn policies(&mut self) {
        let policy = &self.config.policy;
        let extended = [&policy.emergency, &policy.before, &policy.after].iter().any(|rules| !rules.is_empty())
            || !policy.restrictions.is_empty()
            || !policy.webhooks.is_empty();
        if !policy.replacement.is_empty() {
            if extended {
                self.warn(
                    "policy.extend",
                    "this has no effect, because `policy.override` replaces all policies; move what you need into it",
                );
            }
            if self.config.site.green_latch.is_some() {
                self.warn("config.greenEnergyLatch", "this has no effect, because `policy.override` replaces all policies; give your own one a `latch_period`");
            }
        }
        let lists = [
            ("policy.override", &policy.replacement),
            ("policy.extend.emergency", &policy.emergency),
            ("policy.extend.before", &policy.before),
            ("policy.extend.after", &policy.after),
        ];
        for (path, rules) in lists {
            for (index, rule) in rules.iter().enumerate() {
                self.policy(&format!("{path}[{index}]"), rule);
            }
        }
        for (name, terms) in &policy.restrictions {
            let path = format!("policy.extend.restrictions.{name}");
            self.policy_name(&path, name);
            self.terms(&path, terms);
        }
        for (name, _) in &policy.webhooks {
            self.policy_name(&format!("policy.extend.webhooks.{name}"), name);
        }
    }

    fn policy_name(&mut self, path: &str, name: &str) {
        let own = [&self.config.policy.emergency, &self.config.policy.before, &self.config.policy.after];
        let is_own = own.into_iter().flatten().any(|rule| rule.name == name);
        if !is_own && !POLICIES.contains(&name) {
            let hint = nearest(name, POLICIES.into_iter()).map_or_else(
                || format!("the policies are `{}`", POLICIES.join("`, `")),
                |near| format!("did you mean `{near}`?"),
            );
            self.warn(path, format!("there is no policy of this name; {hint}"));
        }
    }

    fn policy(&mut self, path: &str, rule: &PolicyRule) {
        if self.document.get(path).is_some_and(|node| !matches!(node.content, Content::Object(_))) {
            self.error(path, "a policy has to be an object with `name`, `match`, `condition` and `value`");
            return;
        }
        if rule.name.is_empty() {
            self.error(path, "this policy has no `name`; give it one, it is shown as the current policy");
        }
        self.terms(path, &rule.terms);
    }

    fn terms(&mut self, path: &str, terms: &Terms) {
        if terms.matches.is_empty() || terms.conditions.is_empty() || terms.values.is_empty() {
            self.error(path, "this needs the lists `match`, `condition` and `value` with at least one entry each");
        } else if terms.matches.len() != terms.conditions.len() || terms.conditions.len() != terms.values.len() {
            let (a, b, c) = (terms.matches.len(), terms.conditions.len(), terms.values.len());
            self.warn(path, format!("`match`, `condition` and `value` have {a}, {b} and {c} entries; what is beyond the shortest has no effect"));
        }
        self.operators(&format!("{path}.condition"), &terms.conditions);
    }

    fn operators(&mut self, path: &str, conditions: &[Value]) {
        for condition in conditions {
            match condition {
                Value::Array(nested) => self.operators(path, nested),
                Value::String(operator) if OPERATORS.contains(&operator.as_str()) => {}
                // Without quotes these two read as something else.
                Value::Bool(false) | Value::Null => {}
                other => self.error(path, format!("{other} is no condition; use one of `{}`", OPERATORS.join("`, `"))),
            }
        }
    }

    /// Values left over from an example, in sections that are switched on.
    fn placeholders(&mut self, node: &Node, path: &str) {
        match &node.content {
            Content::Object(members) => {
                let is_off = node.member("enabled").and_then(|member| crate::convert::flag_in(&member.node.to_value()))
                    == Some(false);
                for member in members.iter().filter(|_| !is_off) {
                    let below = if path.is_empty() { member.key.clone() } else { format!("{path}.{}", member.key) };
                    let value = member.node.to_value();
                    if node.member("enabled").is_some()
                        && value.as_str().is_some_and(|text| is_placeholder(&member.key, text))
                    {
                        self.warn(&below, "this still has the example's value; put in your own, or switch the section off with `\"enabled\": false`");
                    }
                    self.placeholders(&member.node, &below);
                }
            }
            Content::List(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.placeholders(item, &format!("{path}[{index}]")))
            }
            Content::Scalar { .. } => {}
        }
    }
}

/// Whether a text is one that examples contain in the place of something of the user's own.
#[must_use]
pub fn is_placeholder(key: &str, text: &str) -> bool {
    const WHOLE: &[&str] = &[
        "abc123",
        "abc1234",
        "test123",
        "changeme",
        "change_me",
        "chanegme",
        "todo",
        "serialnumber",
        "1.2.3.4",
        "abcdefghijklmnopqrstuvwxyz",
    ];
    let text = text.trim().to_lowercase();
    let is_credential = matches!(key, "username" | "password" | "apiKey" | "token");
    let repeats_itself = is_credential && text == key.to_lowercase();
    let is_all_x = text.len() >= 2 && text.chars().all(|c| c == 'x');
    let is_bracketed = text.len() > 2 && text.starts_with('<') && text.ends_with('>');
    let speaks_of_you = text.starts_with("your ")
        || text.starts_with("your_")
        || text.starts_with("your-")
        || text.ends_with(" item name");
    WHOLE.contains(&text.as_str()) || repeats_itself || is_all_x || is_bracketed || speaks_of_you
}
