//! Regions and the hosts that serve them.

use std::fmt;
use std::str::FromStr;

use crate::token::Claims;

/// Path of the token service below its base.
pub(crate) const TOKEN_PATH: &str = "/oauth2/v3/token";
/// Path of the page on which people sign in.
pub(crate) const AUTHORIZE_PATH: &str = "/oauth2/v3/authorize";

/// Part of the world that an account belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// North America, and Asia and the Pacific without China.
    NorthAmerica,
    /// Europe, the Middle East, Africa.
    Europe,
    /// China.
    China,
}

impl Region {
    /// As the configuration and tokens spell it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Region::NorthAmerica => "NA",
            Region::Europe => "EU",
            Region::China => "CN",
        }
    }

    /// The region that a code of a sign-in begins with, as in `EU_…`.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        code.split_once('_')?.0.parse().ok()
    }
}

/// A text that is no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no region of Tesla's: write NA, EU or CN")]
pub struct BadRegion(String);

impl FromStr for Region {
    type Err = BadRegion;

    fn from_str(text: &str) -> Result<Self, BadRegion> {
        match text.trim().to_ascii_uppercase().as_str() {
            "NA" => Ok(Region::NorthAmerica),
            "EU" | "EMEA" => Ok(Region::Europe),
            "CN" => Ok(Region::China),
            _ => Err(BadRegion(text.chars().take(20).collect())),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Where the cloud is. Tesla's own unless the configuration names others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    /// Base of the Fleet API for every region (`vehicle.teslaAPI.apiUrl`).
    pub api: Option<String>,
    /// Base of the token service and of the page on which people sign in (`vehicle.teslaAPI.authUrl`).
    pub auth: Option<String>,
    /// Further bases that the cloud may send us to with a 421, beside Tesla's own: those of a simulated cloud.
    pub regions: Vec<String>,
}

impl Hosts {
    /// Base of the Fleet API of a region.
    #[must_use]
    pub fn api(&self, region: Region) -> String {
        self.api.clone().unwrap_or_else(|| {
            match region {
                Region::NorthAmerica => "https://fleet-api.prd.na.vn.cloud.tesla.com",
                Region::Europe => "https://fleet-api.prd.eu.vn.cloud.tesla.com",
                Region::China => "https://fleet-api.prd.cn.vn.cloud.tesla.cn",
            }
            .to_owned()
        })
    }

    /// The page on which people sign in.
    pub(crate) fn authorize(&self, region: Region) -> String {
        let base = self.auth.clone().unwrap_or_else(|| plain_auth(region).to_owned());
        format!("{}{AUTHORIZE_PATH}", base.trim_end_matches('/'))
    }

    /// Base of the token service for refreshing, and for exchanging a code with a client secret.
    pub(crate) fn token_base(&self, region: Region) -> String {
        self.auth.clone().unwrap_or_else(|| {
            match region {
                Region::China => "https://fleet-auth.prd.vn.cloud.tesla.cn",
                _ => "https://fleet-auth.prd.vn.cloud.tesla.com",
            }
            .to_owned()
        })
    }

    /// Base of the token service for exchanging a code without a secret.
    pub(crate) fn plain_token_base(&self, region: Region) -> String {
        self.auth.clone().unwrap_or_else(|| plain_auth(region).to_owned())
    }

    /// Whether a 421 may send us there. Nobody else gets a token; where the configuration names the host, it stays.
    pub(crate) fn may_go(&self, base: &str) -> bool {
        self.regions.iter().any(|region| region == base) || (self.api.is_none() && is_official(base))
    }

    /// The base that a 421 names, in its text or in `Alt-Svc`, if we may go there.
    pub(crate) fn moved_to(&self, words: &str, alt_svc: Option<&str>) -> Option<String> {
        let from_words = words.split_once("base URL:").map(|(_, rest)| rest.trim().to_owned());
        let from_header = alt_svc.and_then(|header| {
            let (_, rest) = header.split_once("h2=\"")?;
            let (address, _) = rest.split_once('"')?;
            let address = address.trim_end_matches(":443").trim_start_matches("https://");
            Some(format!("https://{address}"))
        });
        [from_words, from_header].into_iter().flatten().find_map(|text| {
            let address = text.split([' ', ',', '"', ')']).next()?.trim_end_matches(['.', '/']).to_owned();
            self.may_go(&address).then_some(address)
        })
    }

    /// The base that a token belongs to.
    pub(crate) fn api_of(&self, claims: &Claims, configured: Region) -> String {
        if self.api.is_none() {
            let region = claims.region;
            let is_ours = |host: &&String| is_official(host);
            let named = claims.audience.iter().filter(is_ours);
            let fitting = |host: &&String| {
                region.is_some_and(|region| host.contains(&format!(".{}.", region.code().to_ascii_lowercase())))
            };
            if let Some(host) =
                named.clone().find(fitting).or_else(|| named.clone().next().filter(|_| region.is_none()))
            {
                return host.trim_end_matches('/').to_owned();
            }
        }
        self.api(claims.region.unwrap_or(configured))
    }
}

fn plain_auth(region: Region) -> &'static str {
    match region {
        Region::China => "https://auth.tesla.cn",
        _ => "https://auth.tesla.com",
    }
}

/// Whether an address is one of Tesla's own hosts of the Fleet API; nobody else gets a token, whatever an answer says.
pub(crate) fn is_official(base: &str) -> bool {
    let Some(host) = base.strip_prefix("https://") else { return false };
    let host = host.trim_end_matches('/');
    let is_name = host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
    is_name
        && host.starts_with("fleet-api.")
        && (host.ends_with(".cloud.tesla.com") || host.ends_with(".cloud.tesla.cn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: &str = "https://fleet-api.prd.eu.vn.cloud.tesla.com";

    #[test]
    fn a_wrong_region_names_the_right_one() {
        let words = "user out of region, use base URL: https://fleet-api.prd.eu.vn.cloud.tesla.com, see docs";
        assert_eq!(Hosts::default().moved_to(words, None).as_deref(), Some(EU));
        let header = "h2=\"https://fleet-api.prd.eu.vn.cloud.tesla.com\"";
        assert_eq!(Hosts::default().moved_to("user out of region", Some(header)).as_deref(), Some(EU));
        let header = "h2=\"fleet-api.prd.eu.vn.cloud.tesla.com:443\"; ma=60";
        assert_eq!(Hosts::default().moved_to("", Some(header)).as_deref(), Some(EU));
    }

    #[test]
    fn nobody_else_gets_a_token() {
        for bad in [
            "https://evil.example/fleet-api.prd.eu.vn.cloud.tesla.com",
            "http://fleet-api.prd.eu.vn.cloud.tesla.com",
            "https://fleet-api.x@evil.cloud.tesla.com",
            "https://fleet-api.evil.example#.cloud.tesla.com",
            "https://fleet-api.eviltesla.com",
        ] {
            assert!(!is_official(bad), "{bad}");
            assert_eq!(Hosts::default().moved_to(&format!("use base URL: {bad}"), None), None, "{bad}");
        }
        assert!(is_official(EU));
        let own = Hosts { api: Some("http://127.0.0.1:1".into()), ..Hosts::default() };
        assert!(!own.may_go(EU), "who names a host wants that one");
    }

    #[test]
    fn a_token_knows_its_host() {
        let hosts = Hosts::default();
        let claims = |audience: &[&str], region| Claims {
            audience: audience.iter().map(|&host| host.to_owned()).collect(),
            region,
            ..Claims::default()
        };
        let both = ["https://fleet-api.prd.na.vn.cloud.tesla.com", EU, "https://auth.tesla.com"];
        assert_eq!(hosts.api_of(&claims(&both, Some(Region::Europe)), Region::NorthAmerica), EU);
        assert_eq!(hosts.api_of(&claims(&both, None), Region::China), both[0]);
        assert_eq!(hosts.api_of(&claims(&[], None), Region::Europe), EU);
        assert_eq!(hosts.api_of(&claims(&["https://evil.example"], None), Region::Europe), EU);
        let own = Hosts { api: Some("http://127.0.0.1:1".into()), ..Hosts::default() };
        assert_eq!(own.api_of(&claims(&both, Some(Region::Europe)), Region::Europe), "http://127.0.0.1:1");
    }

    #[test]
    fn codes_begin_with_their_region() {
        assert_eq!(Region::of_code("EU_abc_def"), Some(Region::Europe));
        assert_eq!(Region::of_code("abc_def"), None);
        assert!("XX".parse::<Region>().is_err());
    }
}
