//! Pages of lists: filters on the name, order of id, total.

use rusqlite::{Connection, Row, ToSql, params_from_iter};

use crate::domain::Kind;
use crate::id::CustomerId;
use crate::store::{ListQuery, NameFilter, Page};

/// What a list chooses from: `SELECT columns FROM table WHERE condition`, with the condition's values.
/// Filters compare the column `name`.
pub(super) struct List<'a> {
    columns: &'a str,
    table: &'a str,
    condition: &'a str,
    values: Vec<Box<dyn ToSql>>,
}

impl<'a> List<'a> {
    /// A customer's rows.
    pub(super) fn of_customer(columns: &'a str, table: &'a str, customer: CustomerId) -> Self {
        Self { columns, table, condition: "customer_id = ?1", values: vec![Box::new(customer)] }
    }

    /// A customer's rows of one kind.
    pub(super) fn of_kind(columns: &'a str, table: &'a str, customer: CustomerId, kind: Kind) -> Self {
        let values: Vec<Box<dyn ToSql>> = vec![Box::new(customer), Box::new(kind)];
        Self { columns, table, condition: "customer_id = ?1 AND kind = ?2", values }
    }

    /// As [`Self::of_kind`], without those that are deleted.
    pub(super) fn of_kind_undeleted(columns: &'a str, table: &'a str, customer: CustomerId, kind: Kind) -> Self {
        let condition = "customer_id = ?1 AND kind = ?2 AND deleted_at IS NULL";
        Self { condition, ..Self::of_kind(columns, table, customer, kind) }
    }

    /// One page in order of id, with the total of what the filters leave.
    ///
    /// `unfiltered_total` answers without counting where the store keeps the number.
    pub(super) fn page<T>(
        mut self,
        connection: &Connection,
        query: &ListQuery,
        unfiltered_total: Option<u64>,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Page<T>> {
        let mut condition = self.condition.to_owned();
        for filter in &query.filter {
            condition.push_str(&self.filter(filter));
        }
        let table = self.table;
        let total = match unfiltered_total.filter(|_| query.filter.is_empty()) {
            Some(total) => total,
            None => connection
                .prepare_cached(&format!("SELECT count(*) FROM {table} WHERE {condition}"))?
                .query_row(params_from_iter(&self.values), |row| row.get(0))?,
        };
        let columns = self.columns;
        let (limit, offset) = bounds(query);
        let rows = connection
            .prepare_cached(&format!(
                "SELECT {columns} FROM {table} WHERE {condition} ORDER BY id LIMIT {limit} OFFSET {offset}"
            ))?
            .query_map(params_from_iter(&self.values), read)?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Page { rows, total })
    }

    /// ` AND …` for one filter; its text becomes a bound value. Both sides in lower case, ASCII only.
    fn filter(&mut self, filter: &NameFilter) -> String {
        let (NameFilter::Contains(text)
        | NameFilter::EndsWith(text)
        | NameFilter::Equals(text)
        | NameFilter::NotEquals(text)
        | NameFilter::StartsWith(text)) = filter;
        self.values.push(Box::new(text.to_ascii_lowercase()));
        let value = self.values.len();
        match filter {
            NameFilter::Contains(_) => format!(" AND instr(lower(name), ?{value}) > 0"),
            // An empty end is the end of everything; substr(x, -0) would be the whole.
            NameFilter::EndsWith(_) => {
                format!(" AND (?{value} = '' OR substr(lower(name), -length(?{value})) = ?{value})")
            }
            NameFilter::Equals(_) => format!(" AND lower(name) = ?{value}"),
            NameFilter::NotEquals(_) => format!(" AND lower(name) <> ?{value}"),
            NameFilter::StartsWith(_) => format!(" AND substr(lower(name), 1, length(?{value})) = ?{value}"),
        }
    }
}

/// Limit and offset that SQLite takes: 1 to [`ListQuery::LIMIT_MAX`], and at most 2⁶³ − 1.
pub(super) fn bounds(query: &ListQuery) -> (u32, i64) {
    (query.limit.clamp(1, ListQuery::LIMIT_MAX), i64::try_from(query.offset).unwrap_or(i64::MAX))
}
