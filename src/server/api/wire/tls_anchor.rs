//! `tlsTrustAnchor`: the CA above the TLS certificates of the service's listeners.

use serde::Serialize;

use super::Epoch;
use crate::management::tls_anchor::{AnchorFacts, TlsAnchor};
use crate::server::api::schema::{Form, Member, Shape};

pub static TLS_TRUST_ANCHOR: Shape = Shape::new(
    "TlsTrustAnchor",
    &[
        Member::new("current", Form::Object(&ANCHOR), "The one that the listeners' certificates stand below"),
        Member::new("previous", Form::Object(&ANCHOR), "The one before it, while it is rolled").optional(),
    ],
);

static ANCHOR: Shape = Shape::new(
    "TlsTrustAnchorCertificate",
    &[
        Member::text("cName", "Common name"),
        Member::epoch("validFromInEpochSec", "From when it is valid"),
        Member::epoch("validToInEpochSec", "Until when it is valid"),
        Member::text("publicKeySha256", "SHA-256 of its public key, hex: the pin of key strings"),
        Member::text("certificate", "PEM"),
    ],
);

#[derive(Serialize)]
pub struct TlsAnchorBody<'a> {
    current: AnchorBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<AnchorBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnchorBody<'a> {
    c_name: &'a str,
    valid_from_in_epoch_sec: Epoch,
    valid_to_in_epoch_sec: Epoch,
    public_key_sha256: &'a str,
    certificate: &'a str,
}

impl<'a> TlsAnchorBody<'a> {
    pub fn new(anchor: &'a TlsAnchor) -> Self {
        Self { current: AnchorBody::new(&anchor.current), previous: anchor.previous.as_ref().map(AnchorBody::new) }
    }
}

impl<'a> AnchorBody<'a> {
    fn new(facts: &'a AnchorFacts) -> Self {
        Self {
            c_name: &facts.common_name,
            valid_from_in_epoch_sec: Epoch(facts.not_before),
            valid_to_in_epoch_sec: Epoch(facts.not_after),
            public_key_sha256: &facts.public_key_sha256,
            certificate: &facts.pem,
        }
    }
}
