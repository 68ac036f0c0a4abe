//! `enrollmentCert`.

use serde::Serialize;

use super::members::Members;
use super::{Epoch, Listed, ModifiedBy, Text};
use crate::ca::{CertificateFacts, KeyAlgorithm, certificate_pem, request_pem};
use crate::clock::DAY_SECONDS;
use crate::domain::certificate::SigningPurpose;
use crate::domain::{Description, Name};
use crate::id::SigningCertificateId;
use crate::management::Input;
use crate::management::certificate_uploads::{SigningCertificateImport, SigningCertificateRequest};
use crate::management::signing_certificates::{
    DeletionPreview, NewSigningCertificate, SigningCertificateInput, SigningCertificateView,
};
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::SigningCertificateField;

pub static SIGNING_CERTIFICATE: Shape = Shape::new(
    "SigningCertificate",
    &[
        Member::id("id", "Its id"),
        Member::epoch("modifiedTime", "When it was changed last"),
        Member::epoch("creationTime", "When it was made"),
        Member::new("modifiedBy", Form::ModifiedBy, "Who changed it last"),
        Member::text("cName", "Common name of the certificate").optional(),
        Member::epoch("validFromInEpochSec", "From when it is valid").optional(),
        Member::epoch("validToInEpochSec", "Until when it is valid").optional(),
        Member::text("certificate", "PEM").optional(),
        Member::text("chain", "PEM of its issuers, nearest first, the root last").optional(),
        Member::text("csr", "PEM, where the certificate comes from an operator's CA").optional(),
        Member::text("issuedTo", "Subject of the certificate").optional(),
        Member::text("issuedBy", "Issuer of the certificate").optional(),
        Member::counter("serialNo", "Serial number of the certificate, decimal").optional(),
        Member::name("Unique"),
        Member::text("description", "For people").optional(),
        Member::flag("allowSigning", "Whether it may sign"),
        LIFETIME,
        Member::flag("privateKeyPresent", "Whether the service holds its private key"),
        Member::word("clientCertType", &["ISOLATION_CLIENT", "NONE", "ZAPP_CLIENT"], "The vendor's purpose for it"),
        Member::flag("storeInHsm", "Always false"),
        Member::flag("readOnly", "Always false"),
        Member::flag("zscalerManaged", "Always false"),
        Member::id("parentCertId", "What signed it").optional(),
        Member::text("parentCertName", "Name of what signed it").optional(),
        Member::id("rootCertificateId", "The root above it, if it is one of the customer's").optional(),
    ],
);

/// How long the certificates of components count that it signs.
const LIFETIME: Member = Member::counter("componentLifetimeInDays", "How long what it signs is valid");

const ALGORITHMS: &[&str] = &["ecdsa-p256", "ecdsa-p384", "ed25519"];

pub static NEW_ROOT: Shape = Shape::new(
    "Root",
    &[
        Member::name("Unique").required(),
        Member::text("description", "For people").writable(),
        Member::word("keyAlgorithm", ALGORITHMS, "ecdsa-p256 by default").writable(),
        LIFETIME.writable(),
        Member::counter("validityInDays", "How long it is valid").writable(),
        Member::id("parentCertId", "Ignored").writable(),
    ],
);

pub static NEW_SIGNING_CERTIFICATE: Shape = Shape::new(
    "SigningCertificate",
    &[
        Member::name("Unique").required(),
        Member::text("description", "For people").writable(),
        Member::word("keyAlgorithm", ALGORITHMS, "ecdsa-p256 by default").writable(),
        LIFETIME.writable(),
        Member::counter("validityInDays", "How long it is valid").writable(),
        Member::id("parentCertId", "What signs it").required(),
    ],
);

pub static SIGNING_CERTIFICATE_EDIT: Shape = Shape::new(
    "SigningCertificate",
    &[
        Member::name("Unique").writable(),
        Member::text("description", "For people").writable(),
        Member::flag("allowSigning", "Whether it may sign").writable(),
        LIFETIME.writable(),
        Member::text("certificate", "PEM, which completes it or takes the place of the one it has").writable(),
        Member::text("chain", "PEM of the issuers, where they do not follow in `certificate`").writable(),
    ],
);

pub static SIGNING_CERTIFICATE_IMPORT: Shape = Shape::new(
    "ImportedSigningCertificate",
    &[
        Member::name("Unique").required(),
        Member::text("description", "For people").writable(),
        LIFETIME.writable(),
        Member::text("certificate", "PEM, its issuers after it").required(),
        Member::text("chain", "PEM of the issuers, where they do not follow in `certificate`").writable(),
        Member::text("privateKey", "PEM: PKCS#8, SEC 1 or PKCS#1, unencrypted").required(),
    ],
);

pub static SIGNING_CERTIFICATE_REQUEST: Shape = Shape::new(
    "SigningCertificateRequest",
    &[
        Member::name("Unique").required(),
        Member::text("description", "For people").writable(),
        LIFETIME.writable(),
        Member::word("keyAlgorithm", ALGORITHMS, "ecdsa-p256 by default").writable(),
        Member::text("commonName", "Of the subject; the name by default").writable(),
        Member::text("organization", "Of the subject").writable(),
        Member::text("organizationalUnit", "Of the subject").writable(),
        Member::text("country", "Of the subject: two letters").writable(),
    ],
);

pub static SIGNING_CERTIFICATE_REPLACEMENT: Shape = Shape::new(
    "SigningCertificateReplacement",
    &[Member::id("enrollmentCertId", "What its keys and groups have from then on").required()],
);

pub static SIGNING_CERTIFICATE_DELETION: Shape = Shape::new(
    "SigningCertificateDeletion",
    &[
        Member::flag("wouldDelete", "Whether nothing is in the way"),
        Member::text("reason", "The first of what is in the way").optional(),
        Member::counter("provisioningKeys", "Keys that name it"),
        Member::counter("groups", "Groups that name it"),
        Member::counter("enrollmentCerts", "Signing certificates below it"),
        Member::epoch("signedUntilInEpochSec", "When the last certificate that it signed has surely ended").optional(),
    ],
);

/// `name`, `description`, `componentLifetimeInDays`, `keyAlgorithm` (`ecdsa-p256`, `ecdsa-p384`, `ed25519`),
/// `validityInDays`, `parentCertId`.
pub fn decode_new(members: &Members) -> NewSigningCertificate {
    NewSigningCertificate {
        name: members.text("name"),
        description: members.text("description"),
        component_lifetime_days: members.number("componentLifetimeInDays"),
        algorithm: key_algorithm(members),
        lifetime_days: members.number("validityInDays"),
        parent: members.id("parentCertId"),
    }
}

/// RFC 2585 §4.2.
pub const PKIX_CRL: &str = "application/pkix-crl";

/// `name`, `description`, `componentLifetimeInDays`, `certificate` and `chain` (PEM), `privateKey` (PEM), which is
/// taken out.
pub fn decode_import(members: &mut Members) -> SigningCertificateImport {
    SigningCertificateImport {
        private_key: members.take_secret("privateKey"),
        name: members.text("name"),
        description: members.text("description"),
        component_lifetime_days: members.number("componentLifetimeInDays"),
        certificate: members.text("certificate"),
        chain: members.text("chain"),
    }
}

/// `name`, `description`, `componentLifetimeInDays`, `keyAlgorithm`, and of the subject `commonName`, `organization`,
/// `organizationalUnit`, `country`.
pub fn decode_request(members: &Members) -> SigningCertificateRequest {
    SigningCertificateRequest {
        name: members.text("name"),
        description: members.text("description"),
        component_lifetime_days: members.number("componentLifetimeInDays"),
        algorithm: key_algorithm(members),
        common_name: members.text("commonName"),
        organization: members.text("organization"),
        organizational_unit: members.text("organizationalUnit"),
        country: members.text("country"),
    }
}

/// `name`, `description`, `allowSigning`, `componentLifetimeInDays`; `certificate` and `chain`, which complete or
/// replace. Everything else is what the certificate says and stays.
pub fn decode_edit(members: &Members) -> SigningCertificateInput {
    SigningCertificateInput {
        name: members.text("name"),
        description: members.text("description"),
        allow_signing: members.flag("allowSigning"),
        component_lifetime_days: members.number("componentLifetimeInDays"),
        certificate: members.text("certificate"),
        chain: members.text("chain"),
    }
}

/// `enrollmentCertId`.
pub fn decode_replacement(members: &Members) -> Input<SigningCertificateId> {
    members.id("enrollmentCertId")
}

fn key_algorithm(members: &Members) -> Input<KeyAlgorithm> {
    match members.text("keyAlgorithm") {
        Input::Given(text) => match &*text {
            "ecdsa-p256" => Input::Given(KeyAlgorithm::EcdsaP256),
            "ecdsa-p384" => Input::Given(KeyAlgorithm::EcdsaP384),
            "ed25519" => Input::Given(KeyAlgorithm::Ed25519),
            _ => Input::Malformed("must be ecdsa-p256, ecdsa-p384 or ed25519"),
        },
        Input::Absent => Input::Absent,
        Input::Cleared => Input::Cleared,
        Input::Malformed(expected) => Input::Malformed(expected),
    }
}

impl Listed for SigningCertificateField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("modifiedTime", Self::ModifiedAt),
        ("creationTime", Self::CreatedAt),
        ("validFromInEpochSec", Self::NotBefore),
        ("validToInEpochSec", Self::NotAfter),
        ("name", Self::Name),
        ("description", Self::Description),
        ("allowSigning", Self::AllowSigning),
        ("privateKeyPresent", Self::PrivateKeyPresent),
        ("clientCertType", Self::Purpose),
        ("parentCertId", Self::ParentId),
        ("parentCertName", Self::ParentName),
    ];
}

/// A signing certificate. The private key is never among its members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningCertificateBody<'a> {
    id: SigningCertificateId,
    modified_time: Epoch,
    creation_time: Epoch,
    modified_by: ModifiedBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    c_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from_in_epoch_sec: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to_in_epoch_sec: Option<Epoch>,
    /// PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    /// PEM of the issuers, nearest first, the root last. (Ours.)
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    /// PEM, where the certificate comes from an operator's CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    csr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_by: Option<String>,
    /// Decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_no: Option<String>,
    name: &'a Name,
    #[serde(skip_serializing_if = "Description::is_empty")]
    description: &'a Description,
    /// Not while its certificate is awaited.
    allow_signing: bool,
    /// How long what it signs counts. (Ours.)
    component_lifetime_in_days: Text<u32>,
    private_key_present: bool,
    client_cert_type: &'static str,
    store_in_hsm: bool,
    read_only: bool,
    zscaler_managed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_cert_id: Option<SigningCertificateId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_cert_name: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_certificate_id: Option<SigningCertificateId>,
}

impl<'a> SigningCertificateBody<'a> {
    pub fn new(view: &'a SigningCertificateView) -> Self {
        let row = &view.certificate;
        let der = row.certificate.as_deref();
        let facts = der.and_then(CertificateFacts::read);
        Self {
            id: row.id,
            modified_time: Epoch(row.modified_at),
            creation_time: Epoch(row.created_at),
            modified_by: ModifiedBy(row.modified_by),
            valid_from_in_epoch_sec: facts.as_ref().map(|facts| Epoch(facts.not_before)),
            valid_to_in_epoch_sec: facts.as_ref().map(|facts| Epoch(facts.not_after)),
            c_name: facts.as_ref().map(|facts| facts.common_name.clone()),
            issued_to: facts.as_ref().map(|facts| facts.subject.clone()),
            issued_by: facts.as_ref().map(|facts| facts.issuer.clone()),
            serial_no: facts.map(|facts| facts.serial),
            certificate: der.map(certificate_pem),
            chain: Some(row.chain.iter().map(|der| certificate_pem(der)).collect())
                .filter(|pem: &String| !pem.is_empty()),
            csr: row.csr.as_deref().map(request_pem),
            name: &row.name,
            description: &row.description,
            allow_signing: row.allow_signing && der.is_some(),
            component_lifetime_in_days: Text(row.lifetime_seconds / DAY_SECONDS),
            private_key_present: row.sealed_private_key.is_some(),
            client_cert_type: match row.purpose {
                SigningPurpose::IsolationClient => "ISOLATION_CLIENT",
                SigningPurpose::None => "NONE",
                SigningPurpose::ZappClient => "ZAPP_CLIENT",
            },
            store_in_hsm: false,
            read_only: false,
            zscaler_managed: false,
            parent_cert_id: row.parent_id,
            parent_cert_name: view.parent_name.as_ref(),
            root_certificate_id: view.root_id,
        }
    }
}

/// The answer to a deletion that was only asked about: counts by resource, as text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionBody {
    would_delete: bool,
    /// The first of what is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    provisioning_keys: Text<u64>,
    groups: Text<u64>,
    enrollment_certs: Text<u64>,
    /// When the last component certificate that it signed has surely ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_until_in_epoch_sec: Option<Epoch>,
}

impl DeletionBody {
    pub fn new(preview: &DeletionPreview) -> Self {
        let references = &preview.references;
        Self {
            would_delete: preview.in_the_way.is_none(),
            reason: preview.in_the_way.map(|by| format!("the enrollmentCert is in use by: {by}")),
            provisioning_keys: Text(references.keys),
            groups: Text(references.groups),
            enrollment_certs: Text(references.below),
            signed_until_in_epoch_sec: references.signed_until.map(Epoch),
        }
    }
}
