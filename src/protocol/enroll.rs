//! `POST /v1/enroll`: the request as a device writes it, and the answer as both sides read it.
//!
//! The server reads requests through its own borrowing decoder (`server::enroll`), which does no
//! work that grows with the input before the key has verified.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Largest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
pub const HOSTNAME_BYTES_MAX: usize = 253;
pub const PLATFORM_BYTES_MAX: usize = 64;
pub const SOFTWARE_VERSION_BYTES_MAX: usize = 64;

/// What a device sends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrollRequest<'a> {
    pub provisioning_key: &'a str,
    pub fingerprint: &'a str,
    /// PKCS#10, PEM or base64 of DER.
    pub csr: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<&'a str>,
}

impl EnrollRequest<'_> {
    /// The JSON text; wiped on drop, as it holds the key string.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("strings serialize"))
    }
}

/// What became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A new component; one use taken.
    Enrolled,
    /// A known component got a new certificate; the old one is revoked.
    ReEnrolled,
    /// A component that proved to hold its certificate's key pair has a new certificate for the same one.
    Renewed,
    /// The same with another key pair; the old certificate is revoked.
    Rekeyed,
    /// The same certificate again; nothing changed.
    Replayed,
}

impl Outcome {
    pub const ALL: [Self; 5] = [Self::Enrolled, Self::ReEnrolled, Self::Renewed, Self::Rekeyed, Self::Replayed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::ReEnrolled => "re-enrolled",
            Self::Renewed => "renewed",
            Self::Rekeyed => "rekeyed",
            Self::Replayed => "replayed",
        }
    }
}

/// PEM blocks as one text, ready to stand in any number of answers: it is made into JSON once.
#[derive(Clone)]
pub struct PemText {
    text: Arc<str>,
    json: Arc<RawValue>,
}

impl PemText {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As it stands in JSON.
    pub fn json(&self) -> &RawValue {
        &self.json
    }
}

impl From<&str> for PemText {
    fn from(text: &str) -> Self {
        let json = serde_json::value::to_raw_value(text).expect("strings serialize");
        Self { text: text.into(), json: json.into() }
    }
}

impl PartialEq for PemText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Default for PemText {
    fn default() -> Self {
        Self::from("")
    }
}

impl fmt::Debug for PemText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// The answer to an enrollment or a renewal. PEM members, one string of PEM blocks each, are `P`: text, or what stands for it in
/// JSON already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrollResponse<P = String> {
    pub outcome: Outcome,
    /// Decimal id; the certificate's common name.
    pub component_id: String,
    pub component_name: String,
    pub kind: String,
    pub customer_id: String,
    pub group_id: String,
    pub group_name: String,
    pub certificate: P,
    /// Issuers, the leaf's first, without the root; may be empty.
    pub chain: P,
    /// Roots of this customer's component certificates.
    pub trust_anchors: P,
    /// Anchors of the enrollment endpoint; a device replaces its own with them.
    pub server_trust_anchors: P,
    /// 32 lower-case hex digits.
    pub serial_number: String,
    pub not_before: String,
    pub not_after: String,
    /// From then on the device should renew.
    pub renew_after: String,
    pub server_time: String,
}
