//! `connector`, `serviceEdge`, `networkConnector`, `machine`.

use serde_json::{Map, Value, json};

use super::members::Members;
use super::{Epoch, Listed, ModifiedBy};
use crate::domain::Kind;
use crate::management::components::{ComponentInput, ComponentView};
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::ComponentField;

/// The part of the path that says a component's kind.
pub const fn component_type(kind: Kind) -> &'static str {
    match kind {
        Kind::AppConnector => "connector",
        Kind::ServiceEdge => "serviceEdge",
        Kind::NetworkConnector => "networkConnector",
        Kind::Machine => "machine",
    }
}

pub static COMPONENT: Shape = Shape::new(
    "Component",
    &[
        Member::id("id", "Its id"),
        Member::epoch("modifiedTime", "When it was changed last"),
        Member::epoch("creationTime", "When it was made"),
        Member::new("modifiedBy", Form::ModifiedBy, "Who changed it last"),
        Member::text("name", "Begins with the name of its first key, and can be changed").writable(),
        Member::text("description", "For people").writable().optional(),
        Member::flag("enabled", "Whether it may renew and enroll anew").writable(),
        Member::text("fingerprint", "What its device is known by; unique under its key"),
        Member::text("issuedCertId", "Serial number of its certificate, hexadecimal"),
        Member::id("provisioningKeyId", "The key that it is attached to; another one of its group attaches it there")
            .writable(),
        Member::text("provisioningKeyName", "Name of the key, while there is one").optional(),
        Member::new("enrollmentCert", Form::Object(&SIGNER), "What signed its certificate"),
        Member::text("currentVersion", "Version of its software, as the device says").optional(),
        Member::text("platform", "As the device says").optional(),
        Member::text("publicIp", "Address that it was seen at last"),
        Member::flag("readOnly", "Always false"),
        Member::flag("zscalerManaged", "Always false"),
        Member::text("hostname", "As the device says").optional(),
        Member::text("remoteAddress", "Address that it was seen at last"),
        Member::word("state", &["disabled", "expired", "live", "revoked"], "What keeps it out for longest, or live"),
        Member::epoch("enrollmentTime", "When it enrolled first"),
        Member::epoch("lastRenewalTime", "When its certificate was renewed last").optional(),
        Member::epoch("certificateNotAfter", "Until when its certificate is valid"),
        Member::text("certificateSerialNumber", "Serial number of its certificate, hexadecimal"),
    ],
)
.with_variants(&[
    &[group_id("appConnectorGroupId"), group_name("appConnectorGroupName")],
    &[group_id("serviceEdgeGroupId"), group_name("serviceEdgeGroupName")],
    &[group_id("networkConnectorGroupId"), group_name("networkConnectorGroupName")],
    &[
        group_id("machineGroupId"),
        group_name("machineGroupName"),
        Member::id("machineTokenId", "As provisioningKeyId").optional(),
        Member::new("signingCert", Form::Object(&SIGNER), "As enrollmentCert").optional(),
    ],
]);

const fn group_id(name: &'static str) -> Member {
    Member::id(name, "Its group").optional()
}

const fn group_name(name: &'static str) -> Member {
    Member::text(name, "Name of its group").optional()
}

static SIGNER: Shape = Shape::new(
    "Signer",
    &[Member::id("id", "Its id"), Member::text("name", "Its name, while there is one").optional()],
);

pub static COMPONENT_IDS: Shape = Shape::new(
    "ComponentIds",
    &[Member::new("ids", Form::Ids, "1 to 500; those that are not there are passed over").required().write_only()],
);

/// What is said of a revocation.
pub static REVOCATION: Shape = Shape::new(
    "Revocation",
    &[Member::word("reason", REASONS, "As it stands on the CRL (RFC 5280, section 5.3.1); unspecified by default")
        .writable()],
);

const REASONS: &[&str] = &["unspecified", "keyCompromise", "cessationOfOperation", "privilegeWithdrawn"];

/// What PEM is served as in practice; nobody registered one for a single certificate.
pub const PEM: &str = "application/x-pem-file";

/// Each kind shows its group under names of its own; a search may use any.
impl Listed for ComponentField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("description", Self::Description),
        ("enabled", Self::Enabled),
        ("state", Self::State),
        ("creationTime", Self::EnrolledAt),
        ("enrollmentTime", Self::EnrolledAt),
        ("modifiedTime", Self::ModifiedAt),
        ("fingerprint", Self::Fingerprint),
        ("issuedCertId", Self::SerialNumber),
        ("certificateSerialNumber", Self::SerialNumber),
        ("certificateNotAfter", Self::CertificateNotAfter),
        ("provisioningKeyId", Self::KeyId),
        ("provisioningKeyName", Self::KeyName),
        ("hostname", Self::Hostname),
        ("platform", Self::Platform),
        ("currentVersion", Self::SoftwareVersion),
        ("remoteAddress", Self::RemoteAddress),
        ("publicIp", Self::RemoteAddress),
        ("appConnectorGroupId", Self::GroupId),
        ("appConnectorGroupName", Self::GroupName),
        ("serviceEdgeGroupId", Self::GroupId),
        ("serviceEdgeGroupName", Self::GroupName),
        ("networkConnectorGroupId", Self::GroupId),
        ("networkConnectorGroupName", Self::GroupName),
        ("machineGroupId", Self::GroupId),
        ("machineGroupName", Self::GroupName),
    ];

    fn holds_spaces(self) -> bool {
        !matches!(self, Self::Fingerprint | Self::SerialNumber)
    }
}

/// Reads what a caller says about a component.
///
/// Ignored: everything that the device or its enrollment said, and the group. An empty
/// `provisioningKeyId` is none, as Go writes it.
pub fn decode(members: &Members) -> ComponentInput {
    ComponentInput {
        name: members.text("name"),
        description: members.text("description"),
        enabled: members.flag("enabled"),
        key: members.id("provisioningKeyId"),
    }
}

/// A component as the public clients read it, then ours.
///
/// Not here: what is said of a control channel, of versions to come and of upgrades, as Muster has none of
/// it; and `ipAcl`, which one client reads as a string and another as a list.
pub fn encode(view: &ComponentView) -> Map<String, Value> {
    let (component, relations) = (&view.component, &view.relations);
    let serial = relations.serial.to_string();
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("id", json!(component.id));
    put("modifiedTime", json!(Epoch(component.modified_at)));
    put("creationTime", json!(Epoch(component.enrolled_at)));
    put("modifiedBy", json!(ModifiedBy(component.modified_by)));
    put("name", json!(component.name));
    if !component.description.is_empty() {
        put("description", json!(component.description));
    }
    put("enabled", json!(component.enabled));
    put("fingerprint", json!(component.fingerprint.as_str()));
    put("issuedCertId", json!(serial));
    put("provisioningKeyId", json!(component.key_id));
    if let Some(name) = &relations.key_name {
        put("provisioningKeyName", json!(name));
    }
    let mut signer = json!({ "id": relations.signing_certificate_id });
    if let Some(name) = &relations.signing_certificate_name {
        signer["name"] = json!(name);
    }
    let (group_id, group_name) = group_members(component.kind);
    put(group_id, json!(component.group_id));
    if let Some(name) = &relations.group_name {
        put(group_name, json!(name));
    }
    if component.kind == Kind::Machine {
        put("machineTokenId", json!(component.key_id));
        put("signingCert", signer.clone());
    }
    put("enrollmentCert", signer);
    if let Some(version) = &component.software_version {
        put("currentVersion", json!(version));
    }
    if let Some(platform) = &component.platform {
        put("platform", json!(platform));
    }
    put("publicIp", json!(component.remote_address));
    put("readOnly", json!(false));
    put("zscalerManaged", json!(false));

    if let Some(hostname) = &component.hostname {
        put("hostname", json!(hostname));
    }
    put("remoteAddress", json!(component.remote_address));
    put("state", json!(view.badge.as_str()));
    put("enrollmentTime", json!(Epoch(component.enrolled_at)));
    if relations.issued_at > component.enrolled_at {
        put("lastRenewalTime", json!(Epoch(relations.issued_at)));
    }
    put("certificateNotAfter", json!(Epoch(relations.not_after)));
    put("certificateSerialNumber", json!(serial));
    body
}

/// What the id and the name of a component's group are called.
const fn group_members(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::AppConnector => ("appConnectorGroupId", "appConnectorGroupName"),
        Kind::ServiceEdge => ("serviceEdgeGroupId", "serviceEdgeGroupName"),
        Kind::NetworkConnector => ("networkConnectorGroupId", "networkConnectorGroupName"),
        Kind::Machine => ("machineGroupId", "machineGroupName"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RevocationReason;

    #[test]
    fn the_reasons_are_those_that_can_be_chosen() {
        assert_eq!(REASONS, RevocationReason::CHOICES.map(RevocationReason::as_str));
    }
}
