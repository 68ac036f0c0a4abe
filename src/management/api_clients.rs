//! API clients: programs that sign in with an id and a secret.
//!
//! The secret is shown when it is made and kept as a digest. A new one ends the old one and every token
//! that was given out for it. Owners among them belong to customer 0; nobody gives a role above their own,
//! and no client ends or demotes itself.

use super::administrators::check_role;
use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{CommitError, Error, Management, Object, Request};
use crate::auth::ClientCredentials;
use crate::domain::{Actor, ApiClient, Name, Revision, Role};
use crate::id::{ApiClientId, CustomerId};
use crate::store::{ApiClientField, BrokenRule, Change, ListQuery, Page};

/// What a caller says about an API client, when making one and when editing one.
#[derive(Clone, Debug, Default)]
pub struct ApiClientInput {
    pub name: Input<String>,
    /// Required when making.
    pub role: Input<String>,
    /// True when absent.
    pub enabled: Input<bool>,
    /// Whether the keys that it makes are read-only to all others; false when absent. Keys that are there
    /// stay as they are.
    pub managing: Input<bool>,
    /// What such keys are shown to be managed by; the client's name when absent. Only with `managing`.
    pub label: Input<String>,
}

/// An API client with a secret that was just made, to be shown once.
pub struct NewSecret {
    pub client: ApiClient,
    pub credentials: ClientCredentials,
}

impl Management {
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`]; rights and outages.
    pub async fn create_api_client(
        &self,
        request: impl Into<Request<'_, NewSecret>>,
        customer: CustomerId,
        input: ApiClientInput,
    ) -> Result<NewSecret, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let mut checker = Checker::default();
        let name = checker.required(Field::Name, input.name, |text| Name::new(&text));
        let role = checker.required(Field::Role, input.role, |text| text.parse::<Role>());
        if let Some(role) = role {
            check_role(actor, customer, role, &mut checker)?;
        }
        let enabled = checker.take(Field::Enabled, input.enabled).given().unwrap_or(true);
        let managing = managing(None, name.as_ref(), input.managing, input.label, &mut checker);
        let (Some(name), Some(role)) = (name, role) else { return Err(checker.into_error()) };
        checker.finish()?;

        let now = self.now();
        let credentials = ClientCredentials::generate();
        let (pepper, secret_digest) = credentials.digest(&self.parts.peppers);
        let client = ApiClient {
            id: self.parts.ids.next().await?,
            customer_id: customer,
            name,
            client_id: credentials.client_id.clone(),
            secret_digest,
            pepper,
            secret_generation: 0,
            role,
            enabled,
            managing,
            last_used_at: None,
            created_at: now,
            modified_at: now,
            modified_by: actor.row_id(),
            revision: Revision::FIRST,
        };
        let (changes, audit) =
            (vec![Change::InsertApiClient(client.clone())], vec![audited::created(actor, now, &client)]);
        let made = NewSecret { client, credentials };
        self.commit_made(once, changes, audit, &made)
            .await
            .map_err(|error| error.about(Object::ApiClient, made.client.id, made.client.name.as_str()))?;
        Ok(made)
    }

    /// # Errors
    /// Rights and outages.
    pub async fn list_api_clients(
        &self,
        actor: &Actor,
        customer: CustomerId,
        query: &ListQuery<ApiClientField>,
    ) -> Result<Page<ApiClient>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().list_api_clients(customer, query).await?)
    }

    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn find_api_client(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: ApiClientId,
    ) -> Result<ApiClient, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        self.api_client(customer, id).await
    }

    /// Changes what is given and leaves the rest; `expected` as for a group. What is disabled is refused
    /// from its next request on.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::NobodyMay`]; [`Error::Outdated`];
    /// [`Error::DuplicateName`]; [`Error::NotFound`]; rights and outages.
    pub async fn edit_api_client(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: ApiClientId,
        expected: Option<Revision>,
        input: &ApiClientInput,
    ) -> Result<Revision, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::ApiClient, id, move || async move {
            let before = self.api_client(customer, id).await?;
            Error::expect_revision(Object::ApiClient, expected, before.revision)?;
            let mut after = edited(actor, &before, input.clone())?;
            if has_same_settings(&before, &after) {
                return Ok(Attempt::Done(before.revision));
            }
            let now = self.now();
            (after.modified_at, after.modified_by) = (now, actor.row_id());
            let event = audited::updated(actor, now, &before, &after);
            let about = (Object::ApiClient, id, after.name.as_str());
            let edited = self.commit_edit(Change::UpdateApiClient(after.clone()), event, about).await?;
            Ok(edited.map(|()| before.revision.next()))
        })
        .await
    }

    /// A new secret. The old one, and every token that was given out for it, are dead when this returns.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outdated`]; rights and outages.
    pub async fn replace_secret(
        &self,
        request: impl Into<Request<'_, NewSecret>>,
        customer: CustomerId,
        id: ApiClientId,
        expected: Option<Revision>,
    ) -> Result<NewSecret, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::ApiClient, id, move || async move {
            let mut client = self.api_client(customer, id).await?;
            Error::expect_revision(Object::ApiClient, expected, client.revision)?;
            let credentials =
                ClientCredentials { client_id: client.client_id.clone(), ..ClientCredentials::generate() };
            (client.pepper, client.secret_digest) = credentials.digest(&self.parts.peppers);
            client.secret_generation += 1;
            let now = self.now();
            (client.modified_at, client.modified_by) = (now, actor.row_id());
            let event = audited::done("replace-secret", actor, now, &client);
            let update = Change::UpdateApiClient(client.clone());
            client.revision = client.revision.next();
            let made = NewSecret { client, credentials };
            match self.commit_made(once, vec![update], vec![event], &made).await {
                Ok(()) => Ok(Attempt::Done(made)),
                Err(CommitError::Rule { rule: BrokenRule::Outdated { .. }, .. }) => Ok(Attempt::Overtaken),
                Err(error) => Err(error.about(Object::ApiClient, id, made.client.name.as_str())),
            }
        })
        .await
    }

    /// One that manages keys stays, as nobody else could edit or delete them.
    ///
    /// # Errors
    /// [`Error::NobodyMay`]; [`Error::Referenced`]; [`Error::NotFound`]; [`Error::Outdated`]; rights and
    /// outages.
    pub async fn delete_api_client(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: ApiClientId,
        expected: Option<Revision>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::ApiClient, id, move || async move {
            let client = self.api_client(customer, id).await?;
            Error::expect_revision(Object::ApiClient, expected, client.revision)?;
            if actor.is_api_client(id) {
                return Err(Error::NobodyMay { what: "delete themselves" });
            }
            let event = audited::deleted(actor, self.now(), &client);
            let delete = Change::DeleteApiClient { customer, id, revision: Some(client.revision) };
            self.commit_edit(delete, event, (Object::ApiClient, id, client.name.as_str())).await
        })
        .await
    }

    async fn api_client(&self, customer: CustomerId, id: ApiClientId) -> Result<ApiClient, Error> {
        let found = self.store().find_api_client_by_id(customer, id).await?;
        found.ok_or_else(|| Error::not_found(Object::ApiClient, id))
    }
}

fn edited(actor: &Actor, before: &ApiClient, input: ApiClientInput) -> Result<ApiClient, Error> {
    let mut after = before.clone();
    let mut checker = Checker::default();
    if let Some(name) = checker.check(Field::Name, input.name, |text| Name::new(&text)).given() {
        after.name = name;
    }
    if let Some(role) = checker.check(Field::Role, input.role, |text| text.parse::<Role>()).given()
        && role != before.role
    {
        check_role(actor, before.customer_id, role, &mut checker)?;
        after.role = role;
    }
    if let Some(enabled) = checker.take(Field::Enabled, input.enabled).given() {
        after.enabled = enabled;
    }
    let current = before.managing.as_ref();
    after.managing = managing(current, Some(&after.name), input.managing, input.label, &mut checker);
    checker.finish()?;
    if actor.is_api_client(before.id) {
        let refusals = [(after.role != before.role, "change their own role"), (!after.enabled, "disable themselves")];
        if let Some((_, what)) = refusals.into_iter().find(|(is_so, _)| *is_so) {
            return Err(Error::NobodyMay { what });
        }
    }
    Ok(after)
}

/// The label that keys get, if the client manages what it makes.
fn managing(
    current: Option<&Name>,
    name: Option<&Name>,
    managing: Input<bool>,
    label: Input<String>,
    checker: &mut Checker,
) -> Option<Name> {
    let is_managing = checker.take(Field::Managing, managing).given().unwrap_or(current.is_some());
    let label = checker.check(Field::Label, label, |text| Name::new(&text)).given();
    match (is_managing, label) {
        (true, label) => label.or_else(|| current.cloned()).or_else(|| name.cloned()),
        (false, None) => None,
        // A client that reads and sends back what it read sends no label.
        (false, Some(_)) => {
            checker.fault(Field::Label, "is of clients that manage the keys they make");
            None
        }
    }
}

fn has_same_settings(one: &ApiClient, other: &ApiClient) -> bool {
    one.name == other.name && one.role == other.role && one.enabled == other.enabled && one.managing == other.managing
}
