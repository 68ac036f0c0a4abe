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

    /// Whether one object has a value at most, and an index leads there. Of no use in short lists.
    fn is_unique(self) -> bool {
        false
    }
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
    /// How many rows it has, if that is counted somewhere.
    length: Option<u64>,
}

impl List {
    /// All rows of the service.
    pub(super) fn of_service(columns: &'static str, table: &'static str, now: Timestamp) -> Self {
        Self { columns, table, condition: "TRUE".to_owned(), values: Values { bound: Vec::new(), now }, length: None }
    }

    /// A customer's rows. The customer is `?1` in whatever is added.
    pub(super) fn of_customer(
        columns: &'static str,
        table: &'static str,
        customer: CustomerId,
        now: Timestamp,
    ) -> Self {
        let mut values = Values { bound: Vec::new(), now };
        let condition = format!("customer_id = {}", values.bind(customer));
        Self { columns, table, condition, values, length: None }
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

    /// Spares counting the list as long as nothing is searched.
    pub(super) fn of_length(self, length: u64) -> Self {
        Self { length: Some(length), ..self }
    }

    /// Binds a value of what is then given to [`Self::restrict`].
    pub(super) fn bind(&mut self, value: impl ToSql + 'static) -> String {
        self.values.bind(value)
    }

    pub(super) fn restrict(&mut self, condition: &str) {
        self.condition = format!("{} AND {condition}", self.condition);
    }

    /// Keeps the planner from the indexes that begin with these columns, for one that it would not see.
    pub(super) fn avoid_indexes_on(&mut self, columns: &[&str]) {
        for column in columns {
            // SQLite: a unary plus changes nothing but that.
            self.condition = self.condition.replace(&format!("{column} ="), &format!("+{column} ="));
        }
    }

    /// One page and the total of what the conditions leave. The list is walked once, twice if it is
    /// both searched and sorted; not at all if its length is known and an index has its order. Rows are found first and read then, so that no sort carries whole rows.
    pub(super) fn page<T, F: Columns>(
        mut self,
        connection: &Connection,
        query: &ListQuery<F>,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Page<T>> {
        self.narrow(&query.conditions);
        let (table, condition) = (self.table, &self.condition);
        let (limit, offset) = bounds(query);
        let known = self.length.filter(|_| query.conditions.is_empty());
        let (total, ids) = match (query.sort, known) {
            (None, None) => {
                let mut all =
                    connection.prepare_cached(&format!("SELECT id FROM {table} WHERE {condition} ORDER BY id"))?;
                let mut all = all.query(params_from_iter(&self.values.bound))?;
                let (mut total, mut ids) = (0_u64, Vec::new());
                while let Some(row) = all.next()? {
                    if total >= offset.cast_unsigned() && ids.len() < limit as usize {
                        ids.push(row.get(0)?);
                    }
                    total += 1;
                }
                (total, ids)
            }
            (sort, known) => {
                // What is joined adds no rows; only conditions need it.
                let counted = if query.conditions.is_empty() { self.base() } else { table };
                let total = match known {
                    Some(length) => length,
                    None => connection
                        .prepare_cached(&format!("SELECT count(*) FROM {counted} WHERE {condition}"))?
                        .query_row(params_from_iter(&self.values.bound), |row| row.get(0))?,
                };
                let order = match sort {
                    Some(sort) => {
                        let direction = if sort.descending { "DESC" } else { "ASC" };
                        let key = sort_key(sort.field, &mut self.values);
                        format!("{key} {direction}, id {direction}")
                    }
                    None => "id".to_owned(),
                };
                let ids = connection
                    .prepare_cached(&format!(
                        "SELECT id FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
                    ))?
                    .query_map(params_from_iter(&self.values.bound), |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<i64>>>()?;
                (total, ids)
            }
        };
        let rows = self.rows(connection, ids, read)?;
        Ok(Page { rows, total })
    }

    /// One page of a list whose rows are found by their place: `ids` gives those from a place on, at
    /// most so many, ascending.
    pub(super) fn page_of<T>(
        &self,
        connection: &Connection,
        request: impl Into<PageRequest>,
        is_descending: bool,
        total: u64,
        ids: impl Fn(u64, usize) -> rusqlite::Result<Vec<i64>>,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Page<T>> {
        let PageRequest { offset, limit } = request.into();
        let left = total.saturating_sub(offset);
        let count = left.min(u64::from(limit.clamp(1, PageRequest::LIMIT_MAX)));
        let position = if is_descending { left - count } else { offset };
        let mut ids = if count == 0 { Vec::new() } else { ids(position, usize::try_from(count).unwrap_or(0))? };
        if is_descending {
            ids.reverse();
        }
        Ok(Page { rows: self.rows(connection, ids, read)?, total })
    }

    /// The table without what is joined to it.
    fn base(&self) -> &'static str {
        self.table.split(' ').next().unwrap_or(self.table)
    }

    fn rows<T>(
        &self,
        connection: &Connection,
        ids: Vec<i64>,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut find =
            connection.prepare_cached(&format!("SELECT {} FROM {} WHERE id = ?1", self.columns, self.table))?;
        ids.into_iter().map(|id| find.query_row([id], &mut read)).collect()
    }

    /// One page in the order of `order`, of a table whose rows have no id; with the total.
    pub(super) fn page_ordered_by<T, F: Columns>(
        mut self,
        connection: &Connection,
        conditions: &[Condition<F>],
        order: &str,
        page: PageRequest,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Page<T>> {
        self.narrow(conditions);
        let total = self.count(connection)?;
        let Self { columns, table, condition, values, .. } = &self;
        let (limit, offset) = bounds(page);
        let rows = connection
            .prepare_cached(&format!(
                "SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
            ))?
            .query_map(params_from_iter(&values.bound), read)?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Page { rows, total })
    }

    /// To those that meet all of these, too.
    fn narrow<F: Columns>(&mut self, conditions: &[Condition<F>]) {
        for condition in conditions {
            let term = self.term(condition);
            self.condition = format!("{} AND {term}", self.condition);
        }
    }

    fn count(&self, connection: &Connection) -> rusqlite::Result<u64> {
        connection
            .prepare_cached(&format!("SELECT count(*) FROM {} WHERE {}", self.table, self.condition))?
            .query_row(params_from_iter(&self.values.bound), |row| row.get(0))
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
                let among = |term: &str| {
                    format!(
                        "{reference} IN (SELECT named.id FROM {table} named WHERE named.customer_id = ?1 AND {term})"
                    )
                };
                match comparison {
                    Comparison::NotEquals => {
                        let equals = term(&mut self.values, "named.name", Comparison::Equals, value);
                        format!("({}) IS NOT TRUE", among(&equals))
                    }
                    other => among(&term(&mut self.values, "named.name", *other, value)),
                }
            }
        }
    }
}

/// One comparison of an expression with a value that suits it. Only text is folded: beside a collation that is not
/// its own, an index on a number is of no use.
fn term(values: &mut Values, expression: &str, comparison: Comparison, value: &Value) -> String {
    let fold = if value.kind() == ValueKind::Text { " COLLATE NOCASE" } else { "" };
    let value = values.bind(lower(value));
    match comparison {
        Comparison::Contains => format!("instr(lower({expression}), {value}) > 0"),
        // An empty end is the end of everything; substr(x, -0) would be the whole.
        Comparison::EndsWith => format!(
            "(({value} = '' AND {expression} IS NOT NULL) OR substr(lower({expression}), -length({value})) = {value})"
        ),
        Comparison::Equals => format!("{expression} = {value}{fold}"),
        Comparison::Greater => format!("{expression} > {value}{fold}"),
        Comparison::GreaterOrEquals => format!("{expression} >= {value}{fold}"),
        Comparison::Less => format!("{expression} < {value}{fold}"),
        Comparison::LessOrEquals => format!("{expression} <= {value}{fold}"),
        Comparison::NotEquals => format!("{expression} IS NOT {value}{fold}"),
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

/// Whether a list is gone through, and not just read at one place: then others are not to wait for it.
pub(super) fn is_walk<F: Columns>(query: &ListQuery<F>) -> bool {
    let is_unfiltered = query.conditions.is_empty() && query.sort.is_none_or(|sort| sort.field.is_unique());
    let is_sought =
        |condition: &Condition<F>| condition.comparison == Comparison::Equals && condition.field.is_unique();
    !is_unfiltered && !query.conditions.iter().any(is_sought)
}

/// Limit and offset that SQLite takes: 1 to [`PageRequest::LIMIT_MAX`], and at most 2⁶³ − 1.
pub(super) fn bounds(page: impl Into<PageRequest>) -> (u32, i64) {
    let PageRequest { offset, limit } = page.into();
    (limit.clamp(1, PageRequest::LIMIT_MAX), i64::try_from(offset).unwrap_or(i64::MAX))
}
