//! The three version profiles that every customer has.

use serde::Serialize;

use super::Listed;
use crate::server::api::schema::{Member, Shape};
use crate::store::{ListField, Value, ValueKind};

pub static VERSION_PROFILE: Shape = Shape::new(
    "VersionProfile",
    &[
        Member::id("id", "Its id"),
        Member::name("Its name"),
        Member::id("customerId", "Always 0"),
        Member::text("visibilityScope", "Always ALL"),
        Member::text("upgradePriority", "Always WEEK"),
        Member::texts("versions", "Always empty"),
    ],
);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionProfile {
    pub id: &'static str,
    pub name: &'static str,
    pub customer_id: &'static str,
    pub visibility_scope: &'static str,
    pub upgrade_priority: &'static str,
    pub versions: [(); 0],
}

const fn profile(id: &'static str, name: &'static str) -> VersionProfile {
    VersionProfile { id, name, customer_id: "0", visibility_scope: "ALL", upgrade_priority: "WEEK", versions: [] }
}

/// The one that every customer has.
pub const DEFAULT: VersionProfile = profile("0", "Default");

pub static PROFILES: [VersionProfile; 3] = [DEFAULT, profile("1", "Previous Default"), profile("2", "New Release")];

/// What a profile is called; `None` for an id that is none.
pub fn name_of(id: &str) -> Option<&'static str> {
    PROFILES.iter().find(|profile| profile.id == id).map(|profile| profile.name)
}

/// What the profiles are searched and sorted by. Ids are numbers here as everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionProfileField {
    Id,
    Name,
}

impl VersionProfileField {
    pub fn value_of(self, profile: &VersionProfile) -> Option<Value> {
        match self {
            Self::Id => profile.id.parse().ok().map(Value::Number),
            Self::Name => Some(profile.name.into()),
        }
    }
}

impl ListField for VersionProfileField {
    fn value_kind(self) -> ValueKind {
        match self {
            Self::Id => ValueKind::Number,
            Self::Name => ValueKind::Text,
        }
    }
}

impl Listed for VersionProfileField {
    const MEMBERS: &'static [(&'static str, Self)] = &[("id", Self::Id), ("name", Self::Name)];
}
