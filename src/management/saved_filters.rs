//! Sets of filters that an administrator saved under a name: there in later sessions, to be applied, renamed,
//! deleted. Its own, as [preferences](super::preferences) are.

use super::fields::{Checker, Field, Input};
use super::preferences::{own, require_own};
use super::{Error, Management, Object};
use crate::domain::{Actor, FilterName, PageName, QueryText, SavedFilter};
use crate::store::Change;

impl Management {
    /// The actor's own of a page, in order of name. Others than administrators have none. One read.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no page; outages.
    pub async fn list_saved_filters(&self, actor: &Actor, page: &str) -> Result<Vec<SavedFilter>, Error> {
        let page = checked_page(page)?;
        let Some((customer, administrator)) = own(actor) else { return Ok(Vec::new()) };
        Ok(self.store().list_saved_filters(customer, administrator, &page).await?)
    }

    /// Keeps `query` under a name, in place of what has the name on this page, without regard to ASCII case.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults, [`Field::Name`] at one too many; [`Error::NobodyMay`] for others than
    /// administrators; outages.
    pub async fn save_filter(&self, actor: &Actor, page: &str, name: &str, query: &str) -> Result<(), Error> {
        let (customer_id, administrator_id) = require_own(actor)?;
        let mut checker = Checker::default();
        let page = checker.required(Field::Page, Input::Given(page), PageName::new);
        let name = checker.required(Field::Name, Input::Given(name), FilterName::new);
        let query = checker.required(Field::Query, Input::Given(query), QueryText::new);
        let (Some(page), Some(name), Some(query)) = (page, name, query) else { return Err(checker.into_error()) };
        let filter = SavedFilter { customer_id, administrator_id, page, name, query };
        self.commit_filter(Change::PutSavedFilter(filter.clone()), &filter.name, &filter.name).await
    }

    /// # Errors
    /// [`Error::Invalid`]; [`Error::DuplicateName`] when another of the page has the new name;
    /// [`Error::NotFound`]; [`Error::NobodyMay`] for others than administrators; outages.
    pub async fn rename_saved_filter(&self, actor: &Actor, page: &str, name: &str, new: &str) -> Result<(), Error> {
        let (customer, administrator) = require_own(actor)?;
        let (page, name) = (checked_page(page)?, existing(name)?);
        let mut checker = Checker::default();
        let Some(new) = checker.required(Field::Name, Input::Given(new), FilterName::new) else {
            return Err(checker.into_error());
        };
        let rename = Change::RenameSavedFilter { customer, administrator, page, name: name.clone(), new: new.clone() };
        self.commit_filter(rename, &name, &new).await
    }

    /// # Errors
    /// [`Error::NotFound`]; [`Error::NobodyMay`] for others than administrators; outages.
    pub async fn delete_saved_filter(&self, actor: &Actor, page: &str, name: &str) -> Result<(), Error> {
        let (customer, administrator) = require_own(actor)?;
        let (page, name) = (checked_page(page)?, existing(name)?);
        let delete = Change::DeleteSavedFilter { customer, administrator, page, name: name.clone() };
        self.commit_filter(delete, &name, &name).await
    }

    /// `name` is what it has, `new` what it is to have.
    async fn commit_filter(&self, change: Change, name: &FilterName, new: &FilterName) -> Result<(), Error> {
        self.commit_own(change).await.map_err(|error| error.about(Object::SavedFilter, name, new.as_str()))
    }
}

fn checked_page(page: &str) -> Result<PageName, Error> {
    let mut checker = Checker::default();
    checker.required(Field::Page, Input::Given(page), PageName::new).ok_or_else(|| checker.into_error())
}

/// What could not be a name is the name of none.
fn existing(name: &str) -> Result<FilterName, Error> {
    FilterName::new(name).map_err(|_| Error::not_found(Object::SavedFilter, name))
}
