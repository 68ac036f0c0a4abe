//! `appConnectorGroup`, `serviceEdgeGroup`, `networkConnectorGroup`, `machineGroup`.

use serde_json::{Map, Value, json};

use super::members::Members;
use super::{Listed, Text, component, version_profile};
use crate::domain::Kind;
use crate::management::Input;
use crate::management::groups::{GroupInput, GroupView};
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::GroupField;

/// The part of the path that says a group's kind.
pub const fn group_type(kind: Kind) -> &'static str {
    match kind {
        Kind::AppConnector => "appConnectorGroup",
        Kind::ServiceEdge => "serviceEdgeGroup",
        Kind::NetworkConnector => "networkConnectorGroup",
        Kind::Machine => "machineGroup",
    }
}

pub static GROUP: Shape = Shape::new(
    "Group",
    &[
        Member::id("id", "Its id"),
        Member::epoch("modifiedTime", "When it was changed last"),
        Member::epoch("creationTime", "When it was made"),
        Member::new("modifiedBy", Form::ModifiedBy, "Who changed it last"),
        Member::name("Unique in its kind").required(),
        Member::text("description", "For people").writable().optional(),
        Member::flag("enabled", "Whether its keys enroll; true by default").writable(),
        Member::id("enrollmentCertId", "Signing certificate of its new keys; by default the kind's").writable(),
        Member::id("signingCertId", "An older name of enrollmentCertId").write_only(),
        Member::text("enrollmentCertName", "Name of the signing certificate").optional(),
        Member::new("ipAcl", Form::Networks, "Addresses and networks that it enrolls from; everywhere by default")
            .writable()
            .optional(),
        Member::counter("keyCount", "How many keys belong to it"),
        Member::counter("componentCount", "How many components belong to it"),
        Member::flag("readOnly", "Always false"),
        Member::flag("zscalerManaged", "Always false"),
        Member::text("versionProfileName", "Name of the version profile, where one is named").optional(),
    ],
)
.with_variants(&[APP_CONNECTOR, SERVICE_EDGE, NETWORK_CONNECTOR, MACHINE]);

pub static GROUP_SUMMARY: Shape = Shape::new("GroupSummary", &[Member::id("id", "Its id"), Member::name("Its name")]);

/// Longest kept text, in bytes.
const TEXT_BYTES_MAX: usize = 255;

const KEPT: &str = "Kept as given, without a meaning to this service";

const SWITCH: &[&str] = &["TRUE", "FALSE", "DEFAULT"];

/// A boolean that is kept for the public clients and means nothing to Muster.
const fn flag(name: &'static str) -> Member {
    Member::flag(name, KEPT).writable().optional().or_flag(false)
}

/// A word that some clients send as a boolean.
const fn switch(name: &'static str) -> Member {
    Member::word(name, SWITCH, KEPT).writable().optional().or_text("DEFAULT")
}

/// The same for a string; numbers are taken for one.
const fn text(name: &'static str) -> Member {
    Member::text(name, KEPT).writable().optional()
}

const fn text_or(name: &'static str, default: &'static str) -> Member {
    text(name).or_text(default)
}

/// A group of machines shows them where it is looked at by itself.
const MACHINE: &[Member] =
    &[Member::new("machines", Form::Objects(&component::COMPONENT), "Its first 500 machines").optional()];

/// What is kept, by kind. Not here, and so ignored: what other resources hold (`connectors`,
/// `serviceEdges`, `trustedNetworks`, `serverGroups`) and what is derived. Returning attached members
/// that a client's configuration does not list would make it detach them on every run.
fn attributes(kind: Kind) -> &'static [Member] {
    match kind {
        Kind::AppConnector => APP_CONNECTOR,
        Kind::ServiceEdge => SERVICE_EDGE,
        Kind::NetworkConnector => NETWORK_CONNECTOR,
        Kind::Machine => &[],
    }
}

const APP_CONNECTOR: &[Member] = &[
    flag("overrideVersionProfile"),
    text_or("versionProfileId", "0"),
    text_or("upgradeDay", "SUNDAY"),
    text_or("upgradeTimeInSecs", "66600"),
    text_or("dnsQueryType", "IPV4_IPV6"),
    flag("tcpQuickAckApp"),
    flag("tcpQuickAckAssistant"),
    flag("tcpQuickAckReadAssistant"),
    flag("praEnabled"),
    flag("useInDrMode"),
    text_or("connectorGroupType", "APP"),
    flag("wafDisabled"),
    flag("lssAppConnectorGroup"),
    text("latitude"),
    text("longitude"),
    text("location"),
    text("cityCountry"),
    text("countryCode"),
    text("geoLocationId"),
    text("dcHostingInfo"),
    text("siteId"),
];

const SERVICE_EDGE: &[Member] = &[
    flag("overrideVersionProfile"),
    text_or("versionProfileId", "0"),
    text_or("upgradeDay", "SUNDAY"),
    text_or("upgradeTimeInSecs", "66600"),
    switch("isPublic"),
    flag("useInDrMode"),
    flag("exclusiveForBusinessContinuity"),
    flag("graceDistanceEnabled"),
    text("graceDistanceValue"),
    text("graceDistanceValueUnit"),
    text("altCloud"),
    text("latitude"),
    text("longitude"),
    text("location"),
    text("city"),
    text("cityCountry"),
    text("countryCode"),
    text("geoLocationId"),
    text("siteId"),
];

const NETWORK_CONNECTOR: &[Member] =
    &[text("latitude"), text("longitude"), text("location"), text("cityCountry"), text("countryCode")];

impl Listed for GroupField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("modifiedTime", Self::ModifiedAt),
        ("creationTime", Self::CreatedAt),
        ("name", Self::Name),
        ("description", Self::Description),
        ("enabled", Self::Enabled),
        ("enrollmentCertId", Self::SigningCertificateId),
        ("enrollmentCertName", Self::SigningCertificateName),
    ];
}

/// Reads what a caller says about a group, when making one and when editing one.
pub fn decode(kind: Kind, members: &Members) -> GroupInput {
    GroupInput {
        name: members.text("name"),
        description: members.text("description"),
        enabled: members.flag("enabled"),
        // An older name of the same member; the newer one wins.
        signing_certificate: match members.id("enrollmentCertId") {
            Input::Absent | Input::Cleared => members.id("signingCertId"),
            given => given,
        },
        addresses: members.texts("ipAcl"),
        attributes: attributes(kind)
            .iter()
            .map(|attribute| (attribute.name, decode_attribute(attribute, members)))
            .collect(),
    }
}

fn decode_attribute(attribute: &Member, members: &Members) -> Input<Value> {
    match attribute.form {
        Form::Flag => members.flag(attribute.name).map(Value::Bool),
        Form::Word(words) => members.text_or_flag(attribute.name).and_then(|text| {
            if words.contains(&&*text) {
                Input::Given(Value::String(text))
            } else {
                Input::Malformed("must be TRUE, FALSE or DEFAULT")
            }
        }),
        _ => members.text_or_number(attribute.name).and_then(|text| {
            if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                Input::Malformed("must be at most 255 bytes without control characters")
            } else {
                Input::Given(Value::String(text))
            }
        }),
    }
}

/// A group as the public clients read it, with a default for every member that they expect.
pub fn encode(view: &GroupView) -> Map<String, Value> {
    let group = &view.group;
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("id", json!(group.id));
    put("modifiedTime", json!(super::Epoch(group.modified_at)));
    put("creationTime", json!(super::Epoch(group.created_at)));
    put("modifiedBy", json!(super::ModifiedBy(group.modified_by)));
    put("name", json!(group.name));
    if !group.description.is_empty() {
        put("description", json!(group.description));
    }
    put("enabled", json!(group.enabled));
    for attribute in attributes(group.kind) {
        if let Some(value) = group.attributes.get(attribute.name).cloned().or_else(|| attribute.default_value()) {
            put(attribute.name, value);
        }
    }
    put("enrollmentCertId", json!(group.signing_certificate_id));
    if let Some(name) = &view.signing_certificate_name {
        put("enrollmentCertName", json!(name));
    }
    if !group.addresses.is_empty() {
        put("ipAcl", json!(group.addresses));
    }
    put("keyCount", json!(Text(view.contents.keys)));
    put("componentCount", json!(Text(view.contents.components)));
    if let Some(machines) = &view.machines {
        put("machines", machines.iter().map(component::encode).collect());
    }
    put("readOnly", json!(false));
    put("zscalerManaged", json!(false));
    // Derived: who chose a profile by its name compares the name.
    if let Some(name) = body.get("versionProfileId").and_then(Value::as_str).and_then(version_profile::name_of) {
        body.insert("versionProfileName".to_owned(), json!(name));
    }
    body
}
