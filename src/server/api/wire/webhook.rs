//! `webhooks` and their `deliveries`. The secret is shown when it is made.

use serde::Serialize;

use super::members::Members;
use super::{Epoch, Listed, ModifiedBy, Text};
use crate::domain::webhook::DeliveryState;
use crate::domain::{Name, Webhook, WebhookDelivery};
use crate::id::{WebhookDeliveryId, WebhookId};
use crate::management::webhooks::{NewWebhook, WebhookInput};
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::WebhookField;

pub static WEBHOOK: Shape = Shape::new(
    "Webhook",
    &[
        Member::id("id", "Its id"),
        Member::name("Unique in its customer").required(),
        Member::text("url", "Where to: https://HOST[:PORT][/PATH]").required(),
        Member::texts("events", "What it is told of, e.g. key.expiring; at least one").required(),
        Member::flag("enabled", "Whether anything is sent; true by default").writable(),
        Member::epoch("creationTime", "When it was made"),
        Member::epoch("modifiedTime", "When it was changed last"),
        Member::new("modifiedBy", Form::ModifiedBy, "Who changed it last"),
        Member::epoch("lastSuccessTime", "When something was delivered last").optional(),
        Member::epoch("lastFailureTime", "When an attempt failed last").optional(),
        Member::text("lastFailure", "What that attempt met").optional(),
        Member::epoch("failingSinceTime", "Since when nothing was delivered though it was tried").optional(),
        Member::text("secret", "Once, when it was made: what deliveries are signed with").optional(),
    ],
);

pub static WEBHOOK_DELIVERY: Shape = Shape::new(
    "WebhookDelivery",
    &[
        Member::id("id", "Its id; webhook-id is msg_ and this"),
        Member::text("event", "The type of its payload"),
        Member::word("state", STATES, "Where it is"),
        Member::counter("attempts", "How often it was tried"),
        Member::epoch("creationTime", "When the event was found"),
        Member::epoch("nextAttemptTime", "When it is tried next").optional(),
        Member::epoch("endTime", "When it was delivered or given up").optional(),
        Member::text("lastResult", "What the last attempt came to").optional(),
    ],
);

/// As [`DeliveryState::as_str`].
const STATES: &[&str] = &["delivered", "given-up", "waiting"];

impl Listed for WebhookField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("url", Self::Url),
        ("enabled", Self::Enabled),
        ("creationTime", Self::CreatedAt),
        ("modifiedTime", Self::ModifiedAt),
    ];
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookBody<'a> {
    id: WebhookId,
    name: &'a Name,
    url: &'a str,
    events: Vec<&'static str>,
    enabled: bool,
    creation_time: Epoch,
    modified_time: Epoch,
    modified_by: ModifiedBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_time: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure_time: Option<Epoch>,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_failure: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since_time: Option<Epoch>,
    /// Once, when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

pub fn encode(webhook: &Webhook) -> WebhookBody<'_> {
    WebhookBody {
        id: webhook.id,
        name: &webhook.name,
        url: webhook.url.as_str(),
        events: webhook.events.names(),
        enabled: webhook.enabled,
        creation_time: Epoch(webhook.created_at),
        modified_time: Epoch(webhook.modified_at),
        modified_by: ModifiedBy(webhook.modified_by),
        last_success_time: webhook.last_success_at.map(Epoch),
        last_failure_time: webhook.last_failure_at.map(Epoch),
        last_failure: &webhook.last_failure,
        failing_since_time: webhook.failing_since.map(Epoch),
        secret: None,
    }
}

pub fn encode_new(made: &NewWebhook) -> WebhookBody<'_> {
    WebhookBody { secret: Some(&made.secret), ..encode(&made.webhook) }
}

pub fn decode(members: &Members) -> WebhookInput {
    WebhookInput {
        name: members.text("name"),
        url: members.text("url"),
        events: members.texts("events"),
        enabled: members.flag("enabled"),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryBody<'a> {
    id: WebhookDeliveryId,
    event: &'static str,
    state: &'static str,
    attempts: Text<u32>,
    creation_time: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_time: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Epoch>,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_result: &'a str,
}

impl<'a> DeliveryBody<'a> {
    pub fn new(delivery: &'a WebhookDelivery) -> Self {
        let is_waiting = delivery.state == DeliveryState::Waiting;
        let at = |wanted: bool| wanted.then_some(Epoch(delivery.next_at));
        Self {
            id: delivery.id,
            event: delivery.event.as_str(),
            state: delivery.state.as_str(),
            attempts: Text(delivery.attempts),
            creation_time: Epoch(delivery.created_at),
            next_attempt_time: at(is_waiting),
            end_time: at(!is_waiting),
            last_result: &delivery.last_result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_are_those_of_deliveries() {
        assert_eq!(DeliveryState::ALL.map(DeliveryState::as_str), STATES);
    }
}
