//! From a visit to a list: what all list pages do, apart from what they list.

use askama::Template;

use super::empty::Empty;
use super::frame::Frame;
use super::head::PageHead;
use super::list::{Column, ListState};
use super::table::{About, Bulk, Cell, Row, Table, Totals};
use super::visit::Visit;
use super::{Portal, filters};
use crate::management::Error;
use crate::management::sessions::Session;
use crate::store::{ListField, ListQuery, Page};

/// A list, or what stands in its place as long as there is nothing to list.
#[derive(Template)]
#[template(path = "list_page.html", config = "src/server/portal/askama.toml")]
pub(super) struct ListPage {
    pub(super) frame: Frame,
    pub(super) head: PageHead,
    pub(super) table: Table,
    /// `None`: the table is shown.
    pub(super) empty: Option<Empty>,
}

/// A list that was asked for: its state, and the question for the store.
pub(super) struct Listing<F: 'static> {
    /// The name under which preferences and saved filters are kept.
    page: String,
    pub(super) columns: Vec<Column<F>>,
    pub(super) state: ListState,
    /// `None`: a filter asks nothing possible, so nothing matches.
    query: Option<ListQuery<F>>,
    unasked: Option<&'static str>,
}

impl<F: ListField> Listing<F> {
    /// Reads what the address asks for, and keeps order and page size for the next time when they were chosen here:
    /// a shared address changes nobody's preferences. When they cannot be kept the list is shown all the same, as
    /// it has to be while a disk is full.
    pub(super) async fn read(
        portal: &Portal,
        visit: &Visit,
        session: &Session,
        page: impl Into<String>,
        columns: Vec<Column<F>>,
    ) -> Self {
        let page = page.into();
        let kept = visit.preferences.list(&page);
        let path = visit.address.split('?').next().unwrap_or_default();
        let state = ListState::read(path, &visit.query, &columns, &kept);
        let keep = state.kept(&kept);
        let is_chosen = visit.query.find("sort").is_some() && visit.is_from_here;
        if is_chosen
            && keep != kept
            && let Err(error) = portal.management().set_preference(&session.actor, &page, Some(&keep.to_text())).await
        {
            tracing::warn!(%error, "the order of a list could not be kept");
        }
        let (query, unasked) = match state.query(&columns) {
            Ok(query) => (Some(query), None),
            Err(id) => (None, Some(id)),
        };
        Self { page, columns, state, query, unasked }
    }

    /// What was asked for, by a use case that lists it.
    ///
    /// # Errors
    /// Those of the use case.
    pub(super) async fn find<'a, T, Found: Future<Output = Result<Page<T>, Error>>>(
        &'a self,
        list: impl FnOnce(&'a ListQuery<F>) -> Found,
    ) -> Result<Page<T>, Error> {
        match &self.query {
            Some(query) => list(query).await,
            None => Ok(Page { rows: Vec::new(), total: 0 }),
        }
    }

    /// The question without its filters, for the total.
    pub(super) fn whole(&self) -> ListQuery<F> {
        ListQuery::first(1)
    }

    /// The finished table. `rows` have a cell for each of [`Self::shown`].
    ///
    /// # Errors
    /// Outages.
    pub(super) async fn into_table(
        self,
        portal: &Portal,
        session: &Session,
        (label, one, many): (&str, &'static str, &'static str),
        rows: Vec<Row>,
        totals: Totals,
        bulk: Option<Bulk>,
    ) -> Result<Table, Error> {
        let saved = portal.management().list_saved_filters(&session.actor, &self.page).await?;
        let about = About {
            label: label.to_owned(),
            one,
            many,
            page: self.page,
            columns: &self.columns,
            saved,
            bulk,
            unasked: self.unasked,
        };
        Ok(Table::new(&self.state, about, rows, totals))
    }

    /// The ids of the columns that are shown, without the name's.
    pub(super) fn shown(&self) -> &[&'static str] {
        &self.state.columns[1..]
    }
}
