//! Lists: what their address says, the query that follows from it, and the links to other views of it.
//!
//! The whole state of a list stands in its address, so that a view can be shared:
//!
//! ```text
//! <column id>=<text>      a filter, once per column; "=text" asks for exactly that text
//! sort=<column id>        or -<column id>, descending
//! rows=10|25|50|100       per page
//! page=<n>                from 1
//! open=all | <id>,<id>…   rows whose details are shown
//! filters=hide            the row of filters is folded away; those in force stay
//! columns=<id>,<id>…      in place of those that the administrator chose
//! ```
//!
//! What the address leaves out is as the administrator last had it on this list, else as the list has it.

use std::time::Duration;

use super::preferences::ListPreference;
use super::visit::Fields;
use crate::clock::{DAY_SECONDS, Timestamp};
use crate::server::http::form::encode_into;
use crate::store::{Comparison, Condition, ListField, ListQuery, Sort, Value};

/// Rows per page that can be asked for.
pub(super) const ROWS: [u32; 4] = [10, 25, 50, 100];

const ROWS_DEFAULT: u32 = 25;

/// Longest value of a filter, in bytes; longer ones match nothing that can be there.
const FILTER_BYTES_MAX: usize = 255;

/// Most rows that `open` names.
const OPEN_MAX: usize = 100;

/// One column of a list. The first is the name's and always there.
pub(super) struct Column<F> {
    /// In addresses and preferences.
    pub(super) id: &'static str,
    pub(super) label: String,
    /// On cards and in filters, where there is less room.
    pub(super) short: &'static str,
    /// Style class of its width; the name's has none and takes the rest.
    pub(super) class: &'static str,
    pub(super) is_numeric: bool,
    /// Shown unless somebody chose otherwise.
    pub(super) is_default: bool,
    pub(super) sort: Option<F>,
    pub(super) filter: Option<Filter<F>>,
}

/// How a column is filtered.
pub(super) enum Filter<F> {
    /// Numbers from this one on.
    AtLeast(F),
    /// One of a few: what each means.
    Choice(Vec<FilterChoice<F>>),
    Contains(F),
    /// Exactly this text.
    Equals(F),
    /// An instant within a [`period`].
    Period(F),
    StartsWith(F),
}

pub(super) struct FilterChoice<F> {
    /// In the address.
    pub(super) value: String,
    pub(super) label: String,
    pub(super) conditions: Vec<Condition<F>>,
}

/// Which rows show their details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Open {
    All,
    These(Vec<String>),
}

/// What an address says of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListState {
    /// Of the page, without a query.
    pub(super) path: String,
    /// Column ids and values, in the order of the columns; no value is empty.
    pub(super) filters: Vec<(&'static str, String)>,
    /// A column id, and whether it goes down.
    pub(super) sort: (&'static str, bool),
    pub(super) page: u64,
    pub(super) rows: u32,
    pub(super) open: Open,
    pub(super) are_filters_hidden: bool,
    /// Those that are shown, in the order of the list.
    pub(super) columns: Vec<&'static str>,
    /// The address says so itself.
    are_columns_given: bool,
}

impl<F: ListField> Column<F> {
    /// A column that can be sorted and is shown.
    pub(super) fn new(
        id: &'static str,
        label: impl Into<String>,
        short: &'static str,
        class: &'static str,
        sort: F,
    ) -> Self {
        Self {
            id,
            label: label.into(),
            short,
            class,
            is_numeric: false,
            is_default: true,
            sort: Some(sort),
            filter: None,
        }
    }

    pub(super) fn numeric(self) -> Self {
        Self { is_numeric: true, ..self }
    }

    /// Shown only to those who choose it.
    pub(super) fn optional(self) -> Self {
        Self { is_default: false, ..self }
    }

    pub(super) fn filtered(self, filter: Filter<F>) -> Self {
        Self { filter: Some(filter), ..self }
    }

    pub(super) fn unsorted(self) -> Self {
        Self { sort: None, ..self }
    }
}

impl<F: ListField> FilterChoice<F> {
    /// True of objects whose field is this.
    pub(super) fn equals(value: impl Into<String>, label: impl Into<String>, field: F, is: impl Into<Value>) -> Self {
        let conditions = vec![Condition::new(field, Comparison::Equals, is)];
        Self { value: value.into(), label: label.into(), conditions }
    }
}

impl<F: ListField> Filter<F> {
    /// What a value asks for. `None`: nothing that could be asked.
    fn conditions(&self, value: &str) -> Option<Vec<Condition<F>>> {
        let text = |field, comparison| match value.strip_prefix('=') {
            Some(exact) => vec![Condition::new(field, Comparison::Equals, exact)],
            None => vec![Condition::new(field, comparison, value)],
        };
        match self {
            Self::AtLeast(field) => {
                let number = value.replace(',', "").parse::<i64>().ok()?;
                Some(vec![Condition::new(*field, Comparison::GreaterOrEquals, number)])
            }
            Self::Choice(choices) => {
                choices.iter().find(|choice| choice.value == value).map(|choice| choice.conditions.clone())
            }
            Self::Contains(field) => Some(text(*field, Comparison::Contains)),
            Self::Equals(field) => Some(text(*field, Comparison::Equals)),
            Self::Period(field) => {
                let (from, end) = period(value)?;
                let limit = |comparison, at: Timestamp| Condition::new(*field, comparison, at.unix_seconds());
                let from = from.map(|at| limit(Comparison::GreaterOrEquals, at));
                Some(from.into_iter().chain(end.map(|at| limit(Comparison::Less, at))).collect())
            }
            Self::StartsWith(field) => Some(text(*field, Comparison::StartsWith)),
        }
    }
}

impl ListState {
    /// Reads an address. What it says that is not known of the list is left out, as an old address may
    /// say it.
    pub(super) fn read<F: ListField>(path: &str, query: &Fields, columns: &[Column<F>], kept: &ListPreference) -> Self {
        let column = |id: &str| columns.iter().find(|column| column.id == id);
        let filters: Vec<_> = columns
            .iter()
            .filter(|column| column.filter.is_some())
            .filter_map(|column| {
                let value = query.text(column.id).trim();
                (!value.is_empty() && value.len() <= FILTER_BYTES_MAX).then(|| (column.id, value.to_owned()))
            })
            .collect();
        let sort = |text: &str| {
            let (id, descending) = text.strip_prefix('-').map_or((text, false), |id| (id, true));
            column(id).filter(|column| column.sort.is_some()).map(|column| (column.id, descending))
        };
        let rows = |text: &str| text.parse().ok().filter(|rows| ROWS.contains(rows));
        let open = match query.text("open") {
            "all" => Open::All,
            ids => Open::These(ids.split(',').filter(|id| !id.is_empty()).take(OPEN_MAX).map(str::to_owned).collect()),
        };
        let given = query.find("columns");
        let chosen = given.or(kept.columns.as_deref());
        let columns_shown = columns
            .iter()
            .enumerate()
            .filter(|(index, column)| {
                // A filter in force is never out of sight.
                *index == 0
                    || filters.iter().any(|(id, _)| *id == column.id)
                    || chosen.map_or(column.is_default, |ids| ids.split(',').any(|id| id == column.id))
            })
            .map(|(_, column)| column.id)
            .collect();
        Self {
            path: path.to_owned(),
            filters,
            sort: query
                .find("sort")
                .and_then(sort)
                .or_else(|| kept.sort.as_deref().and_then(sort))
                .unwrap_or((columns[0].id, false)),
            page: query.text("page").parse().ok().filter(|page| *page >= 1).unwrap_or(1),
            rows: query
                .find("rows")
                .and_then(rows)
                .or_else(|| kept.rows.as_deref().and_then(rows))
                .unwrap_or(ROWS_DEFAULT),
            open,
            are_filters_hidden: query.text("filters") == "hide",
            columns: columns_shown,
            are_columns_given: given.is_some(),
        }
    }

    /// The question for the store. Filters that ask nothing possible, such as a word in place of a number, are
    /// named beside it and match nothing.
    pub(super) fn query<F: ListField>(&self, columns: &[Column<F>]) -> Result<ListQuery<F>, &'static str> {
        let mut conditions = Vec::new();
        for (id, value) in &self.filters {
            let filter = columns.iter().find(|column| column.id == *id).and_then(|column| column.filter.as_ref());
            conditions.extend(filter.and_then(|filter| filter.conditions(value)).ok_or(*id)?);
        }
        let (id, descending) = self.sort;
        let field = columns.iter().find(|column| column.id == id).and_then(|column| column.sort);
        let sort = field.map(|field| Sort { field, descending });
        let offset = (self.page - 1).saturating_mul(u64::from(self.rows));
        Ok(ListQuery { conditions, sort, offset, limit: self.rows })
    }

    /// The filters alone, as a saved set keeps them.
    pub(super) fn filter_query(&self) -> String {
        let mut query = String::new();
        for (id, value) in &self.filters {
            push(&mut query, id, value);
        }
        query
    }

    /// The address of this state.
    pub(super) fn address(&self) -> String {
        let mut query = self.filter_query();
        for (name, value) in self.beside_filters() {
            push(&mut query, name, &value);
        }
        if self.page > 1 {
            push(&mut query, "page", &self.page.to_string());
        }
        format!("{}?{query}", self.path)
    }

    /// What a form that sends the filters sends besides.
    pub(super) fn beside_filters(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("sort", self.sort_text()), ("rows", self.rows.to_string())];
        match &self.open {
            Open::All => pairs.push(("open", "all".to_owned())),
            Open::These(ids) if !ids.is_empty() => pairs.push(("open", ids.join(","))),
            Open::These(_) => {}
        }
        if self.are_filters_hidden {
            pairs.push(("filters", "hide".to_owned()));
        }
        if self.are_columns_given {
            pairs.push(("columns", self.columns.join(",")));
        }
        pairs
    }

    fn sort_text(&self) -> String {
        let (id, descending) = self.sort;
        format!("{}{id}", if descending { "-" } else { "" })
    }

    /// What the administrator is to find again: order and page size.
    pub(super) fn kept(&self, kept: &ListPreference) -> ListPreference {
        ListPreference {
            sort: Some(self.sort_text()),
            rows: Some(self.rows.to_string()),
            columns: kept.columns.clone(),
        }
    }

    pub(super) fn filter(&self, id: &str) -> &str {
        self.filters.iter().find(|(found, _)| *found == id).map_or("", |(_, value)| value)
    }

    pub(super) fn is_open(&self, id: &str) -> bool {
        match &self.open {
            Open::All => true,
            Open::These(ids) => ids.iter().any(|open| open == id),
        }
    }

    pub(super) fn with_page(&self, page: u64) -> Self {
        Self { page, ..self.clone() }
    }

    pub(super) fn with_rows(&self, rows: u32) -> Self {
        Self { rows, page: 1, ..self.clone() }
    }

    /// Sorted by a column; the other way round if it is already.
    pub(super) fn sorted_by(&self, id: &'static str) -> Self {
        let descending = self.sort == (id, false);
        Self { sort: (id, descending), page: 1, ..self.clone() }
    }

    pub(super) fn without_filter(&self, id: &str) -> Self {
        let mut state = Self { page: 1, ..self.clone() };
        state.filters.retain(|(found, _)| *found != id);
        state
    }

    pub(super) fn without_filters(&self) -> Self {
        Self { filters: Vec::new(), page: 1, ..self.clone() }
    }

    pub(super) fn with_filter(&self, id: &'static str, value: String) -> Self {
        let mut state = self.without_filter(id);
        state.filters.push((id, value));
        state
    }

    pub(super) fn with_filters_hidden(&self, are_filters_hidden: bool) -> Self {
        Self { are_filters_hidden, ..self.clone() }
    }

    pub(super) fn with_open(&self, open: Open) -> Self {
        Self { open, ..self.clone() }
    }

    /// With one row's details shown, or hidden if they are. `all` are the rows of the page.
    pub(super) fn with_toggled<'a>(&self, id: &str, all: impl Iterator<Item = &'a str>) -> Self {
        let mut ids: Vec<String> = match &self.open {
            Open::All => all.map(str::to_owned).collect(),
            Open::These(ids) => ids.clone(),
        };
        match ids.iter().position(|open| open == id) {
            Some(index) => drop(ids.remove(index)),
            None => ids.push(id.to_owned()),
        }
        self.with_open(Open::These(ids))
    }
}

/// A span of time as people write it, in UTC: `2026-11-20` is that day, `2026-11-20 16:06` that minute,
/// `2026-11-14..2026-11-20` from the begin of the one to the end of the other; either may be left out. The first
/// instant of it, and the first behind it.
fn period(text: &str) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
    let part = |text: &str| {
        let text = text.trim().replace(' ', "T");
        let (whole, seconds) = match text.len() {
            10 => (format!("{text}T00:00:00Z"), DAY_SECONDS),
            16 => (format!("{text}:00Z"), 60),
            _ => (format!("{}Z", text.trim_end_matches('Z')), 1),
        };
        let from = Timestamp::from_rfc3339(&whole).ok()?;
        Some((from, from.saturating_add(Duration::from_secs(seconds.into()))))
    };
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (from.trim(), to.trim());
    let from = if from.is_empty() { None } else { Some(part(from)?.0) };
    let end = if to.is_empty() { None } else { Some(part(to)?.1) };
    (from.is_some() || end.is_some()).then_some((from, end))
}

/// A list's address with one filter: exactly this text.
pub(super) fn where_exactly(list: &str, id: &str, text: &str) -> String {
    let mut query = String::new();
    push(&mut query, id, &format!("={text}"));
    format!("{list}?{query}")
}

fn push(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    encode_into(query, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::KeyField;

    fn columns() -> Vec<Column<KeyField>> {
        vec![
            Column::new("name", "Name", "Name", "", KeyField::Name).filtered(Filter::Contains(KeyField::Name)),
            Column::new("max", "Maximum", "Maximum", "c-max", KeyField::Maximum)
                .filtered(Filter::AtLeast(KeyField::Maximum)),
            Column::new("status", "Status", "Status", "c-state", KeyField::State).optional().filtered(Filter::Choice(
                vec![FilterChoice::equals("disabled", "Disabled", KeyField::State, "disabled")],
            )),
            Column::new("key", "Key", "Key", "c-key", KeyField::Hint).unsorted(),
        ]
    }

    fn read(query: &str, kept: &ListPreference) -> ListState {
        ListState::read("/keys", &Fields::parse(query).unwrap(), &columns(), kept)
    }

    #[test]
    fn an_address_says_the_same_when_it_is_read_again() {
        let kept = ListPreference::default();
        for query in [
            "",
            "name=eu-%2F&max=5&sort=-max&rows=50&page=3",
            "open=all&filters=hide",
            "open=7,8&columns=key",
            "status=disabled",
        ] {
            let state = read(query, &kept);
            let address = state.address();
            let again = read(address.split_once('?').unwrap().1, &ListPreference::default());
            assert_eq!(again.filters, state.filters, "{query}");
            assert_eq!(again, state, "{query} {address}");
        }
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let state = read("colour=red&sort=colour&rows=1000&page=0&max=&name=%20&key=x", &ListPreference::default());
        assert_eq!(state, read("", &ListPreference::default()));
        assert_eq!((state.sort, state.rows, state.page), (("name", false), ROWS_DEFAULT, 1));
        assert_eq!(state.columns, ["name", "max", "key"]);
        let state = read(&format!("name={}", "n".repeat(FILTER_BYTES_MAX + 1)), &ListPreference::default());
        assert_eq!(state.filters, []);
    }

    #[test]
    fn filters_become_conditions() {
        let kept = ListPreference::default();
        let query =
            read("name=eu-&max=1,000&status=disabled&sort=-max&page=2&rows=10", &kept).query(&columns()).unwrap();
        assert_eq!(
            query.conditions,
            [
                Condition::new(KeyField::Name, Comparison::Contains, "eu-"),
                Condition::new(KeyField::Maximum, Comparison::GreaterOrEquals, 1_000),
                Condition::new(KeyField::State, Comparison::Equals, "disabled"),
            ]
        );
        assert_eq!((query.offset, query.limit), (10, 10));
        assert_eq!(query.sort, Some(Sort { field: KeyField::Maximum, descending: true }));
        let exact = read("name==eu", &kept).query(&columns()).unwrap();
        assert_eq!(exact.conditions, [Condition::new(KeyField::Name, Comparison::Equals, "eu")]);
        for (query, id) in [("max=many", "max"), ("status=colourful", "status")] {
            assert_eq!(read(query, &kept).query(&columns()), Err(id));
        }
    }

    #[test]
    fn a_period_is_written_as_people_do() {
        let at = |text: &str| Some(Timestamp::from_rfc3339(text).unwrap());
        for (text, expected) in [
            ("2026-11-20", (at("2026-11-20T00:00:00Z"), at("2026-11-21T00:00:00Z"))),
            ("2026-11-20 16:06", (at("2026-11-20T16:06:00Z"), at("2026-11-20T16:07:00Z"))),
            ("2026-11-20T16:06:11Z", (at("2026-11-20T16:06:11Z"), at("2026-11-20T16:06:12Z"))),
            ("2026-11-14 .. 2026-11-20", (at("2026-11-14T00:00:00Z"), at("2026-11-21T00:00:00Z"))),
            ("2026-11-14..", (at("2026-11-14T00:00:00Z"), None)),
            ("..2026-11-20 16:06:11", (None, at("2026-11-20T16:06:12Z"))),
        ] {
            assert_eq!(period(text), Some(expected), "{text}");
        }
        for text in
            ["..", " ", "yesterday", "2026-11", "2026-13-01", "2026-11-20..x", "2026-11-14..15..16", "20-11-2026"]
        {
            assert_eq!(period(text), None, "{text}");
        }
    }

    #[test]
    fn a_column_with_a_filter_in_force_is_shown() {
        let state = read("status=disabled", &ListPreference::default());
        assert_eq!(state.columns, ["name", "max", "status", "key"]);
    }

    #[test]
    fn a_link_to_exactly_one_text_is_read_as_one() {
        let address = where_exactly("/keys", "name", "a+b/c=&d e");
        let state = read(address.split_once('?').unwrap().1, &ListPreference::default());
        assert_eq!(state.filter("name"), "=a+b/c=&d e");
    }

    #[test]
    fn what_was_kept_stands_in_for_what_the_address_leaves_out() {
        let kept = ListPreference {
            sort: Some("-max".to_owned()),
            rows: Some("100".to_owned()),
            columns: Some("key,status".to_owned()),
        };
        let state = read("", &kept);
        assert_eq!((state.sort, state.rows), (("max", true), 100));
        assert_eq!(state.columns, ["name", "status", "key"]);
        let state = read("sort=name&rows=10&columns=max", &kept);
        assert_eq!((state.sort, state.rows), (("name", false), 10));
        assert_eq!(state.columns, ["name", "max"]);
        let keep = state.kept(&kept);
        assert_eq!((keep.sort.as_deref(), keep.columns.as_deref()), (Some("name"), Some("key,status")));
    }

    #[test]
    fn a_row_is_opened_and_closed() {
        let state = read("open=7", &ListPreference::default());
        let all = ["7", "8", "9"];
        assert!(state.is_open("7") && !state.is_open("8"));
        assert_eq!(state.with_toggled("8", all.into_iter()).open, Open::These(vec!["7".into(), "8".into()]));
        assert_eq!(state.with_toggled("7", all.into_iter()).open, Open::These(vec![]));
        let all_open = state.with_open(Open::All);
        assert_eq!(all_open.with_toggled("8", all.into_iter()).open, Open::These(vec!["7".into(), "9".into()]));
    }
}
