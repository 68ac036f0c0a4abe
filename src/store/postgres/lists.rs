//! Pages of lists. Their statements are as many as what can be asked for: none is kept prepared, and each is planned
//! for its very values.

use tokio_postgres::types::Type;

use super::errors::Error;
use super::session::{Row, Session, TypedValue};
use crate::store::lists::{self, Bound, Columns, List};
use crate::store::{ListQuery, Page, PageRequest, Value};

/// How far from the start a page is read like any other; further on, passing over what comes before it is a walk.
const NEAR_MAX: u64 = 10_000;

/// One page and the total of what the conditions leave.
pub(super) async fn page<T, F: Columns>(
    session: &Session,
    mut list: List,
    query: &ListQuery<F>,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Page<T>, Error> {
    list.narrow(&query.conditions);
    page_ordered_by(session, list, |list, is_reversed| list.order(query.sort, is_reversed), query.into(), read).await
}

/// One page of a list that is narrowed already, in the order of `order`, or of its reverse. Rows are passed over from
/// the end that is nearer, and counted only if that is not known and the page does not tell.
pub(super) async fn page_ordered_by<T>(
    session: &Session,
    mut list: List,
    order: impl Fn(&mut List, bool) -> String,
    page: PageRequest,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Page<T>, Error> {
    let (limit, _) = page.bounds();
    let total = match list.length {
        None if page.offset == 0 => {
            let order = order(&mut list, false);
            let rows = rows(session, &list, &order, limit.into(), 0, read).await?;
            let is_all = rows.len() < limit as usize;
            let total = if is_all { rows.len() as u64 } else { count(session, &list).await? };
            return Ok(Page { rows, total });
        }
        None => count(session, &list).await?,
        Some(length) => length,
    };
    let left = total.saturating_sub(page.offset);
    let wanted = left.min(limit.into());
    if wanted == 0 {
        return Ok(Page { rows: Vec::new(), total });
    }
    let behind = left - wanted;
    let is_reversed = behind < page.offset;
    let order = order(&mut list, is_reversed);
    let mut rows = rows(session, &list, &order, wanted, behind.min(page.offset), read).await?;
    if is_reversed {
        rows.reverse();
    }
    Ok(Page { rows, total })
}

/// Whether a list is gone through, for a page that is far from the start, too.
pub(super) fn is_walk<F: Columns>(query: &ListQuery<F>) -> bool {
    is_far(query) || lists::is_walk(query)
}

/// Whether much is passed over, though an index has the order.
pub(super) fn is_far<F>(query: &ListQuery<F>) -> bool {
    query.offset > NEAR_MAX
}

async fn rows<T>(
    session: &Session,
    list: &List,
    order: &str,
    limit: u64,
    offset: u64,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let List { columns, table, condition, .. } = list;
    let sql = format!("SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit} OFFSET {offset}");
    session.rows_once(&sql, &bound(list)).await?.iter().map(read).collect()
}

async fn count(session: &Session, list: &List) -> Result<u64, Error> {
    let sql = format!("SELECT count(*) FROM {} WHERE {}", list.table, list.condition);
    session.row_once(&sql, &bound(list)).await?.count(0)
}

fn bound(list: &List) -> Vec<TypedValue<'_>> {
    list.values.bound.iter().map(typed).collect()
}

fn typed(value: &Bound) -> TypedValue<'_> {
    match value {
        Bound::Customer(customer) => (customer, Type::INT8),
        Bound::Kind(kind) => (kind, Type::INT8),
        Bound::Now(now) => (now, Type::INT8),
        Bound::Value(Value::Flag(flag)) => (flag, Type::BOOL),
        Bound::Value(Value::Number(number)) => (number, Type::INT8),
        Bound::Value(Value::Text(text)) => (text, Type::TEXT),
    }
}
