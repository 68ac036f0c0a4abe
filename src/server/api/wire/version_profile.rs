//! The three version profiles that every customer has.

use serde::Serialize;

use crate::server::api::schema::{Member, Shape};

pub static VERSION_PROFILE: Shape = Shape::new(
    "VersionProfile",
    &[
        Member::id("id", "Its id"),
        Member::text("name", "Its name"),
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

pub static PROFILES: [VersionProfile; 3] =
    [profile("0", "Default"), profile("1", "Previous Default"), profile("2", "New Release")];
