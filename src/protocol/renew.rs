//! `POST /v1/renew`: the request as a device writes it, over mutual TLS with its current certificate. The answer is
//! that of an enrollment.

use serde::Serialize;

/// The code of the 401 to a certificate that counts no more, or never did.
pub const CERTIFICATE_REFUSED: &str = "client-certificate-refused";

/// What a device sends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewRequest<'a> {
    /// PKCS#10, PEM or base64 of DER. Another key pair than the certificate's is a rekey.
    pub csr: &'a str,
    /// Refused when it is not that of the component's enrollment: the state directory came to other hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<&'a str>,
}

impl RenewRequest<'_> {
    /// The JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings serialize")
    }
}
