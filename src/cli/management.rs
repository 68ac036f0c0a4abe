//! The management API as commands use it: credentials, paths, objects.
//!
//! Where the service is: `MUSTER_URL` with `MUSTER_CA_FILE` (without: the system's roots), else the
//! service that runs on the data directory. Who calls: `MUSTER_CLIENT_ID` with
//! `MUSTER_CLIENT_SECRET` or `MUSTER_CLIENT_SECRET_FILE`, else the API client that the first start
//! left in the data directory. For which customer: `MUSTER_CUSTOMER_ID`, else the caller's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::app::FirstStart;
use crate::client::api::{ApiAddress, ApiClient, ApiError, customer_path, search_by_name};
use crate::client::http::HostPort;
use crate::client::tls::Trust;
use crate::domain::Kind;
use crate::id::CustomerId;

pub const DATA_DIR_DEFAULT: &str = "./muster-data";
/// Id and secret of the API client that a first start makes, with its customer; mode 0600.
pub const API_CLIENT_FILE: &str = "api-client.json";
/// PEM of the CA above the service's own TLS certificates.
pub const TRUST_ANCHOR_FILE: &str = "tls-trust-anchor.pem";
/// Addresses of the service that runs on the data directory.
pub const SERVE_FILE: &str = "serve.json";

const ADMIN_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8444);

/// Where management commands find their credentials.
#[derive(Args)]
pub struct Connection {
    /// Data directory of the service on this machine; MUSTER_URL names one elsewhere
    #[arg(long, value_name = "DIR", env = "MUSTER_DATA_DIR", default_value = DATA_DIR_DEFAULT)]
    data_dir: PathBuf,
}

/// A signed-in caller and its customer.
pub struct Management {
    api: ApiClient,
    customer: CustomerId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiClientFile {
    customer_id: CustomerId,
    client_id: String,
    client_secret: String,
}

struct Credentials {
    /// `None`: the one that the token names.
    customer: Option<CustomerId>,
    client_id: String,
    client_secret: Zeroizing<String>,
}

impl Connection {
    pub async fn open(&self) -> anyhow::Result<Management> {
        let (address, trust) = self.service()?;
        let credentials = self.credentials()?;
        Management::sign_in(&address, &trust, credentials).await
    }

    fn service(&self) -> anyhow::Result<(ApiAddress, Trust)> {
        if let Some(url) = variable("MUSTER_URL")? {
            let address = url.parse().with_context(|| format!("MUSTER_URL {url:?}"))?;
            let trust = match variable("MUSTER_CA_FILE")? {
                Some(path) => trust_of_file(Path::new(&path))?,
                None => Trust::System,
            };
            return Ok((address, trust));
        }
        let trust = trust_of_file(&self.data_dir.join(TRUST_ANCHOR_FILE))
            .context("no service was set up there: use --data-dir, or MUSTER_URL for one elsewhere")?;
        let admin = match read_json(&self.data_dir.join(SERVE_FILE)) {
            Ok(serve) => text(&serve, "admin").parse().context("serve.json names no management address")?,
            Err(_) => ADMIN_LISTEN_DEFAULT,
        };
        Ok((address_of(admin), trust))
    }

    fn credentials(&self) -> anyhow::Result<Credentials> {
        let Some(client_id) = variable("MUSTER_CLIENT_ID")? else {
            let path = self.data_dir.join(API_CLIENT_FILE);
            let text = std::fs::read_to_string(&path).map(Zeroizing::new);
            let file: ApiClientFile = serde_json::from_str(&text.with_context(|| path.display().to_string())?)
                .map_err(|_| anyhow!("{} does not hold customerId, clientId and clientSecret", path.display()))?;
            let client_secret = Zeroizing::new(file.client_secret);
            return Ok(Credentials { customer: Some(file.customer_id), client_id: file.client_id, client_secret });
        };
        let client_secret = match (variable("MUSTER_CLIENT_SECRET")?, variable("MUSTER_CLIENT_SECRET_FILE")?) {
            (Some(secret), _) => Zeroizing::new(secret),
            (None, Some(path)) => {
                let text = Zeroizing::new(std::fs::read_to_string(&path).with_context(|| path.clone())?);
                Zeroizing::new(text.trim().to_owned())
            }
            (None, None) => bail!("MUSTER_CLIENT_ID is set without MUSTER_CLIENT_SECRET or MUSTER_CLIENT_SECRET_FILE"),
        };
        let customer = variable("MUSTER_CUSTOMER_ID")?;
        let customer = customer.map(|text| text.parse().context("MUSTER_CUSTOMER_ID")).transpose()?;
        Ok(Credentials { customer, client_id, client_secret })
    }
}

impl Management {
    /// With what a first start just made.
    pub async fn of_first_start(first: &FirstStart, admin: SocketAddr) -> anyhow::Result<Self> {
        let credentials = Credentials {
            customer: Some(first.customer_id),
            client_id: first.client_id.clone(),
            client_secret: first.client_secret.clone(),
        };
        Self::sign_in(&address_of(admin), &trust_of_file(&first.trust_anchor_file)?, credentials).await
    }

    async fn sign_in(address: &ApiAddress, trust: &Trust, credentials: Credentials) -> anyhow::Result<Self> {
        let Credentials { customer, client_id, client_secret } = credentials;
        let api =
            ApiClient::sign_in(address, trust, &client_id, &client_secret).await.map_err(|error| match error {
                ApiError::Refused { status: 401, .. } => anyhow!("the API client {client_id:?} is not accepted"),
                error @ ApiError::Unreachable { .. } => {
                    anyhow::Error::new(error).context("is the service running? (muster serve)")
                }
                error => error.into(),
            })?;
        let customer = customer.or(api.customer());
        let customer = customer.context("the API client belongs to no customer: name one in MUSTER_CUSTOMER_ID")?;
        Ok(Self { api, customer })
    }

    pub async fn groups(&self, kind: Kind) -> Result<Vec<Value>, ApiError> {
        self.api.list(&self.path(group_resource(kind)), "").await
    }

    pub async fn create_group(&self, kind: Kind, group: &Value) -> Result<Value, ApiError> {
        self.api.post(&self.path(group_resource(kind)), group).await
    }

    /// By name without regard to case, else by id.
    pub async fn find_group(&self, kind: Kind, wanted: &str) -> anyhow::Result<Value> {
        let groups = self.groups(kind).await?;
        named_or_id(groups, wanted).with_context(|| format!("there is no {kind} group {wanted:?}"))
    }

    pub async fn signing_certificates(&self) -> Result<Vec<Value>, ApiError> {
        self.api.list(&customer_path("v2", self.customer, "enrollmentCert"), "").await
    }

    pub async fn find_signing_certificate(&self, wanted: &str) -> anyhow::Result<Value> {
        let all = self.signing_certificates().await?;
        named_or_id(all, wanted).with_context(|| format!("there is no signing certificate {wanted:?}"))
    }

    pub async fn keys(&self, kind: Kind) -> Result<Vec<Value>, ApiError> {
        self.api.list(&self.keys_path(kind), "").await
    }

    pub async fn key(&self, kind: Kind, id: &str) -> Result<Value, ApiError> {
        self.api.get(&self.key_path(kind, id)).await
    }

    pub async fn create_key(&self, kind: Kind, key: &Value) -> Result<Value, ApiError> {
        self.api.post(&self.keys_path(kind), key).await
    }

    pub async fn edit_key(&self, kind: Kind, id: &str, changes: &Value) -> Result<(), ApiError> {
        self.api.put(&self.key_path(kind, id), changes).await
    }

    pub async fn delete_key(&self, kind: Kind, id: &str) -> Result<(), ApiError> {
        self.api.delete(&self.key_path(kind, id)).await
    }

    pub async fn find_key_by_name(&self, kind: Kind, name: &str) -> anyhow::Result<Value> {
        let path = self.keys_path(kind);
        // A search cannot spell every name (two spaces, a word AND), so what it does not find is
        // looked for in the whole list.
        for query in [search_by_name(name), String::new()] {
            let found = self.api.list(&path, &query).await?;
            if let Some(key) = found.into_iter().find(|key| text(key, "name").eq_ignore_ascii_case(name)) {
                return Ok(key);
            }
        }
        bail!("there is no {kind} provisioning key {name:?}")
    }

    /// Asks each kind in turn, as an id does not say its kind.
    pub async fn find_key_by_id(&self, id: &str) -> anyhow::Result<(Kind, Value)> {
        for kind in Kind::ALL {
            match self.key(kind, id).await {
                Ok(key) => return Ok((kind, key)),
                Err(ApiError::Refused { status: 404, .. }) => {}
                Err(ApiError::Refused { id, .. }) if id == "resource.not.found" => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("there is no provisioning key with the id {id}")
    }

    fn keys_path(&self, kind: Kind) -> String {
        self.path(&format!("associationType/{}/provisioningKey", association_type(kind)))
    }

    fn key_path(&self, kind: Kind, id: &str) -> String {
        format!("{}/{id}", self.keys_path(kind))
    }

    fn path(&self, rest: &str) -> String {
        customer_path("v1", self.customer, rest)
    }
}

/// The member as text; empty if it is absent.
pub fn text(object: &Value, member: &str) -> String {
    match &object[member] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

pub fn flag(object: &Value, member: &str) -> bool {
    text(object, member) == "true"
}

pub fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = Zeroizing::new(std::fs::read_to_string(path).with_context(|| path.display().to_string())?);
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

pub fn trust_of_file(path: &Path) -> anyhow::Result<Trust> {
    let pem = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Trust::from_pem(&pem).with_context(|| path.display().to_string())
}

/// The objects with their kind, as `--json` lists print them.
pub fn with_kind(kind: Kind, mut object: Value) -> Value {
    object["kind"] = json!(kind);
    object
}

/// The service on this machine. Its own certificate always names `localhost`, whatever address it
/// listens on.
fn address_of(admin: SocketAddr) -> ApiAddress {
    let reachable = match admin.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    ApiAddress {
        server: "localhost".parse().expect("localhost is a name"),
        connect: Some(HostPort::from(SocketAddr::new(reachable, admin.port()))),
        prefix: String::new(),
    }
}

fn named_or_id(objects: Vec<Value>, wanted: &str) -> Option<Value> {
    let at = objects
        .iter()
        .position(|object| text(object, "name").eq_ignore_ascii_case(wanted))
        .or_else(|| objects.iter().position(|object| text(object, "id") == wanted))?;
    objects.into_iter().nth(at)
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}

const fn association_type(kind: Kind) -> &'static str {
    match kind {
        Kind::AppConnector => "CONNECTOR_GRP",
        Kind::ServiceEdge => "SERVICE_EDGE_GRP",
        Kind::NetworkConnector => "NP_ASSISTANT_GRP",
        Kind::Machine => "MACHINE_GRP",
    }
}

const fn group_resource(kind: Kind) -> &'static str {
    match kind {
        Kind::AppConnector => "appConnectorGroup",
        Kind::ServiceEdge => "serviceEdgeGroup",
        Kind::NetworkConnector => "networkConnectorGroup",
        Kind::Machine => "machineGroup",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_wins_over_an_id() {
        let objects = vec![json!({ "id": "7", "name": "eight" }), json!({ "id": "8", "name": "7" })];
        assert_eq!(text(&named_or_id(objects.clone(), "7").unwrap(), "id"), "8");
        assert_eq!(text(&named_or_id(objects.clone(), "8").unwrap(), "id"), "8");
        assert_eq!(text(&named_or_id(objects.clone(), "EIGHT").unwrap(), "id"), "7");
        assert_eq!(named_or_id(objects, "9"), None);
    }

    #[test]
    fn a_service_on_all_addresses_is_called_on_the_loopback() {
        for (listen, host) in [("0.0.0.0:1", "127.0.0.1"), ("[::]:1", "::1"), ("192.0.2.1:1", "192.0.2.1")] {
            let address = address_of(listen.parse().unwrap());
            assert_eq!(address.connect.unwrap().host, host);
            assert_eq!(address.server.host(), "localhost");
        }
    }
}
