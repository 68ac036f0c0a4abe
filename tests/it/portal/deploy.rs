//! From the wizard to a device: what is saved is saved once, who may do what, and the lines that are shown are run.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::browser::{Browser, Scripts};
use super::visitor::{Visitor, copied, hidden};
use crate::support::tools::python;
use crate::support::{Answer, Service};

const ENTER: char = '\u{e007}';

/// The most that a name can do to a shell or to YAML.
const HOSTILE_NAMES: [&str; 5] = ["-rf .. -- __", "--key-file _", "null", "1.e3 - - yes", "...---END"];

/// Answers of the wizard: a key in a new group.
fn answers<'a>(certificate: &'a str, name: &'a str, nonce: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("step", "4"),
        ("go", "save"),
        ("nonce", nonce),
        ("signing-certificate", certificate),
        ("way", "create"),
        ("group-name", name),
        ("group-enabled", "on"),
        ("view", "on"),
        ("name", name),
        ("maximum", "3"),
        ("enabled", "on"),
    ]
}

fn without<'a>(answers: &[(&'a str, &'a str)], left_out: &str) -> Vec<(&'a str, &'a str)> {
    answers.iter().copied().filter(|(name, _)| *name != left_out).collect()
}

fn with<'a>(answers: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    [&without(answers, name)[..], &[(name, value)]].concat()
}

fn wizard(visitor: &Visitor, kind: &str) -> String {
    format!("/c/{}/{kind}/keys/add", visitor.customer)
}

/// The id of the signing certificate that the wizard preselects.
async fn preselected(visitor: &mut Visitor, kind: &str) -> String {
    let page = visitor.get(&wizard(visitor, kind)).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let (before, _) = page.body.split_once("\" selected>").expect("one is preselected");
    before.rsplit('"').next().expect("its value").to_owned()
}

fn key_of(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{}", page.body);
    copied(&page.body, "id=\"secret\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_is_sent_again_shows_the_same_key_and_makes_no_other() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let certificate = preselected(&mut visitor, "app-connector").await;
    let address = wizard(&visitor, "app-connector");
    for (name, view) in [("kept", "on"), ("not-kept", "")] {
        let form = with(&answers(&certificate, name, "a-nonce"), "view", view);
        let first = visitor.post(&address, &form).await;
        let again = visitor.post(&address, &form).await;
        assert_eq!(key_of(&first), key_of(&again));
        assert_eq!(first.body.contains("This is the only time the key is shown."), view.is_empty());
        assert!(!first.head.contains("location:"), "a string that is shown once is in the answer itself");
    }
    let keys = service.cli_ok(&["key", "list", "--json", "--kind", "app-connector"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&keys).expect("JSON").as_array().expect("a list").len(), 2);
    // With another answer it is another request, and its name is taken.
    let changed = with(&answers(&certificate, "kept", "a-nonce"), "maximum", "4");
    let refused = visitor.post(&address, &changed).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("Another App Connector Group is called kept; capitals do not count."));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_leads_to_its_step_and_every_answer_stays() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let certificate = preselected(&mut visitor, "machine").await;
    let address = wizard(&visitor, "machine");
    let good = answers(&certificate, "laptops", "n");
    for (name, value, step, sentence) in [
        ("signing-certificate", "", "1", "No signing certificate is chosen. Choose one."),
        ("signing-certificate", "77", "1", "This signing certificate is no longer there. Choose another one."),
        ("group-name", "", "2", "Name is missing."),
        ("way", "select", "2", "No group is selected. Select one."),
        ("name", "a/b", "3", "A name cannot contain “/”. Try a-b."),
        ("maximum", "0", "3", "The maximum is at least 1. To stop a key, disable it."),
        ("addresses", "203.0.113.0/33", "3", "Line 1: “203.0.113.0/33” is not a network."),
        ("expires", "2020-01-01T00:00", "3", "1 Jan 2020, 00:00 has passed. Choose a later time or none."),
    ] {
        let page = visitor.post(&address, &with(&good, name, value)).await;
        assert_eq!(page.status, 422, "{name}={value}");
        assert_eq!(hidden(&page.body, "step"), step, "{name}={value}");
        assert!(page.body.contains(sentence), "{name}={value}: {}", page.body);
        assert!(page.body.contains("value=\"laptops\""), "{name}={value}");
    }
    // Back keeps all of it, however wrong it is.
    let wrong = with(&with(&with(&good, "name", "a/b"), "step", "3"), "go", "2");
    let back = visitor.post(&address, &wrong).await;
    assert_eq!((back.status, hidden(&back.body, "name").as_str()), (200, "a/b"));
    // Cleared is one selection and nothing else.
    let cleared = visitor.post(&address, &with(&with(&good, "step", "1"), "go", "clear-signing-certificate")).await;
    assert_eq!(cleared.status, 200);
    assert!(!cleared.body.contains("\" selected>") || cleared.body.contains("value=\"\" selected>"));
    assert_eq!(hidden(&cleared.body, "name"), "laptops");
    assert_eq!(service.cli_ok(&["group", "list", "--json", "--kind", "machine"]), "[]", "nothing is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_sign_is_not_offered_and_its_fault_says_why() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let certificate = preselected(&mut visitor, "machine").await;
    let address = wizard(&visitor, "machine");
    for name in ["Client", "Connector", "Isolation Client", "Network Connector", "Root", "Service Edge"] {
        assert!(!visitor.get(&address).await.body.contains("No signing certificate can sign now."));
        service.cli_ok(&["signing-cert", "edit", "--refuse-signing", name]);
    }
    let page = visitor.get(&address).await;
    assert!(page.body.contains("No signing certificate can sign now."), "{}", page.body);
    assert!(page.body.contains("Client has no leave to sign and cannot sign. Choose another one."));
    assert_eq!(page.body.matches("<option").count(), 1, "none is offered");
    let refused = visitor.post(&address, &answers(&certificate, "laptops", "n")).await;
    assert_eq!((refused.status, hidden(&refused.body, "step").as_str()), (422, "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_preselected_with_its_certificate_and_made_by_admins_only() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let groups = service.cli_ok(&["group", "list", "--json", "--kind", "machine"]);
    let groups: serde_json::Value = serde_json::from_str(&groups).expect("JSON");
    let group = groups[0]["id"].as_str().expect("an id");

    let mut operator = Visitor::with_role(&service, "operator").await;
    let address = wizard(&operator, "machine");
    let page = operator.get(&format!("{address}?group={group}")).await;
    assert_eq!(hidden(&page.body, "group"), group);
    let certificate = preselected(&mut operator, "machine").await;
    let form = answers(&certificate, "laptops", "n");
    let from_certificate = with(&with(&without(&form, "way"), "step", "1"), "go", "2");
    let groups = operator.post(&address, &from_certificate).await;
    assert!(!groups.body.contains("Create Group") && groups.body.contains(">HQ</option>"), "{}", groups.body);
    assert_eq!(operator.post(&address, &form).await.status, 403, "whatever the form says");
    let selected = with(&with(&form, "way", "select"), "group", group);
    assert!(key_of(&operator.post(&address, &selected).await).starts_with("3|localhost:8443|"));

    let mut auditor = Visitor::with_role(&service, "auditor").await;
    for path in ["machine/keys/add", "machine/components/add"] {
        let path = format!("/c/{}/{path}", auditor.customer);
        assert_eq!(auditor.get(&path).await.status, 403);
        assert_eq!(auditor.post(&path, &selected).await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_added_with_a_key_that_devices_could_use_now() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let usable = service.create_key("app-connector", "HQ", "usable", &["--max-uses", "2"]);
    for (name, more) in [("hidden", &["--no-view"][..]), ("off", &["--disabled"])] {
        service.create_key("app-connector", "HQ", name, &[&["--max-uses", "2"], more].concat());
    }
    let full = service.create_key("app-connector", "HQ", "full", &["--max-uses", "1"]);
    assert!(super::enroll(&service, "one", &full));

    let mut visitor = Visitor::owner(&service).await;
    let address = format!("/c/{}/app-connector/components/add", visitor.customer);
    let page = visitor.get(&address).await;
    assert!(page.body.contains(">usable, HQ, 2 left</option>"), "{}", page.body);
    assert_eq!(page.body.matches("<option").count(), 2, "{}", page.body);
    assert!(!page.body.contains(&usable[..40]));

    let id = |name: &str| service.key("app-connector", name)["id"].as_str().expect("an id").to_owned();
    let select = [("go", "next"), ("way", "select")];
    let chosen = visitor.post(&address, &with(&select, "provisioning-key", &id("usable"))).await;
    assert_eq!(key_of(&chosen), usable);
    assert!(chosen.body.contains("is ready. It allows 2 App Connectors in"));
    let exports = service.cli_ok(&["audit", "list", "--json", "--action", "export"]);
    assert!(exports.contains("usable"), "{exports}");
    for (id, sentence) in [
        (id("hidden"), "hidden has view and export off. Select another one."),
        (id("off"), "off is disabled. Select another one."),
        (id("full"), "full has no uses left. Select another one."),
        ("77".to_owned(), "This key is no longer there. Select another one."),
        (String::new(), "No provisioning key is selected. Select one, or create one."),
    ] {
        let refused = visitor.post(&address, &with(&select, "provisioning-key", &id)).await;
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains(sentence), "{sentence}: {}", refused.body);
    }
    // A new key: through the wizard and back to the list of components.
    let created = visitor.post(&address, &[("go", "next"), ("way", "create")]).await;
    let wizard = created.header("location").expect("an address").to_owned();
    let page = visitor.get(&wizard).await;
    assert!(page.body.contains("<h1>Add App Connector</h1>"), "{}", page.body);
    let certificate = preselected(&mut visitor, "app-connector").await;
    let purpose = hidden(&page.body, "for");
    let saved = visitor.post(&wizard, &with(&answers(&certificate, "new", "n"), "for", &purpose)).await;
    assert!(saved.body.contains(&format!("action=\"/c/{}/app-connector/components\"", visitor.customer)));
}

#[test]
fn enter_goes_forward_and_saves_and_what_is_shown_once_asks_before_it_goes() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let browser = Browser::signed_in(&service, Scripts::Off);
    browser.go("Device Authentication", "Machine Provisioning Keys");
    browser.click("Add Machine Provisioning Key");
    browser.click("Next");
    browser.choose("Machine Group", "HQ");
    browser.click("Next");
    browser.tick("View or Export Provisioning Key After Creation", false);
    browser.fill("Name", "laptops");
    browser.press(ENTER);
    browser.sees("Off: shown once, in the next step");
    browser.click("Save");
    browser.sees("This is the only time the key is shown.");
    let key = browser.selected("Provisioning key");
    browser.click("Done");
    browser.sees("This is the only time the key is shown.");
    browser.tick("I have stored it", true);
    browser.click("Done");
    browser.sees_title("Machine Provisioning Keys");
    assert!(super::enroll(&service, "laptop", &key));
}

/// A key with this name in a group of the same name, and the page of its details.
async fn made(service: &Service, name: &str) -> (String, Answer) {
    let mut visitor = Visitor::owner(service).await;
    let certificate = preselected(&mut visitor, "machine").await;
    let page = visitor.post(&wizard(&visitor, "machine"), &answers(&certificate, name, name)).await;
    (key_of(&page), page)
}

/// The lines of one way to deploy.
fn lines(page: &Answer, way: &str) -> String {
    copied(&page.body, &format!("<pre class=\"code\" tabindex=\"0\" role=\"group\" aria-label=\"{way}\""))
}

/// Runs lines as they are pasted into a shell, in a directory with programs of its own before all others.
fn paste(dir: &Path, lines: &str, input: &str) -> Output {
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").expect("a PATH"));
    let mut shell = Command::new("/bin/sh")
        .args(["-euc", lines])
        .current_dir(dir)
        .env("PATH", path)
        .env("CURL_HOME", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    shell.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    shell.wait_with_output().expect("it ends")
}

/// A directory in which `sudo` only goes on, and `muster` writes down what it was given.
fn sandbox(service: &Service, name: &str) -> PathBuf {
    let dir = service.dir().join(name);
    fs::create_dir_all(dir.join("bin")).expect("a directory");
    let muster = "#!/bin/sh\nfor given; do printf '%s\\n' \"$given\"; done > muster.arguments\ncat > muster.input\n";
    for (name, script) in [("sudo", "#!/bin/sh\nexec \"$@\"\n"), ("muster", muster)] {
        let file = dir.join("bin").join(name);
        fs::write(&file, script).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it may be run");
    }
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_for_a_shell_hand_the_key_over_whatever_names_are() {
    let service = Service::start();
    for (index, name) in HOSTILE_NAMES.iter().enumerate() {
        let (key, page) = made(&service, name).await;
        let dir = sandbox(&service, &format!("device-{index}"));
        let input = format!("{key}\n");

        let pasted = paste(&dir, &lines(&page, "muster enroll"), &input);
        assert!(pasted.status.success(), "{name}: {}", String::from_utf8_lossy(&pasted.stderr));
        let read = |file: &str| fs::read_to_string(dir.join(file)).expect("a file");
        assert_eq!(read("muster.arguments"), "enroll\n--key-file\n-\n", "{name}");
        assert_eq!(read("muster.input"), input, "{name}");

        let here = lines(&page, "Key file").replace("/etc/muster", "etc");
        let pasted = paste(&dir, &here, &input);
        assert!(pasted.status.success(), "{name}: {}", String::from_utf8_lossy(&pasted.stderr));
        assert_eq!(read("etc/provision_key"), input, "{name}");
        let mode = fs::metadata(dir.join("etc/provision_key")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");

        let mut files: Vec<_> =
            fs::read_dir(&dir).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
        files.sort();
        assert_eq!(files, ["bin", "etc", "muster.arguments", "muster.input"], "{name}");
        assert_eq!(lines(&page, "MDM profile"), *name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_init_reads_the_same_from_its_lines_whatever_names_are() {
    let service = Service::start();
    for name in HOSTILE_NAMES {
        let (key, page) = made(&service, name).await;
        let text = lines(&page, "cloud-init");
        assert!(text.starts_with("#cloud-config\n"));
        let expected = serde_json::json!({
            "write_files": [{
                "path": "/etc/muster/provision_key",
                "owner": "root:root",
                "permissions": "0600",
                "content": key,
            }],
            "runcmd": [["muster", "enroll", "--remove-key-file"]],
        });
        assert_eq!(yaml(&service, &text), expected, "{name}:\n{text}");
    }
}

/// What a parser of YAML that is not ours reads.
fn yaml(service: &Service, text: &str) -> serde_json::Value {
    let file = service.dir().join("user-data");
    fs::write(&file, text).expect("a file");
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = Command::new(python("openapi")).args(["-c", script]).arg(&file).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_with_curl_and_openssl_enroll() {
    let service = Service::start();
    let (key, page) = made(&service, "laptops").await;
    let dir = sandbox(&service, "device");
    fs::write(dir.join("provision_key"), format!("{key}\n")).expect("a file");
    fs::write(dir.join("tls-trust-anchor.pem"), service.trust_anchor_pem()).expect("a file");
    // The address that the lines name is the cloud's; here the listener is on another port.
    fs::write(dir.join(".curlrc"), format!("connect-to = \"localhost:8443:{}\"\n", service.enroll)).expect("a file");
    let lines = lines(&page, "curl + openssl");
    let pasted = paste(&dir, &format!("set -x\n{lines}"), "");
    let trace = String::from_utf8_lossy(&pasted.stderr);
    assert!(pasted.status.success(), "{trace}");
    assert!(!trace.contains(&key), "the key became an argument: {trace}");
    let verify = ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "trustAnchors.pem"];
    let verified = Command::new("openssl")
        .args(verify)
        .args(["-untrusted", "chain.pem", "certificate.pem"])
        .current_dir(&dir)
        .output()
        .expect("openssl is needed (tests/run installs it)");
    assert_eq!(String::from_utf8_lossy(&verified.stdout).trim(), "certificate.pem: OK");
    assert!(!dir.join("request.json").exists() && !dir.join("provision_key").exists(), "the key is gone");
    assert_eq!(service.uses("machine", "laptops"), 1);
}
