//! Signing in at Tesla: the old addresses, the native ones, and the public key.

use std::sync::{Arc, Mutex};

use control_http::{TeslaAccount, TeslaRefusal, TeslaReturn};
use http_door::{Method, Request};
use serde_json::{Value, json};

use crate::bench::Bench;

#[derive(Debug, Default)]
struct Account {
    returned: Mutex<Vec<String>>,
}

impl TeslaAccount for Account {
    fn begin(&self, region: Option<&str>) -> Result<String, TeslaRefusal> {
        Ok(format!("https://auth.example.org/authorize?region={}", region.unwrap_or("configured")))
    }

    fn finish(&self, returned: TeslaReturn<'_>) -> Result<(), TeslaRefusal> {
        let (TeslaReturn::Redirect(text) | TeslaReturn::Pasted(text)) = returned;
        self.returned.lock().expect("no panic").push(text.to_owned());
        if text.contains("code=good") {
            return Ok(());
        }
        Err(TeslaRefusal { code: "access denied\r\nX: y".to_owned(), text: "Tesla refuses; begin again".to_owned() })
    }

    fn status(&self) -> Value {
        json!({"signed_in": false, "missing": ["sign in"]})
    }

    fn public_key_pem(&self) -> Option<String> {
        Some("-----BEGIN PUBLIC KEY-----\n".to_owned())
    }
}

fn bench() -> (Bench, Arc<Account>) {
    let account = Arc::new(Account::default());
    let tesla = Arc::clone(&account) as Arc<dyn TeslaAccount>;
    (Bench::with(json!({}), |config| config.tesla = Some(tesla)), account)
}

#[test]
fn the_old_addresses_lead_to_the_makers_page_and_back() {
    let (bench, account) = bench();
    let location = |path: &str| bench.get(path).header("location").map(str::to_owned);
    let page = location("/teslaAccount/login?region=EU").unwrap();
    assert_eq!(page, "https://auth.example.org/authorize?region=EU");
    assert!(location("/teslaAccount/login").unwrap().ends_with("region=configured"));
    assert_eq!(location("/teslaAccount/callback?code=good&state=s").unwrap(), "/teslaAccount/success");
    assert_eq!(location("/teslaAccount/callback?code=bad").unwrap(), "/teslaAccount/access%20denied%0D%0AX%3A%20y");
    let pasted = bench.post("/teslaAccount/saveToken", "url=https%3A%2F%2Fexample.org%2F%3Fcode%3Dgood");
    assert_eq!((pasted.status, pasted.header("location")), (302, Some("/teslaAccount/success")));
    let returned = account.returned.lock().unwrap();
    assert_eq!(*returned, ["code=good&state=s", "code=bad", "https://example.org/?code=good"]);
}

#[test]
fn a_page_of_somebody_else_cannot_begin_it_and_the_maker_can_come_back() {
    let (bench, _) = bench();
    let from =
        |path: &str, site: &str| bench.ask(&Request::new(Method::Get, path).with_header("sec-fetch-site", site)).status;
    assert_eq!(from("/teslaAccount/login", "cross-site"), 403);
    assert_eq!(from("/teslaAccount/login", "none"), 302);
    assert_eq!(from("/teslaAccount/callback?code=good", "cross-site"), 302);
}

#[test]
fn the_native_addresses_do_the_same() {
    let (bench, _) = bench();
    let status = bench.get("/api/v2/tesla");
    assert!(status.text.contains("\"configured\":true") && status.text.contains("sign in"), "{}", status.text);
    let begun = bench.native(Method::Post, "/api/v2/tesla/sign-in", "{\"region\":\"NA\"}");
    assert_eq!((begun.status, begun.text.contains("region=NA")), (200, true));
    assert_eq!(bench.native(Method::Post, "/api/v2/tesla/sign-in", "").status, 200);
    let back = |body: &str| bench.native(Method::Post, "/api/v2/tesla/sign-in/return", body).status;
    assert_eq!(back("{\"pasted\":\"https://example.org/?code=good\"}"), 204);
    assert_eq!(back("{\"pasted\":\"code=bad\"}"), 409);
    for wrong in ["", "{}", "{\"pasted\":5}", "{\"pasted\":\"x\",\"more\":1}", "[]"] {
        assert_eq!(back(wrong), 400, "{wrong}");
    }
    let nobody = Bench::new(json!({}));
    assert!(nobody.get("/api/v2/tesla").text.contains("\"configured\":false"));
    let refused = nobody.native(Method::Post, "/api/v2/tesla/sign-in", "");
    assert_eq!((refused.status, refused.text.contains("tesla setup")), (409, true));
}

#[test]
fn the_public_key_is_where_the_maker_looks() {
    let path = "/.well-known/appspecific/com.tesla.3p.public-key.pem";
    let (bench, _) = bench();
    let answer = bench.get(path);
    assert_eq!(answer.header("content-type"), Some("application/x-pem-file"));
    assert!(answer.text.starts_with("-----BEGIN PUBLIC KEY-----"));
    assert_eq!(Bench::new(json!({})).get(path).status, 404);
}
