//! Everything the door answers that is no success, and what each says.

use hyper::header::ALLOW;
use hyper::{Method, StatusCode};

use super::decode::Malformed;
use super::gate::Format;
use crate::domain::Refusal;
use crate::enrollment::EnrollmentError;
use crate::enrollment::renewal::RenewalError;
use crate::protocol::renew::CERTIFICATE_REFUSED;
use crate::server::http::problem::{Hint, ProblemKind};
use crate::server::http::route;

/// Alphabetical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    BodyTooLarge,
    /// A verified key, or a component's certificate, refused for what came with it or by a rule.
    Denied(Refusal),
    Internal,
    /// One 401 for every certificate that says nothing here.
    InvalidCertificate,
    InvalidKey,
    Malformed(Malformed),
    MethodNotAllowed(Vec<Method>),
    MissingCertificate,
    NotFound,
    Overloaded,
    RateLimited,
    StoreUnavailable,
    /// With what is accepted.
    UnsupportedMediaType(Format),
}

impl From<&EnrollmentError> for Refused {
    fn from(error: &EnrollmentError) -> Self {
        match error {
            EnrollmentError::InvalidCsr(_) | EnrollmentError::SigningCertificateKey => {
                Self::Denied(Refusal::InvalidCsr)
            }
            EnrollmentError::KeyGone => Self::InvalidKey,
            EnrollmentError::Refused { refusal, .. } => Self::Denied(*refusal),
            EnrollmentError::Overloaded => Self::Overloaded,
            EnrollmentError::ClockOff(_) | EnrollmentError::StoreUnavailable { .. } => Self::StoreUnavailable,
            EnrollmentError::Signing => Self::Internal,
        }
    }
}

impl From<&RenewalError> for Refused {
    fn from(error: &RenewalError) -> Self {
        match error {
            RenewalError::Certificate(_) => Self::InvalidCertificate,
            RenewalError::Enrollment(error) => error.into(),
        }
    }
}

/// Devices that were told to come back spread over so many seconds.
const SOON: Hint = Hint::RetryAfter(1..=5);
/// Wider: everyone who came at once is told so at once.
const LATER: Hint = Hint::RetryAfter(2..=20);

/// The scheme of the 401s of a renewal; there is no registered one.
const CLIENT_CERTIFICATE: &str = "ClientCertificate";

impl Refused {
    /// What the answer says. The text of a 401 is one, whatever was wrong with the key or the certificate.
    pub fn problem(&self) -> ProblemKind {
        use StatusCode as Status;
        let kind = |status, code, title, detail, hint| ProblemKind { status, code, title, detail, hint };
        match self {
            Self::BodyTooLarge => kind(
                Status::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "Body too large",
                "The body may have at most 16384 bytes.",
                Hint::None,
            ),
            Self::Denied(refusal) => {
                let (title, detail) = denial(*refusal);
                // The bytes of a CSR are at fault; everything else is a rule.
                let is_malformed = *refusal == Refusal::InvalidCsr;
                let status = if is_malformed { Status::BAD_REQUEST } else { Status::FORBIDDEN };
                kind(status, refusal.code(), title, detail, Hint::None)
            }
            Self::Internal => kind(
                Status::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "The service failed. Nothing was enrolled. Tell its operator the reference.",
                Hint::None,
            ),
            Self::InvalidCertificate => kind(
                Status::UNAUTHORIZED,
                CERTIFICATE_REFUSED,
                "Client certificate refused",
                "The client certificate was not accepted.",
                Hint::Authenticate(CLIENT_CERTIFICATE),
            ),
            Self::InvalidKey => kind(
                Status::UNAUTHORIZED,
                "invalid-key",
                "Invalid provisioning key",
                "The provisioning key was not accepted.",
                Hint::Authenticate("ProvisioningKey"),
            ),
            Self::Malformed(malformed) => {
                kind(Status::BAD_REQUEST, "malformed-request", "Malformed request", malformed.detail(), Hint::None)
            }
            Self::MethodNotAllowed(_) => kind(
                Status::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "This path is there for other methods.",
                Hint::None,
            ),
            Self::MissingCertificate => kind(
                Status::UNAUTHORIZED,
                "client-certificate-required",
                "Client certificate required",
                "Show the component's certificate in the TLS handshake.",
                Hint::Authenticate(CLIENT_CERTIFICATE),
            ),
            Self::NotFound => {
                kind(Status::NOT_FOUND, "not-found", "Not found", "There is nothing at this path.", Hint::None)
            }
            Self::Overloaded => kind(
                Status::SERVICE_UNAVAILABLE,
                "overloaded",
                "Overloaded",
                "Too many devices are enrolling at once. Try again after the time given.",
                LATER,
            ),
            Self::RateLimited => kind(
                Status::TOO_MANY_REQUESTS,
                "rate-limited",
                "Rate limited",
                "Too many requests from this address were refused. Try again after the time given.",
                SOON,
            ),
            Self::StoreUnavailable => kind(
                Status::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "Store unavailable",
                "The service cannot record enrollments at the moment. Try again after the time given.",
                SOON,
            ),
            Self::UnsupportedMediaType(format) => kind(
                Status::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Unsupported media type",
                match format {
                    Format::Json => "The Content-Type must be application/json, in UTF-8.",
                    Format::Pkcs10 => "The Content-Type must be application/pkcs10.",
                },
                Hint::None,
            ),
        }
    }

    /// The header that only some refusals carry and that depends on the request.
    pub fn allow(&self) -> Option<(hyper::header::HeaderName, hyper::header::HeaderValue)> {
        match self {
            Self::MethodNotAllowed(methods) => Some((ALLOW, route::allow(methods))),
            _ => None,
        }
    }

    /// Whether it counts against the source's failures: a 401, or a 400 before it is known who asks.
    pub fn is_failure(&self, is_anonymous: bool) -> bool {
        match self {
            Self::InvalidCertificate | Self::InvalidKey | Self::MissingCertificate => true,
            Self::Malformed(_) => is_anonymous,
            _ => false,
        }
    }
}

/// Whoever reads this holds a key that verified, or a component's certificate, so it says what is the matter.
const fn denial(refusal: Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::AddressNotAllowed => {
            ("Address not allowed", "The provisioning key may not be used from this device's network address.")
        }
        Refusal::ClientCertificateSuperseded => {
            ("Client certificate superseded", "This component has a newer certificate. Show that one.")
        }
        Refusal::ComponentDisabled => ("Component disabled", "This device is enrolled, and its component is disabled."),
        Refusal::ComponentRevoked => {
            ("Component revoked", "This device's component was revoked. It can enroll again once that one is deleted.")
        }
        Refusal::CustomerDisabled => {
            ("Customer disabled", "The customer that the provisioning key or the component belongs to is disabled.")
        }
        Refusal::FingerprintMismatch => {
            ("Fingerprint mismatch", "The certificate was given to other hardware. Enroll this device instead.")
        }
        Refusal::GroupDisabled => {
            ("Group disabled", "The group of the provisioning key or of the component is disabled.")
        }
        Refusal::InvalidCsr => (
            "Invalid CSR",
            "The csr must be one PKCS#10 request in PEM or base64 DER, signed by its own key: P-256, P-384, Ed25519 or \
             RSA of 2048 to 4096 bits with exponent 65537, and SHA-256 or better.",
        ),
        Refusal::KeyDisabled => ("Provisioning key disabled", "The provisioning key is disabled."),
        Refusal::KeyExhausted => ("Provisioning key exhausted", "Every use of the provisioning key is taken."),
        Refusal::KeyExpired => ("Provisioning key expired", "The provisioning key has expired."),
        Refusal::ReEnrollmentLimit => {
            ("Re-enrollment limit reached", "This device enrolled again too often within a day. Try again tomorrow.")
        }
        Refusal::ReEnrollmentNotAllowed => (
            "Re-enrollment not allowed",
            "This device is enrolled already, with another key pair, and the provisioning key does not allow it again.",
        ),
        Refusal::SigningCertificateUnavailable => {
            ("Signing certificate unavailable", "The signing certificate that would sign cannot do so at the moment.")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn every_code_has_a_counter_of_its_own() {
        let refusals = Refusal::ALL.into_iter().map(Refused::Denied).chain([
            Refused::BodyTooLarge,
            Refused::InvalidCertificate,
            Refused::InvalidKey,
            Refused::Malformed(Malformed::Members),
            Refused::MethodNotAllowed(vec![]),
            Refused::MissingCertificate,
            Refused::NotFound,
            Refused::Overloaded,
            Refused::RateLimited,
            Refused::StoreUnavailable,
            Refused::UnsupportedMediaType(Format::Json),
        ]);
        let metrics = Metrics::new();
        for refused in refusals {
            metrics.observe_enrollment(refused.problem().code, Duration::ZERO);
        }
        assert!(metrics.render().contains("muster_enroll_requests_total{outcome=\"internal\"} 0"));
        metrics.observe_enrollment(Refused::Internal.problem().code, Duration::ZERO);
        assert!(metrics.render().contains("muster_enroll_requests_total{outcome=\"internal\"} 1"));
    }
}
