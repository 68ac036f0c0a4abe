//! The management API as commands use it: its resources, and how an object is found in them.

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::shown::{text, with_kind};
use crate::client::api::{ApiClient, Caller, Pages, search};
use crate::domain::Kind;
use crate::id::{CustomerId, ProvisioningKeyId};

/// How many names an error lists of those that might have been meant.
const CANDIDATES_MAX: usize = 5;
/// Objects that are looked through for a name; those that a search by name finds are few.
const PAGE_SIZE: u64 = 500;

/// A signed-in caller and its customer.
pub struct Management {
    api: ApiClient,
    caller: Caller,
    /// `None`: of no customer, and none was chosen.
    customer: Option<CustomerId>,
}

/// A list of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Administrator,
    ApiClient,
    AuditEvent,
    CleanUpSchedule(Kind),
    Component(Kind),
    Customer,
    Group(Kind),
    Key(Kind),
    SigningCertificate,
    Webhook,
}

/// An object and where it is.
pub struct Found {
    pub of: Resource,
    pub object: Value,
}

impl Management {
    pub fn new(api: ApiClient, caller: Caller, customer: Option<CustomerId>) -> Self {
        Self { api, caller, customer }
    }

    /// As whom the calls are made.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same caller, among those of its own customer: owners are the service's.
    pub fn at_home(self) -> Self {
        let customer = self.api.customer().unwrap_or(CustomerId::SERVICE);
        Self { customer: Some(customer), ..self }
    }

    /// # Errors
    /// When the caller belongs to none and none was chosen.
    pub fn customer(&self) -> anyhow::Result<CustomerId> {
        self.customer.context("which customer? name one with --customer or MUSTER_CUSTOMER_ID")
    }

    /// The objects of a list, page by page. `query` is encoded, may be empty.
    pub fn pages(&self, of: Resource, query: &str) -> anyhow::Result<Pages<'_>> {
        Ok(self.api.pages(self.path(of)?, query.to_owned()))
    }

    /// The entries of an object's own list, e.g. `uses` of a key.
    pub fn pages_below(&self, found: &Found, list: &str) -> anyhow::Result<Pages<'_>> {
        Ok(self.api.pages(format!("{}/{list}", self.path_of(found)?), String::new()))
    }

    pub async fn get(&self, of: Resource, id: &str) -> anyhow::Result<Value> {
        Ok(self.api.get(&format!("{}/{id}", self.path(of)?)).await?)
    }

    /// The resource itself, where it is no list but one object that may not be there yet.
    pub async fn get_only(&self, of: Resource) -> anyhow::Result<Option<Value>> {
        match self.api.get(&self.path(of)?).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is below the list or an object of it and is no JSON: a certificate, an export.
    pub async fn get_text(&self, of: Resource, below: &str) -> anyhow::Result<String> {
        let bytes = self.api.get_bytes(&format!("{}/{below}", self.path(of)?)).await?;
        String::from_utf8(bytes.into()).context("the answer is not UTF-8")
    }

    pub async fn create(&self, of: Resource, object: &Value) -> anyhow::Result<Value> {
        Ok(self.api.create(&self.path(of)?, object).await?)
    }

    /// Makes an object by an operation below the list, e.g. `import`.
    pub async fn create_by(&self, of: Resource, operation: &str, object: &Value) -> anyhow::Result<Value> {
        Ok(self.api.create(&format!("{}/{operation}", self.path(of)?), object).await?)
    }

    pub async fn edit(&self, of: Resource, id: &str, changes: &Value) -> anyhow::Result<()> {
        Ok(self.api.put(&format!("{}/{id}", self.path(of)?), changes).await?)
    }

    /// `query` is encoded, may be empty.
    pub async fn delete(&self, found: &Found, query: &str) -> anyhow::Result<()> {
        let joint = if query.is_empty() { "" } else { "?" };
        Ok(self.api.delete(&format!("{}{joint}{query}", self.path_of(found)?)).await.map(drop)?)
    }

    /// Deletes an entry of an object's own list.
    pub async fn delete_below(&self, found: &Found, entry: &str) -> anyhow::Result<()> {
        Ok(self.api.delete(&format!("{}/{entry}", self.path_of(found)?)).await.map(drop)?)
    }

    /// What a deletion would do, with nothing deleted.
    pub async fn preview_deletion(&self, found: &Found) -> anyhow::Result<Value> {
        let answer = self.api.delete(&format!("{}?dryRun=true", self.path_of(found)?)).await?;
        serde_json::from_slice(&answer).context("the answer is not JSON")
    }

    /// `POST …/{id}/{operation}`. The answer's text; empty for operations that have nothing to tell.
    pub async fn operate(&self, found: &Found, operation: &str, object: &Value) -> anyhow::Result<Zeroizing<String>> {
        let answer = self.api.post(&format!("{}/{operation}", self.path_of(found)?), object).await?;
        let text = String::from_utf8(answer.into()).map(Zeroizing::new);
        text.map_err(|_| anyhow!("the answer is not UTF-8")) // the error would hold the text
    }

    /// An object of the service, which belongs to no customer.
    pub async fn get_of_service(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.api.get(path).await?)
    }

    /// `POST` to an operation of the service; its answer.
    pub async fn operate_service(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.api.post(path, &json!({})).await?;
        serde_json::from_slice(&answer).context("the answer is not JSON")
    }

    /// Asks something of the list that changes nothing.
    pub async fn ask(&self, of: Resource, question: &str, object: &Value) -> anyhow::Result<Value> {
        let answer = self.api.post(&format!("{}/{question}", self.path(of)?), object).await?;
        serde_json::from_slice(&answer).context("the answer is not JSON")
    }

    /// The object with this id, else with this name in any case. An id goes first, so that a program
    /// that names ids is never led elsewhere by a name.
    ///
    /// # Errors
    /// None of it, or the name in several places: both list whom one might have meant.
    pub async fn find(&self, among: &[Resource], wanted: &str) -> anyhow::Result<Found> {
        // The ids of all objects have one form.
        if wanted.parse::<ProvisioningKeyId>().is_ok() {
            for &of in among {
                match self.api.get(&format!("{}/{wanted}", self.path(of)?)).await {
                    Ok(object) => return Ok(Found { of, object }),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let mut named = self.search(among, "EQ", wanted, PAGE_SIZE).await?;
        named.retain(|found| found.name().eq_ignore_ascii_case(wanted));
        match (named.pop(), named.is_empty()) {
            (Some(found), true) => Ok(found),
            (Some(found), false) => {
                named.push(found);
                let each = named.iter().map(|found| format!("{} {}", found.of.noun(), found.id()));
                let candidates = each.collect::<Vec<_>>().join(", ");
                bail!("{wanted:?} is the name of several: {candidates}; say which by its id")
            }
            (None, _) => bail!("there is no {} {wanted:?}{}", noun(among), self.candidates(among, wanted).await?),
        }
    }

    /// The first of each resource, at most `size`, whose name compares so.
    async fn search(&self, among: &[Resource], operator: &str, wanted: &str, size: u64) -> anyhow::Result<Vec<Found>> {
        let mut all = Vec::new();
        if wanted.trim().is_empty() {
            return Ok(all);
        }
        for &of in among {
            let page = self.pages(of, &search(&of.named(operator, wanted)))?.next(size).await?;
            all.extend(page.into_iter().flatten().map(|object| Found { of, object }));
        }
        Ok(all)
    }

    /// `; there are "HQ", "Branch"`: those with a similar name, else the first ones, else nothing.
    async fn candidates(&self, among: &[Resource], wanted: &str) -> anyhow::Result<String> {
        let mut found = self.search(among, "CONTAINS", wanted, CANDIDATES_MAX as u64).await?;
        if found.is_empty() {
            for &of in among {
                let page = self.pages(of, "")?.next(CANDIDATES_MAX as u64).await?;
                found.extend(page.into_iter().flatten().map(|object| Found { of, object }));
            }
        }
        let names: Vec<_> = found.iter().take(CANDIDATES_MAX).map(|found| format!("{:?}", found.name())).collect();
        Ok(if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) })
    }

    fn path_of(&self, found: &Found) -> anyhow::Result<String> {
        Ok(format!("{}/{}", self.path(found.of)?, found.id()))
    }

    fn path(&self, of: Resource) -> anyhow::Result<String> {
        let customers = "/mgmtconfig/v1/admin/customers";
        Ok(match of.below_customer() {
            Some(below) => format!("{customers}/{}/{below}", self.customer()?),
            None => customers.to_owned(),
        })
    }
}

impl Resource {
    /// This resource of one kind, or of each in turn.
    pub fn of_kinds(resource: fn(Kind) -> Self, kind: Option<Kind>) -> Vec<Self> {
        match kind {
            Some(kind) => vec![resource(kind)],
            None => Kind::ALL.map(resource).to_vec(),
        }
    }

    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::CleanUpSchedule(kind) | Self::Component(kind) | Self::Group(kind) | Self::Key(kind) => Some(kind),
            Self::Administrator
            | Self::ApiClient
            | Self::AuditEvent
            | Self::Customer
            | Self::SigningCertificate
            | Self::Webhook => None,
        }
    }

    /// The object as commands show it: with its kind, if it is of one, and without a key string, which
    /// only the commands that are for it print.
    pub fn shown(self, mut object: Value) -> Value {
        if let (Self::Key(_), Some(members)) = (self, object.as_object_mut()) {
            members.remove("provisioningKey");
        }
        match self.kind() {
            Some(kind) => with_kind(kind, object),
            None => object,
        }
    }

    /// What one of them is called: `machine group`.
    pub fn noun(self) -> String {
        match self.kind() {
            Some(kind) => format!("{kind} {}", self.word()),
            None => self.word().to_owned(),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::ApiClient => "API client",
            Self::AuditEvent => "audit event",
            Self::CleanUpSchedule(_) => "clean-up schedule",
            Self::Component(_) => "component",
            Self::Customer => "customer",
            Self::Group(_) => "group",
            Self::Key(_) => "provisioning key",
            Self::SigningCertificate => "signing certificate",
            Self::Webhook => "webhook",
        }
    }

    /// A search for those whose name compares so. Plain words are for names of all sorts: they find
    /// what contains them.
    pub fn named(self, operator: &str, name: &str) -> String {
        match self {
            Self::Administrator => name.to_owned(),
            _ => format!("name {operator} {name}"),
        }
    }

    /// The path below the customer's; `None` for the list of customers.
    fn below_customer(self) -> Option<String> {
        Some(match self {
            Self::Administrator => "administrators".to_owned(),
            Self::ApiClient => "apiClients".to_owned(),
            Self::AuditEvent => "auditEvents".to_owned(),
            Self::CleanUpSchedule(kind) => format!("{}Schedule", component_resource(kind)),
            Self::Component(kind) => component_resource(kind).to_owned(),
            Self::Customer => return None,
            Self::Group(kind) => group_resource(kind).to_owned(),
            Self::Key(kind) => format!("associationType/{}/provisioningKey", association_type(kind)),
            Self::SigningCertificate => "enrollmentCert".to_owned(),
            Self::Webhook => "webhooks".to_owned(),
        })
    }
}

impl Found {
    pub fn id(&self) -> String {
        text(&self.object, "id")
    }

    pub fn name(&self) -> String {
        match self.of {
            Resource::Administrator => text(&self.object, "username"),
            _ => text(&self.object, "name"),
        }
    }

    /// `Group HQ (id 7)`, to begin a sentence with.
    pub fn title(&self) -> String {
        let word = match self.of {
            Resource::Key(_) => "key",
            of => of.word(),
        };
        let (first, rest) = word.split_at(1);
        format!("{}{rest} {} (id {})", first.to_ascii_uppercase(), self.name(), self.id())
    }

    /// As `--json` prints it.
    pub fn shown(&self) -> Value {
        self.of.shown(self.object.clone())
    }
}

/// One word for all of them, with the kind if there is but one.
fn noun(among: &[Resource]) -> String {
    match among {
        [only] => only.noun(),
        [first, ..] => first.word().to_owned(),
        [] => String::new(),
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

const fn component_resource(kind: Kind) -> &'static str {
    match kind {
        Kind::AppConnector => "connector",
        Kind::ServiceEdge => "serviceEdge",
        Kind::NetworkConnector => "networkConnector",
        Kind::Machine => "machine",
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

/// `{ member: value }` for the values that were given.
pub fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let mut object = json!({});
    for (name, value) in members {
        if let Some(value) = value {
            object[name] = value;
        }
    }
    object
}
