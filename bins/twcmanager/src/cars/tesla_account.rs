//! The account at Tesla's, as the page asks for it.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use control_http::{TeslaAccount, TeslaRefusal, TeslaReturn};
use serde_json::{Value, json};
use vehicle_tesla::{Account, Region, Returned, SignInError, Status};

/// The account behind the page.
pub struct PageAccount(pub Arc<Account>);

impl fmt::Debug for PageAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageAccount")
    }
}

impl TeslaAccount for PageAccount {
    fn begin(&self, region: Option<&str>) -> Result<String, TeslaRefusal> {
        let region = region.filter(|region| !region.is_empty()).map(str::parse::<Region>).transpose();
        let region = region.map_err(|error| TeslaRefusal { code: "error".to_owned(), text: error.to_string() })?;
        self.0.begin(region).map_err(|error| refusal(&error))
    }

    fn finish(&self, returned: TeslaReturn<'_>) -> Result<(), TeslaRefusal> {
        let returned = match returned {
            TeslaReturn::Redirect(query) => Returned::Redirect(query),
            TeslaReturn::Pasted(text) => Returned::Pasted(text),
        };
        self.0.finish(returned).map_err(|error| refusal(&error))
    }

    fn status(&self) -> Value {
        let Status {
            is_signed_in,
            has_fixed_token,
            is_under_way,
            expires,
            region,
            api,
            has_key,
            public_key_url,
            pairing_url,
            unpaired,
            missing,
            trouble,
        } = self.0.status();
        let expires = expires.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
        let trouble = trouble
            .map(|trouble| json!({"code": trouble.code, "text": trouble.text, "needs_person": trouble.needs_person}));
        json!({
            "signed_in": is_signed_in,
            "under_way": is_under_way,
            "fixed_token": has_fixed_token,
            "expires": expires,
            "region": region.code(),
            "host": config::masked(&Value::from(api)),
            "key": has_key,
            "public_key_url": public_key_url,
            "pairing_url": pairing_url,
            "unpaired": unpaired.iter().map(|vin| vin.as_str()).collect::<Vec<_>>(),
            "missing": missing,
            "trouble": trouble,
        })
    }

    fn public_key_pem(&self) -> Option<String> {
        self.0.public_key_pem().unwrap_or_else(|error| {
            log::warn!("{error}");
            None
        })
    }
}

fn refusal(error: &SignInError) -> TeslaRefusal {
    TeslaRefusal { code: error.code(), text: error.to_string() }
}

#[cfg(test)]
mod tests {
    use vehicle_tesla::{App, MemoryStore, Settings};

    use super::*;

    #[test]
    fn the_page_is_told_what_is_missing_and_no_secret() {
        let app = App { client_id: Some("id".into()), client_secret: Some("S3CRET".into()), ..App::default() };
        let account = Account::new(Settings::new(app, Region::Europe, None), Arc::new(MemoryStore::default()));
        let page = PageAccount(Arc::new(account));
        let status = page.status().to_string();
        assert!(status.contains("teslaApiRedirectUri") && !status.contains("S3CRET"), "{status}");
        assert_eq!(page.begin(None).unwrap_err().code, "not_configured");
        assert_eq!(page.begin(Some("XX")).unwrap_err().code, "error");
        assert_eq!(page.finish(TeslaReturn::Redirect("code=a&state=b")).unwrap_err().code, "state_mismatch");
        assert_eq!(page.public_key_pem(), None);
    }
}
