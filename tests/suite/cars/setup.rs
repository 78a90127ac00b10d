//! `twcmanager tesla setup`, step by step.

use e2e::{Bus, until};
use serde_json::{Value, json};

use super::rig::{CLEO, DOMAIN, Folder, car, cloud, config, connector, pem_in, told_of, visit};
use super::secrets;

#[test]
fn the_command_line_says_what_is_missing_and_takes_the_steps() {
    let bus = Bus::start(vec![connector(0x4085, true)]);
    let cloud = cloud().unregistered().car(car(CLEO, "Cleo")).start();
    let folder = Folder::new(config(&cloud, &bus.port(), &json!({})));
    let key = folder.path().join("tesla-command-key.pem");

    let (text, code) = folder.setup(&[]);
    assert_eq!(code, Some(1));
    for step in ["--create-key", "--login"] {
        assert!(text.lines().any(|line| line.starts_with("[missing]") && line.contains(step)), "{step}: {text}");
    }
    assert!(!key.exists() && folder.settings().is_null(), "looking changes nothing");

    let (text, _) = folder.setup(&["--create-key"]);
    let pem = pem_in(&text).expect("the public key is printed");
    let made = std::fs::read_to_string(&key).expect("the key");
    folder.setup(&["--create-key"]);
    assert_eq!(std::fs::read_to_string(&key).expect("the key"), made, "an existing key stays");

    let (text, code) = folder.setup(&["--register", DOMAIN]);
    assert!(code == Some(1) && text.contains("does not register"), "nothing is published yet: {text}");
    cloud.with(|cloud| cloud.host_key(DOMAIN, &pem));
    let (text, _) = folder.setup(&["--register", DOMAIN]);
    assert!(text.contains("[done]    application registered"), "{text}");

    // The program runs: signing in is its business, and nothing is written beside it.
    let program = folder.start();
    let before = folder.settings();
    let (text, code) = folder.setup(&["--login"]);
    assert!(code == Some(1) && text.contains("another twcmanager") && text.contains("on its page"), "{text}");
    let published = ureq::get(program.url("/.well-known/appspecific/com.tesla.3p.public-key.pem")).call();
    let published = published.expect("the key").body_mut().read_to_string().expect("a text");
    assert_eq!(published.trim(), pem.trim());
    assert_eq!(folder.settings(), before);
    secrets::assert_kept(&program, &cloud, &folder);
    drop(program);

    let (text, code) = folder.setup(&["--login"]);
    let address = text.lines().find(|line| line.starts_with("http")).expect("the address to open").to_owned();
    assert_eq!(code, Some(1));
    let back = visit(&address).location;
    let (text, code) = folder.setup(&["--paste", &back]);
    assert!(text.contains("Signed in."), "{text}");
    // Cleo does not have the key yet, and nobody answers at the domain.
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("https://tesla.com/_ak/{DOMAIN}")) && text.contains(CLEO), "{text}");
    for secret in cloud.secrets() {
        assert!(!text.contains(&secret), "a secret is printed");
    }
    assert!(cloud.with(|cloud| cloud.pair(DOMAIN, None)));
    let (text, _) = folder.setup(&[]);
    assert!(text.contains(&format!("({CLEO}): has our key")), "{text}");

    let program = folder.start();
    until("the car is known", || told_of(&program, CLEO).is_some());
    secrets::assert_kept(&program, &cloud, &folder);
}

#[test]
fn nothing_is_missing_with_the_token_of_a_service() {
    let cloud = cloud().fixed_token("a-token-of-a-service").car(car(CLEO, "Cleo")).start();
    let mut config = config(&cloud, "/dev/null", &json!({}));
    for key in ["teslaApiClientID", "teslaApiClientSecret", "teslaApiRedirectUri"] {
        config["config"][key] = Value::from("");
    }
    config["vehicle"]["teslaAPI"] = json!({"apiUrl": cloud.api_url(), "token": "a-token-of-a-service"});
    let folder = Folder::new(config);
    let (text, code) = folder.setup(&[]);
    assert!(code == Some(0) && text.contains("Nothing is missing."), "{text}");
    assert!(text.contains(CLEO) && !text.contains("a-token-of-a-service"), "{text}");
    std::fs::write(folder.file(), "{").expect("the configuration");
    assert_eq!(folder.setup(&[]).1, Some(2));
}
