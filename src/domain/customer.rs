//! Tenants.

use super::{Name, Revision};
use crate::clock::Timestamp;
use crate::id::CustomerId;

/// A tenant: owns groups, keys, components, signing certificates and administrators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    pub id: CustomerId,
    pub name: Name,
    pub enabled: bool,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub revision: Revision,
}
