//! What stands behind the management listener: the API and the portal, as HTTP.

use std::cell::RefCell;
use std::sync::Arc;

use async_trait::async_trait;
use hyper::StatusCode;
use muster::enrollment::ClockDifference;
use muster::server::admin::AdminDoor;
use muster::server::api::Api;
use muster::server::health::{ClockHealth, Health, HealthSource, IndexHealth, SigningHealth, StoreHealth};
use muster::server::portal::{self, Portal};
use muster::store::Store as _;

use crate::door::{self, Answered};
use crate::world::{KEY_STRING, World, block_on};

/// Requests after which all begins anew.
const REQUESTS_MAX: u32 = 4_000;

/// Requests after which all that the store promises is checked.
const REQUESTS_PER_CHECK: u32 = 200;

/// What pages must escape.
const TAG: &str = "<fz";

pub struct Door {
    pub world: World,
    pub door: AdminDoor,
    requests: u32,
    token: String,
    /// What every form of that session carries.
    form_token: String,
}

/// A service in good health.
struct Well;

#[async_trait]
impl HealthSource for Well {
    async fn check(&self) -> Health {
        Health {
            store: StoreHealth { is_ready: true, engine: "embedded", commit_took: None },
            signing: SigningHealth::default(),
            index: IndexHealth { is_ready: true, keys: 1, changes_behind: Some(0) },
            clock: ClockHealth { is_after_first_start: true, difference: ClockDifference::default() },
            endpoints: Vec::new(),
            anchor: None,
            unknown_keys: 0,
            last_backup: None,
        }
    }
}

thread_local! {
    static DOOR: RefCell<Option<Door>> = const { RefCell::new(None) };
}

/// Bytes of a connection, in which words in braces stand for what differs from run to run: `{token}` of an owner's session,
/// `{cookie}` and `{csrf}` of the same in the portal, `{customer}`, `{group}`, `{key}`, `{component}`, and `{length}` for that
/// of the first body.
///
/// Holds: no answer is an error of ours, and each is as the table of routes says (a debug assertion of the API); without
/// a session nothing of a customer is answered; what was sent stands in no page unescaped; the store's promises hold.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    DOOR.with_borrow_mut(|door| block_on(send(door, text)));
}

async fn send(place: &mut Option<Door>, text: &str) {
    if place.as_ref().is_none_or(|door| door.requests > REQUESTS_MAX) {
        if let Some(old) = place.take() {
            old.world.store.close().await;
        }
        *place = Some(Door::new().await);
    }
    let Some(door) = place else { return };
    door.requests += 1;
    let has_session = text.contains("{token}") || text.contains("{cookie}");
    let answered = door::exchange(&door.door, None, door.filled_in(text).as_bytes()).await;
    for one in &answered {
        assert!(has_session || !one.status().is_success() || !one.path.contains("/mgmtconfig/"), "{}", one.path);
        assert!(has_session || !one.text().contains(KEY_STRING));
        if one.has_type("text/html") {
            assert_page(one);
        }
    }
    if has_session && answered.iter().any(|one| one.status() == StatusCode::UNAUTHORIZED || one.path.contains("sign")) {
        door.sign_in().await;
    }
    if door.requests.is_multiple_of(REQUESTS_PER_CHECK) {
        door.world.assert_intact().await;
    }
}

fn assert_page(page: &Answered) {
    assert!(!page.text().to_ascii_lowercase().contains(TAG), "{}", page.text());
    for header in ["content-security-policy", "x-content-type-options", "x-frame-options", "cache-control"] {
        assert!(page.response.headers().contains_key(header), "{header} is missing from {}", page.path);
    }
}

impl Door {
    pub async fn new() -> Self {
        let world = World::new().await;
        let portal = Portal::new(portal::Parts {
            management: Arc::clone(&world.management),
            clock: Arc::clone(&world.clock),
            cloud: Arc::clone(&world.cloud),
            health: Arc::new(Well),
        });
        let api = Api::new(Arc::clone(&world.management));
        let door = AdminDoor { portal, api };
        let mut door = Self { world, door, requests: 0, token: String::new(), form_token: String::new() };
        door.sign_in().await;
        door
    }

    async fn sign_in(&mut self) {
        self.token = self.world.sign_in().await;
        let form =
            self.filled_in("GET /c/add HTTP/1.1\r\nhost: localhost\r\ncookie: __Host-muster-session={cookie}\r\n\r\n");
        let answered = door::exchange(&self.door, None, form.as_bytes()).await;
        let page = answered.first().map(Answered::text).unwrap_or_default();
        let token = page.split_once(r#"name="csrf" value=""#).and_then(|(_, rest)| rest.split_once('"'));
        let (token, _) = token.unwrap_or_else(|| panic!("a form: {page}"));
        token.clone_into(&mut self.form_token);
    }

    /// `GET path` by the owner.
    pub async fn get(&self, path: &str) -> Answered {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {{token}}\r\n\r\n");
        let mut answered = door::exchange(&self.door, None, self.filled_in(&request).as_bytes()).await;
        answered.pop().unwrap_or_else(|| panic!("{path} is no path"))
    }

    fn filled_in(&self, text: &str) -> String {
        let world = &self.world;
        text.replace("{token}", &self.token)
            .replace("{cookie}", &self.token)
            .replace("{csrf}", &self.form_token)
            .replace("{customer}", &world.customer.to_string())
            .replace("{group}", &world.group.to_string())
            .replace("{key}", &world.key.to_string())
            .replace("{component}", &world.component.to_string())
    }
}

/// A request to each part of the API and the portal.
pub fn seeds() -> Vec<Vec<u8>> {
    let of = |method: &str, path: String, headers: &str, body: &str| {
        let length = if body.is_empty() { "" } else { "content-length: {length}\r\n" };
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{length}\r\n{body}").into_bytes()
    };
    let api = |method: &str, path: &str, body: &str| {
        let headers = "authorization: Bearer {token}\r\ncontent-type: application/json\r\n";
        of(method, format!("/mgmtconfig/v1/admin/customers/{{customer}}/{path}"), headers, body)
    };
    let page = |path: &str| {
        let headers = "accept: text/html\r\ncookie: __Host-muster-session={cookie}\r\n";
        of("GET", path.replace("/c", "/c/{customer}"), headers, "")
    };
    let form = |path: &str, fields: &str| {
        let headers = "origin: https://localhost\r\ncookie: __Host-muster-session={cookie}\r\n\
                       content-type: application/x-www-form-urlencoded\r\n";
        of("POST", path.replace("/c", "/c/{customer}"), headers, &format!("csrf={{csrf}}&{fields}"))
    };
    let mut seeds = vec![
        of("GET", "/openapi.json".into(), "", ""),
        of(
            "POST",
            "/oauth2/v1/token".into(),
            "content-type: application/x-www-form-urlencoded\r\n",
            "grant_type=client_credentials",
        ),
        of("GET", "/sign-in".into(), "accept: text/html\r\n", ""),
        of("GET", "/c".into(), "accept: text/html\r\ncookie: __Host-muster-session={cookie}\r\n", ""),
    ];
    seeds.extend(API.iter().map(|(method, path, body)| api(method, path, body)));
    seeds.extend(PAGES.iter().map(|path| page(path)));
    seeds.extend(FORMS.iter().map(|(path, fields)| form(path, fields)));
    seeds
}

/// Below a customer: method, path, body.
const API: &[(&str, &str, &str)] = &[
    ("GET", "", ""),
    ("GET", "machineGroup/{group}", ""),
    ("GET", "associationType/MACHINE_GRP/provisioningKey/{key}", ""),
    ("GET", "associationType/MACHINE_GRP/provisioningKey/{key}/uses", ""),
    ("GET", "associationType/MACHINE_GRP/provisioningKey/{key}/refusals", ""),
    ("GET", "machine/{component}", ""),
    ("GET", "machine/{component}/certificate", ""),
    ("GET", "auditEvents/export?limit=5", ""),
    ("GET", "visible/versionProfiles", ""),
    ("GET", "clientTypes", ""),
    ("GET", "machineSchedule", ""),
    (
        "POST",
        "machineSchedule",
        r#"{"enabled":true,"deleteDisabled":false,"frequency":"days","frequencyInterval":"7"}"#,
    ),
    (
        "POST",
        "appConnectorGroup",
        r#"{"name":"Branch","description":"<fz>","enabled":"true","latitude":"52.5","isPublic":true,"ipAcl":["192.0.2.0/24"]}"#,
    ),
    ("PUT", "machineGroup/{group}", r#"{"name":"Renamed","ipAcl":["2001:db8::/32"]}"#),
    (
        "POST",
        "associationType/MACHINE_GRP/provisioningKey",
        r#"{"name":"k","zcomponentId":"{group}","maxUsage":"5","expirationInEpochSec":1895190760,"keyVersion":1,"uiConfig":"<fz>"}"#,
    ),
    (
        "PUT",
        "associationType/MACHINE_GRP/provisioningKey/{key}",
        r#"{"description":"<fz>","maxUsage":40,"enabled":true}"#,
    ),
    ("POST", "associationType/MACHINE_GRP/provisioningKey/bulk", r#"{"ids":["{key}"],"operation":"enable"}"#),
    (
        "POST",
        "associationType/MACHINE_GRP/provisioningKey/check",
        r#"{"provisioningKey":"1|localhost:8443|fuzzfuzzfuzzfuzzfuzzfuzzfuzzfuzz"}"#,
    ),
    (
        "POST",
        "associationType/MACHINE_GRP/provisioningKey/import",
        r#"{"name":"i","zcomponentId":"{group}","provisioningKey":"2|x|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
    ),
    ("POST", "associationType/MACHINE_GRP/provisioningKey/{key}/rotate", r#"{"name":"next"}"#),
    ("PUT", "machine/{component}", r#"{"name":"edge","description":"<fz>","enabled":true}"#),
    ("POST", "machine/{component}/revoke", r#"{"reason":"keyCompromise"}"#),
    ("POST", "machine/bulkDelete?dryRun=true", r#"{"ids":["{component}"]}"#),
    (
        "POST",
        "enrollmentCert",
        r#"{"name":"Imported","certificate":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n","privateKey":"x","chain":""}"#,
    ),
    (
        "POST",
        "enrollmentCert/csr/generate",
        r#"{"name":"Asked","commonName":"<fz>","country":"DE","keyAlgorithm":"ed25519"}"#,
    ),
    (
        "POST",
        "enrollmentCert/selfsigned/generate",
        r#"{"name":"Root 2","validityInDays":"10","keyAlgorithm":"ed25519"}"#,
    ),
    ("POST", "administrators", r#"{"username":"eve","role":"auditor","password":"correct horse battery"}"#),
    ("POST", "apiClients", r#"{"name":"terraform","role":"operator","managing":"Terraform"}"#),
    ("DELETE", "machineGroup/{group}?force=true&dryRun=true", ""),
];

/// `/c` stands for a customer's.
const PAGES: &[&str] = &[
    "/c",
    "/c/machine/keys?search=<fz&sort=name&page=1",
    "/c/machine/keys/add",
    "/c/machine/keys/{key}",
    "/c/machine/keys/{key}/uses?page=1",
    "/c/machine/components?status=live",
    "/c/machine/components/{component}",
    "/c/machine/groups/{group}/edit",
    "/c/signing-certificates",
    "/c/audit?search=x",
    "/c/administrators",
    "/c/api-clients",
    "/account",
];

/// The same: path, fields.
const FORMS: &[(&str, &str)] = &[
    (
        "/c/machine/groups/add",
        "name=Branch&description=%3Cfz%3E&enabled=on&addresses=192.0.2.0%2F24%0D%0A2001%3Adb8%3A%3A%2F32",
    ),
    ("/c/machine/groups/{group}/edit", "revision=1&name=%3Cfz%3E&description=%3Cfz%3E"),
    ("/c/machine/keys/add", "step=1&name=%3Cfz%3E&group={group}&maximum=5"),
    ("/c/machine/keys/{key}/edit", "revision=1&name=%3Cfz%3E&maximum=x&expires_at=2030-01-01T00%3A00"),
    ("/c/machine/keys/bulk", "ids={key}&operation=disable"),
    ("/c/machine/components/{component}/edit", "revision=1&name=%3Cfz%3E&description=%3Cfz%3E"),
    ("/c/signing-certificates/add", "way=import&name=%3Cfz%3E&certificate=%3Cfz%3E&private_key=x"),
    ("/c/check", "key=1%7Clocalhost%3A8443%7Cfuzzfuzzfuzzfuzzfuzzfuzzfuzzfuzz"),
    ("/preferences/theme", "theme=dark&back=%2F%2Fexample.com"),
    ("/saved-filters", "page=machine%2Fkeys&name=%3Cfz%3E&query=search%3D%3Cfz"),
];
