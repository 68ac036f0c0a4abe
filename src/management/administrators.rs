//! Administrators: people who sign in with a name and a password.
//!
//! Owners belong to customer 0, which holds nobody else; all other roles belong to a customer. Nobody
//! gives a role above their own, nobody ends or demotes themselves, and an enabled owner is left whatever
//! happens at the same time: that last rule is the store's, as only a transaction can keep it.

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{Error, Management, Object, Request};
use crate::auth::password;
use crate::clock::Timestamp;
use crate::domain::administrator::NewPassword;
use crate::domain::{Actor, Administrator, Description, Name, Revision, Role};
use crate::id::{AdministratorId, CustomerId};
use crate::store::{AdministratorField, Change, ListQuery, Page};

/// What a caller says about an administrator, when making one and when editing one. No `Debug`.
#[derive(Clone, Default)]
pub struct AdministratorInput {
    pub username: Input<String>,
    pub description: Input<String>,
    /// Required when making.
    pub role: Input<String>,
    /// True when absent.
    pub enabled: Input<bool>,
    /// Generated when absent at the making. Never shown again.
    pub password: Input<Zeroizing<String>>,
}

/// What somebody says who changes their own password. No `Debug`.
#[derive(Clone, Default)]
pub struct PasswordChange {
    pub current: Input<Zeroizing<String>>,
    pub new: Input<Zeroizing<String>>,
}

/// An administrator that was just made.
pub struct NewAdministrator {
    pub administrator: Administrator,
    /// Only if it was generated here. To be shown once.
    pub password: Option<Zeroizing<String>>,
}

impl Management {
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`], also for a user name of another
    /// customer, as they are unique over the service; rights and outages.
    pub async fn create_administrator(
        &self,
        request: impl Into<Request<'_, NewAdministrator>>,
        customer: CustomerId,
        input: AdministratorInput,
    ) -> Result<NewAdministrator, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let mut checker = Checker::default();
        let checked = check(actor, customer, input, &mut checker)?;
        let Some(checked) = checked else { return Err(checker.into_error()) };
        checker.finish()?;
        let now = self.now();
        let made = self.make_administrator(actor, customer, checked, now).await?;
        let administrator = &made.administrator;
        let audit = vec![audited::created(actor, now, administrator)];
        self.commit_made(once, vec![Change::InsertAdministrator(administrator.clone())], audit, &made)
            .await
            .map_err(|error| error.about(Object::Administrator, administrator.id, administrator.username.as_str()))?;
        Ok(made)
    }

    /// # Errors
    /// Rights and outages.
    pub async fn list_administrators(
        &self,
        actor: &Actor,
        customer: CustomerId,
        query: &ListQuery<AdministratorField>,
    ) -> Result<Page<Administrator>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().list_administrators(customer, query).await?)
    }

    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn find_administrator(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
    ) -> Result<Administrator, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        self.administrator(customer, id).await
    }

    /// Changes what is given and leaves the rest; `expected` as for a group. A new password, and being
    /// disabled, end all sessions of the administrator.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::NobodyMay`]; [`Error::LastOwner`]; [`Error::Outdated`];
    /// [`Error::DuplicateName`]; [`Error::NotFound`]; rights and outages.
    pub async fn edit_administrator(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
        expected: Option<Revision>,
        input: &AdministratorInput,
    ) -> Result<Revision, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::Administrator, id, move || async move {
            let before = self.administrator(customer, id).await?;
            Error::expect_revision(Object::Administrator, expected, before.revision)?;
            let (mut after, password) = edited(actor, &before, input.clone())?;
            let now = self.now();
            let (mut changes, mut events) = (Vec::new(), Vec::new());
            if let Some(password) = password {
                after.password_hash = self.passwords.hash(password.into_text()).await?;
                events.push(audited::done("reset-password", actor, now, &before));
            }
            if !has_same_settings(&before, &after) {
                events.push(audited::updated(actor, now, &before, &after));
            }
            if events.is_empty() {
                return Ok(Attempt::Done(before.revision));
            }
            (after.modified_at, after.modified_by) = (now, actor.row_id());
            if after.password_hash != before.password_hash || !after.enabled {
                changes.push(Change::EndSessionsOf { customer, administrator: id, at: now });
            }
            changes.push(Change::UpdateAdministrator(after.clone()));
            let about = (Object::Administrator, id, after.username.as_str());
            let edited = self.commit_edits(changes, events, about).await?;
            Ok(edited.map(|()| before.revision.next()))
        })
        .await
    }

    /// Gives another administrator a new password: `password`, or one that is made here and given back, to be
    /// shown once. Ends all sessions of theirs.
    ///
    /// # Errors
    /// As [`edit_administrator`](Self::edit_administrator).
    pub async fn reset_password(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
        expected: Option<Revision>,
        password: Option<Zeroizing<String>>,
    ) -> Result<Option<Zeroizing<String>>, Error> {
        let generated = password.is_none().then(password::generate);
        let password = password.or_else(|| generated.clone()).map_or(Input::Absent, Input::Given);
        let input = AdministratorInput { password, ..AdministratorInput::default() };
        self.edit_administrator(actor, customer, id, expected, &input).await?;
        Ok(generated)
    }

    /// Changes one's own password, whatever one's role. Ends all sessions, this one included. Guesses at
    /// the current password, from a session that was left open, are slowed down as sign-ins are.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults, a wrong current password among them; [`Error::Forbidden`] for
    /// another's; [`Error::TooManySignIns`]; [`Error::NotFound`]; outages.
    pub async fn change_password(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
        change: PasswordChange,
        from: IpAddr,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let before = self.administrator(customer, id).await?;
        if !actor.is_administrator(id) {
            return Err(Error::NobodyMay { what: "change a password other than their own with the current one" });
        }
        let mut checker = Checker::default();
        let current = checker.required(Field::CurrentPassword, change.current, Ok::<_, std::convert::Infallible>);
        let new =
            checker.required(Field::NewPassword, change.new, |text| NewPassword::new(text, before.username.as_str()));
        let (Some(current), Some(new)) = (current, new) else { return Err(checker.into_error()) };
        checker.finish()?;
        let Some(checked) = self.check_password(before.username.as_str(), current, from).await? else {
            let mut checker = Checker::default();
            checker.fault(Field::CurrentPassword, "is wrong");
            return Err(checker.into_error());
        };
        let (password_hash, checked) = (&self.passwords.hash(new.into_text()).await?, &checked);
        until_not_overtaken(Object::Administrator, id, move || async move {
            let mut row = self.administrator(customer, id).await?;
            if row.password_hash != checked.password_hash || !row.enabled {
                return Err(Error::InvalidCredentials);
            }
            let now = self.now();
            row.password_hash.clone_from(password_hash);
            (row.modified_at, row.modified_by) = (now, actor.row_id());
            let event = audited::done("change-password", actor, now, &row);
            let end = Change::EndSessionsOf { customer, administrator: id, at: now };
            let about = (Object::Administrator, id, checked.username.as_str());
            self.commit_edits(vec![Change::UpdateAdministrator(row), end], vec![event], about).await
        })
        .await
    }

    /// Ends all sessions of the administrator with it.
    ///
    /// # Errors
    /// [`Error::NobodyMay`]; [`Error::LastOwner`]; [`Error::NotFound`]; [`Error::Outdated`]; rights and
    /// outages.
    pub async fn delete_administrator(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: AdministratorId,
        expected: Option<Revision>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::Administrator, id, move || async move {
            let row = self.administrator(customer, id).await?;
            Error::expect_revision(Object::Administrator, expected, row.revision)?;
            if actor.is_administrator(id) {
                return Err(Error::NobodyMay { what: "delete themselves" });
            }
            let now = self.now();
            let changes = vec![
                Change::EndSessionsOf { customer, administrator: id, at: now },
                Change::DeleteAdministrator { customer, id, revision: Some(row.revision) },
            ];
            let about = (Object::Administrator, id, row.username.as_str());
            self.commit_edits(changes, vec![audited::deleted(actor, now, &row)], about).await
        })
        .await
    }

    async fn administrator(&self, customer: CustomerId, id: AdministratorId) -> Result<Administrator, Error> {
        let found = self.store().find_administrator_by_id(customer, id).await?;
        found.ok_or_else(|| Error::not_found(Object::Administrator, id))
    }

    /// A row that is not stored yet. Costs one argon2id hash.
    pub(super) async fn make_administrator(
        &self,
        actor: &Actor,
        customer: CustomerId,
        checked: CheckedAdministrator,
        now: Timestamp,
    ) -> Result<NewAdministrator, Error> {
        let (password, generated) = match checked.password {
            Some(password) => (password.into_text(), None),
            None => {
                let generated = password::generate();
                (generated.clone(), Some(generated))
            }
        };
        let administrator = Administrator {
            id: self.parts.ids.next().await?,
            customer_id: customer,
            username: checked.username,
            description: checked.description,
            password_hash: self.passwords.hash(password).await?,
            role: checked.role,
            enabled: checked.enabled,
            last_sign_in_at: None,
            created_at: now,
            modified_at: now,
            modified_by: actor.row_id(),
            revision: Revision::FIRST,
        };
        Ok(NewAdministrator { administrator, password: generated })
    }
}

/// What a new administrator will be.
pub(super) struct CheckedAdministrator {
    pub(super) username: Name,
    description: Description,
    role: Role,
    enabled: bool,
    password: Option<NewPassword>,
}

/// `None` when something required is missing or wrong, which `checker` has noted.
///
/// # Errors
/// [`Error::Forbidden`] for a role above the actor's.
pub(super) fn check(
    actor: &Actor,
    customer: CustomerId,
    input: AdministratorInput,
    checker: &mut Checker,
) -> Result<Option<CheckedAdministrator>, Error> {
    let username = checker.required(Field::Username, input.username, |text| Name::new(&text));
    let description = checker.check(Field::Description, input.description, |text| Description::new(&text));
    let role = checker.required(Field::Role, input.role, |text| text.parse::<Role>());
    if let Some(role) = role {
        check_role(actor, customer, role, checker)?;
    }
    let enabled = checker.take(Field::Enabled, input.enabled);
    let name = username.as_ref().map_or("", Name::as_str);
    let password = checker.check(Field::Password, input.password, |text| NewPassword::new(text, name)).given();
    let (Some(username), Some(role)) = (username, role) else { return Ok(None) };
    Ok(Some(CheckedAdministrator {
        username,
        description: description.given().unwrap_or_default(),
        role,
        enabled: enabled.given().unwrap_or(true),
        password,
    }))
}

/// # Errors
/// [`Error::Forbidden`] for a role above the actor's.
pub(super) fn check_role(actor: &Actor, customer: CustomerId, role: Role, checker: &mut Checker) -> Result<(), Error> {
    if role > actor.role {
        return Err(Error::Forbidden { role: actor.role, needed: role });
    }
    if (role == Role::Owner) != (customer == CustomerId::SERVICE) {
        checker.fault(Field::Role, "is owner in customer 0, and something else in every other");
    }
    Ok(())
}

/// The row as it would be, and the password that it would get.
fn edited(
    actor: &Actor,
    before: &Administrator,
    input: AdministratorInput,
) -> Result<(Administrator, Option<NewPassword>), Error> {
    let mut after = before.clone();
    let mut checker = Checker::default();
    if let Some(username) = checker.check(Field::Username, input.username, |text| Name::new(&text)).given() {
        after.username = username;
    }
    match checker.check(Field::Description, input.description, |text| Description::new(&text)) {
        Input::Given(description) => after.description = description,
        Input::Cleared => after.description = Description::default(),
        Input::Absent | Input::Malformed(_) => {}
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
    let username = after.username.as_str();
    let password = checker.check(Field::Password, input.password, |text| NewPassword::new(text, username)).given();
    checker.finish()?;
    if actor.is_administrator(before.id) {
        let refusals = [
            (after.role != before.role, "change their own role"),
            (after.enabled != before.enabled, "disable themselves"),
            (password.is_some(), "set their own password without the current one"),
        ];
        if let Some((_, what)) = refusals.into_iter().find(|(is_so, _)| *is_so) {
            return Err(Error::NobodyMay { what });
        }
    }
    Ok((after, password))
}

fn has_same_settings(one: &Administrator, other: &Administrator) -> bool {
    one.username == other.username
        && one.description == other.description
        && one.role == other.role
        && one.enabled == other.enabled
}
