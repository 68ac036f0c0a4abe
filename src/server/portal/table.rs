//! What every list looks like: toolbar, filters, rows, open rows, pages. Finished words for `table.html`,
//! which a page includes with a field `table`.

use super::head::Link;
use super::list::{Column, Filter, ListState, Open, ROWS};
use super::words::{self, Cut, Instant};
use crate::domain::preference::SavedFilter;
use crate::store::ListField;

/// A whole list.
pub(super) struct Table {
    /// Names the table for whoever does not see it.
    pub(super) label: String,
    /// Many of what is listed: "keys".
    pub(super) many: &'static str,
    /// The name under which this list's preferences and saved filters are kept.
    pub(super) page: String,
    /// The list's address without a query.
    pub(super) path: String,
    /// Of the list as it is shown.
    pub(super) address: String,
    pub(super) tools: Tools,
    /// Of the columns that are shown, the name's first.
    pub(super) heads: Vec<Head>,
    pub(super) can_be_filtered: bool,
    pub(super) are_filters_shown: bool,
    /// What the filters' form sends besides them.
    pub(super) beside_filters: Vec<(&'static str, String)>,
    pub(super) rows: Vec<Row>,
    /// With ticks there is a bar of what can be done with the rows that are ticked.
    pub(super) bulk: Option<Bulk>,
    pub(super) has_details: bool,
    pub(super) has_actions: bool,
    pub(super) pager: Pager,
    /// How many cells a row has.
    pub(super) width: usize,
    /// A filter that asks nothing possible, as a sentence.
    pub(super) problem: Option<String>,
}

/// Above the table.
pub(super) struct Tools {
    /// The saved set in force; "None".
    pub(super) applied: String,
    pub(super) saved: Vec<Saved>,
    pub(super) without_filters: String,
    pub(super) has_filters: bool,
    /// The filters alone, to be saved.
    pub(super) filter_query: String,
    pub(super) hide_address: String,
    pub(super) chips: Vec<Chip>,
    pub(super) expand_address: String,
    pub(super) is_expanded: bool,
    pub(super) columns: Vec<ColumnChoice>,
}

pub(super) struct Saved {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) is_applied: bool,
}

/// A filter in force.
pub(super) struct Chip {
    /// "Name contains".
    pub(super) what: String,
    pub(super) value: String,
    pub(super) without_address: String,
    /// Its field is to be seen while the filters are; those of columns that are not shown have none.
    pub(super) has_field: bool,
}

pub(super) struct ColumnChoice {
    pub(super) id: &'static str,
    pub(super) label: String,
    pub(super) is_shown: bool,
    /// The name's.
    pub(super) is_fixed: bool,
}

pub(super) struct Head {
    pub(super) id: &'static str,
    pub(super) label: String,
    pub(super) short: &'static str,
    pub(super) class: &'static str,
    pub(super) is_numeric: bool,
    /// `None`: not sorted by.
    pub(super) sort_address: Option<String>,
    /// `ascending`, `descending` or empty.
    pub(super) sorted: &'static str,
    pub(super) filter: Option<FilterField>,
}

pub(super) struct FilterField {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) placeholder: &'static str,
    pub(super) is_number: bool,
    /// Not empty: one of these.
    pub(super) options: Vec<FieldOption>,
}

/// An entry of a drop-down.
#[derive(Clone)]
pub(super) struct FieldOption {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: Cut,
    /// Where the name leads.
    pub(super) address: String,
    /// Beneath the name: what is unusual.
    pub(super) badges: Vec<Badge>,
    pub(super) tag: Option<Tag>,
    /// One for each head but the first.
    pub(super) cells: Vec<Cell>,
    pub(super) actions: Vec<Action>,
    pub(super) details: Vec<Detail>,
    pub(super) is_open: bool,
    pub(super) toggle_address: String,
}

/// A state: an icon and a word in a colour that never stands alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Badge {
    /// Style class: `badge-ok`, `badge-warn`, `badge-bad`, `badge-solid`, `badge-line` or none.
    pub(super) class: &'static str,
    pub(super) icon: &'static str,
    pub(super) label: String,
}

/// A remark without a ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) icon: &'static str,
    pub(super) label: String,
}

/// What stands in a cell, or as a value beside its label.
pub(super) enum Cell {
    Nothing,
    Badge(Badge),
    /// What was and what is, side by side, over the whole width.
    Changes(Vec<Change>),
    /// Texts of machines, one below the other.
    Codes(Vec<String>),
    Key(KeyCell),
    Link {
        label: String,
        address: String,
    },
    Links(Vec<Link>),
    Mono(String),
    Text(String),
    Time(Instant),
    /// "20 Nov 2026, 16:06 by Jana Rieger"; the address may be empty.
    TimeBy {
        at: Instant,
        by: String,
        address: String,
    },
    /// In a warning's colour when the class says so: `tag-warn`, `tag-bad` or none.
    Toned {
        class: &'static str,
        text: String,
    },
    Usage(Usage),
}

/// One setting, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) label: String,
    /// `None`: there was none.
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// How much of a key is used, in a number and a bar.
pub(super) struct Usage {
    pub(super) uses: String,
    /// "of 5,000"; empty without a maximum.
    pub(super) of: String,
    /// "96.2%"; empty without a maximum.
    pub(super) width: String,
    /// `bar-warn`, `bar-bad`, `bar-off` or none.
    pub(super) class: &'static str,
}

/// A provisioning key's short form, and what can be done with the string.
pub(super) struct KeyCell {
    /// `None`: not kept, and there is nothing to show.
    pub(super) hint: Option<Cut>,
    pub(super) copy_address: String,
    pub(super) download_address: String,
    pub(super) file_name: String,
    /// Why it cannot be had, and where to change that.
    pub(super) obstacle: Option<Obstacle>,
}

pub(super) struct Obstacle {
    /// Ties the words to the buttons that are off.
    pub(super) id: String,
    /// `⚠` beside it.
    pub(super) is_warning: bool,
    pub(super) text: String,
    /// Where to change that; `None` for those who may not.
    pub(super) link: Option<Link>,
}

/// A button at the end of a row.
pub(super) struct Action {
    pub(super) icon: &'static str,
    /// "Edit eu-lab": names the thing.
    pub(super) label: String,
    /// "Edit".
    pub(super) tip: &'static str,
    pub(super) address: String,
    pub(super) is_destructive: bool,
}

/// A label over its value, in an open row.
pub(super) struct Detail {
    pub(super) label: &'static str,
    pub(super) value: Cell,
}

pub(super) struct Bulk {
    /// Where the ticked ids go.
    pub(super) address: String,
    pub(super) actions: Vec<BulkAction>,
}

pub(super) struct BulkAction {
    /// Of the field `do`.
    pub(super) value: &'static str,
    pub(super) label: &'static str,
    /// It leads to a page that asks.
    pub(super) is_destructive: bool,
}

pub(super) struct Pager {
    /// "1–10".
    pub(super) range: String,
    /// "14 keys".
    pub(super) total: String,
    /// ", 37 without filters".
    pub(super) unfiltered: String,
    pub(super) rows: Vec<PageLink>,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    pub(super) pages: Vec<PageLink>,
}

/// A page, or a number of rows. Without an address a gap.
pub(super) struct PageLink {
    pub(super) label: String,
    pub(super) address: String,
    pub(super) is_current: bool,
}

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) found: u64,
    pub(super) unfiltered: u64,
}

/// What a page says of its list beside the rows.
pub(super) struct About<'a, F> {
    pub(super) label: String,
    pub(super) one: &'static str,
    pub(super) many: &'static str,
    pub(super) page: String,
    pub(super) columns: &'a [Column<F>],
    pub(super) saved: Vec<SavedFilter>,
    pub(super) bulk: Option<Bulk>,
    /// The column whose filter asks nothing possible.
    pub(super) unasked: Option<&'static str>,
}

impl Table {
    pub(super) fn new<F: ListField>(state: &ListState, about: About<'_, F>, rows: Vec<Row>, totals: Totals) -> Self {
        let About { label, one, many, page, columns, saved, bulk, unasked } = about;
        let shown: Vec<_> = columns.iter().filter(|column| state.columns.contains(&column.id)).collect();
        let has_details = rows.iter().any(|row| !row.details.is_empty());
        let has_actions = rows.iter().any(|row| !row.actions.is_empty());
        let heads: Vec<_> = shown.iter().map(|column| head(state, column)).collect();
        let problem = unasked.and_then(|id| columns.iter().find(|column| column.id == id)).map(|column| {
            format!("The filter on {} cannot be “{}”. Nothing matches it.", column.label, state.filter(column.id))
        });
        let can_be_filtered = columns.iter().any(|column| column.filter.is_some());
        let are_filters_shown = can_be_filtered && !state.are_filters_hidden;
        // Apply stands at the end of the filters.
        let has_action_cell = has_actions || are_filters_shown;
        Self {
            width: heads.len() + usize::from(bulk.is_some()) + usize::from(has_action_cell),
            label,
            many,
            page,
            path: state.path.clone(),
            address: state.address(),
            tools: tools(state, columns, saved),
            heads,
            can_be_filtered,
            are_filters_shown,
            beside_filters: beside_filters(state),
            rows,
            bulk,
            has_details,
            has_actions: has_action_cell,
            pager: pager(state, one, many, totals),
            problem,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Row {
    /// A row with a name that leads to `address`; open if the state says so. `page_ids` are those of all rows
    /// of the page.
    pub(super) fn new(
        state: &ListState,
        id: &impl ToString,
        name: impl Into<String>,
        address: String,
        page_ids: &[String],
    ) -> Self {
        let id = id.to_string();
        Self {
            name: Cut::new(name),
            address,
            badges: Vec::new(),
            tag: None,
            cells: Vec::new(),
            actions: Vec::new(),
            details: Vec::new(),
            is_open: state.is_open(&id),
            toggle_address: state.with_toggled(&id, page_ids.iter().map(String::as_str)).address(),
            id,
        }
    }
}

impl Row {
    /// The cells, each with the head that it stands under.
    pub(super) fn with_heads<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (&'a Cell, &'a Head)> {
        self.cells.iter().zip(table.heads.iter().skip(1))
    }
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::Nothing } else { Self::Text(text) }
    }

    pub(super) const fn is_wide(&self) -> bool {
        matches!(self, Self::Changes(_))
    }

    pub(super) fn yes_no(is_so: bool) -> Self {
        Self::Text(if is_so { "On" } else { "Off" }.to_owned())
    }
}

impl Badge {
    pub(super) fn new(class: &'static str, icon: &'static str, label: impl Into<String>) -> Self {
        Self { class, icon, label: label.into() }
    }
}

impl Action {
    pub(super) fn edit(name: &str, address: String) -> Self {
        Self { icon: "edit", label: format!("Edit {name}"), tip: "Edit", address, is_destructive: false }
    }

    pub(super) fn delete(name: &str, address: String) -> Self {
        Self { icon: "trash", label: format!("Delete {name}"), tip: "Delete", address, is_destructive: true }
    }
}

/// With the filters of columns that are not shown, which stay in force.
fn beside_filters(state: &ListState) -> Vec<(&'static str, String)> {
    let unseen = state.filters.iter().filter(|(id, _)| !state.columns.contains(id)).cloned();
    state.beside_filters().into_iter().chain(unseen).collect()
}

fn head<F: ListField>(state: &ListState, column: &Column<F>) -> Head {
    let sorted = match state.sort {
        (id, false) if id == column.id => "ascending",
        (id, true) if id == column.id => "descending",
        _ => "",
    };
    Head {
        id: column.id,
        label: column.label.clone(),
        short: column.short,
        class: column.class,
        is_numeric: column.is_numeric,
        sort_address: column.sort.map(|_| state.sorted_by(column.id).address()),
        sorted,
        filter: column.filter.as_ref().map(|filter| filter_field(state, column, filter)),
    }
}

fn filter_field<F: ListField>(state: &ListState, column: &Column<F>, filter: &Filter<F>) -> FilterField {
    let value = state.filter(column.id).to_owned();
    let (suffix, placeholder, options) = match filter {
        Filter::AtLeast(_) => (", at least", "At least", Vec::new()),
        Filter::Contains(_) => (" contains", "", Vec::new()),
        Filter::Equals(_) => (" is", "", Vec::new()),
        Filter::Period(_) => (" from..to, in UTC", "2026-11-20..", Vec::new()),
        Filter::StartsWith(_) => (" starts with", "Begins with", Vec::new()),
        Filter::Choice(choices) => {
            let any = FieldOption { value: String::new(), label: "Any".to_owned(), is_chosen: value.is_empty() };
            let choices = choices.iter().map(|choice| FieldOption {
                value: choice.value.clone(),
                label: choice.label.clone(),
                is_chosen: choice.value == value,
            });
            ("", "", std::iter::once(any).chain(choices).collect())
        }
    };
    FilterField {
        label: format!("{}{suffix}", column.label),
        value,
        placeholder,
        is_number: matches!(filter, Filter::AtLeast(_)),
        options,
    }
}

fn tools<F: ListField>(state: &ListState, columns: &[Column<F>], saved: Vec<SavedFilter>) -> Tools {
    let filter_query = state.filter_query();
    let mut applied = None;
    let saved = saved
        .into_iter()
        .map(|saved| {
            let is_applied = saved.query.as_str() == filter_query;
            if is_applied {
                applied = Some(saved.name.to_string());
            }
            let address = format!("{}&{}", state.without_filters().address(), saved.query.as_str());
            Saved { name: saved.name.to_string(), address, is_applied }
        })
        .collect();
    Tools {
        applied: applied.unwrap_or_else(|| "None".to_owned()),
        saved,
        without_filters: state.without_filters().address(),
        has_filters: !state.filters.is_empty(),
        filter_query,
        hide_address: state.with_filters_hidden(!state.are_filters_hidden).address(),
        chips: state.filters.iter().filter_map(|(id, value)| chip(state, columns, id, value)).collect(),
        expand_address: match state.open {
            Open::All => state.with_open(Open::These(Vec::new())),
            Open::These(_) => state.with_open(Open::All),
        }
        .address(),
        is_expanded: state.open == Open::All,
        columns: columns
            .iter()
            .enumerate()
            .map(|(index, column)| ColumnChoice {
                id: column.id,
                label: column.label.clone(),
                is_shown: state.columns.contains(&column.id),
                is_fixed: index == 0,
            })
            .collect(),
    }
}

fn chip<F: ListField>(state: &ListState, columns: &[Column<F>], id: &str, value: &str) -> Option<Chip> {
    let column = columns.iter().find(|column| column.id == id)?;
    let (verb, value) = match (column.filter.as_ref()?, value.strip_prefix('=')) {
        (Filter::AtLeast(_), _) => ("at least", value),
        (Filter::Choice(choices), _) => {
            ("is", choices.iter().find(|choice| choice.value == value).map_or(value, |choice| choice.label.as_str()))
        }
        (_, Some(exact)) => ("is", exact),
        (Filter::Contains(_), None) => ("contains", value),
        (Filter::Equals(_) | Filter::Period(_), None) => ("is", value),
        (Filter::StartsWith(_), None) => ("starts with", value),
    };
    Some(Chip {
        what: format!("{} {verb}", column.short),
        value: value.to_owned(),
        without_address: state.without_filter(id).address(),
        has_field: state.columns.contains(&column.id),
    })
}

fn pager(state: &ListState, one: &str, many: &str, totals: Totals) -> Pager {
    let Totals { found, unfiltered } = totals;
    let rows = u64::from(state.rows);
    let last = found.div_ceil(rows).max(1);
    let first_row = (state.page - 1).saturating_mul(rows).saturating_add(1);
    let range = if first_row > found {
        "0".to_owned()
    } else {
        format!("{}–{}", words::number(first_row), words::number(found.min(first_row + rows - 1)))
    };
    let link = |page: u64| PageLink {
        label: words::number(page),
        address: state.with_page(page).address(),
        is_current: page == state.page,
    };
    let gap = || PageLink { label: "…".to_owned(), address: String::new(), is_current: false };
    // The first, the last, and those beside this one.
    let near = state.page.saturating_sub(1).max(1)..=state.page.saturating_add(1).min(last);
    let mut pages = Vec::new();
    if *near.start() > 1 {
        pages.push(link(1));
    }
    if *near.start() > 2 {
        pages.push(gap());
    }
    let (start, end) = (*near.start(), *near.end());
    pages.extend((start..=end).map(link));
    if end + 1 < last {
        pages.push(gap());
    }
    if end < last {
        pages.push(link(last));
    }
    let is_filtered = !state.filters.is_empty();
    Pager {
        range,
        total: format!("{} {}", words::number(found), if found == 1 { one } else { many }),
        unfiltered: if is_filtered {
            format!(", {} without filters", words::number(unfiltered))
        } else {
            String::new()
        },
        rows: ROWS
            .iter()
            .map(|&rows| PageLink {
                label: rows.to_string(),
                address: state.with_rows(rows).address(),
                is_current: rows == state.rows,
            })
            .collect(),
        previous: (state.page > 1).then(|| state.with_page(state.page.min(last + 1) - 1).address()),
        next: (state.page < last).then(|| state.with_page(state.page + 1).address()),
        pages,
    }
}
