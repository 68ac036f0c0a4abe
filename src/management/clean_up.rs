//! Clean-up schedules, and the clean-up that follows them.

use std::collections::HashSet;

use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{Error, Management, Object, Request};
use crate::clock::Timestamp;
use crate::domain::{Actor, CleanUpDays, CleanUpSchedule, Kind, Revision, Role};
use crate::id::{CleanUpScheduleId, ComponentId, CustomerId, Id as _};
use crate::store::{BrokenRule, Change, ChangeError, EndedComponent};

/// Components that one read looks at.
const SCAN_LIMIT: u32 = 1_000;

/// Components that go in one transaction: a few milliseconds that an enrollment may have to wait.
pub(super) const DELETED_AT_ONCE: usize = 50;

/// What a caller says about a schedule, when making one and when editing one.
#[derive(Clone, Debug, Default)]
pub struct CleanUpInput {
    /// True when absent.
    pub enabled: Input<bool>,
    /// False when absent.
    pub delete_disabled: Input<bool>,
    /// Required when making: one of [`CleanUpDays::ALL`].
    pub days: Input<u64>,
}

impl Management {
    /// # Errors
    /// [`Error::NotFound`] while there is none; rights and outages.
    pub async fn find_clean_up_schedule(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
    ) -> Result<CleanUpSchedule, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let found = self.store().find_clean_up_schedule(customer, kind).await?;
        found.ok_or_else(|| Error::not_found(Object::CleanUpSchedule, kind))
    }

    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::AlreadyExists`]; rights and outages.
    pub async fn create_clean_up_schedule(
        &self,
        request: impl Into<Request<'_, CleanUpSchedule>>,
        customer: CustomerId,
        kind: Kind,
        input: CleanUpInput,
    ) -> Result<CleanUpSchedule, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let mut checker = Checker::default();
        let enabled = checker.take(Field::Enabled, input.enabled).given().unwrap_or(true);
        let delete_disabled = checker.take(Field::DeleteDisabled, input.delete_disabled).given().unwrap_or(false);
        let days = checker.required(Field::CleanUpDays, input.days, checked_days);
        let Some(days) = days else { return Err(checker.into_error()) };
        checker.finish()?;

        let now = self.now();
        let schedule = CleanUpSchedule {
            id: self.parts.ids.next().await?,
            customer_id: customer,
            kind,
            enabled,
            delete_disabled,
            days,
            created_at: now,
            modified_at: now,
            modified_by: actor.row_id(),
            revision: Revision::FIRST,
        };
        let event = audited::created(actor, now, &schedule);
        let changes = vec![Change::InsertCleanUpSchedule(schedule.clone())];
        match self.commit_made(once, changes, vec![event], &schedule).await {
            Ok(()) => Ok(schedule),
            Err(error) => match error.about(Object::CleanUpSchedule, schedule.id, kind.as_str()) {
                Error::DuplicateName { object, .. } => Err(Error::AlreadyExists { object }),
                other => Err(other),
            },
        }
    }

    /// Changes what is given and leaves the rest. A schedule that was switched off takes nothing from
    /// the moment this returns.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::NotFound`]; [`Error::Outdated`]; rights and outages.
    pub async fn edit_clean_up_schedule(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: CleanUpScheduleId,
        expected: Option<Revision>,
        input: &CleanUpInput,
    ) -> Result<Revision, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::CleanUpSchedule, id, move || async move {
            let found = self.store().find_clean_up_schedule(customer, kind).await?;
            let before = found.filter(|found| found.id == id);
            let before = before.ok_or_else(|| Error::not_found(Object::CleanUpSchedule, id))?;
            Error::expect_revision(Object::CleanUpSchedule, expected, before.revision)?;
            let mut after = edited(&before, input.clone())?;
            if after == before {
                return Ok(Attempt::Done(before.revision));
            }
            let now = self.now();
            after.modified_at = now;
            after.modified_by = actor.row_id();
            let event = audited::updated(actor, now, &before, &after);
            let about = (Object::CleanUpSchedule, id, kind.as_str());
            let update = Change::UpdateCleanUpSchedule(after.clone());
            let edited = self.commit_edit(update, event, about).await?;
            Ok(edited.map(|()| before.revision.next()))
        })
        .await
    }

    /// Deletes what the schedules of all customers take now, and answers how many components went. To be
    /// called every now and then, on any number of nodes.
    ///
    /// Finding costs what has ended and was not renewed, however many components there are: 1,000 of
    /// them a read. What was renewed, edited or deleted since it was read stays, and so does all of a
    /// customer or group that is disabled: its devices could not renew.
    ///
    /// # Errors
    /// Outages. What was deleted until then stays deleted, and the next call goes on.
    pub async fn clean_up(&self, now: Timestamp) -> Result<u64, Error> {
        let mut schedules = self.store().list_clean_up_schedules().await?;
        schedules.retain(|schedule| schedule.enabled);
        let mut deleted = 0;
        for of_customer in schedules.chunk_by(|a, b| a.customer_id == b.customer_id) {
            let customer = self.store().find_customer(of_customer[0].customer_id).await?;
            if customer.is_some_and(|customer| customer.enabled) {
                deleted += self.clean_up_customer(of_customer, now).await?;
            }
        }
        Ok(deleted)
    }

    /// `schedules`: one customer's, at least one.
    async fn clean_up_customer(&self, schedules: &[CleanUpSchedule], now: Timestamp) -> Result<u64, Error> {
        let shortest = schedules.iter().map(|schedule| schedule.days).min().unwrap_or(CleanUpDays::ALL[0]);
        let ended_by = now.saturating_sub(shortest.duration());
        let mut after = (Timestamp::from_unix_seconds(i64::MIN), ComponentId::from_raw(0));
        let mut deleted = 0;
        loop {
            let customer = schedules[0].customer_id;
            let ended = self.store().scan_ended_components(customer, ended_by, after, SCAN_LIMIT).await?;
            let Some(last) = ended.last() else { return Ok(deleted) };
            after = (last.ended_at, last.component.id);
            for schedule in schedules {
                let takes = |ended: &&EndedComponent| schedule.takes(&ended.component, ended.ended_at, now);
                let due: Vec<_> = ended.iter().filter(takes).collect();
                for part in due.chunks(DELETED_AT_ONCE) {
                    deleted += self.delete_ended(schedule, part.to_vec(), now).await?;
                }
            }
        }
    }

    /// One transaction. Those that are no longer as they were seen are left out; none goes when the
    /// schedule is not. Components are not in the feed, so nothing has to be announced.
    async fn delete_ended(
        &self,
        schedule: &CleanUpSchedule,
        mut due: Vec<&EndedComponent>,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let system = Actor::system();
        while !due.is_empty() {
            let delete = |ended: &&EndedComponent| Change::CleanUpComponent {
                customer: schedule.customer_id,
                id: ended.component.id,
                seen: (ended.component.revision, ended.component.current_serial),
                schedule: (schedule.id, schedule.revision),
                at,
            };
            let changes = due.iter().map(delete).collect();
            let events = due.iter().map(|ended| audited::deleted(&system, at, &ended.component)).collect();
            let committed = self.store().commit_changes_in_background(changes, events, &self.parts.audit_key).await;
            match committed {
                Ok(_) => return Ok(due.len() as u64),
                Err(ChangeError::Rule { position, rule: BrokenRule::Outdated { .. } | BrokenRule::NotFound }) => {
                    due.remove(position);
                    self.leave_out_changed(schedule.customer_id, &mut due).await?;
                }
                Err(ChangeError::Rule { rule: BrokenRule::UnknownReference { .. }, .. }) => return Ok(0),
                Err(ChangeError::Rule { rule, .. }) => return Err(Error::Internal { detail: rule.to_string() }),
                Err(ChangeError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(0)
    }

    /// Where one is no longer as it was seen, another node may be at all of them; each alone would cost a transaction.
    async fn leave_out_changed(&self, customer: CustomerId, due: &mut Vec<&EndedComponent>) -> Result<(), Error> {
        let ids: Vec<_> = due.iter().map(|ended| ended.component.id).collect();
        let found = self.store().find_components(customer, &ids).await?;
        let standing: HashSet<_> = found.iter().map(|now| (now.id, now.revision, now.current_serial)).collect();
        due.retain(|EndedComponent { component: seen, .. }| {
            standing.contains(&(seen.id, seen.revision, seen.current_serial))
        });
        Ok(())
    }
}

fn edited(before: &CleanUpSchedule, input: CleanUpInput) -> Result<CleanUpSchedule, Error> {
    let mut after = before.clone();
    let mut checker = Checker::default();
    if let Some(enabled) = checker.take(Field::Enabled, input.enabled).given() {
        after.enabled = enabled;
    }
    if let Some(delete_disabled) = checker.take(Field::DeleteDisabled, input.delete_disabled).given() {
        after.delete_disabled = delete_disabled;
    }
    if let Some(days) = checker.check(Field::CleanUpDays, input.days, checked_days).given() {
        after.days = days;
    }
    checker.finish()?;
    Ok(after)
}

fn checked_days(days: u64) -> Result<CleanUpDays, &'static str> {
    CleanUpDays::new(days).ok_or("must be 5, 7, 14, 30, 60 or 90")
}
