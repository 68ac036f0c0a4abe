//! Which service, who calls, for which customer.
//!
//! | | the first of these that is there |
//! |---|---|
//! | service | `MUSTER_URL` with `MUSTER_CA_FILE` (without: the system's roots); the service that runs on the data directory |
//! | caller | `MUSTER_USERNAME` with `MUSTER_PASSWORD`, `MUSTER_PASSWORD_FILE` or a prompt; `MUSTER_CLIENT_ID` with `MUSTER_CLIENT_SECRET` or `MUSTER_CLIENT_SECRET_FILE`; what the first start left in the data directory |
//! | customer | `--customer`, `MUSTER_CUSTOMER_ID`, the caller's own, that of the data directory's API client |
//!
//! What a first start left is an API client and, until somebody moves it to a vault, an owner in
//! `first-start.json`. The API client serves wherever its rights do; for what takes an owner the other
//! one is used, said so on stderr, and if the file is gone a terminal is asked.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Failure;
use super::management::Management;
use super::secret_input::read_secret_file;
use super::service::{FIRST_START_FILE, ServiceFlags};
use super::shown::text;
use crate::app::{AppError, FirstStart};
use crate::client::api::{ApiAddress, ApiClient, ApiError, Caller};
use crate::client::http::HostPort;
use crate::client::tls::Trust;
use crate::config::Settings;
use crate::id::{CustomerId, InvalidId};
use crate::store::embedded::OpenError;

pub const DATA_DIR_DEFAULT: &str = "./muster-data";
/// Id and secret of the API client that a first start makes, with its customer; mode 0600.
pub const API_CLIENT_FILE: &str = "api-client.json";
/// PEM of the CA above the service's own TLS certificates.
pub const TRUST_ANCHOR_FILE: &str = "tls-trust-anchor.pem";
/// Addresses of the service that runs on the data directory.
pub const SERVE_FILE: &str = "serve.json";

const ADMIN_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8444);

/// Where management commands find the service and their credentials.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Data directory of the service on this machine; MUSTER_URL names one elsewhere
    #[arg(long, value_name = "DIR", env = "MUSTER_DATA_DIR", default_value = DATA_DIR_DEFAULT)]
    data_dir: PathBuf,
    /// Customer to work for; 0 for what belongs to the service [env: MUSTER_CUSTOMER_ID] [default: the caller's own]
    #[arg(long, value_name = "ID", value_parser = customer_id)]
    customer: Option<CustomerId>,
}

/// Who the credentials of a data directory are taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Administrator,
    ApiClient,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiClientFile {
    customer_id: CustomerId,
    client_id: String,
    client_secret: String,
}

/// Whether the environment names a service elsewhere.
fn names_service() -> bool {
    variable("MUSTER_URL").is_ok_and(|url| url.is_some())
}

/// What a command gets that works on the service as a whole: in the store, if nobody has that to himself; else, or where the
/// environment names a service, from the service, as an owner.
pub async fn in_store_or_by_service(
    service: &ServiceFlags,
    in_store: impl AsyncFnOnce(&Settings) -> Result<Value, AppError>,
    by_service: impl AsyncFnOnce(&Management) -> anyhow::Result<Value>,
) -> Result<Value, Failure> {
    let settings = service.settings()?;
    if !names_service() {
        match Box::pin(in_store(&settings)).await {
            Ok(answer) => return Ok(answer),
            Err(AppError::Open(OpenError::Locked { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let management = Connection::of(settings.data_dir).open_as_administrator().await?;
    Ok(by_service(&management).await?)
}

impl Connection {
    /// To the service on this data directory, unless the environment names another.
    pub fn of(data_dir: PathBuf) -> Self {
        Self { data_dir, customer: None }
    }

    /// Signed in as whoever the environment names, else as the data directory's API client.
    pub async fn open(&self) -> anyhow::Result<Management> {
        let customer = self.chosen_customer()?;
        // The data directory's API client works for its own customer only.
        let own = self.api_client_file().ok().map(|file| file.customer_id);
        let wanted = if customer.is_some() && own.is_some() && customer != own {
            Wanted::Administrator
        } else {
            Wanted::ApiClient
        };
        self.sign_in(wanted).await
    }

    /// For what takes an owner, or somebody with a password: signed in as whoever the environment
    /// names, else as the first administrator, else as whom a person at the terminal says.
    pub async fn open_as_administrator(&self) -> anyhow::Result<Management> {
        self.sign_in(Wanted::Administrator).await
    }

    async fn sign_in(&self, wanted: Wanted) -> anyhow::Result<Management> {
        let (address, trust) = self.service()?;
        let caller = self.caller(wanted)?;
        let api = sign_in(&address, &trust, &caller).await?;
        let customer = match self.chosen_customer()?.or(api.customer()) {
            Some(customer) => Some(customer),
            None => self.api_client_file().ok().map(|file| file.customer_id),
        };
        Ok(Management::new(api, caller, customer))
    }

    fn chosen_customer(&self) -> anyhow::Result<Option<CustomerId>> {
        match self.customer {
            Some(customer) => Ok(Some(customer)),
            None => {
                let named = variable("MUSTER_CUSTOMER_ID")?;
                named.map(|text| customer_id(&text).context("MUSTER_CUSTOMER_ID")).transpose()
            }
        }
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

    fn caller(&self, wanted: Wanted) -> anyhow::Result<Caller> {
        if let Some(username) = variable("MUSTER_USERNAME")? {
            let password = match secret("MUSTER_PASSWORD", "MUSTER_PASSWORD_FILE")? {
                Some(password) => password,
                None if io::stdin().is_terminal() => prompt_password(&username)?,
                None => bail!("MUSTER_USERNAME is set without MUSTER_PASSWORD or MUSTER_PASSWORD_FILE"),
            };
            return Ok(Caller::Administrator { username, password });
        }
        if let Some(client_id) = variable("MUSTER_CLIENT_ID")? {
            let client_secret = secret("MUSTER_CLIENT_SECRET", "MUSTER_CLIENT_SECRET_FILE")?
                .context("MUSTER_CLIENT_ID is set without MUSTER_CLIENT_SECRET or MUSTER_CLIENT_SECRET_FILE")?;
            return Ok(Caller::ApiClient { client_id, client_secret });
        }
        match wanted {
            Wanted::Administrator => self.administrator(),
            Wanted::ApiClient => {
                let ApiClientFile { client_id, client_secret, .. } = self.api_client_file()?;
                Ok(Caller::ApiClient { client_id, client_secret: Zeroizing::new(client_secret) })
            }
        }
    }

    fn administrator(&self) -> anyhow::Result<Caller> {
        let path = self.data_dir.join(FIRST_START_FILE);
        if let Ok(first) = read_json(&path) {
            let administrator = &first["administrator"];
            let (username, password) = (text(administrator, "username"), text(administrator, "password"));
            eprintln!("Signing in as {username:?} with the password in {}.", path.display());
            return Ok(Caller::Administrator { username, password: Zeroizing::new(password) });
        }
        if !io::stdin().is_terminal() {
            bail!("this takes an administrator: set MUSTER_USERNAME, and MUSTER_PASSWORD_FILE or MUSTER_PASSWORD");
        }
        eprint!("User name: ");
        io::stderr().flush()?;
        let mut username = String::new();
        io::stdin().read_line(&mut username).context("the prompt")?;
        let username = username.trim().to_owned();
        let password = prompt_password(&username)?;
        Ok(Caller::Administrator { username, password })
    }

    fn api_client_file(&self) -> anyhow::Result<ApiClientFile> {
        let path = self.data_dir.join(API_CLIENT_FILE);
        let text = std::fs::read_to_string(&path).map(Zeroizing::new);
        let text = text.with_context(|| {
            format!(
                "no first start left {}: set MUSTER_CLIENT_ID and MUSTER_CLIENT_SECRET_FILE, or MUSTER_USERNAME",
                path.display()
            )
        })?;
        serde_json::from_str(&text)
            .map_err(|_| anyhow!("{} does not hold customerId, clientId and clientSecret", path.display()))
    }
}

impl Management {
    /// With what a first start just made.
    pub async fn of_first_start(first: &FirstStart, admin: SocketAddr) -> anyhow::Result<Self> {
        let (client_id, client_secret) = (first.client_id.clone(), first.client_secret.clone());
        let caller = Caller::ApiClient { client_id, client_secret };
        let api = sign_in(&address_of(admin), &trust_of_file(&first.trust_anchor_file)?, &caller).await?;
        Ok(Self::new(api, caller, Some(first.customer_id)))
    }
}

async fn sign_in(address: &ApiAddress, trust: &Trust, caller: &Caller) -> anyhow::Result<ApiClient> {
    ApiClient::sign_in(address, trust, caller).await.map_err(|error| match (error, caller) {
        (ApiError::Refused { status: 401, .. }, Caller::ApiClient { client_id, .. }) => {
            anyhow!("the API client {client_id:?} is not accepted")
        }
        (ApiError::Refused { status: 401, .. }, Caller::Administrator { username, .. }) => {
            anyhow!("the administrator {username:?} is not accepted with this password")
        }
        (error @ ApiError::Unreachable { .. }, _) => {
            anyhow::Error::new(error).context("is the service running? (muster serve)")
        }
        (error, _) => error.into(),
    })
}

pub fn trust_of_file(path: &Path) -> anyhow::Result<Trust> {
    let pem = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Trust::from_pem(&pem).with_context(|| path.display().to_string())
}

pub fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = Zeroizing::new(std::fs::read_to_string(path).with_context(|| path.display().to_string())?);
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
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

fn customer_id(text: &str) -> Result<CustomerId, InvalidId> {
    if text == "0" { Ok(CustomerId::SERVICE) } else { text.parse() }
}

fn prompt_password(username: &str) -> anyhow::Result<Zeroizing<String>> {
    let password = rpassword::prompt_password(format!("Password of {username:?} (not shown): "));
    password.map(Zeroizing::new).context("the prompt")
}

/// A secret of the environment: itself, or the file that holds it.
fn secret(name: &str, file_name: &str) -> anyhow::Result<Option<Zeroizing<String>>> {
    match (variable(name)?, variable(file_name)?) {
        (Some(secret), _) => Ok(Some(Zeroizing::new(secret))),
        (None, Some(path)) => read_secret_file(Path::new(&path)).map(Some),
        (None, None) => Ok(None),
    }
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_all_addresses_is_called_on_the_loopback() {
        for (listen, host) in [("0.0.0.0:1", "127.0.0.1"), ("[::]:1", "::1"), ("192.0.2.1:1", "192.0.2.1")] {
            let address = address_of(listen.parse().unwrap());
            assert_eq!(address.connect.unwrap().host, host);
            assert_eq!(address.server.host(), "localhost");
        }
    }

    #[test]
    fn customer_0_is_the_service() {
        assert_eq!(customer_id("0"), Ok(CustomerId::SERVICE));
        assert_eq!(customer_id("7").unwrap().to_string(), "7");
        assert_eq!(customer_id("00"), Err(InvalidId));
    }
}
