//! Pages of lists: conditions, order, total.

use std::borrow::Cow;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use crate::clock::Timestamp;
use crate::domain::Kind;
use crate::id::CustomerId;
use crate::store::{Comparison, Condition, ListField, ListQuery, Page, PageRequest, Value, ValueKind};

/// Where a table keeps the fields of its list.
pub(super) trait Columns: ListField {
    fn column(self, values: &mut Values) -> Column;
}

/// Where a field is found.
pub(super) enum Column {
    /// An expression over the list's own row.
    Own(Cow<'static, str>),
    /// The name of what the row refers to by this qualified column.
    NameOf { table: &'static str, reference: &'static str },
}

/// A column of the list's own row.
pub(super) const fn own(expression: &'static str) -> Column {
    Column::Own(Cow::Borrowed(expression))
}

/// What a statement binds, in the order of its numbers.
pub(super) struct Values {
    bound: Vec<Box<dyn ToSql>>,
    /// For fields that depend on the time.
    now: Timestamp,
}

impl Values {
    /// The number that stands for `value` in the statement, e.g. `?3`.
    pub(super) fn bind(&mut self, value: impl ToSql + 'static) -> String {
        self.bound.push(Box::new(value));
        format!("?{}", self.bound.len())
    }

    pub(super) fn bind_now(&mut self) -> String {
        self.bind(self.now)
    }
}

/// What a list chooses from: `FROM table WHERE condition`, with the condition's values.
pub(super) struct List {
    columns: &'static str,
    table: &'static str,
    condition: String,
    values: Values,
}

impl List {
    /// A customer's rows. The customer is `?1` in whatever is added.
    pub(super) fn of_customer(
        columns: &'static str,
        table: &'static str,
        customer: CustomerId,
        now: Timestamp,
    ) -> Self {
        let mut values = Values { bound: Vec::new(), now };
        let condition = format!("customer_id = {}", values.bind(customer));
        Self { columns, table, condition, values }
    }

    /// A customer's rows of one kind.
    pub(super) fn of_kind(
        columns: &'static str,
        table: &'static str,
        customer: CustomerId,
        kind: Kind,
        now: Timestamp,
    ) -> Self {
        let mut list = Self::of_customer(columns, table, customer, now);
        list.condition = format!("{} AND kind = {}", list.condition, list.values.bind(kind));
        list
    }

    /// As [`Self::of_kind`], without those that are deleted.
    pub(super) fn of_kind_undeleted(
        columns: &'static str,
        table: &'static str,
        customer: CustomerId,
        kind: Kind,
        now: Timestamp,
    ) -> Self {
        let mut list = Self::of_kind(columns, table, customer, kind, now);
        list.condition.push_str(" AND deleted_at IS NULL");
        list
    }

    /// One page, with the total of what the conditions leave.
    ///
    /// Rows are found first and read then, so that no sort carries whole rows.
    /// `unfiltered_total` answers without counting where the store keeps the number.
    pub(super) fn page<T, F: Columns>(
        mut self,
        connection: &Connection,
        query: &ListQuery<F>,
        unfiltered_total: Option<u64>,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Page<T>> {
        for condition in &query.conditions {
            let term = self.term(condition);
            self.condition = format!("{} AND {term}", self.condition);
        }
        let (table, condition) = (self.table, &self.condition);
        let total = match unfiltered_total.filter(|_| query.conditions.is_empty()) {
            Some(total) => total,
            None => connection
                .prepare_cached(&format!("SELECT count(*) FROM {table} WHERE {condition}"))?
                .query_row(params_from_iter(&self.values.bound), |row| row.get(0))?,
        };
        let (limit, offset) = bounds(query);
        let order = query.sort.map_or_else(
            || "id".to_owned(),
            |sort| {
                let direction = if sort.descending { "DESC" } else { "ASC" };
                let key = sort_key(sort.field, &mut self.values);
                format!("{key} {direction}, id {direction}")
            },
        );
        let ids = connection
            .prepare_cached(&format!(
                "SELECT id FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
            ))?
            .query_map(params_from_iter(&self.values.bound), |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        let mut find = connection.prepare_cached(&format!("SELECT {} FROM {table} WHERE id = ?1", self.columns))?;
        let rows = ids.into_iter().map(|id| find.query_row([id], &mut read)).collect::<rusqlite::Result<_>>()?;
        Ok(Page { rows, total })
    }

    fn term<F: Columns>(&mut self, condition: &Condition<F>) -> String {
        let Condition { field, comparison, value } = condition;
        if !condition.makes_sense() {
            return "FALSE".to_owned();
        }
        match field.column(&mut self.values) {
            Column::Own(expression) => term(&mut self.values, &expression, *comparison, value),
            // Few are referred to by many, so the few are searched.
            Column::NameOf { table, reference } => {
                let (comparison, is_so) = match comparison {
                    Comparison::NotEquals => (Comparison::Equals, "IS NOT TRUE"),
                    other => (*other, "IS TRUE"),
                };
                let term = term(&mut self.values, "named.name", comparison, value);
                format!(
                    "({reference} IN (SELECT named.id FROM {table} named WHERE named.customer_id = ?1 AND {term})) {is_so}"
                )
            }
        }
    }
}

/// One comparison of an expression with a value that suits it.
fn term(values: &mut Values, expression: &str, comparison: Comparison, value: &Value) -> String {
    let value = values.bind(lower(value));
    match comparison {
        Comparison::Contains => format!("instr(lower({expression}), {value}) > 0"),
        // An empty end is the end of everything; substr(x, -0) would be the whole.
        Comparison::EndsWith => format!(
            "(({value} = '' AND {expression} IS NOT NULL) OR substr(lower({expression}), -length({value})) = {value})"
        ),
        Comparison::Equals => format!("{expression} = {value} COLLATE NOCASE"),
        Comparison::Greater => format!("{expression} > {value} COLLATE NOCASE"),
        Comparison::GreaterOrEquals => format!("{expression} >= {value} COLLATE NOCASE"),
        Comparison::Less => format!("{expression} < {value} COLLATE NOCASE"),
        Comparison::LessOrEquals => format!("{expression} <= {value} COLLATE NOCASE"),
        Comparison::NotEquals => format!("{expression} IS NOT {value} COLLATE NOCASE"),
        Comparison::StartsWith => format!("substr(lower({expression}), 1, length({value})) = {value}"),
    }
}

fn sort_key<F: Columns>(field: F, values: &mut Values) -> String {
    let expression = match field.column(values) {
        Column::Own(expression) => expression,
        Column::NameOf { table, reference } => {
            format!("(SELECT named.name FROM {table} named WHERE named.id = {reference})").into()
        }
    };
    match field.value_kind() {
        ValueKind::Flag | ValueKind::Number => expression.into_owned(),
        ValueKind::Text => format!("{expression} COLLATE NOCASE"),
    }
}

/// Text in lower case, ASCII only: what it is compared with is folded in the same way.
fn lower(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(text.to_ascii_lowercase()),
        other => other.clone(),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Flag(flag) => (*flag).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        })
    }
}

/// Limit and offset that SQLite takes: 1 to [`PageRequest::LIMIT_MAX`], and at most 2⁶³ − 1.
pub(super) fn bounds(page: impl Into<PageRequest>) -> (u32, i64) {
    let PageRequest { offset, limit } = page.into();
    (limit.clamp(1, PageRequest::LIMIT_MAX), i64::try_from(offset).unwrap_or(i64::MAX))
}
