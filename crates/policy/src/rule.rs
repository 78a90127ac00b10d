//! One policy, understood.

use serde_json::{Map, Value as Json};

use crate::builtin::{CHARGE_NOW, GREEN, NON_SCHEDULED, SCHEDULED, background_task};
use crate::condition::{Condition, Reader};
use crate::operand::Operand;
use crate::{PolicyError, Remark};

/// Addresses that are called when something happens under a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Webhooks {
    /// When it comes into force.
    pub enter: Option<String>,
    /// When it ends.
    pub exit: Option<String>,
    /// When a car starts to draw.
    pub start: Option<String>,
    /// When a car stops drawing.
    pub stop: Option<String>,
}

/// One policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// All must hold.
    pub(crate) conditions: Vec<Condition>,
    /// `None` follows the surplus.
    pub(crate) amps: Option<Operand>,
    pub(crate) charge_limit: Option<Operand>,
    pub(crate) flex: Option<Operand>,
    /// Minutes.
    pub(crate) latch: Option<Operand>,
    pub(crate) webhooks: Webhooks,
    /// As configured, with restrictions and webhooks in their places.
    pub(crate) raw: Map<String, Json>,
}

impl Rule {
    /// Understands one policy object that stands at `path` of the configuration.
    pub(crate) fn read(json: &Json, path: &str, remarks: &mut Vec<Remark>) -> Result<Rule, PolicyError> {
        let name = json.get("name").and_then(Json::as_str).unwrap_or_default().trim().to_owned();
        let mut reader = Reader { policy: &name, remarks };
        let Json::Object(raw) = json else {
            return Err(reader.error(path, "a policy must be an object with `name`, `match`, `condition` and `value`"));
        };
        if name.is_empty() {
            return Err(reader.error(format!("{path}.name"), "a policy needs a name"));
        }
        let conditions = reader.lists(raw, path)?;
        let operand = |key: &str| -> Result<Option<Operand>, PolicyError> {
            let Some(value) = raw.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
            let error = |text: String| PolicyError { policy: name.clone(), key: format!("{path}.{key}"), text };
            let parsed = Operand::parse(value).map_err(error)?;
            match parsed {
                Operand::Literal(fact) => match fact.number() {
                    Some(_) => Ok(Some(Operand::Literal(fact.cast()))),
                    None if fact.to_string() == "value" => {
                        Err(error("the word `value` cannot be used here: write the number itself".to_owned()))
                    }
                    None => Err(error(format!("`{fact}` is no number and no name of a value"))),
                },
                other => Ok(Some(other)),
            }
        };
        let (amps, charge_limit) = (operand("charge_amps")?, operand("charge_limit")?);
        let (flex, latch) = (operand("allowed_flex")?, operand("latch_period")?);
        if let Some(task) = raw.get("background_task").and_then(Json::as_str)
            && background_task(task).is_none()
        {
            remarks.push(Remark {
                policy: name.clone(),
                key: format!("{path}.background_task"),
                text: format!("there is no background task `{task}`; the policy works without it"),
            });
        }
        let webhooks = match raw.get("webhooks") {
            Some(hooks) => read_webhooks(hooks, &name, &format!("{path}.webhooks"), remarks)?,
            None => Webhooks::default(),
        };
        Ok(Rule { name, conditions, amps, charge_limit, flex, latch, webhooks, raw: raw.clone() })
    }

    /// Adds conditions, which must hold as well.
    pub(crate) fn restrict(&mut self, json: &Json, path: &str, remarks: &mut Vec<Remark>) -> Result<(), PolicyError> {
        let mut reader = Reader { policy: &self.name, remarks };
        let Json::Object(object) = json else {
            return Err(
                reader.error(path, "a restriction must be an object with the lists `match`, `condition` and `value`")
            );
        };
        self.conditions.extend(reader.lists(object, path)?);
        for list in ["match", "condition", "value"] {
            if let (Some(Json::Array(own)), Some(more)) = (self.raw.get_mut(list), object.get(list)) {
                match more {
                    Json::Array(more) => own.extend(more.iter().cloned()),
                    one => own.push(one.clone()),
                }
            }
        }
        Ok(())
    }

    /// Attaches addresses to call.
    pub(crate) fn attach(&mut self, json: &Json, path: &str, remarks: &mut Vec<Remark>) -> Result<(), PolicyError> {
        self.webhooks = read_webhooks(json, &self.name, path, remarks)?;
        self.raw.insert("webhooks".to_owned(), json.clone());
        Ok(())
    }

    pub(crate) fn is_green(&self) -> bool {
        self.amps.is_none()
    }

    /// A stable word for programs.
    pub(crate) fn kind(&self) -> &'static str {
        match self.name.as_str() {
            CHARGE_NOW => "charge_now",
            SCHEDULED => "scheduled",
            GREEN => "green",
            NON_SCHEDULED => "non_scheduled",
            _ => "custom",
        }
    }
}

fn read_webhooks(json: &Json, policy: &str, path: &str, remarks: &mut Vec<Remark>) -> Result<Webhooks, PolicyError> {
    let error = |key: String, text: &str| PolicyError { policy: policy.to_owned(), key, text: text.to_owned() };
    let Json::Object(object) = json else {
        return Err(error(
            path.to_owned(),
            "webhooks must be an object with the addresses `enter`, `start`, `stop`, `exit`",
        ));
    };
    let mut hooks = Webhooks::default();
    for (event, address) in object {
        let slot = match event.as_str() {
            "enter" => &mut hooks.enter,
            "exit" => &mut hooks.exit,
            "start" => &mut hooks.start,
            "stop" => &mut hooks.stop,
            _ => {
                remarks.push(Remark {
                    policy: policy.to_owned(),
                    key: format!("{path}.{event}"),
                    text: "there is no such event: use enter, start, stop or exit".to_owned(),
                });
                continue;
            }
        };
        match address {
            Json::String(address) if address.starts_with("http://") || address.starts_with("https://") => {
                *slot = Some(address.clone());
            }
            Json::Null => {}
            Json::String(address) if address.is_empty() => {}
            _ => {
                return Err(error(
                    format!("{path}.{event}"),
                    "a webhook must be an address that begins with http:// or https://",
                ));
            }
        }
    }
    Ok(hooks)
}
