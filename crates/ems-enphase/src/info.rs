//! The gateway's page about itself, which every firmware shows without a login. Pure.

/// What `/info` tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware without its letter, such as `7.6.175`.
    pub firmware: Option<String>,
    /// Whether it wants a token (from firmware 7 on).
    pub needs_token: bool,
    /// Whether it has meters.
    pub is_metered: bool,
}

/// First firmware that wants tokens.
const FIRST_WITH_TOKENS: u32 = 7;

/// Reads `/info`; `None` when it is something else.
#[must_use]
pub fn info(xml: &str) -> Option<Info> {
    let inside = xml.split_once("<envoy_info")?.1;
    let firmware = element(inside, "software").map(|text| text.trim_start_matches(|c: char| !c.is_ascii_digit()));
    let major: Option<u32> = firmware.and_then(|text| text.split('.').next()?.parse().ok());
    Some(Info {
        serial: element(inside, "sn").map(str::to_owned),
        firmware: firmware.filter(|text| !text.is_empty()).map(str::to_owned),
        needs_token: element(inside, "web-tokens") == Some("true") || major.is_some_and(|m| m >= FIRST_WITH_TOKENS),
        is_metered: element(inside, "imeter") == Some("true"),
    })
}

fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_decides_when_the_flag_is_missing() {
        let page =
            |software: &str| format!("<envoy_info><device><software>{software}</software></device></envoy_info>");
        assert!(info(&page("D8.2.4264")).unwrap().needs_token);
        assert!(!info(&page("R4.10.35")).unwrap().needs_token);
        assert_eq!(info("<html>login</html>"), None);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("enphase") {
            if recording.text_at(&["request", "path"]) != "/info" {
                continue;
            }
            let info = info(&recording.text()).unwrap();
            let expected = recording.expected();
            assert_eq!(info.firmware.as_deref(), expected["firmware"].as_str(), "{}", recording.name());
            assert_eq!(Some(info.needs_token), expected["token_auth"].as_bool(), "{}", recording.name());
            assert_eq!(Some(info.is_metered), expected["metered"].as_bool(), "{}", recording.name());
            if let Some(serial) = expected["serial"].as_str() {
                assert_eq!(info.serial.as_deref(), Some(serial));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(<envoy_info>)?[</>a-z0-9.softwaremi]{0,80}") {
            let _ = info(&text);
        }
    }
}
