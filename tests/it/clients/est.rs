//! EST clients that others wrote, against the real binary: strongSwan's `pki`, curl with openssl, Bouncy Castle. The first
//! two do what the guide says, command by command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::guide::{recipe, run_recipe};
use crate::support::{Openssl, Service};

const GUIDE: &str = include_str!("../../../docs/est.md");

/// What Debian's packages of Bouncy Castle install.
const JARS: [&str; 3] = ["bcpkix", "bcprov", "bcutil"];

/// A service with a key of one use, and a device that has it.
struct Scene {
    service: Service,
    key: String,
    device: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let service = Service::start();
        service.create_group("app-connector", "HQ");
        let key = service.create_key("app-connector", "HQ", "k", &["--max-uses", "1", "--key-version", "1"]);
        let device = service.dir().join("device");
        let scene = Self { service, key, device };
        scene.prepare(&scene.device, &scene.key);
        scene
    }

    /// A directory with what a device has before it enrolls.
    fn prepare(&self, dir: &Path, key: &str) {
        fs::create_dir(dir).expect("a directory");
        fs::write(dir.join("provision_key"), format!("{key}\n")).expect("a file");
        fs::write(dir.join("tls-trust-anchor.pem"), self.service.trust_anchor_pem()).expect("a file");
    }

    /// The commands succeed, and show no key string.
    fn run_ok(&self, heading: &str, dir: &Path, programs: &[&str]) {
        let output = run_recipe(&self.service, &recipe(GUIDE, heading), dir, programs);
        let trace = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{heading}: {trace}");
        assert!(!trace.contains(&self.key), "the key became an argument: {trace}");
    }

    /// The same of another device, that has no use left, or a wrong key: what they say.
    fn run_in_vain(&self, heading: &str, key: &str, programs: &[&str]) -> String {
        let dir = self.service.dir().join("other");
        self.prepare(&dir, key);
        let output = run_recipe(&self.service, &recipe(GUIDE, heading).replace("edge-7", "edge-8"), &dir, programs);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{heading}: {said}");
        assert!(!fs::read_to_string(dir.join("cert.pem")).is_ok_and(|pem| pem.contains("BEGIN")), "{said}");
        fs::remove_dir_all(&dir).expect("it goes");
        said
    }

    fn wrong_key(&self) -> String {
        let (but_last, last) = self.key.split_at(self.key.len() - 1);
        format!("{but_last}{}", if last == "A" { "B" } else { "A" })
    }

    /// `cert.pem` verifies below these CAs; its subject and serial number.
    fn verified(&self, root: &str, below: &[&str]) -> (String, String) {
        let openssl = Openssl::new();
        let read = |name: &str| fs::read_to_string(self.device.join(name)).expect("a file");
        openssl.write("root.pem", read(root));
        openssl.write("chain.pem", below.iter().map(|name| read(name)).collect::<String>());
        openssl.write("leaf.pem", read("cert.pem"));
        openssl.verify_strictly("-purpose sslclient");
        let subject = openssl.run("x509 -in @leaf.pem -noout -subject -nameopt RFC2253");
        (subject, openssl.run("x509 -in @leaf.pem -noout -serial"))
    }

    fn counted(&self, outcome: &str) -> f64 {
        self.service.metric(&format!("muster_enroll_requests_total{{outcome=\"{outcome}\"}}"))
    }

    /// One enrollment and one renewal, whoever else tried.
    fn assert_counted(&self) {
        assert_eq!(self.service.uses("app-connector", "k"), 1);
        assert_eq!(["enrolled", "renewed", "key-exhausted"].map(|outcome| self.counted(outcome)), [1.0; 3]);
        self.service.assert_healthy();
    }
}

#[test]
fn the_recipe_of_the_guide_enrolls_and_renews_with_curl_and_openssl() {
    let scene = Scene::new();
    let programs = ["cat", "curl", "mv", "openssl"];
    let enroll = "## Enroll with curl and openssl";
    let refused = scene.run_in_vain(enroll, &scene.wrong_key(), &programs);
    assert!(refused.contains("401"), "{refused}");
    scene.run_ok(enroll, &scene.device, &programs);
    let (subject, serial) = scene.verified("cacerts.pem", &[]);
    let refused = scene.run_in_vain(enroll, &scene.key, &programs);
    assert!(refused.contains("403"), "{refused}");

    scene.run_ok("## Renew with curl and openssl", &scene.device, &programs);
    let (renewed_subject, renewed_serial) = scene.verified("cacerts.pem", &[]);
    assert_eq!(renewed_subject, subject);
    assert_ne!(renewed_serial, serial);
    scene.assert_counted();
}

#[test]
fn the_recipe_of_the_guide_enrolls_and_renews_with_strongswan() {
    let scene = Scene::new();
    let programs = ["cat", "mv", "pki"];
    let enroll = "## Enroll with strongSwan";
    let refused = scene.run_in_vain(enroll, &scene.wrong_key(), &programs);
    assert!(refused.contains("401"), "{refused}");
    scene.run_ok(enroll, &scene.device, &programs);
    // One below the other: a root, and the CAs of a new customer.
    let below: Vec<String> = (1..=5).map(|number| format!("ca-{number}.pem")).collect();
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    let (subject, serial) = scene.verified("ca.pem", &below);
    let hashed = muster::domain::Fingerprint::hashed(b"edge-7 of the north hall");
    assert!(subject.replace('\\', "").contains(&format!("serialNumber={hashed},")), "{subject}");
    let refused = scene.run_in_vain(enroll, &scene.key, &programs);
    assert!(refused.contains("403"), "{refused}");

    scene.run_ok("## Renew with strongSwan", &scene.device, &programs);
    let (renewed_subject, renewed_serial) = scene.verified("ca.pem", &below);
    assert_eq!(renewed_subject, subject);
    assert_ne!(renewed_serial, serial);
    scene.assert_counted();
}

#[test]
fn a_renewal_below_a_label_that_is_not_the_components_is_none() {
    let scene = Scene::new();
    scene.run_ok("## Enroll with curl and openssl", &scene.device, &["cat", "curl", "openssl"]);
    scene.service.create_group("app-connector", "Other");
    let group = |name| {
        let group = scene.service.cli_ok(&["group", "show", "--json", "--kind", "app-connector", name]);
        let group: Value = serde_json::from_str(&group).expect("JSON");
        group["id"].as_str().expect("an id").to_owned()
    };
    let renew = |label: &str| {
        let port = scene.service.enroll.port();
        let output = Command::new("curl")
            .args(["--silent", "--output", "answer", "--write-out", "%{http_code}"])
            .args(["--cacert", "tls-trust-anchor.pem", "--cert", "cert.pem", "--key", "key.pem"])
            .args(["--header", "content-type: application/pkcs10", "--data-binary", "@csr.b64"])
            .arg(format!("https://localhost:{port}/.well-known/est/{label}/simplereenroll"))
            .current_dir(&scene.device)
            .output()
            .expect("curl is needed (tests/run installs it)");
        String::from_utf8(output.stdout).expect("a status")
    };
    for label in [&*group("Other"), "7", "HQ"] {
        assert_eq!(renew(label), "404", "{label}");
    }
    assert_eq!(scene.counted("renewed"), 0.0);
    assert_eq!(renew(&group("HQ")), "200");
    assert_eq!(scene.counted("renewed"), 1.0);
}

/// What it does and expects stands in `tests/clients/est/BouncyCastle.java`.
#[test]
fn bouncy_castle_enrolls_renews_and_is_refused() {
    let scene = Scene::new();
    let class_path = JARS.map(|jar| {
        let file = format!("/usr/share/java/{jar}.jar");
        assert!(Path::new(&file).is_file(), "{file} is needed (tests/run installs it)");
        file
    });
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/est/BouncyCastle.java");
    let output = Command::new("java")
        .args(["-cp", &class_path.join(":")])
        .arg(program)
        .current_dir(&scene.device)
        .env("EST_SERVER", format!("localhost:{}", scene.service.enroll.port()))
        .env("EST_LABEL", scene.service.api_client()["customerId"].as_str().expect("an id"))
        .env("EST_ANCHOR", "tls-trust-anchor.pem")
        .env("EST_KEY", "provision_key")
        .output()
        .expect("java is needed (tests/run installs it)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    scene.assert_counted();
}
