//! `provisioningKey`.

use serde::Serialize;
use std::num::NonZeroU32;

use super::members::Members;
use super::{Epoch, Listed, ModifiedBy, Text};
use crate::domain::{AddressList, Description, KeySecret, KeyVersion, Kind, Name};
use crate::id::{ComponentId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::management::Input;
use crate::management::keys::{KeyInput, KeyView};
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::KeyField;

/// The part of the path that says a key's kind.
pub const fn association(kind: Kind) -> &'static str {
    match kind {
        Kind::AppConnector => "CONNECTOR_GRP",
        Kind::ServiceEdge => "SERVICE_EDGE_GRP",
        Kind::NetworkConnector => "NP_ASSISTANT_GRP",
        Kind::Machine => "MACHINE_GRP",
    }
}

pub static KEY: Shape = Shape::new("ProvisioningKey", KEY_MEMBERS);

const KEY_MEMBERS: &[Member] = &[
    Member::id("id", "Its id"),
    Member::epoch("modifiedTime", "When it was changed last"),
    Member::epoch("creationTime", "When it was made"),
    Member::new("modifiedBy", Form::ModifiedBy, "Who changed it last"),
    Member::name("Unique in its kind; begins the names of its components").required(),
    Member::counter("usageCount", "Uses taken"),
    Member::counter("maxUsage", "Most uses; required for CONNECTOR_GRP and SERVICE_EDGE_GRP").writable().optional(),
    Member::id("zcomponentId", "The group that devices join; does not change").required(),
    Member::flag("enabled", "Whether it enrolls; true by default").writable(),
    Member::text("zcomponentName", "Name of the group").optional(),
    Member::flag("exportable", "Whether it can be seen after it was made; only goes off").writable(),
    Member::text("uiConfig", "Kept as given").writable().optional(),
    Member::flag("readOnly", "Whether an API client manages it"),
    Member::flag("zscalerManaged", "Always false"),
    Member::id("enrollmentCertId", "What signs its components; the group's by default").writable(),
    Member::text("enrollmentCertName", "Name of the signing certificate").optional(),
    Member::text("provisioningKey", "The key string, to those who may see it").optional(),
    Member::new("ipAcl", Form::Networks, "Addresses and networks that it enrolls from; everywhere by default")
        .writable()
        .optional(),
    Member::epoch("expirationInEpochSec", "When it ends").writable().optional(),
    Member::flag("allowReEnrollment", "Whether a known device may enroll anew; false by default").writable(),
    Member::counter("reEnrollments", "How often known devices enrolled anew"),
    Member::text("keyId", "Names the key string without giving it away"),
    Member::text("keyHint", "Begin of the key string"),
    Member::word("state", &["active", "disabled", "exhausted", "expired"], "What a new device would meet"),
    Member::epoch("lastUsedTime", "When a device enrolled with it last").optional(),
    Member::id("lastUsedBy", "The component that this made").optional(),
    Member::text("description", "For people").writable().optional(),
    Member::word("keyVersion", &["1", "3"], "Version of the key string: 3, or 1 for short passwords")
        .writable()
        .optional(),
    Member::id("successorId", "The key that it was rotated to").optional(),
    Member::text("managedBy", "Label of the API client that manages it").optional(),
    Member::text("associationType", "Ignored; where it is given, a missing enabled means false").write_only(),
];

/// The string stands first: of two members of one name the first counts.
pub static KEY_IMPORT: Shape = Shape::new(
    "ImportedProvisioningKey",
    &[Member::text("provisioningKey", "The key string from elsewhere; only its digest is kept").required()],
)
.with_variants(&[KEY_MEMBERS]);

pub static KEY_ROTATION: Shape =
    Shape::new("Rotation", &[Member::name("The successor's; by default the key's with the next number").writable()]);

pub static KEY_STRING: Shape =
    Shape::new("KeyString", &[Member::text("provisioningKey", "What stands in a device's file").required()]);

/// Reads what a caller says about a key, when making one and when editing one.
///
/// Ignored: `usageCount`, `provisioningKey`, `componentId`, names, times, `microtenantId`, and whatever
/// else is not ours to set.
pub fn decode(members: &Members) -> KeyInput {
    let mut input = KeyInput {
        name: members.text("name"),
        description: members.text("description"),
        group: members.id("zcomponentId"),
        signing_certificate: members.id("enrollmentCertId"),
        maximum: members.number("maxUsage"),
        enabled: members.flag("enabled"),
        allow_re_enrollment: members.flag("allowReEnrollment"),
        expires_at: members.instant("expirationInEpochSec"),
        addresses: members.texts("ipAcl"),
        version: members.number("keyVersion").and_then(|number| match number {
            1 => Input::Given(KeyVersion::Bare),
            3 => Input::Given(KeyVersion::Bootstrap),
            _ => Input::Malformed("must be 1 or 3"),
        }),
        exportable: members.flag("exportable"),
        ui_config: members.text("uiConfig"),
    };
    if is_written_by_go(members) {
        if input.enabled == Input::Absent {
            input.enabled = Input::Given(false);
        }
        if input.addresses == Input::Absent {
            input.addresses = Input::Cleared;
        }
    }
    input
}

impl Listed for KeyField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("modifiedTime", Self::ModifiedAt),
        ("creationTime", Self::CreatedAt),
        ("name", Self::Name),
        ("usageCount", Self::Uses),
        ("maxUsage", Self::Maximum),
        ("zcomponentId", Self::GroupId),
        ("enabled", Self::Enabled),
        ("zcomponentName", Self::GroupName),
        ("exportable", Self::Exportable),
        ("readOnly", Self::Managed),
        ("enrollmentCertId", Self::SigningCertificateId),
        ("enrollmentCertName", Self::SigningCertificateName),
        ("expirationInEpochSec", Self::ExpiresAt),
        ("allowReEnrollment", Self::AllowReEnrollment),
        ("reEnrollments", Self::ReEnrollments),
        ("keyId", Self::KeyId),
        ("keyHint", Self::Hint),
        ("state", Self::State),
        ("lastUsedTime", Self::LastUsedAt),
        ("lastUsedBy", Self::LastUsedBy),
        ("description", Self::Description),
        ("keyVersion", Self::Version),
        ("successorId", Self::SuccessorId),
        ("managedBy", Self::ManagedBy),
    ];

    fn holds_spaces(self) -> bool {
        !matches!(self, Self::Hint | Self::KeyId)
    }
}

/// Takes the key string out of a body, so that it is in one place and wiped with it.
pub fn take_string(members: &mut Members) -> Input<KeySecret> {
    members.take_secret("provisioningKey").map(KeySecret::from_text)
}

/// Go leaves out members that hold their zero value, so from Go a missing `enabled` means false and a
/// missing `ipAcl` an empty list. Only Go sends `associationType`, as this API never returns it.
/// Not to be extended to members that Go does not know: it would switch them off.
fn is_written_by_go(members: &Members) -> bool {
    members.contains("associationType")
}

/// A key, members in the vendor's order, then ours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyBody<'a> {
    id: ProvisioningKeyId,
    modified_time: Epoch,
    creation_time: Epoch,
    modified_by: ModifiedBy,
    name: &'a Name,
    usage_count: Text<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_usage: Option<Text<NonZeroU32>>,
    zcomponent_id: GroupId,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    zcomponent_name: Option<&'a Name>,
    exportable: bool,
    read_only: bool,
    zscaler_managed: bool,
    enrollment_cert_id: SigningCertificateId,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrollment_cert_name: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioning_key: Option<&'a str>,
    #[serde(skip_serializing_if = "AddressList::is_empty")]
    ip_acl: &'a AddressList,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_in_epoch_sec: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ui_config: Option<&'a str>,

    allow_re_enrollment: bool,
    re_enrollments: Text<u64>,
    key_id: &'a str,
    key_hint: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_time: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_by: Option<ComponentId>,
    #[serde(skip_serializing_if = "Description::is_empty")]
    description: &'a Description,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_version: Option<Text<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor_id: Option<ProvisioningKeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed_by: Option<&'a Name>,
}

impl<'a> KeyBody<'a> {
    pub fn new(view: &'a KeyView) -> Self {
        let key = &view.key;
        Self {
            id: key.id,
            modified_time: Epoch(key.modified_at),
            creation_time: Epoch(key.created_at),
            modified_by: ModifiedBy(key.modified_by),
            name: &key.name,
            usage_count: Text(key.usage.uses),
            max_usage: key.maximum.map(Text),
            zcomponent_id: key.group_id,
            enabled: key.enabled,
            zcomponent_name: view.group_name.as_ref(),
            exportable: key.is_exportable(),
            read_only: key.managed_by.is_some(),
            zscaler_managed: false,
            enrollment_cert_id: key.signing_certificate_id,
            enrollment_cert_name: view.signing_certificate_name.as_ref(),
            provisioning_key: view.string.as_ref().map(KeySecret::expose),
            ip_acl: &key.addresses,
            expiration_in_epoch_sec: key.expires_at.map(Epoch),
            ui_config: key.ui_config.as_deref(),
            allow_re_enrollment: key.allow_re_enrollment,
            re_enrollments: Text(key.usage.re_enrollments),
            key_id: &key.key_id,
            key_hint: &key.hint,
            state: view.state.as_str(),
            last_used_time: key.usage.last_used.map(|last| Epoch(last.at)),
            last_used_by: key.usage.last_used.map(|last| last.by),
            description: &key.description,
            key_version: key.version.number().map(Text),
            successor_id: key.successor_id,
            managed_by: key.managed_by.as_ref().map(|managed| &managed.label),
        }
    }
}

impl KeyBody<'_> {
    pub fn without_string(self) -> Self {
        Self { provisioning_key: None, ..self }
    }
}
