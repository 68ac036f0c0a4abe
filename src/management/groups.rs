//! Groups of the four kinds: create, list, get, edit, delete.

use std::collections::HashMap;

use serde_json::Value;

use super::audited;
use super::components::ComponentView;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{Error, Management, Object, Request, named_once};
use crate::clock::Timestamp;
use crate::domain::{Actor, AddressList, Description, Group, Kind, Name, Revision, Role, SigningCertificate};
use crate::id::{CustomerId, GroupId, SigningCertificateId};
use crate::store::{Change, Comparison, GroupContents, GroupField, ListQuery, Page, SigningCertificateField};

/// What a caller says about a group, when making one and when editing one.
#[derive(Clone, Debug, Default)]
pub struct GroupInput {
    pub name: Input<String>,
    pub description: Input<String>,
    /// True when absent.
    pub enabled: Input<bool>,
    /// The kind's default when absent: [`Kind::default_signing_certificate`].
    pub signing_certificate: Input<SigningCertificateId>,
    pub addresses: Input<Vec<String>>,
    /// Members of the public API that are kept and not interpreted, by their wire names; which
    /// ones there are, the door knows.
    pub attributes: Vec<(&'static str, Input<Value>)>,
}

/// A group as a caller may see it.
pub struct GroupView {
    pub group: Group,
    /// `None`: it went away while the group was read.
    pub signing_certificate_name: Option<Name>,
    pub contents: GroupContents,
    /// Of a group of machines that was looked at by itself: the first [`MACHINES_MAX`] of them.
    pub machines: Option<Vec<ComponentView>>,
}

/// Machines that are shown with their group; the list of machines has all.
pub const MACHINES_MAX: u32 = 500;

impl Management {
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`]; rights and outages.
    pub async fn create_group(
        &self,
        request: impl Into<Request<'_, GroupView>>,
        customer: CustomerId,
        kind: Kind,
        input: GroupInput,
    ) -> Result<GroupView, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let now = self.now();
        let mut checker = Checker::default();
        let new = self.check_new_group(customer, kind, input, now, &mut checker).await?;
        let Some(new) = new else { return Err(checker.into_error()) };
        checker.finish()?;

        let made = new.into_view(actor, now, self.parts.ids.next().await?);
        let changes = vec![Change::InsertGroup(made.group.clone())];
        let audit = vec![audited::created(actor, now, &made.group)];
        self.commit_made(once, changes, audit, &made)
            .await
            .map_err(|error| error.about(Object::Group, made.group.id, made.group.name.as_str()))?;
        Ok(made)
    }

    /// What [`create_group`](Self::create_group) would refuse now; nothing is stored. A name that is taken is
    /// a fault of its field, beside all others.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; rights and outages.
    pub async fn check_group_input(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        input: GroupInput,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        let mut checker = Checker::default();
        self.check_group_name(customer, kind, &input.name, &mut checker).await?;
        self.check_new_group(customer, kind, input, self.now(), &mut checker).await?;
        checker.finish()
    }

    /// # Errors
    /// Rights and outages.
    pub async fn list_groups(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<GroupField>,
    ) -> Result<Page<GroupView>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let page = self.store().list_groups(customer, kind, query).await?;
        let ids: Vec<_> = page.rows.iter().map(|group| group.id).collect();
        let contents = self.store().count_group_contents(customer, &ids).await?;
        let mut signers = HashMap::new();
        let mut rows = Vec::with_capacity(page.rows.len());
        for (group, contents) in page.rows.into_iter().zip(contents) {
            let look = self.default_signer_name(&group);
            let signing_certificate_name = named_once(&mut signers, group.signing_certificate_id, look).await?;
            rows.push(GroupView { group, signing_certificate_name, contents, machines: None });
        }
        Ok(Page { rows, total: page.total })
    }

    /// # Errors
    /// [`Error::NotFound`], also for a group of another kind; rights and outages.
    pub async fn find_group(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: GroupId,
    ) -> Result<GroupView, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let group = self.group_of_kind(customer, kind, id).await?;
        let mut view = self.view_group(group).await?;
        if kind == Kind::Machine {
            let machines = self.store().list_group_components(customer, id, MACHINES_MAX).await?;
            view.machines = Some(self.view_components(customer, machines).await?);
        }
        Ok(view)
    }

    /// Changes what is given and leaves the rest. With `expected`, only that revision is changed;
    /// without, the last writer wins, field by field.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::Outdated`]; [`Error::DuplicateName`]; [`Error::NotFound`];
    /// rights and outages.
    pub async fn edit_group(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: GroupId,
        expected: Option<Revision>,
        input: &GroupInput,
    ) -> Result<Revision, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::Group, id, move || async move {
            let before = self.group_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::Group, expected, before.revision)?;
            let now = self.now();
            let mut after = self.edited_group(&before, input.clone(), now).await?;
            if after == before {
                return Ok(Attempt::Done(before.revision));
            }
            after.modified_at = now;
            after.modified_by = actor.row_id();
            let event = audited::updated(actor, now, &before, &after);
            let about = (Object::Group, id, after.name.as_str());
            let edited = self.commit_edit(Change::UpdateGroup(after.clone()), event, about).await?;
            Ok(edited.map(|()| before.revision.next()))
        })
        .await
    }

    /// Deletes a group that nothing refers to.
    ///
    /// # Errors
    /// [`Error::Referenced`] while it has keys or components; [`Error::NotFound`]; [`Error::Outdated`];
    /// rights and outages.
    pub async fn delete_group(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: GroupId,
        expected: Option<Revision>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::Group, id, move || async move {
            let group = self.group_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::Group, expected, group.revision)?;
            let event = audited::deleted(actor, self.now(), &group);
            // What goes is what was looked at, and what the audit event says.
            let delete = Change::DeleteGroup { customer, id, revision: Some(group.revision) };
            self.commit_edit(delete, event, (Object::Group, id, group.name.as_str())).await
        })
        .await
    }

    /// Deletes a group with all that belongs to it, in one transaction: its keys are gone and its components
    /// revoked and deleted. An audit event for each key says which it was; the group's says how many of each.
    ///
    /// Enrollments wait meanwhile, as it is one transaction: some ten seconds for a million components.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] while it has a key that another API client manages; [`Error::NotFound`];
    /// [`Error::Outdated`]; rights and outages.
    pub async fn delete_group_with_contents(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: GroupId,
        expected: Option<Revision>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        let by = actor.api_client_id();
        until_not_overtaken(Object::Group, id, move || async move {
            let group = self.group_of_kind(customer, kind, id).await?;
            Error::expect_revision(Object::Group, expected, group.revision)?;
            let (revision, at) = (Some(group.revision), self.now());
            let event = audited::deleted(actor, at, &group);
            let delete = Change::DeleteGroupWithContents { customer, id, revision, at, by };
            self.commit_edit(delete, event, (Object::Group, id, group.name.as_str())).await
        })
        .await
    }

    async fn edited_group(&self, before: &Group, input: GroupInput, now: Timestamp) -> Result<Group, Error> {
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
        if let Some(enabled) = checker.take(Field::Enabled, input.enabled).given() {
            after.enabled = enabled;
        }
        match checker.check(Field::Addresses, input.addresses, |list| AddressList::parse(&list)) {
            Input::Given(addresses) => after.addresses = addresses,
            Input::Cleared => after.addresses = AddressList::default(),
            Input::Absent | Input::Malformed(_) => {}
        }
        merge_attributes(&mut after.attributes, input.attributes, &mut checker);
        if let Some(signer) = checker.take(Field::SigningCertificate, input.signing_certificate).given()
            && signer != before.signing_certificate_id
            && self.usable_signer(before.customer_id, signer, now, &mut checker).await?.is_some()
        {
            after.signing_certificate_id = signer;
        }
        checker.finish()?;
        Ok(after)
    }

    /// Notes every fault of what a caller says about a new group. `None` where something required is missing
    /// or wrong, which is noted too.
    pub(super) async fn check_new_group(
        &self,
        customer: CustomerId,
        kind: Kind,
        input: GroupInput,
        now: Timestamp,
        checker: &mut Checker,
    ) -> Result<Option<NewGroup>, Error> {
        let name = checker.required(Field::Name, input.name, |text| Name::new(&text));
        let description = checker.check(Field::Description, input.description, |text| Description::new(&text));
        let enabled = checker.take(Field::Enabled, input.enabled);
        let addresses = checker.check(Field::Addresses, input.addresses, |list| AddressList::parse(&list));
        let mut attributes = serde_json::Map::new();
        merge_attributes(&mut attributes, input.attributes, checker);
        let signer = match checker.take(Field::SigningCertificate, input.signing_certificate).given() {
            Some(id) => self.usable_signer(customer, id, now, checker).await?,
            None => self.default_signer(customer, kind, now, checker).await?,
        };
        let (Some(name), Some(signer)) = (name, signer) else { return Ok(None) };
        Ok(Some(NewGroup {
            customer_id: customer,
            kind,
            name,
            description: description.given().unwrap_or_default(),
            enabled: enabled.given().unwrap_or(true),
            addresses: addresses.given().unwrap_or_default(),
            attributes,
            signer,
        }))
    }

    /// Notes a name that another group of the kind has, for whoever wants to know beside all other faults. What
    /// is stored is decided in the transaction.
    pub(super) async fn check_group_name(
        &self,
        customer: CustomerId,
        kind: Kind,
        name: &Input<String>,
        checker: &mut Checker,
    ) -> Result<(), Error> {
        if let Input::Given(name) = name {
            let query = ListQuery::first_where(1, GroupField::Name, Comparison::Equals, name.as_str());
            if self.store().list_groups(customer, kind, &query).await?.total > 0 {
                checker.fault(Field::Name, "is the name of another group");
            }
        }
        Ok(())
    }

    /// The customer's signing certificate that bears the kind's default name.
    async fn default_signer(
        &self,
        customer: CustomerId,
        kind: Kind,
        now: Timestamp,
        checker: &mut Checker,
    ) -> Result<Option<SigningCertificate>, Error> {
        let name = kind.default_signing_certificate();
        let query = ListQuery::first_where(1, SigningCertificateField::Name, Comparison::Equals, name);
        let found = self.store().list_signing_certificates(customer, &query).await?.rows.pop();
        match found {
            Some(signer) if signer.is_usable(now) => Ok(Some(signer)),
            _ => {
                checker.missing(Field::SigningCertificate);
                Ok(None)
            }
        }
    }

    async fn group_of_kind(&self, customer: CustomerId, kind: Kind, id: GroupId) -> Result<Group, Error> {
        let group = self.store().find_group(customer, id).await?.filter(|group| group.kind == kind);
        group.ok_or_else(|| Error::not_found(Object::Group, id))
    }

    async fn view_group(&self, group: Group) -> Result<GroupView, Error> {
        let contents = self.store().count_group_contents(group.customer_id, &[group.id]).await?;
        let contents = contents.first().copied().unwrap_or_default();
        let signing_certificate_name = self.default_signer_name(&group).await?;
        Ok(GroupView { group, signing_certificate_name, contents, machines: None })
    }

    async fn default_signer_name(&self, group: &Group) -> Result<Option<Name>, Error> {
        let signer = self.store().find_signing_certificate(group.customer_id, group.signing_certificate_id).await?;
        Ok(signer.map(|signer| signer.name))
    }
}

/// A group that is to be made, checked.
pub(super) struct NewGroup {
    customer_id: CustomerId,
    kind: Kind,
    name: Name,
    description: Description,
    enabled: bool,
    addresses: AddressList,
    attributes: serde_json::Map<String, Value>,
    pub(super) signer: SigningCertificate,
}

impl NewGroup {
    /// The group that `actor` makes of it, with nothing in it.
    pub(super) fn into_view(self, actor: &Actor, now: Timestamp, id: GroupId) -> GroupView {
        let group = Group {
            id,
            customer_id: self.customer_id,
            kind: self.kind,
            name: self.name,
            description: self.description,
            enabled: self.enabled,
            signing_certificate_id: self.signer.id,
            addresses: self.addresses,
            attributes: self.attributes,
            created_at: now,
            modified_at: now,
            modified_by: actor.row_id(),
            revision: Revision::FIRST,
        };
        let contents = GroupContents::default();
        GroupView { group, signing_certificate_name: Some(self.signer.name), contents, machines: None }
    }
}

/// Given members replace, cleared ones go, others stay.
fn merge_attributes(
    attributes: &mut serde_json::Map<String, Value>,
    given: Vec<(&'static str, Input<Value>)>,
    checker: &mut Checker,
) {
    for (name, input) in given {
        match checker.take(Field::Attribute(name), input) {
            Input::Given(value) => {
                attributes.insert(name.to_owned(), value);
            }
            Input::Cleared => {
                attributes.remove(name);
            }
            Input::Absent | Input::Malformed(_) => {}
        }
    }
}
