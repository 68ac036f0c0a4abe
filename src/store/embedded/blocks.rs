//! `component_blocks`: how many components each list has in each block of ids, so that the rows of
//! any page in order of id are found without passing by those before it.
//!
//! A block holds the ids that are alike above the lowest [`BLOCK_BITS`] bits. A page costs the sum of
//! the counts before it (one narrow row per 4,096 components) and the ids of the blocks that it
//! reaches into.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::domain::Kind;
use crate::id::{ComponentId, CustomerId, GroupId, Id};

pub(super) const BLOCK_BITS: u32 = 12;

/// With more groups of a kind than this, a block's ids are read from the table and not group by group.
const GROUPS_SOUGHT_MAX: u32 = 256;

/// Components that are not deleted, in order of id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ComponentList {
    OfGroup(GroupId),
    OfKind(Kind),
}

impl ComponentList {
    /// As it stands in its column: a group's id, or a kind below zero.
    fn number(self) -> i64 {
        match self {
            Self::OfGroup(id) => id.raw().cast_signed(),
            Self::OfKind(Kind::AppConnector) => -1,
            Self::OfKind(Kind::ServiceEdge) => -2,
            Self::OfKind(Kind::NetworkConnector) => -3,
            Self::OfKind(Kind::Machine) => -4,
        }
    }
}

/// What a transaction adds to the counts; to be written before it ends.
#[derive(Default)]
#[must_use]
pub(super) struct Counts(HashMap<(CustomerId, ComponentList, u64), i64>);

impl Counts {
    pub(super) fn add(&mut self, customer: CustomerId, kind: Kind, group: GroupId, id: ComponentId, delta: i64) {
        for list in [ComponentList::OfGroup(group), ComponentList::OfKind(kind)] {
            *self.0.entry((customer, list, id.raw() >> BLOCK_BITS)).or_default() += delta;
        }
    }

    /// Blocks without components have no row.
    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(
            "INSERT INTO component_blocks (customer_id, list, block, components) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET components = components + excluded.components",
        )?;
        let mut clear = connection.prepare_cached(
            "DELETE FROM component_blocks WHERE customer_id = ?1 AND list = ?2 AND block = ?3 AND components = 0",
        )?;
        for ((customer, list, block), delta) in self.0.into_iter().filter(|(_, delta)| *delta != 0) {
            add.execute(params![customer, list.number(), block, delta])?;
            if delta < 0 {
                clear.execute(params![customer, list.number(), block])?;
            }
        }
        Ok(())
    }
}

/// Takes a group's counts out of its kind's, when all its components go.
pub(super) fn clear_group(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    group: GroupId,
) -> rusqlite::Result<()> {
    let (group, kind) = (ComponentList::OfGroup(group).number(), ComponentList::OfKind(kind).number());
    connection
        .prepare_cached(
            "UPDATE component_blocks AS k SET components = k.components - g.components FROM component_blocks g
             WHERE g.customer_id = ?1 AND g.list = ?2 AND k.customer_id = ?1 AND k.list = ?3 AND k.block = g.block",
        )?
        .execute(params![customer, group, kind])?;
    connection
        .prepare_cached("DELETE FROM component_blocks WHERE customer_id = ?1 AND list = ?2 AND components = 0")?
        .execute(params![customer, kind])?;
    connection
        .prepare_cached("DELETE FROM component_blocks WHERE customer_id = ?1 AND list = ?2")?
        .execute(params![customer, group])?;
    Ok(())
}

/// How many components a list has.
pub(super) fn total(connection: &Connection, customer: CustomerId, list: ComponentList) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT coalesce(sum(components), 0) FROM component_blocks WHERE customer_id = ?1 AND list = ?2",
        )?
        .query_row(params![customer, list.number()], |row| row.get(0))
}

/// The ids from `position` on, at most `limit`, ascending. `kind` is the group's.
pub(super) fn ids(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    list: ComponentList,
    position: u64,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let groups: u32 = connection
        .prepare_cached("SELECT count(*) FROM groups WHERE customer_id = ?1 AND kind = ?2")?
        .query_row(params![customer, kind], |row| row.get(0))?;
    let mut of_block = connection.prepare_cached(match list {
        ComponentList::OfGroup(_) => {
            "SELECT id FROM components INDEXED BY components_by_group
             WHERE customer_id = ?1 AND kind = ?2 AND group_id = ?5 AND deleted_at IS NULL AND id BETWEEN ?3 AND ?4
             ORDER BY id"
        }
        ComponentList::OfKind(_) if groups > GROUPS_SOUGHT_MAX => {
            "SELECT id FROM components NOT INDEXED
             WHERE customer_id = ?1 AND kind = ?2 AND deleted_at IS NULL AND id BETWEEN ?3 AND ?4 AND ?5 < 0
             ORDER BY id"
        }
        ComponentList::OfKind(_) => {
            "SELECT p.id FROM groups g CROSS JOIN components p INDEXED BY components_by_group
                 ON p.customer_id = ?1 AND p.kind = ?2 AND p.group_id = g.id AND p.deleted_at IS NULL
                     AND p.id BETWEEN ?3 AND ?4
             WHERE g.customer_id = ?1 AND g.kind = ?2 AND ?5 < 0
             ORDER BY p.id"
        }
    })?;
    let mut blocks = connection.prepare_cached(
        "SELECT block, components FROM component_blocks WHERE customer_id = ?1 AND list = ?2 ORDER BY block",
    )?;
    let mut blocks = blocks.query(params![customer, list.number()])?;
    let mut ids = Vec::with_capacity(limit);
    let mut ahead = position;
    while let Some(row) = blocks.next()?.filter(|_| ids.len() < limit) {
        let (block, components): (i64, u64) = (row.get(0)?, row.get(1)?);
        if ahead >= components {
            ahead -= components;
            continue;
        }
        let (first, last) = (block << BLOCK_BITS, (block << BLOCK_BITS) + (1 << BLOCK_BITS) - 1);
        let found = of_block.query_map(params![customer, kind, first, last, list.number()], |row| row.get(0))?;
        for id in found.skip(usize::try_from(ahead).unwrap_or(usize::MAX)).take(limit - ids.len()) {
            ids.push(id?);
        }
        ahead = 0;
    }
    Ok(ids)
}
