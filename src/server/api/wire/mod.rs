//! The members of the management API, as the public clients write and read them.
//!
//! Ids, counters and instants are JSON strings, booleans are booleans, and what is not there is left
//! out. On the way in it is the other way round: numbers are accepted where strings are meant and
//! strings where booleans are, unknown and read-only members are ignored. One file per resource.

pub mod administrator;
pub mod api_client;
pub mod audit_event;
pub mod clean_up;
pub mod client_type;
pub mod component;
pub mod customer;
pub mod envelope;
pub mod error;
pub mod group;
pub mod key;
pub mod key_bulk;
pub mod key_check;
pub mod key_history;
pub mod members;
pub mod pepper;
pub mod session;
pub mod signing_certificate;
pub mod tls_anchor;
pub mod version_profile;
pub mod webhook;

use std::fmt::Display;

use serde::{Serialize, Serializer};

use crate::clock::Timestamp;
use crate::management::Field;
use crate::store::ListField;

/// The member that a field is on the wire, for error messages.
pub fn member_of(field: Field) -> &'static str {
    match field {
        Field::Addresses => "ipAcl",
        Field::AllowReEnrollment => "allowReEnrollment",
        Field::AllowSigning => "allowSigning",
        Field::Attribute(name) => name,
        Field::Certificate => "certificate",
        Field::Chain => "chain",
        Field::CleanUpDays => "frequencyInterval",
        Field::CommonName => "commonName",
        Field::ComponentLifetimeDays => "componentLifetimeInDays",
        Field::Components => "ids",
        Field::Country => "country",
        Field::CurrentPassword => "currentPassword",
        Field::DeleteDisabled => "deleteDisabled",
        Field::Description => "description",
        Field::Enabled => "enabled",
        Field::Events => "events",
        Field::ExpiresAt => "expirationInEpochSec",
        Field::Exportable => "exportable",
        Field::Group => "zcomponentId",
        Field::Ids => "ids",
        Field::KeyAlgorithm => "keyAlgorithm",
        Field::KeyString => "provisioningKey",
        Field::Label => "label",
        Field::LifetimeDays => "validityInDays",
        Field::Managing => "managing",
        Field::Maximum => "maxUsage",
        Field::Name => "name",
        Field::NewPassword => "newPassword",
        Field::Operation => "operation",
        Field::Organization => "organization",
        Field::OrganizationalUnit => "organizationalUnit",
        Field::Page => "page",
        Field::Parent => "parentCertId",
        Field::Password => "password",
        Field::PrivateKey => "privateKey",
        Field::ProvisioningKey => "provisioningKeyId",
        Field::Query => "query",
        Field::RevocationReason => "reason",
        Field::Revoke => "revoke",
        Field::Role => "role",
        Field::SigningCertificate => "enrollmentCertId",
        Field::UiConfig => "uiConfig",
        Field::Url => "url",
        Field::Username => "username",
        Field::Version => "keyVersion",
    }
}

/// Fields of a list, by the members that show them. What a member is called stands beside the resource
/// that has it.
pub trait Listed: ListField {
    const MEMBERS: &'static [(&'static str, Self)];

    /// The member that a search without a field looks into.
    const NAME: &'static str = "name";

    /// Whether its values may hold a space. The others may hold a plus, and a search may mean either with either.
    fn holds_spaces(self) -> bool {
        true
    }

    /// Without regard to case, as the public clients are free with it.
    fn of_member(name: &str) -> Option<Self> {
        Self::MEMBERS.iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

/// Anything that prints, as a JSON string: counters, mostly.
pub struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An instant as a string of seconds since the epoch.
pub struct Epoch(pub Timestamp);

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.unix_seconds())
    }
}

/// Who changed an object last: an id, or `-2` for the system.
pub struct ModifiedBy(pub Option<u64>);

impl Serialize for ModifiedBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(id) => serializer.collect_str(&id),
            None => serializer.serialize_str("-2"),
        }
    }
}
