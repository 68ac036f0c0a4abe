//! Pages of lists, as SQLite finds them fastest.

use rusqlite::{Connection, Row, ToSql, params_from_iter};

use crate::store::lists::{Bound, Columns, List, Values};
use crate::store::{Condition, ListQuery, Page, PageRequest, Value};

/// One page and the total of what the conditions leave. The list is walked once, twice if it is
/// both searched and sorted; not at all if its length is known and an index has its order. Rows are
/// found first and read then, so that no sort carries whole rows.
pub(super) fn page<T, F: Columns>(
    connection: &Connection,
    mut list: List,
    query: &ListQuery<F>,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Page<T>> {
    list.narrow(&query.conditions);
    let table = list.table;
    let (limit, offset) = PageRequest::from(query).bounds();
    let (total, ids) = match (query.sort, list.length) {
        (None, None) => {
            let mut all =
                connection.prepare_cached(&format!("SELECT id FROM {table} WHERE {} ORDER BY id", list.condition))?;
            let mut all = all.query(bound(&list.values))?;
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
            let counted = if query.conditions.is_empty() { list.base() } else { table };
            let total = match known {
                Some(length) => length,
                None => count(connection, counted, &list)?,
            };
            let order = list.order(sort, false);
            let ids = connection
                .prepare_cached(&format!(
                    "SELECT id FROM {table} WHERE {} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
                    list.condition
                ))?
                .query_map(bound(&list.values), |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<i64>>>()?;
            (total, ids)
        }
    };
    let rows = rows(connection, &list, ids, read)?;
    Ok(Page { rows, total })
}

/// One page of a list whose rows are found by their place: `ids` gives those from a place on, at
/// most so many, ascending.
pub(super) fn page_of<T>(
    connection: &Connection,
    list: &List,
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
    Ok(Page { rows: rows(connection, list, ids, read)?, total })
}

/// One page in the order of `order`, of a table whose rows have no id; with the total.
pub(super) fn page_ordered_by<T, F: Columns>(
    connection: &Connection,
    mut list: List,
    conditions: &[Condition<F>],
    order: &str,
    page: PageRequest,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Page<T>> {
    list.narrow(conditions);
    let total = count(connection, list.table, &list)?;
    let List { columns, table, condition, values, .. } = &list;
    let (limit, offset) = page.bounds();
    let rows = connection
        .prepare_cached(&format!(
            "SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
        ))?
        .query_map(bound(values), read)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Page { rows, total })
}

/// Keeps the planner from the indexes that begin with these columns, for one that it would not see.
pub(super) fn avoid_indexes_on(list: &mut List, columns: &[&str]) {
    for column in columns {
        // SQLite: a unary plus changes nothing but that.
        list.condition = list.condition.replace(&format!("{column} ="), &format!("+{column} ="));
    }
}

fn rows<T>(
    connection: &Connection,
    list: &List,
    ids: Vec<i64>,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut find = connection.prepare_cached(&format!("SELECT {} FROM {} WHERE id = ?1", list.columns, list.table))?;
    ids.into_iter().map(|id| find.query_row([id], &mut read)).collect()
}

fn count(connection: &Connection, table: &str, list: &List) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(&format!("SELECT count(*) FROM {table} WHERE {}", list.condition))?
        .query_row(bound(&list.values), |row| row.get(0))
}

fn bound(values: &Values) -> impl rusqlite::Params {
    params_from_iter(values.bound.iter().map(|value| match value {
        Bound::Customer(customer) => customer as &dyn ToSql,
        Bound::Kind(kind) => kind,
        Bound::Now(now) => now,
        Bound::Value(Value::Flag(flag)) => flag,
        Bound::Value(Value::Number(number)) => number,
        Bound::Value(Value::Text(text)) => text,
    }))
}
