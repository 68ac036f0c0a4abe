//! Provisioning keys: create, list, get, edit, delete.

use std::collections::HashMap;
use std::num::NonZeroU32;

use zeroize::Zeroizing;

use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{Error, Management, Object, Request, named_once};
use crate::clock::Timestamp;
use crate::domain::administrator::ActorIdentity;
use crate::domain::key::{KeyUsage, MAXIMUM_USES_MAX, ManagedBy};
use crate::domain::key_string::KeyString;
use crate::domain::{
    Actor, AddressList, Description, KeySecret, KeyState, KeyVersion, Kind, Name, ProvisioningKey, Revision, Role,
    places,
};
use crate::id::{CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::store::{Change, KeyField, ListQuery, Page};

/// What a caller says about a key, when making one and when editing one.
#[derive(Clone, Debug, Default)]
pub struct KeyInput {
    pub name: Input<String>,
    pub description: Input<String>,
    /// Required when making; does not change.
    pub group: Input<GroupId>,
    /// The group's default when absent.
    pub signing_certificate: Input<SigningCertificateId>,
    /// Required for the kinds that [`Kind::requires_maximum`]; elsewhere cleared means no limit.
    pub maximum: Input<u64>,
    /// True when absent.
    pub enabled: Input<bool>,
    /// False when absent.
    pub allow_re_enrollment: Input<bool>,
    pub expires_at: Input<Timestamp>,
    pub addresses: Input<Vec<String>>,
    /// Does not change. [`KeyVersion::Bootstrap`] when absent.
    pub version: Input<KeyVersion>,
    /// View or export after creation; true when absent, only goes off.
    pub exportable: Input<bool>,
}

/// A key as a caller may see it.
pub struct KeyView {
    pub key: ProvisioningKey,
    /// `None`: the group went away while the key was read.
    pub group_name: Option<Name>,
    pub signing_certificate_name: Option<Name>,
    /// As of when it was read.
    pub state: KeyState,
    /// While it may be viewed and the caller's role is one that sees it; once, at creation, in
    /// any case.
    pub string: Option<KeySecret>,
}

impl Management {
    /// Makes a key. It enrolls from the moment this returns.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`]; rights and outages.
    pub async fn create_key(
        &self,
        request: impl Into<Request<'_, KeyView>>,
        customer: CustomerId,
        kind: Kind,
        input: KeyInput,
    ) -> Result<KeyView, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Operator).await?;
        let now = self.now();
        let mut checker = Checker::default();

        let name = checker.required(Field::Name, input.name, |text| Name::new(&text));
        let description = checker.check(Field::Description, input.description, |text| Description::new(&text));
        let maximum = if kind.requires_maximum() {
            checker.required(Field::Maximum, input.maximum, checked_maximum)
        } else {
            checker.check(Field::Maximum, input.maximum, checked_maximum).given()
        };
        let enabled = checker.take(Field::Enabled, input.enabled);
        let allow_re_enrollment = checker.take(Field::AllowReEnrollment, input.allow_re_enrollment);
        let expires_at = checker.check(Field::ExpiresAt, input.expires_at, |at| checked_expiry(at, now));
        let addresses = checker.check(Field::Addresses, input.addresses, |list| AddressList::parse(&list));
        let version = checker.check(Field::Version, input.version, checked_version);
        let exportable = checker.take(Field::Exportable, input.exportable).given().unwrap_or(true);
        let version = version.given().unwrap_or(KeyVersion::Bootstrap);

        let group = match checker.required(Field::Group, input.group, Ok::<_, std::convert::Infallible>) {
            Some(id) => {
                let group = self.store().find_group(customer, id).await?.filter(|group| group.kind == kind);
                if group.is_none() {
                    checker.fault(Field::Group, format_args!("is no {kind} group of this customer"));
                }
                group
            }
            None => None,
        };
        let signer = match checker.take(Field::SigningCertificate, input.signing_certificate).given() {
            Some(id) => Some(id),
            None => group.as_ref().map(|group| group.signing_certificate_id),
        };
        let signer = match signer {
            Some(id) => self.usable_signer(customer, id, now, &mut checker).await?,
            None => None,
        };
        let (Some(name), Some(group), Some(signer)) = (name, group, signer) else {
            return Err(checker.into_error());
        };
        checker.finish()?;

        let id: ProvisioningKeyId = self.parts.ids.next().await?;
        let secret = KeySecret::generate(version, &self.parts.cloud.load(), **self.parts.trust_pin.load());
        let (pepper, digest) = self.parts.peppers.digest(secret.expose().as_bytes());
        let place = places::key_string(customer, id);
        let sealed = exportable.then(|| self.parts.master_keys.seal(place.as_place(), secret.expose().as_bytes()));
        let hint = KeyString::parse(secret.expose()).map(|parts| parts.hint()).unwrap_or_default();
        let key = ProvisioningKey {
            id,
            customer_id: customer,
            kind,
            group_id: group.id,
            signing_certificate_id: signer.id,
            name,
            description: description.given().unwrap_or_default(),
            maximum,
            enabled: enabled.given().unwrap_or(true),
            allow_re_enrollment: allow_re_enrollment.given().unwrap_or(false),
            expires_at: expires_at.given(),
            addresses: addresses.given().unwrap_or_default(),
            version,
            hint,
            key_id: secret.key_id().to_owned(),
            digest,
            pepper,
            sealed_string: sealed,
            managed_by: manager(actor),
            successor_id: None,
            usage: KeyUsage::default(),
            created_at: now,
            created_by: actor.row_id(),
            modified_at: now,
            modified_by: actor.row_id(),
            revision: Revision::FIRST,
        };
        let audit = vec![audited::created(actor, now, &key)];
        let changes = vec![Change::InsertKey(key.clone())];
        let made = KeyView {
            state: key.state(now),
            key,
            group_name: Some(group.name),
            signing_certificate_name: Some(signer.name),
            string: Some(secret),
        };
        self.commit_made(once, changes, audit, &made)
            .await
            .map_err(|error| error.about(Object::ProvisioningKey, id, made.key.name.as_str()))?;
        Ok(made)
    }

    /// One page of a kind's keys. Costs one read for the page and one for each distinct group and
    /// signing certificate on it.
    ///
    /// # Errors
    /// Rights and outages. A sealed string that does not open is left out and logged.
    pub async fn list_keys(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<KeyField>,
    ) -> Result<Page<KeyView>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let page = self.store().list_keys(customer, kind, query).await?;
        let now = self.now();
        let (mut groups, mut signers) = (HashMap::new(), HashMap::new());
        let mut rows = Vec::with_capacity(page.rows.len());
        for key in page.rows {
            let group_name = named_once(&mut groups, key.group_id, self.group_name(&key)).await?;
            let signer = key.signing_certificate_id;
            let signing_certificate_name = named_once(&mut signers, signer, self.signer_name(&key)).await?;
            let string = self.reveal(actor, &key).unwrap_or_else(|error| {
                tracing::error!(key.id = %key.id, error = %error, "a key string cannot be shown");
                None
            });
            rows.push(KeyView { state: key.state(now), key, group_name, signing_certificate_name, string });
        }
        Ok(Page { rows, total: page.total })
    }

    /// # Errors
    /// [`Error::NotFound`], also for a key of another kind; rights and outages.
    pub async fn find_key(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
    ) -> Result<KeyView, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let key = self.key_of_kind(customer, kind, id).await?;
        self.view_key(actor, key).await
    }

    /// Changes what is given and leaves the rest. With `expected`, only that revision is changed;
    /// without, the last writer wins, field by field.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::Outdated`]; [`Error::ReadOnly`] for another's managed
    /// key; [`Error::DuplicateName`]; [`Error::NotFound`]; rights and outages.
    pub async fn edit_key(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
        expected: Option<Revision>,
        input: &KeyInput,
    ) -> Result<KeyView, Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        until_not_overtaken(Object::ProvisioningKey, id, move || async move {
            let before = self.key_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::ProvisioningKey, expected, before.revision)?;
            refuse_managed(actor, &before)?;
            let now = self.now();
            let Some(mut after) = self.edited_key(&before, input.clone(), now).await? else {
                return Ok(Attempt::Done(self.view_key(actor, before).await?));
            };
            after.modified_at = now;
            after.modified_by = actor.row_id();
            let event = audited::updated(actor, now, &before, &after);
            let about = (Object::ProvisioningKey, id, after.name.as_str());
            if let Attempt::Overtaken = self.commit_edit(Change::UpdateKey(after.clone()), event, about).await? {
                return Ok(Attempt::Overtaken);
            }
            after.revision = before.revision.next();
            Ok(Attempt::Done(self.view_key(actor, after).await?))
        })
        .await
    }

    /// Deletes a key. Its components stay.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ReadOnly`]; [`Error::Outdated`]; rights and outages.
    pub async fn delete_key(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
        expected: Option<Revision>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        until_not_overtaken(Object::ProvisioningKey, id, move || async move {
            let key = self.key_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::ProvisioningKey, expected, key.revision)?;
            refuse_managed(actor, &key)?;
            let event = audited::deleted(actor, self.now(), &key);
            // What goes is what was looked at, whoever manages it meanwhile.
            let delete = Change::DeleteKey { customer, id, revision: Some(key.revision) };
            self.commit_edit(delete, event, (Object::ProvisioningKey, id, key.name.as_str())).await
        })
        .await
    }

    /// The key as `input` would have it; `None` when that is how it is already.
    async fn edited_key(
        &self,
        before: &ProvisioningKey,
        input: KeyInput,
        now: Timestamp,
    ) -> Result<Option<ProvisioningKey>, Error> {
        let mut after = before.clone();
        let mut checker = Checker::default();
        if let Some(name) = checker.check(Field::Name, input.name, |text| Name::new(&text)).given() {
            after.name = name;
        }
        match checker.check(Field::Description, input.description, |text| Description::new(&text)) {
            Input::Given(description) => after.description = description,
            Input::Cleared => after.description = Description::default(),
            Input::Absent | Input::Malformed(_) => {}
        }
        match checker.check(Field::Maximum, input.maximum, checked_maximum) {
            Input::Given(maximum) => after.maximum = Some(maximum),
            Input::Cleared if before.kind.requires_maximum() => checker.missing(Field::Maximum),
            Input::Cleared => after.maximum = None,
            Input::Absent | Input::Malformed(_) => {}
        }
        if let Some(enabled) = checker.take(Field::Enabled, input.enabled).given() {
            after.enabled = enabled;
        }
        if let Some(allowed) = checker.take(Field::AllowReEnrollment, input.allow_re_enrollment).given() {
            after.allow_re_enrollment = allowed;
        }
        let expiry = checker.check(Field::ExpiresAt, input.expires_at, |at| {
            if before.expires_at == Some(at) { Ok(at) } else { checked_expiry(at, now) }
        });
        match expiry {
            Input::Given(at) => after.expires_at = Some(at),
            Input::Cleared => after.expires_at = None,
            Input::Absent | Input::Malformed(_) => {}
        }
        match checker.check(Field::Addresses, input.addresses, |list| AddressList::parse(&list)) {
            Input::Given(addresses) => after.addresses = addresses,
            Input::Cleared => after.addresses = AddressList::default(),
            Input::Absent | Input::Malformed(_) => {}
        }
        match checker.take(Field::Exportable, input.exportable) {
            Input::Given(false) => after.sealed_string = None,
            Input::Given(true) if !before.is_exportable() => {
                checker.fault(Field::Exportable, "cannot be switched on again: the key string is no longer kept");
            }
            Input::Given(true) | Input::Absent | Input::Cleared | Input::Malformed(_) => {}
        }
        checker.fixed(Field::Group, input.group, Some(&before.group_id));
        checker.fixed(Field::Version, input.version, Some(&before.version));
        if let Some(signer) = checker.take(Field::SigningCertificate, input.signing_certificate).given()
            && signer != before.signing_certificate_id
            && self.usable_signer(before.customer_id, signer, now, &mut checker).await?.is_some()
        {
            after.signing_certificate_id = signer;
        }
        checker.finish()?;
        Ok((!has_same_settings(before, &after)).then_some(after))
    }

    async fn key_of_kind(
        &self,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
    ) -> Result<ProvisioningKey, Error> {
        let key = self.store().find_key(customer, id).await?.filter(|key| key.kind == kind);
        key.ok_or_else(|| Error::not_found(Object::ProvisioningKey, id))
    }

    async fn view_key(&self, actor: &Actor, key: ProvisioningKey) -> Result<KeyView, Error> {
        Ok(KeyView {
            group_name: self.group_name(&key).await?,
            signing_certificate_name: self.signer_name(&key).await?,
            state: key.state(self.now()),
            string: self.reveal(actor, &key)?,
            key,
        })
    }

    async fn group_name(&self, key: &ProvisioningKey) -> Result<Option<Name>, Error> {
        Ok(self.store().find_group(key.customer_id, key.group_id).await?.map(|group| group.name))
    }

    async fn signer_name(&self, key: &ProvisioningKey) -> Result<Option<Name>, Error> {
        let signer = self.store().find_signing_certificate(key.customer_id, key.signing_certificate_id).await?;
        Ok(signer.map(|signer| signer.name))
    }

    fn reveal(&self, actor: &Actor, key: &ProvisioningKey) -> Result<Option<KeySecret>, Error> {
        let Some(sealed) = key.sealed_string.as_deref().filter(|_| actor.role.sees_key_strings()) else {
            return Ok(None);
        };
        let place = places::key_string(key.customer_id, key.id);
        let plain = self.parts.master_keys.open(place.as_place(), sealed).map_err(|error| Error::Internal {
            detail: format!("the key string of key {} does not open: {error}", key.id),
        })?;
        let text = std::str::from_utf8(&plain)
            .map_err(|_| Error::Internal { detail: format!("the key string of key {} is no UTF-8", key.id) })?;
        Ok(Some(KeySecret::from_text(Zeroizing::new(text.to_owned()))))
    }
}

fn checked_maximum(uses: u64) -> Result<NonZeroU32, String> {
    u32::try_from(uses)
        .ok()
        .filter(|uses| *uses <= MAXIMUM_USES_MAX)
        .and_then(NonZeroU32::new)
        .ok_or_else(|| format!("is {uses}; 1 to {MAXIMUM_USES_MAX} is accepted"))
}

fn checked_expiry(at: Timestamp, now: Timestamp) -> Result<Timestamp, String> {
    if at > now { Ok(at) } else { Err(format!("is {at}, which is not in the future")) }
}

fn checked_version(version: KeyVersion) -> Result<KeyVersion, &'static str> {
    match version {
        KeyVersion::Bare | KeyVersion::Bootstrap => Ok(version),
        KeyVersion::Imported => Err("must be 1 or 3"),
    }
}

fn manager(actor: &Actor) -> Option<ManagedBy> {
    match &actor.identity {
        ActorIdentity::ApiClient { id, managing: Some(label), .. } => {
            Some(ManagedBy { client_id: *id, label: label.clone() })
        }
        ActorIdentity::ApiClient { .. } | ActorIdentity::Administrator { .. } | ActorIdentity::System => None,
    }
}

/// # Errors
/// [`Error::ReadOnly`] when another API client manages the key.
fn refuse_managed(actor: &Actor, key: &ProvisioningKey) -> Result<(), Error> {
    let Some(managed) = &key.managed_by else { return Ok(()) };
    match &actor.identity {
        ActorIdentity::ApiClient { id, .. } if *id == managed.client_id => Ok(()),
        _ => Err(Error::ReadOnly { label: managed.label.clone() }),
    }
}

fn has_same_settings(one: &ProvisioningKey, other: &ProvisioningKey) -> bool {
    one.name == other.name
        && one.description == other.description
        && one.maximum == other.maximum
        && one.enabled == other.enabled
        && one.allow_re_enrollment == other.allow_re_enrollment
        && one.expires_at == other.expires_at
        && one.addresses == other.addresses
        && one.signing_certificate_id == other.signing_certificate_id
        && one.is_exportable() == other.is_exportable()
}
