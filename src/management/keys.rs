//! Provisioning keys: create, list, get, edit, delete; what else can be done with one has a file of
//! its own.

pub mod bulk;
pub mod check;
mod export;
pub mod history;
mod import;
mod rotate;
pub mod with_group;

use std::collections::HashMap;
use std::num::NonZeroU32;

pub use rotate::successor_name;

use zeroize::Zeroizing;

use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::once::Once;
use super::{Error, Management, Object, Request, named_once};
use crate::clock::Timestamp;
use crate::domain::administrator::ActorIdentity;
use crate::domain::audit::AuditEvent;
use crate::domain::key::{KeyUsage, MAXIMUM_USES_MAX, ManagedBy, UI_CONFIG_BYTES_MAX};
use crate::domain::key_string::KeyString;
use crate::domain::{
    Actor, AddressList, Description, Group, KeySecret, KeyState, KeyVersion, Kind, Name, ProvisioningKey, Revision,
    Role, SigningCertificate, places,
};
use crate::id::{CustomerId, GroupId, Id as _, ProvisioningKeyId, SigningCertificateId};
use crate::secret::pepper::{KeyDigest, PepperNumber};
use crate::store::{Change, Comparison, KeyField, ListQuery, Page};

/// Most keys of a group that are listed as a whole.
const GROUP_KEYS_MAX: u32 = 10_000;

/// Keys that are made ready before other requests of the thread have their turn.
const VIEWED_AT_A_TIME: usize = 500;

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
    /// What a client keeps with the key for its own use; empty is none.
    pub ui_config: Input<String>,
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
        let Some(new) = self.check_new_key(customer, kind, input, now, &mut checker).await? else {
            return Err(checker.into_error());
        };
        checker.finish()?;

        let made = self.make_key(actor, new, now).await?;
        let event = audited::created(actor, now, &made.key);
        self.commit_new_key(once, &made, event).await?;
        Ok(made)
    }

    /// What [`create_key`](Self::create_key) would refuse now; nothing is stored. A name that is taken is a fault of
    /// its field, beside all others.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; rights and outages.
    pub async fn check_key_input(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        input: KeyInput,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        let mut checker = Checker::default();
        self.check_key_name(customer, kind, &input.name, &mut checker).await?;
        self.check_new_key(customer, kind, input, self.now(), &mut checker).await?;
        checker.finish()
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
        Ok(Page { rows: self.view_keys(actor, page.rows).await?, total: page.total })
    }

    /// All keys of a group in order of id. This list knows no pages, so a part of it would pass for all.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a group of more than 10,000 keys, which [`list_keys`](Self::list_keys) has in
    /// pages; [`Error::NotFound`], also for a group of another kind; rights and outages.
    pub async fn list_keys_of_group(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        group: GroupId,
    ) -> Result<Vec<KeyView>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        if self.store().find_group(customer, group).await?.is_none_or(|group| group.kind != kind) {
            return Err(Error::not_found(Object::Group, group));
        }
        let start = ProvisioningKeyId::from_raw(0);
        let keys = self.store().list_keys_of_group(customer, group, start, GROUP_KEYS_MAX + 1).await?;
        if keys.len() > GROUP_KEYS_MAX as usize {
            let mut checker = Checker::default();
            let problem = format_args!("has more than {GROUP_KEYS_MAX} keys; list the keys page by page");
            checker.fault(Field::Group, problem);
            return Err(checker.into_error());
        }
        self.view_keys(actor, keys).await
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
    /// without, the last writer wins, field by field. Answers the revision that the key has then, as every
    /// edit does: nothing is read after the commit, so an edit that happened is never answered as an outage.
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
    ) -> Result<Revision, Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        until_not_overtaken(Object::ProvisioningKey, id, move || async move {
            let before = self.key_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::ProvisioningKey, expected, before.revision)?;
            refuse_managed(actor, &before)?;
            let now = self.now();
            let Some(mut after) = self.edited_key(&before, input.clone(), now).await? else {
                return Ok(Attempt::Done(before.revision));
            };
            after.modified_at = now;
            after.modified_by = actor.row_id();
            let action = if raises_maximum(&before, &after) { "raise-maximum" } else { "update" };
            let event = audited::changed(action, actor, now, &before, &after);
            let about = (Object::ProvisioningKey, id, after.name.as_str());
            let edited = self.commit_edit(Change::UpdateKey(after.clone()), event, about).await?;
            Ok(edited.map(|()| before.revision.next()))
        })
        .await
    }

    /// Deletes a key. Its components stay; with `revoke` those that are live are revoked in the same
    /// transaction, which the audit log counts.
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
        revoke: bool,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        until_not_overtaken(Object::ProvisioningKey, id, move || async move {
            let key = self.key_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::ProvisioningKey, expected, key.revision)?;
            refuse_managed(actor, &key)?;
            let now = self.now();
            let event = audited::deleted(actor, now, &key);
            // What goes is what was looked at, whoever manages it meanwhile.
            let revision = Some(key.revision);
            let revoke = revoke.then_some((now, actor.row_id()));
            let delete = Change::DeleteKey { customer, id, revision, revoke };
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
            if enabled && !before.enabled && before.pepper == PepperNumber::GONE {
                checker.fault(
                    Field::Enabled,
                    "cannot be: the key string went with its pepper; rotate the key, or delete it",
                );
            }
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
        match checker.check(Field::UiConfig, input.ui_config, checked_ui_config) {
            Input::Given(ui_config) => after.ui_config = ui_config,
            Input::Cleared => after.ui_config = None,
            Input::Absent | Input::Malformed(_) => {}
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

    /// Notes every fault of what a caller says about a new key. `None` where something required is
    /// missing or wrong, which is noted too.
    async fn check_new_key(
        &self,
        customer: CustomerId,
        kind: Kind,
        input: KeyInput,
        now: Timestamp,
        checker: &mut Checker,
    ) -> Result<Option<NewKey>, Error> {
        let (group, signer) = (input.group.clone(), input.signing_certificate.clone());
        let settings = checked_settings(kind, input, now, checker);
        let group = match checker.required(Field::Group, group, Ok::<_, std::convert::Infallible>) {
            Some(id) => {
                let group = self.store().find_group(customer, id).await?.filter(|group| group.kind == kind);
                if group.is_none() {
                    checker.fault(Field::Group, format_args!("is no {kind} group of this customer"));
                }
                group
            }
            None => None,
        };
        let signer = match checker.take(Field::SigningCertificate, signer).given() {
            Some(id) => Some(id),
            None => group.as_ref().map(|group| group.signing_certificate_id),
        };
        let signer = match signer {
            Some(id) => self.usable_signer(customer, id, now, checker).await?,
            None => None,
        };
        let (Some(settings), Some(group), Some(signer)) = (settings, group, signer) else { return Ok(None) };
        Ok(Some(NewKey { settings, group, signer }))
    }

    /// Notes a name that another key of the kind has; as [`check_group_name`](Self::check_group_name).
    async fn check_key_name(
        &self,
        customer: CustomerId,
        kind: Kind,
        name: &Input<String>,
        checker: &mut Checker,
    ) -> Result<(), Error> {
        if let Input::Given(name) = name {
            let query = ListQuery::first_where(1, KeyField::Name, Comparison::Equals, name.as_str());
            if self.store().list_keys(customer, kind, &query).await?.total > 0 {
                checker.fault(Field::Name, "is the name of another provisioning key");
            }
        }
        Ok(())
    }

    /// The key with a new string, not stored yet.
    async fn make_key(&self, actor: &Actor, new: NewKey, now: Timestamp) -> Result<KeyView, Error> {
        let id = self.parts.ids.next().await?;
        let version = new.settings.version.unwrap_or(KeyVersion::Bootstrap);
        let exportable = new.settings.exportable.unwrap_or(true);
        let (secret, traces) = self.generate_string(new.group.customer_id, id, version, exportable);
        Ok(KeyView { string: Some(secret), ..new.into_view(actor, now, id, traces) })
    }

    /// A new key string, and what its row keeps of it.
    fn generate_string(
        &self,
        customer: CustomerId,
        id: ProvisioningKeyId,
        version: KeyVersion,
        exportable: bool,
    ) -> (KeySecret, Traces) {
        let secret = KeySecret::generate(version, &self.parts.cloud.load(), **self.parts.trust_pin.load());
        let string = KeyString::parse(secret.expose()).expect("a key string made here has its three parts");
        let mut traces = self.traces_of(string, version);
        if exportable {
            let place = places::key_string(customer, id);
            traces.sealed_string = Some(self.parts.master_keys.seal(place.as_place(), secret.expose().as_bytes()));
        }
        (secret, traces)
    }

    /// What a row keeps of a key string that is not to be shown again.
    fn traces_of(&self, string: KeyString<'_>, version: KeyVersion) -> Traces {
        let (pepper, digest) = self.parts.peppers.digest(string.as_str().as_bytes());
        let key_id = match version {
            KeyVersion::Imported => foreign_key_id(&digest),
            KeyVersion::Bare | KeyVersion::Bootstrap => string.key_id().to_owned(),
        };
        Traces { version, hint: string.hint(), key_id, digest, pepper, sealed_string: None }
    }

    async fn commit_new_key(
        &self,
        once: Option<Once<'_, KeyView>>,
        made: &KeyView,
        event: AuditEvent,
    ) -> Result<(), Error> {
        let key = &made.key;
        self.commit_made(once, vec![Change::InsertKey(key.clone())], vec![event], made)
            .await
            .map_err(|error| error.about(Object::ProvisioningKey, key.id, key.name.as_str()))
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

    /// Costs one read for each distinct group and signing certificate. A sealed string that does not open
    /// is left out and logged.
    async fn view_keys(&self, actor: &Actor, keys: Vec<ProvisioningKey>) -> Result<Vec<KeyView>, Error> {
        let now = self.now();
        let (mut groups, mut signers) = (HashMap::new(), HashMap::new());
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let group_name = named_once(&mut groups, key.group_id, self.group_name(&key)).await?;
            let signer = key.signing_certificate_id;
            let signing_certificate_name = named_once(&mut signers, signer, self.signer_name(&key)).await?;
            let string = self.reveal(actor, &key).unwrap_or_else(|error| {
                tracing::error!(key.id = %key.id, error = %error, "a key string cannot be shown");
                None
            });
            rows.push(KeyView { state: key.state(now), key, group_name, signing_certificate_name, string });
            // Opening a string is microseconds of work, and a group may have thousands.
            if rows.len() % VIEWED_AT_A_TIME == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(rows)
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

/// A key that is to be made, checked.
struct NewKey {
    settings: KeySettings,
    group: Group,
    signer: SigningCertificate,
}

/// What a caller says about a new key beside its group and its signing certificate, checked.
struct KeySettings {
    name: Name,
    description: Description,
    maximum: Option<NonZeroU32>,
    enabled: bool,
    allow_re_enrollment: bool,
    expires_at: Option<Timestamp>,
    addresses: AddressList,
    version: Option<KeyVersion>,
    exportable: Option<bool>,
    ui_config: Option<String>,
}

/// What a row keeps of its key string.
struct Traces {
    version: KeyVersion,
    hint: String,
    key_id: String,
    digest: KeyDigest,
    pepper: PepperNumber,
    sealed_string: Option<Vec<u8>>,
}

impl NewKey {
    /// The row that `actor` makes of it, as yet without its string.
    fn into_view(self, actor: &Actor, now: Timestamp, id: ProvisioningKeyId, traces: Traces) -> KeyView {
        let settings = self.settings;
        let key = ProvisioningKey {
            id,
            customer_id: self.group.customer_id,
            kind: self.group.kind,
            group_id: self.group.id,
            signing_certificate_id: self.signer.id,
            name: settings.name,
            description: settings.description,
            maximum: settings.maximum,
            enabled: settings.enabled,
            allow_re_enrollment: settings.allow_re_enrollment,
            expires_at: settings.expires_at,
            addresses: settings.addresses,
            version: traces.version,
            hint: traces.hint,
            key_id: traces.key_id,
            digest: traces.digest,
            pepper: traces.pepper,
            sealed_string: traces.sealed_string,
            managed_by: manager(actor),
            successor_id: None,
            ui_config: settings.ui_config,
            usage: KeyUsage::default(),
            created_at: now,
            created_by: actor.row_id(),
            modified_at: now,
            modified_by: actor.row_id(),
            revision: Revision::FIRST,
        };
        KeyView {
            state: key.state(now),
            key,
            group_name: Some(self.group.name),
            signing_certificate_name: Some(self.signer.name),
            string: None,
        }
    }
}

/// Notes every fault but those of group and signing certificate. `None` without a name, which is noted too.
fn checked_settings(kind: Kind, input: KeyInput, now: Timestamp, checker: &mut Checker) -> Option<KeySettings> {
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
    let exportable = checker.take(Field::Exportable, input.exportable);
    let ui_config = checker.check(Field::UiConfig, input.ui_config, checked_ui_config);
    Some(KeySettings {
        name: name?,
        description: description.given().unwrap_or_default(),
        maximum,
        enabled: enabled.given().unwrap_or(true),
        allow_re_enrollment: allow_re_enrollment.given().unwrap_or(false),
        expires_at: expires_at.given(),
        addresses: addresses.given().unwrap_or_default(),
        version: version.given(),
        exportable: exportable.given(),
        ui_config: ui_config.given().flatten(),
    })
}

/// What an imported key is known by in public. The first characters of its string would be half of a secret
/// that may have 32; the digest takes the pepper to make, and only the index has it.
fn foreign_key_id(digest: &KeyDigest) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, digest.as_bytes());
    let first = hash.as_ref().first_chunk().expect("SHA-256 gives 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
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

/// An empty text is none.
fn checked_ui_config(text: String) -> Result<Option<String>, String> {
    match text.len() {
        0 => Ok(None),
        1..=UI_CONFIG_BYTES_MAX => Ok(Some(text)),
        found => Err(format!("has {found} bytes; at most {UI_CONFIG_BYTES_MAX} are accepted")),
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

fn raises_maximum(before: &ProvisioningKey, after: &ProvisioningKey) -> bool {
    match (before.maximum, after.maximum) {
        (Some(before), Some(after)) => after > before,
        (Some(_), None) => true,
        (None, _) => false,
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
        && one.ui_config == other.ui_config
}
