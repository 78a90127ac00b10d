//! From the gateway's pages to a reading. Pure.

use std::collections::BTreeMap;

use ems::{Attribute, WireReading};
use roxmltree::{Document, Node};

/// Beyond this no house draws.
const MOST_WATTS: f64 = 1e6;

/// What the gateway tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gateway {
    /// Sum of its measuring units as it reckons it.
    pub total: Option<f64>,
    /// Watts of each measuring unit (MTU) that has a value; generation counts negative.
    pub mtus: BTreeMap<u8, f64>,
    /// Voltage.
    pub volts: Option<f64>,
    /// The gateway's clock, as text: one that stands still means values that stand still.
    pub clock: Option<String>,
}

/// Reads `LiveData.xml` (TED 5000) or `SystemOverview.xml` (TED Pro).
///
/// # Errors
/// A sentence, when it is something else.
pub fn gateway(text: &str) -> Result<Gateway, String> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let document = Document::parse(text).map_err(|error| format!("the answer is no XML: {error}; check `serverIP`"))?;
    let root = document.root_element();
    if root.has_tag_name("LiveData") {
        return live_data(root);
    }
    match root.descendants().find(|node| node.has_tag_name("MTUVal")) {
        Some(values) => overview(values),
        None => Err(format!("the answer is the page `{}`, not a TED's data; check `serverIP`", root.tag_name().name())),
    }
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn number(node: Option<Node<'_, '_>>, what: &str) -> Result<Option<f64>, String> {
    let Some(text) = node.and_then(|node| node.text()) else { return Ok(None) };
    let measure = json_pick::parse_number(text).map_err(|fault| format!("`{what}` is wrong: {fault}"))?;
    Ok(measure.map(|measure| measure.value).filter(|value| value.abs() <= MOST_WATTS))
}

fn mtu_number(node: Node<'_, '_>) -> Option<u8> {
    node.tag_name().name().strip_prefix("MTU")?.parse().ok().filter(|number| (1..=32).contains(number))
}

fn live_data(root: Node<'_, '_>) -> Result<Gateway, String> {
    let power =
        child(root, "Power").ok_or("the answer has no `Power`; check that the gateway's software is up to date")?;
    let count = number(child(root, "System").and_then(|system| child(system, "NumberMTU")), "NumberMTU")?;
    let mut gateway = Gateway::default();
    for node in power.children().filter(Node::is_element) {
        let watts = || number(child(node, "PowerNow"), "PowerNow");
        if node.has_tag_name("Total") {
            gateway.total = watts()?;
        } else if let Some(mtu) = mtu_number(node)
            // Places of units that are not there are filled with zeros.
            && count.is_none_or(|count| f64::from(mtu) <= count)
            && let Some(watts) = watts()?
        {
            gateway.mtus.insert(mtu, watts);
        }
    }
    let volts = child(root, "Voltage").and_then(|node| child(node, "Total"));
    gateway.volts = tenths(number(volts.and_then(|node| child(node, "VoltageNow")), "VoltageNow")?);
    gateway.clock = child(root, "GatewayTime").map(|time| {
        let parts: Vec<&str> = time.children().filter_map(|part| part.text()).map(str::trim).collect();
        parts.join(" ")
    });
    Ok(gateway)
}

fn overview(values: Node<'_, '_>) -> Result<Gateway, String> {
    let mut gateway = Gateway::default();
    for node in values.children().filter(Node::is_element) {
        let (Some(mtu), Some(watts)) = (mtu_number(node), number(child(node, "Value"), "Value")?) else { continue };
        let volts = tenths(number(child(node, "Voltage"), "Voltage")?);
        // Without voltage there is no unit at that place.
        if watts != 0.0 || volts.is_some() {
            gateway.mtus.insert(mtu, watts);
        }
        gateway.volts = gateway.volts.or(volts);
    }
    Ok(gateway)
}

fn tenths(value: Option<f64>) -> Option<f64> {
    value.map(|tenths| tenths / 10.0).filter(|volts| *volts > 0.0 && *volts <= 1000.0)
}

/// What a measuring unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Own generation; negative in a TED.
    Generation,
    /// A load, or the whole house.
    Consumption,
    /// The grid connection, import positive.
    Grid,
    /// Nothing of interest.
    Ignore,
}

/// Units with a role, and whether their direction is turned round.
pub type Roles = BTreeMap<u8, (Role, bool)>;

/// What the units make together.
///
/// # Errors
/// A sentence that names the units, when none of them is of use.
pub fn reading(gateway: &Gateway, roles: &Roles) -> Result<WireReading, String> {
    let sum = |wanted: Role| -> Option<f64> {
        let mut parts = roles.iter().filter(|(_, (role, _))| *role == wanted).peekable();
        parts.peek()?;
        // A unit that the gateway does not tell makes the sum unknown.
        parts
            .map(|(mtu, (_, is_turned))| gateway.mtus.get(mtu).map(|watts| if *is_turned { -watts } else { *watts }))
            .sum()
    };
    let mut reading = WireReading {
        generation_w: sum(Role::Generation).and_then(|watts| ems::generation(-watts)),
        consumption_w: sum(Role::Consumption).map(|watts| watts.max(0.0)),
        grid_w: sum(Role::Grid),
        ..WireReading::default()
    };
    if reading.generation_w.is_none() && reading.consumption_w.is_none() && reading.grid_w.is_none() {
        return Err(format!("no unit with a role has a usable value; the gateway shows {}", seen(gateway)));
    }
    if let Some(volts) = gateway.volts {
        reading.attributes.insert("voltage".to_owned(), Attribute::Number(volts));
    }
    Ok(reading)
}

/// The units, for messages.
#[must_use]
pub fn seen(gateway: &Gateway) -> String {
    let list: Vec<String> = gateway.mtus.iter().map(|(mtu, watts)| format!("MTU{mtu} {watts:.0} W")).collect();
    if list.is_empty() { "no unit at all".to_owned() } else { list.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(mtus: &[(u8, &str)]) -> String {
        let power: String = mtus.iter().map(|(n, w)| format!("<MTU{n}><PowerNow>{w}</PowerNow></MTU{n}>")).collect();
        format!(
            "<LiveData><System><NumberMTU>3</NumberMTU></System><Power><Total><PowerNow>1</PowerNow></Total>{power}</Power></LiveData>"
        )
    }

    #[test]
    fn units_add_up_by_their_roles() {
        let gateway = gateway(&live(&[(1, "1500"), (2, " -2400 "), (3, "-100"), (4, "0")])).unwrap();
        assert_eq!(gateway.mtus.len(), 3);
        let roles = [(1, Role::Consumption), (2, Role::Generation), (3, Role::Generation)];
        let roles: Roles = roles.into_iter().map(|(mtu, role)| (mtu, (role, false))).collect();
        let found = reading(&gateway, &roles).unwrap();
        assert_eq!((found.generation_w, found.consumption_w, found.grid_w), (Some(2500.0), Some(1500.0), None));
        let turned: Roles = [(2, (Role::Grid, true))].into();
        assert_eq!(reading(&gateway, &turned).unwrap().grid_w, Some(2400.0));
    }

    #[test]
    fn a_unit_that_is_not_there_is_unknown() {
        let gateway = gateway(&live(&[(1, "1500")])).unwrap();
        let roles: Roles = [(1, (Role::Generation, false)), (2, (Role::Generation, false))].into();
        assert!(reading(&gateway, &roles).unwrap_err().contains("MTU1 1500 W"));
    }

    #[test]
    fn the_overview_of_newer_models() {
        let text = "<DialDataDetail><MTUVal><MTU1><Value>-800</Value><Voltage>1215</Voltage></MTU1>\
                    <MTU2><Value>0</Value><Voltage>0</Voltage></MTU2></MTUVal></DialDataDetail>";
        let gateway = gateway(text).unwrap();
        assert_eq!((gateway.mtus, gateway.volts), ([(1, -800.0)].into(), Some(121.5)));
    }

    #[test]
    fn what_is_no_data_is_told() {
        for text in [
            "",
            "<html><body/></html>",
            "<LiveData>",
            "{}",
            "<LiveData/>",
            &live(&[(1, "1e308")]),
            &live(&[(1, "abc")]),
        ] {
            assert!(gateway(text).is_err(), "{text}");
        }
        assert!(gateway(&live(&[(1, "NaN")])).unwrap().mtus.is_empty());
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("ted") {
            let found = gateway(&recording.text()).unwrap();
            recording.assert_number("total_w", found.total);
            recording.assert_number("voltage_v", found.volts);
            for (mtu, watts) in recording.expected()["mtu_w"].as_object().unwrap() {
                assert_eq!(found.mtus.get(&mtu.parse().unwrap()).copied(), watts.as_f64());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_sane_numbers_or_an_error(text in "[<>/a-zA-Z0-9 .-]{0,200}", watts in ".{0,12}") {
            for text in [text, live(&[(1, &watts)])] {
                let roles: Roles = [(1, (Role::Generation, true))].into();
                if let Ok(found) = gateway(&text).and_then(|gateway| reading(&gateway, &roles)) {
                    proptest::prop_assert!(found.into_reading(std::time::Instant::now()).is_ok());
                }
            }
        }
    }
}
