//! How an administrator has the pages of the portal: columns, sort, page size, theme. Its own, whatever its
//! role, and no settings of the service: no audit event, no revision.

use std::collections::BTreeMap;

use super::fields::{self, Checker, Field, Input};
use super::{CommitError, Error, Management, Object};
use crate::domain::{Actor, PageName, Preference, QueryText};
use crate::id::{AdministratorId, CustomerId};
use crate::store::{BrokenRule, Change};

impl Management {
    /// All of the actor's, by page. Others than administrators have none. One read.
    ///
    /// # Errors
    /// Outages.
    pub async fn preferences(&self, actor: &Actor) -> Result<BTreeMap<PageName, QueryText>, Error> {
        let Some((customer, administrator)) = own(actor) else { return Ok(BTreeMap::new()) };
        let rows = self.store().list_preferences(customer, administrator).await?;
        Ok(rows.into_iter().map(|row| (row.page, row.value)).collect())
    }

    /// Keeps the actor's own `value` of a page, or with `None` forgets it. The last writer wins.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults, [`Field::Page`] at one too many; [`Error::NobodyMay`] for others than
    /// administrators; outages.
    pub async fn set_preference(&self, actor: &Actor, page: &str, value: Option<&str>) -> Result<(), Error> {
        let (customer_id, administrator_id) = require_own(actor)?;
        let mut checker = Checker::default();
        let page = checker.required(Field::Page, Input::Given(page), PageName::new);
        let value = checker.check(Field::Query, value.map_or(Input::Absent, Input::Given), QueryText::new).given();
        let Some(page) = page else { return Err(checker.into_error()) };
        checker.finish()?;
        let change = match value {
            Some(value) => Change::PutPreference(Preference { customer_id, administrator_id, page, value }),
            None => Change::DeletePreference { customer: customer_id, administrator: administrator_id, page },
        };
        match self.commit_own(change).await {
            Ok(()) => Ok(()),
            Err(CommitError::Rule { rule: BrokenRule::Full { limit }, .. }) => Err(fields::full(Field::Page, limit)),
            Err(error) => Err(error.about(Object::Preference, administrator_id, "")),
        }
    }

    /// Something that an administrator keeps for itself. Nothing that a node keeps in memory is changed, so
    /// nothing is announced.
    pub(super) async fn commit_own(&self, change: Change) -> Result<(), CommitError> {
        self.store().commit_changes(vec![change], Vec::new(), &self.parts.audit_key).await?;
        Ok(())
    }
}

/// Whose row it is; `None` for whoever has none.
pub(super) fn own(actor: &Actor) -> Option<(CustomerId, AdministratorId)> {
    actor.administrator_id().map(|id| (actor.customer_id, id))
}

/// # Errors
/// [`Error::NobodyMay`] for whoever has none.
pub(super) fn require_own(actor: &Actor) -> Result<(CustomerId, AdministratorId), Error> {
    own(actor).ok_or(Error::NobodyMay { what: "keep preferences and filters but administrators" })
}
