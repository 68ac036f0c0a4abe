//! Check a key: what a string is, and what a device that presents it would be told now.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::domain::audit::AuditEvent;
use crate::domain::key_string::{Inspection, KeyString, inspect};
use crate::domain::redemption::check_standing;
use crate::domain::{Actor, KeySecret, Kind, Name, ProvisioningKey, Refusal, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::fields::{Checker, Field, Input};
use crate::management::{Error, Management, Object, audited};

/// What a text turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyCheck {
    /// Not known, and what a device takes for damaged ([`inspect`]): it would make no connection.
    Damaged,
    Known(KnownKey),
    /// Whole as far as can be told, and no key of this customer.
    Unknown,
}

/// The key that a text is the string of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    pub id: ProvisioningKeyId,
    pub kind: Kind,
    pub name: Name,
    /// The public key id.
    pub key_id: String,
    /// What a device that was never seen would be refused with now; `None`: it would be enrolled, if it
    /// called from an allowed address.
    pub refusal: Option<Refusal>,
    /// Whether the key or its group has an address list. Where the device is nobody knows here.
    pub addresses_restricted: bool,
}

impl Management {
    /// Says what a text is, of whatever kind of this customer's keys; another customer's key is unknown.
    /// Takes no use. Written down without the text, which is wiped when this returns.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no text; rights (an auditor never has a key string) and outages.
    pub async fn check_key(
        &self,
        actor: &Actor,
        customer: CustomerId,
        string: Input<KeySecret>,
    ) -> Result<KeyCheck, Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        let mut checker = Checker::default();
        let string = checker.required(Field::KeyString, string, Ok::<_, std::convert::Infallible>);
        let Some(string) = string else {
            return Err(checker.into_error());
        };
        let now = self.now();
        let key = self.own_key_of_string(customer, string.expose()).await?;
        let check = match &key {
            Some(key) => KeyCheck::Known(self.check_known(key, now).await?),
            None if inspect(string.expose()) == Inspection::Damaged => KeyCheck::Damaged,
            None => KeyCheck::Unknown,
        };
        let event = event(actor, customer, now, key.as_ref(), &check);
        self.commit(Vec::new(), vec![event]).await.map_err(|error| error.about(Object::ProvisioningKey, "", ""))?;
        Ok(check)
    }

    async fn own_key_of_string(&self, customer: CustomerId, text: &str) -> Result<Option<ProvisioningKey>, Error> {
        let Some(string) = KeyString::parse(text) else { return Ok(None) };
        // It may be under a pepper that this node has not heard of yet.
        self.catch_up().await?;
        match self.find_key_by_string(string).await? {
            Some((owner, id)) if owner == customer => Ok(self.store().find_key(customer, id).await?),
            _ => Ok(None),
        }
    }

    /// The checks of the enrollment path that do not need the device, in their order.
    async fn check_known(&self, key: &ProvisioningKey, now: Timestamp) -> Result<KnownKey, Error> {
        let store = self.store();
        let customer = store.find_customer(key.customer_id).await?.filter(|customer| customer.enabled);
        let group = store.find_group(key.customer_id, key.group_id).await?;
        let signer = store.find_signing_certificate(key.customer_id, key.signing_certificate_id).await?;
        let group_restricts = group.as_ref().is_some_and(|group| !group.addresses.is_empty());
        let signs = match signer {
            Some(signer) => self.can_sign(signer, now).await?,
            None => false,
        };
        let standing = check_standing(
            (customer, group.filter(|group| group.enabled), signs.then_some(())),
            key.enabled,
            key.expires_at,
            now,
        );
        let refusal = standing.err().or_else(|| key.is_exhausted().then_some(Refusal::KeyExhausted));
        Ok(KnownKey {
            id: key.id,
            kind: key.kind,
            name: key.name.clone(),
            key_id: key.key_id.clone(),
            refusal,
            addresses_restricted: group_restricts || !key.addresses.is_empty(),
        })
    }
}

impl KeyCheck {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Known(_) => "known",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a device that was never seen would be enrolled now, from an allowed address.
    pub const fn would_enroll(&self) -> bool {
        matches!(self, Self::Known(KnownKey { refusal: None, .. }))
    }
}

fn event(
    actor: &Actor,
    customer: CustomerId,
    now: Timestamp,
    key: Option<&ProvisioningKey>,
    check: &KeyCheck,
) -> AuditEvent {
    let event = match key {
        Some(key) => audited::done("check", actor, now, key),
        None => AuditEvent::new(actor, customer, now, "check", (Object::ProvisioningKey.as_str(), String::new(), "")),
    };
    let code = match check {
        KeyCheck::Known(known) => known.refusal.map(Refusal::code).map(Value::from),
        KeyCheck::Damaged | KeyCheck::Unknown => None,
    };
    let outcome = json!({ "result": check.as_str(), "wouldEnroll": check.would_enroll(), "code": code });
    AuditEvent { after: Some(outcome.to_string()), ..event }
}
