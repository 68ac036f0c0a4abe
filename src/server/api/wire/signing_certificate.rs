//! `enrollmentCert`.

use serde::Serialize;

use super::members::Members;
use super::{Epoch, Listed, ModifiedBy};
use crate::ca::{CertificateFacts, KeyAlgorithm, certificate_pem, request_pem};
use crate::domain::certificate::SigningPurpose;
use crate::domain::{Description, Name};
use crate::id::SigningCertificateId;
use crate::management::Input;
use crate::management::signing_certificates::{NewSigningCertificate, SigningCertificateInput, SigningCertificateView};
use crate::server::api::schema::{Form, Member, Shape};

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
        Member::text("csr", "PEM, while the certificate that completes it is awaited").optional(),
        Member::text("issuedTo", "Subject of the certificate").optional(),
        Member::text("issuedBy", "Issuer of the certificate").optional(),
        Member::counter("serialNo", "Serial number of the certificate, decimal").optional(),
        Member::name("Unique"),
        Member::text("description", "For people").optional(),
        Member::flag("allowSigning", "Whether it may sign"),
        Member::flag("privateKeyPresent", "Whether the service holds its private key"),
        Member::word("clientCertType", &["ISOLATION_CLIENT", "NONE", "ZAPP_CLIENT"], "The vendor's purpose for it"),
        Member::flag("storeInHsm", "Always false"),
        Member::flag("readOnly", "Always false"),
        Member::flag("zscalerManaged", "Always false"),
        Member::id("parentCertId", "What signed it").optional(),
        Member::text("parentCertName", "Name of what signed it").optional(),
    ],
);

const ALGORITHMS: &[&str] = &["ecdsa-p256", "ecdsa-p384", "ed25519"];

pub static NEW_ROOT: Shape = Shape::new(
    "Root",
    &[
        Member::name("Unique").required(),
        Member::text("description", "For people").writable(),
        Member::word("keyAlgorithm", ALGORITHMS, "ecdsa-p256 by default").writable(),
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
    ],
);
use crate::store::SigningCertificateField;

/// `name`, `description`, `keyAlgorithm` (`ecdsa-p256`, `ecdsa-p384`, `ed25519`), `validityInDays`, `parentCertId`.
pub fn decode_new(members: &Members) -> NewSigningCertificate {
    NewSigningCertificate {
        name: members.text("name"),
        description: members.text("description"),
        algorithm: match members.text("keyAlgorithm") {
            Input::Given(text) => match &*text {
                "ecdsa-p256" => Input::Given(KeyAlgorithm::EcdsaP256),
                "ecdsa-p384" => Input::Given(KeyAlgorithm::EcdsaP384),
                "ed25519" => Input::Given(KeyAlgorithm::Ed25519),
                _ => Input::Malformed("must be ecdsa-p256, ecdsa-p384 or ed25519"),
            },
            Input::Absent => Input::Absent,
            Input::Cleared => Input::Cleared,
            Input::Malformed(expected) => Input::Malformed(expected),
        },
        lifetime_days: members.number("validityInDays"),
        parent: members.id("parentCertId"),
    }
}

/// `name`, `description`, `allowSigning`; everything else is what the certificate says and stays.
pub fn decode_edit(members: &Members) -> SigningCertificateInput {
    SigningCertificateInput {
        name: members.text("name"),
        description: members.text("description"),
        allow_signing: members.flag("allowSigning"),
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
    /// PEM, while the certificate that completes it is awaited.
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
    #[serde(skip_serializing_if = "is_empty")]
    description: &'a Description,
    allow_signing: bool,
    private_key_present: bool,
    client_cert_type: &'static str,
    store_in_hsm: bool,
    read_only: bool,
    zscaler_managed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_cert_id: Option<SigningCertificateId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_cert_name: Option<&'a Name>,
}

impl<'a> SigningCertificateBody<'a> {
    pub fn new(view: &'a SigningCertificateView) -> Self {
        let row = &view.certificate;
        let der = row.certificate.as_deref();
        let facts = der.and_then(CertificateFacts::read);
        let (c_name, issued_to, issued_by, serial_no) = match facts {
            Some(facts) => (Some(facts.common_name), Some(facts.subject), Some(facts.issuer), Some(facts.serial)),
            None => (None, None, None, None),
        };
        Self {
            id: row.id,
            modified_time: Epoch(row.modified_at),
            creation_time: Epoch(row.created_at),
            modified_by: ModifiedBy(row.modified_by),
            c_name,
            valid_from_in_epoch_sec: der.map(|_| Epoch(row.not_before)),
            valid_to_in_epoch_sec: der.map(|_| Epoch(row.not_after)),
            certificate: der.map(certificate_pem),
            csr: row.csr.as_deref().map(request_pem),
            issued_to,
            issued_by,
            serial_no,
            name: &row.name,
            description: &row.description,
            allow_signing: row.allow_signing,
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
        }
    }
}

fn is_empty(description: &Description) -> bool {
    description.as_str().is_empty()
}
