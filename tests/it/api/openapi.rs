//! The document that the service gives of itself: valid, and true. A validator and a contract fuzzer from
//! the package index judge it; `tests/run` installs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use muster::domain::Kind;
use muster::server::api::routes::{ROUTES, Route};
use muster::server::api::wire::clean_up::schedule_type;
use muster::server::api::wire::component::component_type;
use muster::server::api::wire::group::group_type;
use muster::server::api::wire::key::association;
use serde_json::{Value, json};

use super::support::{Client, id, string};
use crate::support::tools::python;
use crate::support::{Device, Service};

/// What the fuzzer holds answers to. Not here: that bad input is refused, since unknown members and looser
/// spellings are accepted on purpose.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,ignored_auth,unsupported_method,allow_header_conformance";

/// An administrator who changes their own password.
const PERSON: &str = "person";
const PASSWORD: &str = "correct horse battery";

/// Of each kind, so that some are left when others were deleted.
const GROUPS: usize = 8;

/// The same.
const COMPONENTS: usize = 8;

/// A program of the environment that `tests/python-env` makes.
fn program(name: &str) -> PathBuf {
    python("openapi").with_file_name(name)
}

/// `tests/long` says more than the default, which takes about a minute.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_valid_and_open_to_all() {
    let service = Service::start();
    let mut client = Client::sign_in(&service).await;
    client.token = None;
    let answer = client.get("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json;charset=utf-8")));
    assert_eq!(client.get("/a/prefix/openapi.json").await.body, answer.body);
    let file = service.dir().join("openapi.json");
    std::fs::write(&file, &answer.body).expect("a file");
    let output = Command::new(program("openapi-spec-validator")).arg(&file).output().expect("the validator runs");
    assert!(output.status.success(), "{}", said(&output));
    // A validator that passes everything would pass this too.
    let broken = answer
        .body
        .replace("\"operationId\":\"groups.get.machineGroup\"", "\"operationId\":\"groups.list.machineGroup\"");
    std::fs::write(&file, broken).expect("a file");
    let output = Command::new(program("openapi-spec-validator")).arg(&file).output().expect("the validator runs");
    assert!(!output.status.success(), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_fuzzer_finds_nothing_undeclared() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let objects = objects(&service, &client).await;
    let (objects_file, config_file) = (service.dir().join("objects.json"), service.dir().join("schemathesis.toml"));
    std::fs::write(&objects_file, objects.to_string()).expect("a file");
    // What ends a session is tried on one of its own: with the fuzzer's own, all the rest would be refused.
    let signed_out = Client::sign_in(&service).await.token.expect("a token");
    let owner = Client::owner(&service).await;
    let person = Client::of(&service, client.customer()).signed_in(PERSON, PASSWORD).await.token.expect("a token");
    // So would it be if its customer were disabled.
    let customer = owner.make("/mgmtconfig/v1/admin/customers", &json!({ "name": "Other" })).await;
    let owner = owner.token.expect("a token");
    let mut config = format!("[parameters]\n\"path.customerId\" = \"{}\"\n", client.customer());
    for (operation, token) in [
        ("administrators.change_password", &person),
        ("customers.create", &owner),
        ("customers.edit", &owner),
        ("customers.list", &owner),
        ("pepper.finish", &owner),
        ("pepper.get", &owner),
        ("pepper.rotate", &owner),
        ("sign_in.sign_out", &signed_out),
        ("tls_anchor.finish", &owner),
        ("tls_anchor.get", &owner),
        ("tls_anchor.roll", &owner),
    ] {
        config += &format!(
            "\n[[operations]]\ninclude-operation-id = \"{operation}\"\nheaders = {{ Authorization = \"Bearer {token}\" }}\n"
        );
        if operation == "customers.edit" {
            config += &format!("parameters = {{ \"path.customerId\" = \"{}\" }}\n", id(&customer));
        }
    }
    std::fs::write(&config_file, config).expect("a file");

    let url = format!("https://localhost:{}", service.admin.port());
    let output = Command::new(program("schemathesis"))
        .arg("--config-file")
        .arg(&config_file)
        .args(["run", &format!("{url}/openapi.json"), "--url", &url, "--checks", CHECKS, "--tls-verify"])
        .arg(service.data_dir().join("tls-trust-anchor.pem"))
        .args(["--header", &format!("Authorization: Bearer {}", client.token.as_deref().expect("a token"))])
        .args(["--max-examples", &setting("FUZZ_EXAMPLES", "10"), "--seed", &setting("FUZZ_SEED", "1")])
        .args(["--suppress-health-check", "all", "--continue-on-failure", "--warnings", "off"])
        .current_dir(service.dir())
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("OBJECTS", &objects_file)
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .output()
        .expect("the fuzzer runs");
    assert!(output.status.success(), "{}", said(&output));

    // It says nothing of what it did not reach.
    let log = service.log();
    let succeeded = |line: &str| line.contains("response.status=20");
    let row = |route: &Route| format!("request.method={} request.route=\"{}\"", route.method, route.pattern);
    let is_reached = |row: &String| log.lines().any(|line| line.contains(row) && succeeded(line));
    let missed: Vec<_> = ROUTES.iter().map(row).filter(|row| !is_reached(row)).collect();
    assert!(missed.is_empty(), "never answered: {missed:#?}");
    service.assert_healthy();
}

/// What is there for the fuzzer to find: `ids` by resource, `members` of requests by name.
async fn objects(service: &Service, client: &Client) -> Value {
    let endpoint = service.endpoint();
    let (mut ids, mut members) = (json!({}), json!({ "maxUsage": ["10"], "grant_type": ["client_credentials"] }));
    for kind in Kind::ALL {
        let (groups, association) = (group_type(kind), association(kind));
        let (mut group_ids, mut key_ids) = (Vec::new(), Vec::new());
        for number in 0..GROUPS {
            let group = client.make_group(groups, &format!("group {number}")).await;
            let key = json!({ "name": format!("key {number}"), "maxUsage": 10, "zcomponentId": group });
            let key = client.make(&format!("associationType/{association}/provisioningKey"), &key).await;
            key_ids.push(id(&key).to_owned());
            group_ids.push(group);
        }
        // In a group that the fuzzer does not know, since one can be deleted with all its components.
        let group = client.make_group(groups, "devices").await;
        let key = json!({ "name": "devices", "maxUsage": 1_000, "zcomponentId": group });
        let key = client.make(&format!("associationType/{association}/provisioningKey"), &key).await;
        let mut component_ids = Vec::new();
        for number in 0..COMPONENTS {
            let enrolled = Device::new(&format!("device-{number}")).enroll(&endpoint, string(&key)).await;
            component_ids.push(enrolled.text("componentId"));
        }
        ids[component_type(kind)] = json!(component_ids);
        ids[format!("zcomponent {association}")] = json!([group]);
        // Of the other kinds, the fuzzer makes the schedule.
        if kind == Kind::Machine {
            let schedule = client.make(schedule_type(kind), &json!({ "frequencyInterval": "30" })).await;
            ids[schedule_type(kind)] = json!([id(&schedule)]);
        }
        members[format!("zcomponentId {association}")] = json!(group_ids);
        members[format!("ids {association}")] = json!([key_ids]);
        ids[groups] = json!(group_ids);
        ids[format!("provisioningKey {association}")] = json!(key_ids);
    }
    let (mut administrators, mut api_clients) = (Vec::new(), Vec::new());
    for number in 0..GROUPS {
        let administrator = json!({ "username": format!("auditor-{number}"), "role": "auditor" });
        administrators.push(id(&client.make("administrators", &administrator).await).to_owned());
        let api_client = json!({ "name": format!("client {number}"), "role": "auditor" });
        api_clients.push(id(&client.make("apiClients", &api_client).await).to_owned());
    }
    let person = json!({ "username": PERSON, "role": "auditor", "password": PASSWORD });
    let person = client.make("administrators", &person).await;
    ids["administrators/password"] = json!([id(&person)]);
    members["currentPassword"] = json!([PASSWORD]);
    members["newPassword"] = json!(["another correct horse"]);
    let guest = json!({ "username": "guest", "role": "auditor", "password": PASSWORD });
    let guest = client.make("administrators", &guest).await;
    let anybody = Client::of(service, client.customer());
    for _ in 0..GROUPS {
        anybody.signed_in("guest", PASSWORD).await;
    }
    let sessions = client.get(&format!("administrators/{}/sessions?pagesize=500", id(&guest))).await.json();
    let sessions: Vec<_> = sessions["list"].as_array().expect("a list").iter().map(|row| row["id"].clone()).collect();
    ids["administrators"] = json!(administrators);
    ids["administrators/sessions"] = json!([id(&guest)]);
    ids["apiClients"] = json!(api_clients);
    let webhook = json!({ "name": "hook", "url": "https://hooks.example.com/", "events": ["key.expiring"] });
    ids["webhooks"] = json!([id(&client.make("webhooks", &webhook).await)]);
    members["url"] = json!(["https://hooks.example.com/a", "https://hooks.example.com/b"]);
    members["events"] = json!([["key.expiring"], ["key.exhausted", "component.enrolled"]]);
    ids["sessionId"] = json!(sessions);
    ids["versionProfiles"] = json!(["0"]);
    members["operation"] = json!(["enable", "disable"]);
    members["role"] = json!(["auditor", "operator", "admin"]);
    let certificates = client.get("enrollmentCert").await.json();
    let certificates = certificates["list"].as_array().expect("a list");
    ids["enrollmentCert"] = certificates.iter().map(|certificate| certificate["id"].clone()).collect();
    let root = certificates.iter().find(|certificate| certificate["name"] == "Root").expect("a root");
    for member in ["enrollmentCertId", "parentCertId", "signingCertId"] {
        members[member] = json!([root["id"]]);
    }
    // Each can be imported once.
    members["provisioningKey"] = (0..64).map(|number| json!(format!("2|elsewhere.example|{number:032}"))).collect();
    let (certificate, private_key) = operators_ca();
    members["certificate"] = json!([certificate]);
    members["privateKey"] = json!([private_key]);
    let file = std::fs::read(service.data_dir().join("api-client.json")).expect("the client's file");
    let credentials: Value = serde_json::from_slice(&file).expect("JSON");
    for (member, value) in [("client_id", "clientId"), ("client_secret", "clientSecret")] {
        members[member] = json!([credentials[value]]);
    }
    json!({ "ids": ids, "members": members })
}

/// A root as an operator brings it: certificate and private key, PEM.
fn operators_ca() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key pair");
    let mut root = rcgen::CertificateParams::new(vec![]).expect("parameters");
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    root.distinguished_name.push(rcgen::DnType::CommonName, "Operator");
    (root.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}
