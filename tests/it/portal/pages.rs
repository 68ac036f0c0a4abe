//! What holds for every page. The pages are found as a person finds them: from Home by links.

use std::collections::{BTreeMap, BTreeSet};

use super::browser::{Browser, Rules, Screen, Scripts, Theme};
use super::keys;
use super::wizard::KINDS;
use crate::api::support::Client;
use crate::support::device::post;
use crate::support::{Device, Service};

/// What every link on a list carries on, whatever else it changes.
const CARRIED: [&str; 2] = ["rows", "sort"];

/// What an address shows: a page, without ids, and without the kind where a query says what is shown; and the names in
/// its query.
fn shown(path: &str) -> (String, BTreeSet<&str>) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_kind = |part: &str| KINDS.iter().any(|(kind, ..)| *kind == part);
    let parts = path.split('/').map(|part| match part {
        _ if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) => "{id}",
        _ if is_kind(part) && !query.is_empty() => "{kind}",
        _ => part,
    });
    let names = query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !CARRIED.contains(name));
    (parts.collect::<Vec<_>>().join("/"), names.collect())
}

/// Walks through the portal and looks at pages, so many of each, by itself and with each name in its query. Gives the
/// pages, and links that lead nowhere.
fn walk(browser: &Browser, each: usize, mut look: impl FnMut(&str)) -> (BTreeSet<String>, Vec<String>) {
    let mut looked = BTreeMap::<(String, String), usize>::new();
    let mut seen = BTreeSet::new();
    let mut ahead = vec![browser.path()];
    let mut dead = Vec::new();
    while let Some(path) = ahead.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let (page, names) = shown(&path);
        let shows: Vec<_> = names.into_iter().chain([""]).map(|name| (page.clone(), name.to_owned())).collect();
        if shows.iter().all(|show| looked.get(show).is_some_and(|count| *count >= each)) {
            continue;
        }
        for show in shows {
            *looked.entry(show).or_default() += 1;
        }
        browser.visit(&path);
        if browser.ask("return document.contentType") != "text/html" {
            continue;
        }
        if browser.status() != 200 {
            dead.push(path);
            continue;
        }
        look(&path);
        ahead.extend(browser.links());
    }
    (looked.into_keys().map(|(page, _)| page).collect(), dead)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_accessible_in_both_themes_at_both_widths() {
    let service = Service::start();
    store_hostile_text(&service).await;
    keys::store_a_key_in_each_state(&service);
    let browser = Browser::open(&service, Scripts::On);
    // Many pages have the same parts: a fault is said once, with the first page that has it.
    let mut faults = BTreeMap::new();
    let mut look = |path: &str| {
        for (fault, appearance) in faults_of_page(&browser) {
            faults.entry(fault).or_insert_with(|| format!("{path} ({appearance})"));
        }
    };
    browser.visit("/sign-in");
    look("/sign-in");
    browser.sign_in(&service);
    let (pages, dead) = walk(&browser, 1, look);
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(dead.is_empty(), "links lead nowhere: {dead:#?}");
    assert!(pages.len() > 20, "{pages:#?}");
}

/// What the theme changes is colors: all the rest is looked at in one. `PORTAL_SCREENS=1` leaves a picture of each page, for
/// people to look at, in the target directory.
fn faults_of_page(browser: &Browser) -> Vec<(String, String)> {
    let has_pictures = std::env::var_os("PORTAL_SCREENS").is_some();
    let mut faults = Vec::new();
    for screen in [Screen::Phone, Screen::Desk] {
        browser.resize(screen);
        for (theme, rules) in [(Theme::Dark, Rules::Colors), (Theme::Light, Rules::All)] {
            browser.prefer(theme);
            let appearance = format!("{screen:?} {theme:?}");
            if has_pictures {
                let path = browser.path();
                let (page, names) = shown(&path);
                browser.screenshot(&format!("{page} {names:?} {appearance}"));
            }
            faults.extend(browser.faults(rules).into_iter().map(|fault| (fault, appearance.clone())));
        }
        faults.extend(too_wide(browser).map(|fault| (fault, format!("{screen:?}"))));
    }
    faults
}

fn too_wide(browser: &Browser) -> Option<String> {
    let (page, window) = browser.widths();
    (page > window).then(|| format!("the page is {page} px wide in a window of {window} px"))
}

/// Leaves its mark if it is ever more than text, in an element, an attribute or an address.
const HOSTILE: &str = "\"'><script>owned=1</script><img src=owned onerror=owned=1><a href=javascript:owned=1>x</a>";

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_stays_text_on_every_page() {
    let service = Service::start();
    let stored = store_hostile_text(&service).await;
    let browser = Browser::signed_in(&service, Scripts::On);
    let mut read = String::new();
    walk(&browser, 2, |path| {
        assert_untouched(&browser, path);
        assert_eq!(too_wide(&browser), None, "{path}");
        read += &browser.html();
        if !path.contains('?') {
            browser.visit(&format!("{path}?name={HOSTILE}&sort={HOSTILE}&open={HOSTILE}&page={HOSTILE}"));
            browser.status();
            assert_untouched(&browser, path);
        }
    });
    // Of pages that are alike the walk may have passed by these.
    browser.visit("/");
    let home = browser.path();
    let certificate = long_name("cert");
    for (list, name, what) in
        [("signing-certificates", &*certificate, "subject"), ("administrators", "hostile", "administrator")]
    {
        browser.visit(&format!("{home}/{list}"));
        browser.click(name);
        browser.sees(&format!("text of {what}"));
        assert_untouched(&browser, what);
        read += &browser.html();
    }
    for what in stored {
        assert!(read.contains(&format!("text of {what}")), "no page shows the {what}");
    }
    service.assert_healthy();
}

fn assert_untouched(browser: &Browser, path: &str) {
    let marks = browser.ask(
        "return [typeof owned, document.querySelectorAll('[src=owned], [onerror], [href^=\"javascript:\"]').length]",
    );
    assert_eq!(marks, serde_json::json!(["undefined", 0]), "{path}");
}

/// The same for places that take few characters.
const SHORT: &str = "\"><img src=owned onerror=owned=1>";

/// A name with no place to break.
fn long_name(what: &str) -> String {
    format!("{what}-{}", "W".repeat(200))
}

/// Puts hostile text, with its place behind it, wherever free text is taken. Gives the places.
async fn store_hostile_text(service: &Service) -> [&'static str; 10] {
    let short = |place: &str| format!("{SHORT} text of {place}");
    let text = |place: &str| format!("{HOSTILE} \u{202e}{} text of {place}", "W".repeat(400));
    let cli = |args: &[&str]| service.cli_ok(args);

    let (group, key) = (long_name("group"), long_name("key"));
    cli(&["group", "create", "--kind", "machine", "--name", &group, "--description", &text("group")]);
    let string = service.create_key("machine", &group, &key, &["--description", &text("key"), "--max-uses", "1"]);
    let mut request = Device::new("hostile").request(&string);
    for member in ["hostname", "platform", "softwareVersion"] {
        request[member] = short(member).into();
    }
    let component = post(&service.endpoint(), &request).await.text("componentId");
    cli(&["component", "edit", &component, "--description", &text("component")]);
    assert_eq!(Device::new("refused").enroll(&service.endpoint(), &string).await.code(), "key-exhausted");

    let (certificate, private_key) = authority(&short("subject"));
    let file = |name: &str, text: String| {
        let path = service.dir().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (certificate, private_key) = (file("ca.pem", certificate), file("ca.key", private_key));
    let import =
        ["signing-cert", "import", "--name", &long_name("cert"), "--description", &text("signing certificate")];
    cli(&[&import[..], &["--certificate-file", &certificate, "--private-key-file", &private_key]].concat());

    let role = ["--role", "auditor", "--description", &text("administrator")];
    cli(&[
        &["admin", "create", "--json", "--username", "hostile", "--password-file", &file("password", short(""))],
        &role[..],
    ]
    .concat());
    let (username, password) = service.owner();
    let form = format!("username={username}&password={password}");
    let agent = short("browser");
    let signed_in = Client::of(service, "0").send("POST", "/signin", form, &[("user-agent", &agent)]).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.body);
    [
        "group",
        "key",
        "hostname",
        "platform",
        "softwareVersion",
        "component",
        "subject",
        "signing certificate",
        "administrator",
        "browser",
    ]
}

/// A certificate that may sign, of this name, and its private key, as PEM.
fn authority(name: &str) -> (String, String) {
    let mut authority = rcgen::CertificateParams::default();
    authority.distinguished_name.push(rcgen::DnType::CommonName, name);
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let key_pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
    (authority.self_signed(&key_pair).expect("a certificate").pem(), key_pair.serialize_pem())
}
