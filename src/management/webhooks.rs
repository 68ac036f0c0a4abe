//! Webhooks: URLs that are told of what administrators wait for.
//!
//! The secret is shown when it is made and sealed from then on; what is sent is signed with it. Sending is not done
//! here: a test is queued like any other delivery, and whoever asked looks at how it ended.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{Error, Management, Object, Request};
use crate::domain::webhook::{FAILING_MAX, InvalidWebhook};
use crate::domain::{
    Actor, Name, Revision, Role, Webhook, WebhookDelivery, WebhookEvent, WebhookEvents, WebhookUrl, places,
};
use crate::id::{CustomerId, WebhookDeliveryId, WebhookId};
use crate::secret::random_bytes;
use crate::store::{Change, ListQuery, Page, PageRequest, WebhookField};

/// What a caller says about a webhook, when making one and when editing one.
#[derive(Clone, Debug, Default)]
pub struct WebhookInput {
    pub name: Input<String>,
    /// Required when making.
    pub url: Input<String>,
    /// Required when making; in an edit all of them.
    pub events: Input<Vec<String>>,
    /// True when absent.
    pub enabled: Input<bool>,
}

/// A webhook with the secret that was just made, to be shown once.
pub struct NewWebhook {
    pub webhook: Webhook,
    /// `whsec_` and the base64 of 32 bytes, as Standard Webhooks writes it.
    pub secret: Zeroizing<String>,
}

/// What stands in front of a secret that people copy.
pub const SECRET_PREFIX: &str = "whsec_";

impl Management {
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`]; rights and outages.
    pub async fn create_webhook(
        &self,
        request: impl Into<Request<'_, NewWebhook>>,
        customer: CustomerId,
        input: WebhookInput,
    ) -> Result<NewWebhook, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let mut checker = Checker::default();
        let name = checker.required(Field::Name, input.name, |text| Name::new(&text));
        let url = checker.required(Field::Url, input.url, |text| self.checked_url(&text));
        let events = checker.required(Field::Events, input.events, |names| WebhookEvents::parse(&names));
        let enabled = checker.take(Field::Enabled, input.enabled).given().unwrap_or(true);
        let (Some(name), Some(url), Some(events)) = (name, url, events) else { return Err(checker.into_error()) };
        checker.finish()?;

        let now = self.now();
        let id: WebhookId = self.parts.ids.next().await?;
        let secret = random_bytes::<32>();
        let webhook = Webhook {
            id,
            customer_id: customer,
            name,
            url,
            events,
            sealed_secret: self.parts.master_keys.seal(places::webhook_secret(customer, id).as_place(), &*secret),
            enabled,
            since: now,
            last_success_at: None,
            last_failure_at: None,
            last_failure: String::new(),
            failing_since: None,
            created_at: now,
            modified_at: now,
            modified_by: actor.row_id(),
            revision: Revision::FIRST,
        };
        let (changes, audit) =
            (vec![Change::InsertWebhook(webhook.clone())], vec![audited::created(actor, now, &webhook)]);
        let made = NewWebhook { webhook, secret: secret_text(&*secret) };
        self.commit_made(once, changes, audit, &made)
            .await
            .map_err(|error| error.about(Object::Webhook, id, made.webhook.name.as_str()))?;
        Ok(made)
    }

    /// # Errors
    /// Rights and outages.
    pub async fn list_webhooks(
        &self,
        actor: &Actor,
        customer: CustomerId,
        query: &ListQuery<WebhookField>,
    ) -> Result<Page<Webhook>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().list_webhooks(customer, query).await?)
    }

    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn find_webhook(&self, actor: &Actor, customer: CustomerId, id: WebhookId) -> Result<Webhook, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        self.webhook(customer, id).await
    }

    /// Newest first: what waits, and the last of what is over.
    ///
    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn list_webhook_deliveries(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: WebhookId,
        page: PageRequest,
    ) -> Result<Page<WebhookDelivery>, Error> {
        self.find_webhook(actor, customer, id).await?;
        Ok(self.store().list_webhook_deliveries(customer, id, page).await?)
    }

    /// Changes what is given and leaves the rest; `expected` as for a group. One that is switched on is told of what
    /// happens from then on.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::Outdated`]; [`Error::DuplicateName`]; [`Error::NotFound`]; rights
    /// and outages.
    pub async fn edit_webhook(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: WebhookId,
        expected: Option<Revision>,
        input: &WebhookInput,
    ) -> Result<Revision, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::Webhook, id, move || async move {
            let before = self.webhook(customer, id).await?;
            Error::expect_revision(Object::Webhook, expected, before.revision)?;
            let mut after = self.edited_webhook(&before, input.clone())?;
            if after == before {
                return Ok(Attempt::Done(before.revision));
            }
            let now = self.now();
            let is_switched_on = after.enabled && !before.enabled;
            let asks_for_components = after.events.have_components() && !before.events.have_components();
            if is_switched_on || asks_for_components {
                after.since = now;
            }
            (after.modified_at, after.modified_by) = (now, actor.row_id());
            let event = audited::updated(actor, now, &before, &after);
            let about = (Object::Webhook, id, after.name.as_str());
            let edited = self.commit_edit(Change::UpdateWebhook(after.clone()), event, about).await?;
            Ok(edited.map(|()| before.revision.next()))
        })
        .await
    }

    /// Queues a delivery that says nothing but that it is a test; it waits for no more than a second or two.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the webhook is off; [`Error::NotFound`]; rights and outages.
    pub async fn test_webhook(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: WebhookId,
    ) -> Result<WebhookDelivery, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        let webhook = self.webhook(customer, id).await?;
        if !webhook.enabled {
            let mut checker = Checker::default();
            checker.fault(Field::Enabled, "is false; switch the webhook on, then test it");
            return Err(checker.into_error());
        }
        let now = self.now();
        let delivery_id: WebhookDeliveryId = self.parts.ids.next().await?;
        let owner = self.store().find_customer(customer).await?;
        let owner = owner.ok_or_else(|| Error::not_found(Object::Customer, customer))?;
        let data = json!({ "webhook": { "id": id, "name": webhook.name } });
        let delivery = WebhookDelivery::new(delivery_id, &webhook, (&owner.name, WebhookEvent::Test), &data, now);
        let event = audited::done("test", actor, now, &webhook);
        self.commit(vec![Change::InsertWebhookTest(delivery.clone())], vec![event])
            .await
            .map_err(|error| error.about(Object::Webhook, id, webhook.name.as_str()))?;
        Ok(delivery)
    }

    /// With what waits for it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outdated`]; rights and outages.
    pub async fn delete_webhook(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: WebhookId,
        expected: Option<Revision>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::Webhook, id, move || async move {
            let webhook = self.webhook(customer, id).await?;
            Error::expect_revision(Object::Webhook, expected, webhook.revision)?;
            let event = audited::deleted(actor, self.now(), &webhook);
            let delete = Change::DeleteWebhook { customer, id, revision: Some(webhook.revision) };
            self.commit_edit(delete, event, (Object::Webhook, id, webhook.name.as_str())).await
        })
        .await
    }

    /// Switches a webhook off to which nothing was delivered for [`FAILING_MAX`] though it was tried. Whether it did.
    ///
    /// # Errors
    /// Outages; [`Error::NotFound`] when it is gone.
    pub async fn switch_off_failing_webhook(&self, customer: CustomerId, id: WebhookId) -> Result<bool, Error> {
        until_not_overtaken(Object::Webhook, id, move || async move {
            let before = self.webhook(customer, id).await?;
            let now = self.now();
            let is_failing = before.failing_since.is_some_and(|since| now.since(since) >= FAILING_MAX);
            if !before.enabled || !is_failing {
                return Ok(Attempt::Done(false));
            }
            let after = Webhook { enabled: false, modified_at: now, modified_by: None, ..before.clone() };
            let event = audited::updated(&Actor::system(), now, &before, &after);
            let about = (Object::Webhook, id, before.name.as_str());
            let edited = self.commit_edit(Change::UpdateWebhook(after.clone()), event, about).await?;
            Ok(edited.map(|()| true))
        })
        .await
    }

    async fn webhook(&self, customer: CustomerId, id: WebhookId) -> Result<Webhook, Error> {
        let found = self.store().find_webhook(customer, id).await?;
        found.ok_or_else(|| Error::not_found(Object::Webhook, id))
    }

    fn edited_webhook(&self, before: &Webhook, input: WebhookInput) -> Result<Webhook, Error> {
        let mut after = before.clone();
        let mut checker = Checker::default();
        if let Some(name) = checker.check(Field::Name, input.name, |text| Name::new(&text)).given() {
            after.name = name;
        }
        // A caller that sends back what it read is not refused for what was allowed when it was made.
        let is_other = |text: &String| *text != before.url.as_str();
        let url = checker.check(Field::Url, input.url, |text| {
            if is_other(&text) { self.checked_url(&text) } else { Ok(before.url.clone()) }
        });
        if let Some(url) = url.given() {
            after.url = url;
        }
        let events = checker.check(Field::Events, input.events, |names| WebhookEvents::parse(&names));
        if let Some(events) = events.given() {
            after.events = events;
        }
        if let Some(enabled) = checker.take(Field::Enabled, input.enabled).given() {
            after.enabled = enabled;
        }
        checker.finish()?;
        Ok(after)
    }

    fn checked_url(&self, text: &str) -> Result<WebhookUrl, InvalidWebhook> {
        let url: WebhookUrl = text.parse()?;
        self.parts.webhook_destinations.check(&url)?;
        Ok(url)
    }
}

fn secret_text(secret: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_PREFIX.len() + secret.len().div_ceil(3) * 4));
    text.push_str(SECRET_PREFIX);
    STANDARD.encode_string(secret, &mut text);
    text
}
