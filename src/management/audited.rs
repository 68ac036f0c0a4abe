//! What the audit log says about an object before and after a change: its settings, never a secret.

use serde_json::{Value, json};

use super::Object;
use crate::clock::Timestamp;
use crate::domain::audit::AuditEvent;
use crate::domain::{
    Actor, Administrator, ApiClient, CleanUpSchedule, Component, Customer, Group, ProvisioningKey, RevocationReason,
    SigningCertificate, Webhook,
};
use crate::id::CustomerId;

/// Something whose changes are written down.
pub(super) trait Audited {
    const OBJECT: Object;
    /// Whose it is, its id and its name.
    fn identity(&self) -> (CustomerId, String, &str);
    /// What an administrator can set, and what tells the object from others.
    fn settings(&self) -> Value;
}

pub(super) fn created<T: Audited>(actor: &Actor, now: Timestamp, object: &T) -> AuditEvent {
    AuditEvent { after: Some(object.settings().to_string()), ..event(actor, now, "create", object) }
}

pub(super) fn updated<T: Audited>(actor: &Actor, now: Timestamp, before: &T, after: &T) -> AuditEvent {
    changed("update", actor, now, before, after)
}

/// A change that has an action of its own.
pub(super) fn changed<T: Audited>(action: &str, actor: &Actor, now: Timestamp, before: &T, after: &T) -> AuditEvent {
    AuditEvent {
        before: Some(before.settings().to_string()),
        after: Some(after.settings().to_string()),
        ..event(actor, now, action, after)
    }
}

/// A component whose certificate is good no more, and which is still there.
pub(super) fn revoked(actor: &Actor, now: Timestamp, component: &Component, reason: RevocationReason) -> AuditEvent {
    AuditEvent {
        before: Some(component.settings().to_string()),
        after: Some(json!({ "reason": reason.as_str() }).to_string()),
        ..event(actor, now, "revoke", component)
    }
}

pub(super) fn deleted<T: Audited>(actor: &Actor, now: Timestamp, object: &T) -> AuditEvent {
    AuditEvent { before: Some(object.settings().to_string()), ..event(actor, now, "delete", object) }
}

/// Something that was done with an object and changed none of its settings, as a new secret does not.
pub(super) fn done<T: Audited>(action: &str, actor: &Actor, now: Timestamp, object: &T) -> AuditEvent {
    event(actor, now, action, object)
}

fn event<T: Audited>(actor: &Actor, now: Timestamp, action: &str, object: &T) -> AuditEvent {
    let (customer, id, name) = object.identity();
    AuditEvent::new(actor, customer, now, action, (T::OBJECT.as_str(), id, name))
}

impl Audited for Administrator {
    const OBJECT: Object = Object::Administrator;

    fn identity(&self) -> (CustomerId, String, &str) {
        (self.customer_id, self.id.to_string(), self.username.as_str())
    }

    fn settings(&self) -> Value {
        json!({
            "username": self.username,
            "description": self.description,
            "role": self.role.as_str(),
            "enabled": self.enabled,
        })
    }
}

impl Audited for ApiClient {
    const OBJECT: Object = Object::ApiClient;

    fn identity(&self) -> (CustomerId, String, &str) {
        (self.customer_id, self.id.to_string(), self.name.as_str())
    }

    fn settings(&self) -> Value {
        json!({
            "name": self.name,
            "clientId": self.client_id,
            "role": self.role.as_str(),
            "enabled": self.enabled,
            "managing": self.managing,
        })
    }
}

impl Audited for CleanUpSchedule {
    const OBJECT: Object = Object::CleanUpSchedule;

    /// A schedule has no name; its kind tells it from the others.
    fn identity(&self) -> (CustomerId, String, &str) {
        (self.customer_id, self.id.to_string(), self.kind.as_str())
    }

    fn settings(&self) -> Value {
        json!({
            "kind": self.kind,
            "enabled": self.enabled,
            "deleteDisabled": self.delete_disabled,
            "days": self.days.get(),
        })
    }
}

impl Audited for Component {
    const OBJECT: Object = Object::Component;

    fn identity(&self) -> (CustomerId, String, &str) {
        (self.customer_id, self.id.to_string(), &self.name)
    }

    fn settings(&self) -> Value {
        json!({
            "kind": self.kind,
            "name": self.name,
            "description": self.description,
            "enabled": self.enabled,
            "groupId": self.group_id,
            "provisioningKeyId": self.key_id,
            "fingerprint": self.fingerprint.as_str(),
        })
    }
}

impl Audited for Customer {
    const OBJECT: Object = Object::Customer;

    fn identity(&self) -> (CustomerId, String, &str) {
        (self.id, self.id.to_string(), self.name.as_str())
    }

    fn settings(&self) -> Value {
        json!({ "name": self.name, "enabled": self.enabled })
    }
}

impl Audited for Group {
    const OBJECT: Object = Object::Group;

    fn identity(&self) -> (CustomerId, String, &str) {
        (self.customer_id, self.id.to_string(), self.name.as_str())
    }

    fn settings(&self) -> Value {
        json!({
            "kind": self.kind,
            "name": self.name,
            "description": self.description,
            "enabled": self.enabled,
            "signingCertificateId": self.signing_certificate_id,
            "addresses": self.addresses,
            "attributes": self.attributes,
        })
    }
}

impl Audited for ProvisioningKey {
    const OBJECT: Object = Object::ProvisioningKey;

    fn identity(&self) -> (CustomerId, String, &str) {
        (self.customer_id, self.id.to_string(), self.name.as_str())
    }

    /// `keyId` and `hint` are the public parts of the key string; nothing else of it is here.
    fn settings(&self) -> Value {
        json!({
            "kind": self.kind,
            "name": self.name,
            "description": self.description,
            "groupId": self.group_id,
            "signingCertificateId": self.signing_certificate_id,
            "maximum": self.maximum,
            "enabled": self.enabled,
            "allowReEnrollment": self.allow_re_enrollment,
            "expiresAt": self.expires_at,
            "addresses": self.addresses,
            "exportable": self.is_exportable(),
            "keyId": self.key_id,
            "hint": self.hint,
            "managedBy": self.managed_by.as_ref().map(|managed| &managed.label),
            "successorId": self.successor_id,
            "uiConfig": self.ui_config,
        })
    }
}

impl Audited for SigningCertificate {
    const OBJECT: Object = Object::SigningCertificate;

    fn identity(&self) -> (CustomerId, String, &str) {
        (self.customer_id, self.id.to_string(), self.name.as_str())
    }

    fn settings(&self) -> Value {
        json!({
            "name": self.name,
            "description": self.description,
            "allowSigning": self.allow_signing,
            "lifetimeSeconds": self.lifetime_seconds,
            "parentId": self.parent_id,
            "certificateSha256": self.certificate_sha256(),
            "notBefore": self.not_before,
            "notAfter": self.not_after,
        })
    }
}

impl Audited for Webhook {
    const OBJECT: Object = Object::Webhook;

    fn identity(&self) -> (CustomerId, String, &str) {
        (self.customer_id, self.id.to_string(), self.name.as_str())
    }

    fn settings(&self) -> Value {
        json!({
            "name": self.name,
            "url": self.url.as_str(),
            "events": self.events.names(),
            "enabled": self.enabled,
        })
    }
}
