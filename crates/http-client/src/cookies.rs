//! The few cookies that a device's session needs. A client talks to one host, so there is no matching of domains.

/// Most cookies kept.
const MOST: usize = 32;
/// Longest cookie kept, name and value together.
const LONGEST: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    secure: bool,
}

/// Cookies of one host. Paths are ignored: devices set them for their whole interface.
#[derive(Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
}

impl Jar {
    /// Takes in one `Set-Cookie` value.
    pub(crate) fn set(&mut self, header: &str) {
        let mut parts = header.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        let is_clean = |text: &str| text.bytes().all(|b| (0x21..0x7f).contains(&b));
        if name.is_empty() || name.len() + value.len() > LONGEST || !is_clean(name) || value.bytes().any(|b| b < 0x20) {
            return;
        }
        let (mut secure, mut gone) = (false, false);
        for part in parts {
            let (key, argument) = part.split_once('=').unwrap_or((part, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "secure" => secure = true,
                "max-age" => gone |= argument.trim().parse::<i64>().is_ok_and(|seconds| seconds <= 0),
                // The usual way to delete; other expiry is left to the server, which then answers 401.
                "expires" => gone |= argument.contains("1970"),
                _ => {}
            }
        }
        self.cookies.retain(|cookie| cookie.name != name);
        if !gone {
            if self.cookies.len() >= MOST {
                self.cookies.remove(0);
            }
            self.cookies.push(Cookie { name: name.to_owned(), value: value.to_owned(), secure });
        }
    }

    /// The `Cookie` header, if there is any cookie to send.
    pub(crate) fn header(&self, https: bool) -> Option<String> {
        let pairs: Vec<String> =
            self.cookies.iter().filter(|c| https || !c.secure).map(|c| format!("{}={}", c.name, c.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.cookies.iter().find(|c| c.name == name).map(|c| c.value.clone())
    }

    pub(crate) fn clear(&mut self) {
        self.cookies.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn set_replace_delete() {
        let mut jar = Jar::default();
        jar.set("AuthCookie=abc; Path=/; Secure; HttpOnly");
        jar.set("UserRecord=x=y; Path=/");
        assert_eq!(jar.header(true).unwrap(), "AuthCookie=abc; UserRecord=x=y");
        assert_eq!(jar.header(false).unwrap(), "UserRecord=x=y");
        jar.set("AuthCookie=def");
        assert_eq!(jar.value("AuthCookie").unwrap(), "def");
        jar.set("AuthCookie=; Max-Age=0");
        jar.set("UserRecord=; expires=Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(jar.header(true), None);
    }

    proptest! {
        #[test]
        fn no_cookie_splits_a_header(text in "[a-z=; \r\n\tA-Z0-9\u{0}-\u{ff}]{0,40}") {
            let mut jar = Jar::default();
            jar.set(&text);
            if let Some(header) = jar.header(true) {
                prop_assert!(!header.contains(['\r', '\n', '\0']));
            }
        }
    }
}
