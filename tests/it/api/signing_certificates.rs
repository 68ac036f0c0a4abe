//! Signing certificates of every origin, and what comes of them at the very next enrollment. How long
//! component certificates live is the signing certificate's to say, and the configuration's when one
//! is made.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::clock::Timestamp;
use serde_json::{Value, json};

use super::support::{Client, id, string};
use crate::support::{Answer, Device, Openssl, Service};

/// A certificate counts from five minutes before it was issued.
const BACKDATING_SECONDS: i64 = 300;
const DAY_SECONDS: i64 = 86_400;

/// What the certificate itself says, in seconds from its issue.
async fn lifetime(service: &Service, key: &str, device: &str) -> i64 {
    let enrolled = Device::new(device).enroll(&service.endpoint(), key).await;
    assert_eq!(enrolled.status, 200, "{}", enrolled.body);
    let pem = enrolled.text("certificate");
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
    let validity = pem.parse_x509().expect("a certificate").validity().clone();
    validity.not_after.timestamp() - validity.not_before.timestamp() - BACKDATING_SECONDS
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_certificates_give_the_lifetime_that_was_configured_when_they_were_made() {
    let mut service = Service::start_with("[certificates]\nlifetime_days = 1\n");
    let client = Client::sign_in(&service).await;
    let certificates = client.get("enrollmentCert?search=name+EQ+Root").await.json();
    let root = id(&certificates["list"][0]).to_owned();
    let make_signer = async |client: &Client, name: &str| {
        let body = json!({ "name": name, "parentCertId": root });
        id(&client.make("enrollmentCert/generate", &body).await).to_owned()
    };
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (preset, _) = client.make_key(&group, "preset", json!({})).await;
    let later = make_signer(&client, "later").await;
    let (later, _) = client.make_key(&group, "later", json!({ "enrollmentCertId": later })).await;
    assert_eq!(lifetime(&service, string(&preset), "first").await, DAY_SECONDS);
    assert_eq!(lifetime(&service, string(&later), "first").await, DAY_SECONDS);

    service.stop();
    fs::write(service.dir().join("config.toml"), "[certificates]\nlifetime_days = 7\n").expect("a file");
    service.launch();
    let client = Client::sign_in(&service).await;
    let new = make_signer(&client, "new").await;
    let (new, _) = client.make_key(&group, "new", json!({ "enrollmentCertId": new })).await;
    assert_eq!(lifetime(&service, string(&new), "second").await, 7 * DAY_SECONDS);
    assert_eq!(lifetime(&service, string(&preset), "second").await, DAY_SECONDS, "what was made before stays");
    service.assert_healthy();
}

/// CAs of an operator, made with openssl in a folder of their own: `NAME.pem` and `NAME.key` (PKCS#8).
pub struct Operator {
    pub openssl: Openssl,
}

const P256: &str = "EC -pkeyopt ec_paramgen_curve:P-256";
const RSA: &str = "RSA -pkeyopt rsa_keygen_bits:2048";

/// What CAs say of themselves; a path length can be added to the first line.
pub const CA: &str = "basicConstraints=critical,CA:TRUE";
pub const CA_MORE: &str =
    "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always";

impl Operator {
    /// With a root without a path length.
    pub fn new() -> Self {
        let openssl = Openssl::new();
        openssl.write("empty.cnf", "[req]\ndistinguished_name=empty\n[empty]\n");
        let operator = Self { openssl };
        operator.root("root", P256, &format!("{CA}\n{CA_MORE}"));
        operator
    }

    fn root(&self, name: &str, key: &str, extensions: &str) {
        self.openssl.write("root.cnf", format!("[req]\ndistinguished_name=empty\n[empty]\n[ca]\n{extensions}\n"));
        self.openssl.run(&format!("genpkey -algorithm {key} -out @{name}.key"));
        self.openssl.run(&format!(
            "req -x509 -new -config @root.cnf -extensions ca -key @{name}.key -subj /O=Operator/CN={name} -days 30 -out \
             @{name}.pem"
        ));
    }

    /// A CA with a new key, below `parent`.
    fn below(&self, parent: &str, name: &str, key: &str, extensions: &str, days: i32) {
        self.openssl.run(&format!("genpkey -algorithm {key} -out @{name}.key"));
        let subject = format!("/O=Operator/CN={name}");
        self.openssl.run(&format!("req -new -config @empty.cnf -key @{name}.key -subj {subject} -out @{name}.csr"));
        self.sign(parent, name, extensions, days);
    }

    /// Makes `NAME.pem` of `NAME.csr`.
    pub fn sign(&self, parent: &str, name: &str, extensions: &str, days: i32) {
        self.openssl.write("extensions.cnf", extensions);
        self.openssl.run(&format!(
            "x509 -req -in @{name}.csr -CA @{parent}.pem -CAkey @{parent}.key -CAcreateserial -extfile \
             @extensions.cnf -days {days} -out @{name}.pem"
        ));
    }

    /// An issuing CA right below the root, without a path length.
    pub fn issuing(&self, name: &str) {
        self.below("root", name, P256, &format!("{CA}\n{CA_MORE}"), 20);
    }

    pub fn text(&self, file: &str) -> String {
        String::from_utf8(self.openssl.read(file)).expect("PEM is ASCII")
    }

    /// The certificates of these after each other.
    pub fn chain(&self, names: &[&str]) -> String {
        names.iter().map(|name| self.text(&format!("{name}.pem"))).collect()
    }

    /// The body of an import of `name`, with `above` behind it.
    fn import(&self, name: &str, above: &[&str]) -> Value {
        let certificate = self.chain(&[&[name], above].concat());
        json!({ "name": name, "certificate": certificate, "privateKey": self.text(&format!("{name}.key")) })
    }

    /// Verifies what a device was given by the anchors it was given.
    fn verify(&self, enrolled: &Answer) {
        self.openssl.write("leaf.pem", enrolled.text("certificate"));
        self.openssl.write("chain.pem", enrolled.text("chain"));
        self.openssl.write("anchors.pem", enrolled.text("trustAnchors"));
        let untrusted = if enrolled.text("chain").is_empty() { "" } else { "-untrusted @chain.pem " };
        self.openssl.run(&format!(
            "verify -x509_strict -check_ss_sig -purpose sslclient -CAfile @anchors.pem {untrusted}@leaf.pem"
        ));
    }
}

/// What a device gets with a new key of this signing certificate.
async fn enroll_below(service: &Service, client: &Client, group: &str, signer: &str, device: &str) -> Answer {
    let (key, _) = client.make_key(group, device, json!({ "enrollmentCertId": signer })).await;
    Device::new(device).enroll(&service.endpoint(), string(&key)).await
}

/// Status, id and members at fault of a refusal; then its words.
fn fault(answer: &Answer) -> (u16, String, Vec<String>, String) {
    let body = answer.json();
    let members = body["params"].as_array().into_iter().flatten();
    let members = members.map(|member| member.as_str().expect("a string").to_owned()).collect();
    (answer.status, answer.text("id"), members, answer.text("reason"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_signs_whatever_its_key_and_its_chain() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let operator = Operator::new();
    operator.below("root", "middle", "EC -pkeyopt ec_paramgen_curve:P-384", &format!("{CA},pathlen:1\n{CA_MORE}"), 25);
    let group = client.make_group("appConnectorGroup", "HQ").await;
    for (name, key, form) in [
        ("rsa-2048", RSA, "PRIVATE KEY"),
        ("rsa-3072", "RSA -pkeyopt rsa_keygen_bits:3072", "RSA PRIVATE KEY"),
        ("rsa-4096", "RSA -pkeyopt rsa_keygen_bits:4096", "PRIVATE KEY"),
        ("p256", P256, "EC PRIVATE KEY"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384", "PRIVATE KEY"),
        ("ed25519", "ED25519", "PRIVATE KEY"),
    ] {
        operator.below("middle", name, key, &format!("{CA},pathlen:0\n{CA_MORE}"), 20);
        if form != "PRIVATE KEY" {
            operator.openssl.run(&format!("pkey -in @{name}.key -traditional -out @{name}.old"));
            operator.openssl.write(&format!("{name}.key"), operator.openssl.read(&format!("{name}.old")));
        }
        let mut body = operator.import(name, &["middle", "root"]);
        assert!(body["privateKey"].as_str().expect("PEM").starts_with(&format!("-----BEGIN {form}-----")), "{name}");
        if name == "p256" {
            (body["certificate"], body["chain"]) =
                (json!(operator.chain(&[name])), json!(operator.chain(&["middle", "root"])));
        }
        let made = client.send("POST", "enrollmentCert", body.to_string(), &[]).await;
        assert_eq!(made.status, 201, "{name}: {}", made.body);
        let made = made.json();
        let found = client.get(&format!("enrollmentCert/{}", id(&made))).await.json();
        assert_eq!(made, found, "{name}");
        assert_eq!((&found["certificate"], &found["cName"]), (&json!(operator.chain(&[name])), &json!(name)));
        assert_eq!(found["chain"], json!(operator.chain(&["middle", "root"])));
        assert_eq!((&found["privateKeyPresent"], &found["allowSigning"]), (&json!(true), &json!(true)));
        assert_eq!(found["componentLifetimeInDays"], "90");
        let serial = operator.openssl.run(&format!("x509 -in @{name}.pem -noout -serial"));
        let serial = u128::from_str_radix(&serial.trim().trim_start_matches("serial=")[8..], 16).expect("hex");
        let decimal: String = found["serialNo"].as_str().expect("a string").into();
        assert_eq!(decimal_remainder(&decimal), serial, "{name}: {decimal}");

        let enrolled = enroll_below(&service, &client, &group, id(&made), name).await;
        assert_eq!(enrolled.status, 200, "{name}: {}", enrolled.body);
        assert_eq!(enrolled.text("chain"), operator.chain(&[name, "middle"]), "the root is left out");
        assert!(enrolled.text("trustAnchors").contains(&operator.chain(&["root"])));
        operator.verify(&enrolled);
    }
    // A root with an RSA key, and one made here below it.
    operator.root("own-root", RSA, &format!("{CA}\n{CA_MORE}"));
    let root = client.make("enrollmentCert", &operator.import("own-root", &[])).await;
    let below = json!({ "name": "Made here", "parentCertId": id(&root) });
    let below = client.make("enrollmentCert/generate", &below).await;
    assert_eq!((&below["parentCertName"], &below["rootCertificateId"]), (&json!("own-root"), &root["id"]));
    for (signer, device) in [(&root, "below-a-root"), (&below, "below-one-made-here")] {
        let enrolled = enroll_below(&service, &client, &group, id(signer), device).await;
        assert_eq!(enrolled.status, 200, "{device}: {}", enrolled.body);
        operator.verify(&enrolled);
    }
    service.assert_healthy();
}

/// A decimal text of up to 160 bits, modulo 2^128; the serials of openssl have 20 octets.
fn decimal_remainder(decimal: &str) -> u128 {
    decimal.bytes().fold(0_u128, |value, digit| value.wrapping_mul(10).wrapping_add(u128::from(digit - b'0')))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_a_signer_when_its_certificate_comes_and_again_when_that_is_renewed() {
    let mut service = Service::start();
    let client = Client::sign_in(&service).await;
    let operator = Operator::new();
    let body = json!({ "name": "Outside", "keyAlgorithm": "ecdsa-p384", "commonName": "Devices of Example",
        "organization": "Example", "organizationalUnit": "Unit", "country": "DE", "componentLifetimeInDays": 7 });
    let made = client.send("POST", "enrollmentCert/csr/generate", body.to_string(), &[]).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let made = made.json();
    let (signer, path) = (id(&made).to_owned(), format!("enrollmentCert/{}", id(&made)));
    operator.openssl.write("outside.csr", made["csr"].as_str().expect("PEM"));
    let request = operator.openssl.run("req -in @outside.csr -noout -verify -text");
    for wish in ["C = DE, O = Example, OU = Unit, CN = Devices of Example", "CA:TRUE, pathlen:0", "Certificate Sign"] {
        assert!(request.contains(wish), "{wish} not in {request}");
    }
    let absent = ["certificate", "chain", "serialNo", "validFromInEpochSec", "validToInEpochSec", "cName"];
    assert!(absent.iter().all(|member| made.get(*member).is_none()), "{made}");
    assert_eq!((&made["allowSigning"], &made["privateKeyPresent"]), (&json!(false), &json!(true)));

    // It cannot be chosen, nor can others be made below it.
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let key = json!({ "name": "k", "maxUsage": 10, "zcomponentId": group, "enrollmentCertId": signer });
    let refused = client.send("POST", super::support::KEYS, key.to_string(), &[]).await;
    assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["enrollmentCertId"])));
    let below = json!({ "name": "Below", "parentCertId": signer }).to_string();
    let refused = client.send("POST", "enrollmentCert/generate", below, &[]).await;
    assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["parentCertId"])));

    let extensions = format!("{CA},pathlen:0\n{CA_MORE}");
    operator.sign("root", "outside", &extensions, 20);
    let refused = client.put(&path, &json!({ "certificate": operator.chain(&["outside"]) })).await;
    assert_eq!(fault(&refused).2, ["certificate"], "without its root: {}", refused.body);
    client
        .edit(&path, &json!({ "certificate": operator.chain(&["outside"]), "chain": operator.chain(&["root"]) }))
        .await;
    let found = client.get(&path).await.json();
    assert_eq!((&found["cName"], &found["allowSigning"]), (&json!("Devices of Example"), &json!(true)));
    assert_eq!(found["csr"], made["csr"], "the next certificate is asked for with it too");
    let first = enroll_below(&service, &client, &group, &signer, "first").await;
    assert_eq!(first.status, 200, "{}", first.body);
    operator.verify(&first);

    // What is written back as it was read changes nothing; nor does the same upload.
    let revision = client.get(&path).await.header("etag").map(str::to_owned);
    client.edit(&path, &found).await;
    client.edit(&path, &json!({ "certificate": operator.chain(&["outside"]) })).await;
    client.edit(&path, &json!({ "certificate": operator.chain(&["outside", "root"]) })).await;
    assert_eq!(client.get(&path).await.header("etag").map(str::to_owned), revision);

    // The operator's CA renews it: what was signed below the old one verifies below the new one.
    operator.sign("root", "outside", &extensions, 25);
    client.edit(&path, &json!({ "certificate": operator.chain(&["outside", "root"]) })).await;
    let renewed = client.get(&path).await.json();
    assert_ne!(renewed["serialNo"], found["serialNo"]);
    let second = enroll_below(&service, &client, &group, &signer, "second").await;
    operator.verify(&second);
    operator.openssl.write("leaf.pem", first.text("certificate"));
    operator.openssl.run("verify -x509_strict -CAfile @anchors.pem -untrusted @chain.pem @leaf.pem");

    // Another key pair; the same one under another name.
    operator.issuing("another");
    let refused = client.put(&path, &json!({ "certificate": operator.chain(&["another", "root"]) })).await;
    let (status, error, members, reason) = fault(&refused);
    assert_eq!((status, &*error, members), (400, "invalid.resource.argument", vec!["certificate".into()]));
    assert!(reason.contains("another public key"), "{reason}");
    operator.openssl.write("extensions.cnf", &extensions);
    operator.openssl.run("req -in @outside.csr -noout -pubkey -out @outside.pub");
    operator.openssl.run(
        "x509 -req -in @another.csr -force_pubkey @outside.pub -CA @root.pem -CAkey @root.key -CAcreateserial \
         -extfile @extensions.cnf -days 20 -out @renamed.pem",
    );
    let refused = client.put(&path, &json!({ "certificate": operator.chain(&["renamed", "root"]) })).await;
    assert!(fault(&refused).3.contains("another subject"), "{}", refused.body);
    assert_eq!(client.get(&path).await.json(), renewed);

    service.stop();
    service.launch();
    let client = Client::sign_in(&service).await;
    let third = enroll_below(&service, &client, &group, &signer, "third").await;
    assert_eq!(third.text("chain"), operator.chain(&["outside"]), "also after a restart");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_import_is_told_with_its_member() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let operator = Operator::new();
    let full = format!("{CA}\n{CA_MORE}");
    operator.issuing("fine");
    operator.issuing("other");
    operator.below("root", "no-ca", P256, &format!("basicConstraints=critical,CA:FALSE\n{CA_MORE}"), 20);
    operator.below("root", "crl-only", P256, &full.replace("keyCertSign,", ""), 20);
    operator.below("root", "not-critical", P256, &full.replace("=critical,CA", "=CA"), 20);
    operator.below("root", "no-authority", P256, &full.replace("keyid:always", "none"), 20);
    operator.below("root", "servers-only", P256, &format!("{full}\nextendedKeyUsage=serverAuth"), 20);
    operator.below("root", "ended", P256, &full, -1);
    operator.below("root", "weak", "RSA -pkeyopt rsa_keygen_bits:1024", &full, 20);
    operator.below("root", "p521", "EC -pkeyopt ec_paramgen_curve:P-521", &full, 20);
    operator.root("short-root", P256, &format!("{CA},pathlen:0\n{CA_MORE}"));
    operator.below("short-root", "too-deep", P256, &full, 20);
    operator.below("ended", "below-ended", P256, &full, 20);
    operator.root("stranger", P256, &full);
    operator.openssl.run("pkey -in @fine.key -aes256 -passout pass:secret -out @encrypted.key");
    operator.openssl.run("ec -in @fine.key -aes256 -passout pass:secret -out @old-encrypted.key");
    operator.openssl.run("pkey -in @fine.key -pubout -out @public.key");

    let fine = || operator.import("fine", &["root"]);
    let with = |member: &str, value: Value| {
        let mut body = fine();
        body[member] = value;
        body
    };
    let text = |file: &str| json!(operator.text(file));
    let certificates = |names: &[&str]| json!(operator.chain(names));
    let (fine_pem, fine_key) = (operator.text("fine.pem"), operator.text("fine.key"));
    let mut without_key = fine();
    without_key.as_object_mut().expect("an object").remove("privateKey");

    for (what, body, member, words) in [
        ("no CA", operator.import("no-ca", &["root"]), "certificate", "not a CA"),
        ("may not sign", operator.import("crl-only", &["root"]), "certificate", "keyCertSign"),
        ("constraints not critical", operator.import("not-critical", &["root"]), "certificate", "critical"),
        ("no authority key", operator.import("no-authority", &["root"]), "certificate", "does not name the key"),
        ("not for clients", operator.import("servers-only", &["root"]), "certificate", "client authentication"),
        ("ended", operator.import("ended", &["root"]), "certificate", "has ended"),
        ("ended above", operator.import("below-ended", &["ended", "root"]), "certificate", "has ended"),
        ("path length 0 above", operator.import("too-deep", &["short-root"]), "certificate", "allows 0 CAs"),
        ("no root", operator.import("fine", &[]), "certificate", "not a root"),
        ("another's root", operator.import("fine", &["stranger"]), "certificate", "was not signed by the next"),
        ("wrong order", with("certificate", certificates(&["root", "fine"])), "certificate", "the CA comes first"),
        ("root twice", with("chain", certificates(&["stranger"])), "chain", "was not signed by the next"),
        ("no PEM", with("certificate", json!("certificate")), "certificate", "is not PEM"),
        ("empty", with("certificate", json!("")), "certificate", "has no certificate"),
        ("no text", with("certificate", json!(7)), "certificate", "must be a string"),
        ("garbage behind", with("certificate", json!(format!("{fine_pem}x"))), "certificate", "white space"),
        ("garbage before", with("certificate", json!(format!("x{fine_pem}"))), "certificate", "white space"),
        ("broken base64", with("certificate", json!(fine_pem.replace("MII", "M:I"))), "certificate", "base64"),
        ("broken DER", with("certificate", json!(fine_pem.replace("MII", "AAA"))), "certificate", "DER"),
        ("a key for a certificate", with("certificate", text("fine.key")), "certificate", "expected CERTIFICATE"),
        ("too many", with("chain", certificates(&["root"; 11])), "chain", "at most 10"),
        ("another's key", with("privateKey", text("other.key")), "privateKey", "does not belong"),
        ("the root's key", with("privateKey", text("root.key")), "privateKey", "does not belong"),
        ("encrypted", with("privateKey", text("encrypted.key")), "privateKey", "is encrypted"),
        ("encrypted of old", with("privateKey", text("old-encrypted.key")), "privateKey", "is encrypted"),
        ("public", with("privateKey", text("public.key")), "privateKey", "expected PRIVATE KEY"),
        ("a certificate for a key", with("privateKey", text("fine.pem")), "privateKey", "expected PRIVATE KEY"),
        ("two keys", with("privateKey", json!(fine_key.repeat(2))), "privateKey", "one private key"),
        ("garbage behind the key", with("privateKey", json!(format!("{fine_key}x"))), "privateKey", "white space"),
        ("broken key", with("privateKey", json!(fine_key.replace("MI", "AA"))), "privateKey", "in DER"),
        ("no lifetime", with("componentLifetimeInDays", json!(0)), "componentLifetimeInDays", "1 to 3650"),
        ("long lifetime", with("componentLifetimeInDays", json!("3651")), "componentLifetimeInDays", "1 to 3650"),
    ] {
        let (status, error, members, reason) =
            fault(&client.send("POST", "enrollmentCert", body.to_string(), &[]).await);
        assert_eq!((status, &*error), (400, "invalid.resource.argument"), "{what}: {reason}");
        assert_eq!(members, [member], "{what}: {reason}");
        assert!(reason.contains(words), "{what}: {words:?} not in {reason:?}");
    }
    // A key that is too weak is at fault on both sides, and a missing member does not hide another's fault.
    for (what, body, members) in [
        ("weak", operator.import("weak", &["root"]), &["certificate", "privateKey"][..]),
        ("P-521", operator.import("p521", &["root"]), &["certificate", "privateKey"]),
        ("nothing", json!({}), &["name", "certificate", "privateKey"]),
        ("a chain alone", json!({ "name": "a/b", "chain": fine_pem }), &["name", "certificate", "privateKey"]),
        ("no key", without_key, &["privateKey"]),
    ] {
        let refused = client.send("POST", "enrollmentCert", body.to_string(), &[]).await;
        assert_eq!((refused.status, fault(&refused).2), (400, members.iter().map(|&m| m.into()).collect()), "{what}");
    }
    assert_eq!(client.get("enrollmentCert").await.json()["totalCount"], "6", "nothing was stored");

    // Once it is there: its name and its key are taken, also when its key comes in another form.
    let made = client.make("enrollmentCert", &fine()).await;
    let named_alike = json!({ "name": "FINE" });
    for (path, mut body) in
        [("enrollmentCert", operator.import("other", &["root"])), ("enrollmentCert/csr/generate", named_alike)]
    {
        body["name"] = json!("FINE");
        let (status, error, members, _) = fault(&client.send("POST", path, body.to_string(), &[]).await);
        assert_eq!((status, &*error, members), (400, "duplicate.resource.name", vec!["name".into()]), "{path}");
    }
    operator.openssl.run("pkey -in @fine.key -traditional -out @fine.old");
    let mut again = with("privateKey", text("fine.old"));
    again["name"] = json!("again");
    let (status, error, members, _) = fault(&client.send("POST", "enrollmentCert", again.to_string(), &[]).await);
    assert_eq!((status, &*error, members), (400, "duplicate.resource.name", vec!["privateKey".into()]));
    // When it went, its key is free.
    assert_eq!(client.delete(&format!("enrollmentCert/{}", id(&made))).await.status, 204);
    client.make("enrollmentCert", &again).await;
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_certificate_in_use_says_by_what_and_stays() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let operator = Operator::new();
    operator.issuing("mine");
    let signer = id(&client.make("enrollmentCert", &operator.import("mine", &["root"])).await).to_owned();
    let path = format!("enrollmentCert/{signer}");
    let below = client.make("enrollmentCert/generate", &json!({ "name": "below", "parentCertId": signer })).await;
    let group = client.make("appConnectorGroup", &json!({ "name": "HQ", "enrollmentCertId": signer })).await;
    let group_path = format!("appConnectorGroup/{}", id(&group));
    let (_, key_path) = client.make_key(id(&group), "k", json!({})).await;
    let dry_run = async || client.delete(&format!("{path}?dryRun=true")).await;

    let told = dry_run().await;
    assert_eq!(told.status, 200, "{}", told.body);
    let told = told.json();
    assert_eq!(
        (&told["wouldDelete"], &told["provisioningKeys"], &told["groups"], &told["enrollmentCerts"]),
        (&json!(false), &json!("1"), &json!("1"), &json!("1"))
    );
    for (by, without) in [
        ("provisioning keys", &*key_path),
        ("groups", &group_path),
        ("signing certificates", &format!("enrollmentCert/{}", id(&below))),
    ] {
        let refused = client.delete(&path).await;
        let (status, error, members, reason) = fault(&refused);
        assert_eq!((status, &*error), (400, "resource.referenced"), "{by}: {reason}");
        assert_eq!(members, ["enrollmentCert", "mine"]);
        assert!(reason.contains(by), "{by}: {reason}");
        assert_eq!(client.delete(without).await.status, 204, "{by}");
    }
    let told = dry_run().await.json();
    assert_eq!((&told["wouldDelete"], told.get("reason")), (&json!(true), None));
    assert_eq!(client.get(&path).await.status, 200, "a dry run deletes nothing");
    assert_eq!(client.delete(&format!("{path}?dryRun=yes")).await.status, 400);
    assert_eq!(client.send("DELETE", &path, "", &[("if-match", "\"9\"")]).await.status, 412);

    // A certificate that it signed keeps it, with or without the key that it came by.
    let group = client.make_group("appConnectorGroup", "Branch").await;
    let enrolled = enroll_below(&service, &client, &group, &signer, "device").await;
    assert_eq!(enrolled.status, 200, "{}", enrolled.body);
    let keys = client.get(super::support::KEYS).await.json();
    let key_path = format!("{}/{}", super::support::KEYS, id(&keys["list"][0]));
    assert_eq!(client.delete(&key_path).await.status, 204);
    assert!(fault(&client.delete(&path).await).3.contains("component certificates"));
    assert!(dry_run().await.json()["signedUntilInEpochSec"].is_string());

    // One that nothing came of goes, and its series of the metrics with it.
    operator.issuing("unused");
    let unused = id(&client.make("enrollmentCert", &operator.import("unused", &["root"])).await).to_owned();
    let series = format!("muster_certificate_expiry_seconds{{certificate=\"{unused}\"}}");
    assert!(service.metric(&series) > 0.0);
    let path = format!("enrollmentCert/{unused}");
    assert_eq!(client.delete(&path).await.status, 204);
    for gone in [client.get(&path).await, client.delete(&path).await, client.put(&path, &json!({})).await] {
        assert_eq!((gone.status, gone.text("id")), (404, "resource.not.found".to_owned()));
    }
    assert!(!service.ops("/metrics").1.contains(&series));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_an_imported_signer_holds_for_the_very_next_enrollment() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let operator = Operator::new();
    operator.issuing("mine");
    let mut body = operator.import("mine", &["root"]);
    body["componentLifetimeInDays"] = json!(1);
    let made = client.make("enrollmentCert", &body).await;
    let path = format!("enrollmentCert/{}", id(&made));
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, _) = client.make_key(&group, "k", json!({ "enrollmentCertId": id(&made) })).await;
    // Its CA is so young that the certificate begins with it, so the answer's time says when it was issued.
    let days_of = async |device: &str| {
        let enrolled = Device::new(device).enroll(&service.endpoint(), string(&key)).await;
        assert_eq!(enrolled.status, 200, "{}", enrolled.body);
        let at = |member| Timestamp::from_rfc3339(&enrolled.text(member)).expect("an instant").unix_seconds();
        (at("notAfter") - at("serverTime") + DAY_SECONDS / 2) / DAY_SECONDS
    };
    assert_eq!(days_of("first").await, 1);
    client.edit(&path, &json!({ "componentLifetimeInDays": "5" })).await;
    assert_eq!(days_of("second").await, 5);
    for (days, status) in [(0, 400), (1, 204), (3_650, 204), (3_651, 400)] {
        let answer = client.put(&path, &json!({ "componentLifetimeInDays": days })).await;
        assert_eq!(answer.status, status, "{days}: {}", answer.body);
    }

    client.edit(&path, &json!({ "allowSigning": false })).await;
    let refused = Device::new("third").enroll(&service.endpoint(), string(&key)).await;
    assert_eq!((refused.status, &*refused.code()), (403, "signing-certificate-unavailable"));
    client.edit(&path, &json!({ "allowSigning": true, "name": "Renamed", "description": "d" })).await;
    assert_eq!(Device::new("third").enroll(&service.endpoint(), string(&key)).await.status, 200);
    let found = client.get(&path).await.json();
    assert_eq!((&found["name"], &found["description"]), (&json!("Renamed"), &json!("d")));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brought_private_key_appears_nowhere_in_clear() {
    let mut service = Service::start_with("[log]\nlevel = \"trace\"\n");
    let client = Client::sign_in(&service).await;
    let operator = Operator::new();
    let mut needles: Vec<Vec<u8>> = Vec::new();
    for (name, key) in [("p256", P256), ("rsa", RSA), ("ed25519", "ED25519")] {
        operator.below("root", name, key, &format!("{CA}\n{CA_MORE}"), 20);
        let pem = operator.text(&format!("{name}.key"));
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(lines.concat()).expect("base64");
        // The last line of an EC key in PEM is of its public half.
        needles.extend(lines.iter().take(lines.len().max(2) - 1).map(|line| line.as_bytes().to_vec()));
        // Of an EC key the scalar, of the others a part in the midst of what is secret.
        let secret = if name == "p256" { &der[36..68] } else { &der[der.len() - 24..] };
        needles.push(secret.to_vec());
        let body = operator.import(name, &["root"]);
        let made = client.send("POST", "enrollmentCert", body.to_string(), &[]).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let mut shown = made.body;
        shown +=
            &client.get(&format!("enrollmentCert/{}", id(&serde_json::from_str(&shown).expect("JSON")))).await.body;
        shown += &client.get("enrollmentCert").await.body;
        assert!(!shown.contains("PRIVATE") && !shown.contains("privateKey\""), "{shown}");
        // Refused, it is not told back either.
        let mut wrong = body;
        wrong["certificate"] = json!(operator.chain(&["root"]));
        let refused = client.send("POST", "enrollmentCert", wrong.to_string(), &[]).await;
        assert_eq!(refused.status, 400);
        assert!(lines.iter().all(|line| !refused.body.contains(line) && !shown.contains(line)));
    }
    service.stop();
    let mut places = vec![fs::read(service.log_file()).expect("a log")];
    for entry in fs::read_dir(service.data_dir()).expect("a directory") {
        places.push(fs::read(entry.expect("an entry").path()).unwrap_or_default());
    }
    let holds = |place: &[u8], needle: &[u8]| place.windows(needle.len()).any(|window| window == needle);
    for needle in &needles {
        assert!(needle.len() >= 24, "a needle long enough to be found by itself");
        assert!(places.iter().all(|place| !holds(place, needle)), "{}", String::from_utf8_lossy(needle));
    }
    // What was looked through holds what it should: the certificates.
    let pem = operator.text("p256.pem");
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).expect("base64");
    assert!(places.iter().any(|place| holds(place, &der)));
}
