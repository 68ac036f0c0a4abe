//! A key and the group that it is the first of, in one transaction: both are there afterwards, or neither.

use super::{KeyInput, KeySettings, KeyView, NewKey, checked_settings};
use crate::clock::Timestamp;
use crate::domain::{Actor, Kind, Role, SigningCertificate};
use crate::id::CustomerId;
use crate::management::fields::{Checker, Field, Input};
use crate::management::groups::{GroupInput, GroupView, NewGroup};
use crate::management::{CommitError, Error, Management, Object, Request, audited};
use crate::store::Change;

/// What was made.
pub struct KeyWithGroup {
    /// As it was before the key was in it: empty.
    pub group: GroupView,
    /// With its string, which may be shown this once only.
    pub key: KeyView,
}

impl Management {
    /// Makes a group and a key in it. The key's signing certificate is the group's when absent.
    ///
    /// # Errors
    /// [`Error::InvalidWithGroup`] with all faults of both, names that are taken among them;
    /// [`Error::DuplicateName`] of the one whose name was taken meanwhile; rights and outages.
    pub async fn create_key_in_new_group(
        &self,
        request: impl Into<Request<'_, KeyWithGroup>>,
        customer: CustomerId,
        kind: Kind,
        group: GroupInput,
        key: KeyInput,
    ) -> Result<KeyWithGroup, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let now = self.now();
        let (new_group, settings, signer) = self.check_with_group(customer, kind, group, key, now).await?;
        let group = new_group.into_view(actor, now, self.parts.ids.next().await?);
        let new_key = NewKey { settings, group: group.group.clone(), signer };
        let key = self.make_key(actor, new_key, now).await?;
        let made = KeyWithGroup { group, key };
        let (group, key) = (&made.group.group, &made.key.key);
        // In this order, as the place of a broken rule tells whose it is.
        let changes = vec![Change::InsertGroup(group.clone()), Change::InsertKey(key.clone())];
        let audit = vec![audited::created(actor, now, group), audited::created(actor, now, key)];
        match self.commit_made(once, changes, audit, &made).await {
            Ok(()) => Ok(made),
            Err(error @ CommitError::Rule { position: 0, .. }) => {
                Err(error.about(Object::Group, group.id, group.name.as_str()))
            }
            Err(error) => Err(error.about(Object::ProvisioningKey, key.id, key.name.as_str())),
        }
    }

    /// What [`create_key_in_new_group`](Self::create_key_in_new_group) would refuse now; nothing is stored.
    ///
    /// # Errors
    /// [`Error::InvalidWithGroup`] with all faults of both; rights and outages.
    pub async fn check_key_in_new_group(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        group: GroupInput,
        key: KeyInput,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        self.check_with_group(customer, kind, group, key, self.now()).await.map(drop)
    }

    async fn check_with_group(
        &self,
        customer: CustomerId,
        kind: Kind,
        group: GroupInput,
        key: KeyInput,
        now: Timestamp,
    ) -> Result<(NewGroup, KeySettings, SigningCertificate), Error> {
        let (mut of_group, mut of_key) = (Checker::default(), Checker::default());
        self.check_group_name(customer, kind, &group.name, &mut of_group).await?;
        let group = self.check_new_group(customer, kind, group, now, &mut of_group).await?;
        self.check_key_name(customer, kind, &key.name, &mut of_key).await?;
        if !matches!(key.group, Input::Absent | Input::Cleared) {
            of_key.fault(Field::Group, "is made with the key, and cannot be one that is there");
        }
        let signer = match of_key.take(Field::SigningCertificate, key.signing_certificate.clone()).given() {
            Some(id) => self.usable_signer(customer, id, now, &mut of_key).await?,
            None => group.as_ref().map(|group| group.signer.clone()),
        };
        match (group, checked_settings(kind, key, now, &mut of_key), signer, of_group.errors(), of_key.errors()) {
            (Some(group), Some(settings), Some(signer), None, None) => Ok((group, settings, signer)),
            (.., group, key) => Err(Error::InvalidWithGroup { group, key }),
        }
    }
}
