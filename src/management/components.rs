//! Components of the four kinds: list, get, edit, attach to another key, revoke, delete. Only enrollments
//! make them.

pub mod history;

use std::collections::BTreeSet;

use super::audited;
use super::clean_up::DELETED_AT_ONCE;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{Error, Management, Object};
use crate::domain::{
    Actor, CertificateRecord, Component, ComponentBadge, ComponentState, Description, Kind, Name, Revision,
    RevocationReason, Role,
};
use crate::id::{ComponentId, CustomerId, ProvisioningKeyId};
use crate::store::{BrokenRule, Change, ChangeError, ComponentField, ComponentRelations, ListQuery, Page};

/// Components that one request may delete, inclusive.
pub const BULK_MAX: usize = 500;

/// What a caller says about a component.
#[derive(Clone, Debug, Default)]
pub struct ComponentInput {
    pub name: Input<String>,
    pub description: Input<String>,
    pub enabled: Input<bool>,
    /// The key to be attached to, of the same group.
    pub key: Input<ProvisioningKeyId>,
}

/// A component as a caller may see it.
pub struct ComponentView {
    pub component: Component,
    pub relations: ComponentRelations,
    /// As of when it was read.
    pub badge: ComponentBadge,
}

impl Management {
    /// One page of a kind's components. Two reads, however many are on it.
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn list_components(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<ComponentField>,
    ) -> Result<Page<ComponentView>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let page = self.store().list_components(customer, kind, query).await?;
        Ok(Page { rows: self.view_components(customer, page.rows).await?, total: page.total })
    }

    /// # Errors
    /// [`Error::NotFound`], also for a component of another kind; rights and outages.
    pub async fn find_component(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ComponentId,
    ) -> Result<ComponentView, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let component = self.component_of_kind(customer, kind, id).await?;
        self.view_component(component).await
    }

    /// The certificate that it was given last, also when that has ended.
    ///
    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn find_component_certificate(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ComponentId,
    ) -> Result<CertificateRecord, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let component = self.component_of_kind(customer, kind, id).await?;
        let record = self.store().find_certificate(customer, id, component.current_serial).await?;
        record.ok_or_else(|| Error::Internal { detail: format!("component {id} has no row for its certificate") })
    }

    /// Changes what is given and leaves the rest. With `expected`, only that revision is changed;
    /// without, the last writer wins, field by field. The next enrollment meets the change.
    ///
    /// One that is revoked or disabled stays with its key: the row keeps the device out under that key only.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateFingerprint`] when the key has one of that
    /// fingerprint; [`Error::DuplicateName`]; [`Error::Outdated`]; [`Error::NotFound`]; rights and outages.
    pub async fn edit_component(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ComponentId,
        expected: Option<Revision>,
        input: &ComponentInput,
    ) -> Result<Revision, Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        until_not_overtaken(Object::Component, id, move || async move {
            let before = self.component_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::Component, expected, before.revision)?;
            let mut after = self.edited_component(&before, input.clone()).await?;
            if after == before {
                return Ok(Attempt::Done(before.revision));
            }
            let now = self.now();
            after.modified_at = now;
            after.modified_by = actor.row_id();
            let action = if after.key_id == before.key_id { "update" } else { "attach" };
            let event = audited::changed(action, actor, now, &before, &after);
            let about = (Object::Component, id, after.name.as_str());
            let edited = self.commit_edit(Change::UpdateComponent(after.clone()), event, about).await?;
            Ok(edited.map(|()| before.revision.next()))
        })
        .await
    }

    /// Ends a component and its certificates; the row stays and keeps the device out. `reason` is one of
    /// [`RevocationReason::CHOICES`] by its name, and stands on the CRL. Done already: nothing happens.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`]; [`Error::Outdated`]; rights and outages.
    pub async fn revoke_component(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ComponentId,
        expected: Option<Revision>,
        reason: Input<String>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        let reason = checked_reason(reason)?;
        until_not_overtaken(Object::Component, id, move || async move {
            let component = self.component_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::Component, expected, component.revision)?;
            if component.state != ComponentState::Live {
                return Ok(Attempt::Done(()));
            }
            let at = self.now();
            let event = audited::revoked(actor, at, &component, reason);
            let revision = Some(component.revision);
            let revoke = Change::RevokeComponent { customer, id, revision, at, reason, by: actor.row_id() };
            self.commit_edit(revoke, event, (Object::Component, id, &component.name)).await
        })
        .await
    }

    /// Ends a component and its certificate for good; the device may enroll anew, for a use. With
    /// `release_use`, the one that this component took is given back.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outdated`]; rights and outages.
    pub async fn delete_component(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ComponentId,
        expected: Option<Revision>,
        release_use: bool,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        until_not_overtaken(Object::Component, id, move || async move {
            let component = self.component_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::Component, expected, component.revision)?;
            let at = self.now();
            let event = audited::deleted(actor, at, &component);
            let revision = Some(component.revision);
            let delete = Change::DeleteComponent { customer, id, revision, at, release_use };
            self.commit_edit(delete, event, (Object::Component, id, &component.name)).await
        })
        .await
    }

    /// Deletes those of `ids` that there are, a few dozen in one transaction, with an audit event each. What
    /// is not there, or of another kind, is gone already: the same request twice ends alike.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless there are 1 to [`BULK_MAX`] ids; [`Error::Contended`] with the id; rights and
    /// outages. What was deleted until then stays deleted.
    pub async fn delete_components(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        ids: Input<Vec<ComponentId>>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        let mut checker = Checker::default();
        let ids = checker.required(Field::Components, ids, |ids| match ids.len() {
            1..=BULK_MAX => Ok(ids.into_iter().collect::<BTreeSet<_>>()),
            found => Err(format!("has {found} ids; 1 to {BULK_MAX} are accepted")),
        });
        let Some(ids) = ids else { return Err(checker.into_error()) };
        let ids: Vec<_> = ids.into_iter().collect();
        for part in ids.chunks(DELETED_AT_ONCE) {
            let mut found = self.store().find_components(customer, part).await?;
            found.retain(|component| is_there(component, kind));
            while let Some(overtaken) = self.delete_found(actor, customer, &found).await? {
                let id = found.remove(overtaken).id;
                match self.delete_component(actor, customer, kind, id, None, false).await {
                    Ok(()) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// One transaction. Nothing was written when one of them is no longer as it was found: its place. No
    /// use is given back, so nothing has to be announced.
    async fn delete_found(
        &self,
        actor: &Actor,
        customer: CustomerId,
        found: &[Component],
    ) -> Result<Option<usize>, Error> {
        if found.is_empty() {
            return Ok(None);
        }
        let at = self.now();
        let delete = |component: &Component| {
            let revision = Some(component.revision);
            Change::DeleteComponent { customer, id: component.id, revision, at, release_use: false }
        };
        let changes = found.iter().map(delete).collect();
        let events = found.iter().map(|component| audited::deleted(actor, at, component)).collect();
        match self.store().commit_changes(changes, events, &self.parts.audit_key).await {
            Ok(_) => Ok(None),
            Err(ChangeError::Rule { position, rule: BrokenRule::Outdated { .. } | BrokenRule::NotFound }) => {
                Ok(Some(position))
            }
            Err(ChangeError::Rule { rule, .. }) => Err(Error::Internal { detail: rule.to_string() }),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
    }

    /// With what is shown beside them; those that went away meanwhile are left out.
    pub(super) async fn view_components(
        &self,
        customer: CustomerId,
        components: Vec<Component>,
    ) -> Result<Vec<ComponentView>, Error> {
        let ids: Vec<_> = components.iter().map(|component| component.id).collect();
        let mut relations = self.store().find_component_relations(customer, &ids).await?.into_iter().peekable();
        let now = self.now();
        // Both are in the same order.
        let views = components.into_iter().filter_map(|component| {
            let relations = relations.next_if(|relations| relations.component == component.id)?;
            Some(ComponentView { badge: component.badge(relations.not_after, now), component, relations })
        });
        Ok(views.collect())
    }

    async fn view_component(&self, component: Component) -> Result<ComponentView, Error> {
        let id = component.id;
        let view = self.view_components(component.customer_id, vec![component]).await?.pop();
        view.ok_or_else(|| Error::Internal { detail: format!("component {id} has no row for its certificate") })
    }

    async fn component_of_kind(&self, customer: CustomerId, kind: Kind, id: ComponentId) -> Result<Component, Error> {
        let found = self.store().find_component(customer, id).await?.filter(|found| is_there(found, kind));
        found.ok_or_else(|| Error::not_found(Object::Component, id))
    }

    async fn edited_component(&self, before: &Component, input: ComponentInput) -> Result<Component, Error> {
        let mut after = before.clone();
        let mut checker = Checker::default();
        // The first name is made of the key's and may be longer than one that is given.
        let name = checker.check(Field::Name, input.name, |text| {
            if text == before.name { Ok(text) } else { Name::new(&text).map(|name| name.as_str().to_owned()) }
        });
        if let Some(name) = name.given() {
            after.name = name;
        }
        match checker.check(Field::Description, input.description, |text| Description::new(&text)) {
            Input::Given(description) => after.description = description,
            Input::Cleared => after.description = Description::default(),
            Input::Absent | Input::Malformed(_) => {}
        }
        if let Some(enabled) = checker.take(Field::Enabled, input.enabled).given() {
            after.enabled = enabled;
        }
        // What it has already is not looked at: clients send it back, also when that key is gone.
        if let Some(id) = checker.take(Field::ProvisioningKey, input.key).given()
            && id != before.key_id
        {
            let key = self.store().find_key(before.customer_id, id).await?;
            if !after.enabled || after.state != ComponentState::Live {
                checker.fault(Field::ProvisioningKey, "cannot be changed while the component is revoked or disabled");
            } else if key.is_some_and(|key| key.group_id == before.group_id) {
                after.key_id = id;
            } else {
                checker.fault(Field::ProvisioningKey, "is no provisioning key of this component's group");
            }
        }
        checker.finish()?;
        Ok(after)
    }
}

/// Unspecified when nobody says anything.
fn checked_reason(reason: Input<String>) -> Result<RevocationReason, Error> {
    let mut checker = Checker::default();
    let reason = checker.check(Field::RevocationReason, reason, |name| {
        RevocationReason::chosen(&name).ok_or_else(|| {
            let names = RevocationReason::CHOICES.map(RevocationReason::as_str);
            format!("must be one of {}", names.join(", "))
        })
    });
    checker.finish()?;
    Ok(reason.given().unwrap_or_default())
}

/// One that is deleted is as good as none.
fn is_there(component: &Component, kind: Kind) -> bool {
    component.kind == kind && !matches!(component.state, ComponentState::Deleted { .. })
}
