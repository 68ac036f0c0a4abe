//! Lists: one page and two counters.

use serde::Serialize;

use super::Text;
use crate::domain::Name;
use crate::id::GroupId;
use crate::store::PageRequest;

/// `{"totalPages":"1","totalCount":"3","list":[…]}`. A page past the end is an empty list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<T> {
    total_pages: Text<u64>,
    total_count: Text<u64>,
    list: Vec<T>,
}

impl<T> Envelope<T> {
    pub fn new(list: Vec<T>, total: u64, page: impl Into<PageRequest>) -> Self {
        let total_pages = total.div_ceil(u64::from(page.into().limit.max(1)));
        Self { total_pages: Text(total_pages), total_count: Text(total), list }
    }
}

/// What a summary lists.
#[derive(Serialize)]
pub struct IdAndName<'a> {
    pub id: GroupId,
    pub name: &'a Name,
}
