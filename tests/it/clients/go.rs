//! What zscaler-sdk-go does with requests and answers: the two sign-ins, structs whose zero values are left
//! out, strictness about types, whole lists page by page, and when it would send a request again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster::clock::{Clock as _, SystemClock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::support::{Client, credentials};
use crate::support::{Answer, Service};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SignIn {
    Legacy,
    OneApi,
}

/// One process with the SDK in it. It ends with its token.
pub struct Sdk<'a> {
    service: &'a Service,
    client: Client,
    sign_in: SignIn,
    customer: String,
    /// Every request that was sent: method, path, status.
    sent: Vec<(String, String, u16)>,
}

/// `nil` in Go: the object is not there.
pub struct NotFound;

/// The names of a struct's members are matched, its types are not bent.
#[derive(Deserialize)]
struct List<T> {
    #[serde(rename = "totalPages")]
    total_pages: String,
    list: Vec<T>,
}

#[derive(Deserialize)]
struct LegacyToken {
    access_token: String,
    expires_in: String,
}

#[derive(Deserialize)]
struct OAuthToken {
    access_token: String,
    expires_in: i64,
}

impl<'a> Sdk<'a> {
    pub fn new(service: &'a Service, sign_in: SignIn) -> Self {
        let customer = service.api_client()["customerId"].as_str().expect("a string").to_owned();
        Self { service, client: Client::without_token(service), sign_in, customer, sent: Vec::new() }
    }

    /// Below the customer of version 1, or with a version of its own in front: `v2 enrollmentCert`.
    fn path(&self, path: &str) -> String {
        let (version, path) = path.split_once(' ').unwrap_or(("v1", path));
        let prefix = if self.sign_in == SignIn::OneApi { "/zpa" } else { "" };
        format!("{prefix}/mgmtconfig/{version}/admin/customers/{}/{path}", self.customer)
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.authenticate().await;
        let path = self.path(path);
        let answer = self.exchange(method, &path, body).await;
        self.sent.push((method.to_owned(), path, answer.status));
        answer
    }

    /// There is no `Accept`, and a body is announced as JSON.
    async fn exchange(&self, method: &str, path: &str, body: &str) -> Answer {
        let agent = ("user-agent", "(linux amd64) Terraform/1.11.4 Provider/4.4.8 Customer/1");
        let json = ("content-type", "application/json");
        let form = ("content-type", "application/x-www-form-urlencoded");
        let content_type = if path.ends_with("/signin") || path.ends_with("/token") { form } else { json };
        self.client.send(method, path, body, &[agent, content_type]).await
    }

    /// Legacy looks into the token before every request and signs in anew unless it is a JWT that has not
    /// expired; OneAPI trusts `expires_in`.
    async fn authenticate(&mut self) {
        let is_good = self.client.token.as_deref().is_some_and(|token| match self.sign_in {
            SignIn::Legacy => expiry(token).is_some_and(|at| at > SystemClock.now().unix_seconds()),
            SignIn::OneApi => true,
        });
        if is_good {
            return;
        }
        let credentials = credentials(self.service);
        let token = match self.sign_in {
            SignIn::Legacy => {
                let answer = self.exchange("POST", "/signin", &credentials).await;
                self.sent.push(("POST".into(), "/signin".into(), answer.status));
                let token: LegacyToken = decode(&answer);
                assert!(token.expires_in.parse::<u32>().is_ok_and(|seconds| seconds >= 3_600));
                token.access_token
            }
            SignIn::OneApi => {
                let form =
                    format!("audience=https%3A%2F%2Fapi.zscaler.com&{credentials}&grant_type=client_credentials");
                let answer = self.exchange("POST", "/oauth2/v1/token", &form).await;
                self.sent.push(("POST".into(), "/oauth2/v1/token".into(), answer.status));
                let token: OAuthToken = decode(&answer);
                assert!(token.expires_in >= 3_600);
                token.access_token
            }
        };
        self.client.token = Some(token);
    }

    /// JSON as Go's encoder writes it: with a line break behind it, which OneAPI cuts off.
    fn encode(&self, body: &impl Serialize) -> String {
        let end = if self.sign_in == SignIn::Legacy { "\n" } else { "" };
        serde_json::to_string(body).expect("a struct serializes") + end
    }

    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, NotFound> {
        let answer = self.send("GET", path, "").await;
        if is_not_found(&answer) { Err(NotFound) } else { Ok(decode(&answer)) }
    }

    pub async fn create<T: Serialize + DeserializeOwned>(&mut self, path: &str, body: &T) -> T {
        let body = self.encode(body);
        decode(&self.send("POST", path, &body).await)
    }

    pub async fn update(&mut self, path: &str, body: &impl Serialize) {
        let body = self.encode(body);
        let answer = self.send("PUT", path, &body).await;
        assert_eq!(answer.status, 204, "{path}: {}", answer.body);
    }

    pub async fn delete(&mut self, path: &str) {
        let answer = self.send("DELETE", path, "").await;
        assert_eq!(answer.status, 204, "{path}: {}", answer.body);
    }

    /// All pages of a list, of the rows with this name if there is one. Blanks are escaped differently.
    pub async fn list<T: DeserializeOwned>(&mut self, path: &str, name: Option<&str>) -> Vec<T> {
        let blank = if self.sign_in == SignIn::Legacy { "%20" } else { "+" };
        let search = name.map(|name| format!("&search=name%2BEQ%2B{}", name.replace(' ', blank)));
        let search = search.unwrap_or_default();
        let mut rows = Vec::new();
        for page in 1.. {
            let read: Result<List<T>, _> = self.get(&format!("{path}?page={page}&pagesize=500{search}")).await;
            let Ok(read) = read else { panic!("{path}: a list is always there") };
            rows.extend(read.list);
            if page >= read.total_pages.parse::<u32>().expect("a number in a string") {
                break;
            }
        }
        rows
    }

    /// How often it signed in; all requests were answered with what one expects, none would be sent again.
    pub fn assert_calm(&self) -> usize {
        for (method, path, status) in &self.sent {
            // Go repeats a 409, a 429 and a 5xx up to a hundred times, and a 400 with one of four ids: there
            // was none at all.
            let is_expected = match method.as_str() {
                "POST" => matches!(status, 200 | 201),
                "PUT" | "DELETE" => *status == 204,
                _ => matches!(status, 200 | 404),
            };
            assert!(is_expected, "{method} {path}: {status}");
        }
        let twice = self.sent.windows(2).find(|pair| pair[0] == pair[1] && pair[0].0 != "GET");
        assert_eq!(twice, None, "a request was repeated");
        self.sent.iter().filter(|(_, path, _)| path.ends_with("/signin") || path.ends_with("/token")).count()
    }
}

/// Go's `IsObjectNotFound`.
fn is_not_found(answer: &Answer) -> bool {
    answer.status == 404 || (answer.status >= 400 && answer.json()["id"] == "resource.not.found")
}

/// A number where the struct has a string is an error, as is the other way round.
fn decode<T: DeserializeOwned>(answer: &Answer) -> T {
    assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

/// `exp` of a JWT; `None` for what is none.
fn expiry(token: &str) -> Option<i64> {
    let [_, claims, _] = token.split('.').collect::<Vec<_>>().try_into().ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims["exp"].as_i64()
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `provisioningkey.ProvisioningKey`: everything but `associationType` is left out when it is zero.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProvisioningKey {
    #[serde(skip_serializing_if = "is_zero")]
    pub app_connector_group_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub app_connector_group_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub creation_time: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub enabled: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub expiration_in_epoch_sec: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub ip_acl: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_usage: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub modified_by: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub modified_time: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub provisioning_key: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub enrollment_cert_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub enrollment_cert_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub ui_config: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage_count: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub zcomponent_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub zcomponent_name: String,
    pub association_type: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub microtenant_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub microtenant_name: String,
}

/// `appconnectorgroup.AppConnectorGroup`: flags, `cityCountry`, `dcHostingInfo` and `npAssistantGroup` are
/// always sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AppConnectorGroup {
    #[serde(skip_serializing_if = "is_zero")]
    pub id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub description: String,
    pub enabled: bool,
    pub city_country: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub country_code: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub creation_time: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub dns_query_type: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub connector_group_type: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub geo_location_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub latitude: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub location: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub longitude: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub modified_by: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub modified_time: String,
    pub override_version_profile: bool,
    pub pra_enabled: bool,
    pub waf_disabled: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub upgrade_day: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub upgrade_time_in_secs: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub version_profile_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub version_profile_name: String,
    pub tcp_quick_ack_app: bool,
    pub tcp_quick_ack_assistant: bool,
    pub use_in_dr_mode: bool,
    pub tcp_quick_ack_read_assistant: bool,
    pub lss_app_connector_group: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub microtenant_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub site_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub read_only: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub zscaler_managed: bool,
    pub dc_hosting_info: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub server_groups: Vec<Named>,
    #[serde(skip_serializing_if = "is_zero")]
    pub connectors: Vec<Named>,
    pub np_assistant_group: Named,
    #[serde(skip_serializing_if = "is_zero")]
    pub enrollment_cert_id: String,
}

/// `serviceedgegroup.ServiceEdgeGroup`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceEdgeGroup {
    #[serde(skip_serializing_if = "is_zero")]
    pub id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub description: String,
    pub enabled: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub city_country: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub city: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub country_code: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub creation_time: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub geo_location_id: String,
    pub grace_distance_enabled: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub grace_distance_value: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub grace_distance_value_unit: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub is_public: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub latitude: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub location: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub longitude: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub modified_by: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub modified_time: String,
    pub use_in_dr_mode: bool,
    pub override_version_profile: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub upgrade_day: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub upgrade_time_in_secs: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub version_profile_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub version_profile_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub alt_cloud: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub microtenant_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub site_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub read_only: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub zscaler_managed: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub exclusive_for_business_continuity: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub service_edges: Vec<Named>,
    #[serde(skip_serializing_if = "is_zero")]
    pub trusted_networks: Vec<Named>,
    #[serde(skip_serializing_if = "is_zero")]
    pub enrollment_cert_id: String,
}

/// What of an object is looked at when it is looked up or only referred to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    #[serde(skip_serializing_if = "is_zero")]
    pub id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub name: String,
}
