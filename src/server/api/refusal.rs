//! From what went wrong to status, id and words. The only place that makes the translation.
//!
//! Ids are chosen so that the public clients do the right thing: a permanent refusal is never a 409
//! and never carries an id that they take for a passing trouble.

use hyper::{Method, StatusCode};

use super::answer::Answer;
use super::wire;
use super::wire::error::ErrorBody;
use crate::domain::Reference;
use crate::management::{Error, Object, once};
use crate::secret::random_bytes;
use crate::server::http::BodyError;

/// Why a request is not answered with what it asked for.
#[derive(Debug)]
pub enum Refusal {
    /// A use case said no.
    UseCase(Error),
    /// The body did not arrive.
    Body(BodyError),
    /// No JSON object where one is needed; says what the parser met, never the text itself.
    NotAnObject {
        detail: String,
    },
    /// A query member that cannot be understood.
    Query {
        member: &'static str,
        detail: String,
    },
    /// `Idempotency-Key` that is no key.
    IdempotencyKey,
    /// `If-Match` with a tag that this service never gave.
    ForeignETag,
    NoToken,
    NoSuchRoute,
    /// A setting that the public clients know and that has one value here.
    NotOffered {
        reason: &'static str,
    },
    MethodNotAllowed {
        allowed: Vec<Method>,
    },
    /// `POST /oauth2/v1/token` asks in the terms of RFC 6749 §5.2, and is answered in them.
    OAuth {
        error: &'static str,
        detail: &'static str,
    },
    TooManyFailedSignIns {
        retry_after_seconds: u32,
    },
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::UseCase(error)
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl Refusal {
    /// Logs what is not the caller's fault, once, and says the rest to the caller.
    pub(super) fn into_answer(self, reference: &Reference) -> Answer {
        let bad_request = StatusCode::BAD_REQUEST;
        match self {
            Self::UseCase(error) => {
                let (status, body) = of_use_case(&error, reference);
                let answer = Answer::json(status, &body);
                match error {
                    Error::InvalidToken(_) => answer.challenging(),
                    Error::TooManySignIns { retry_after } => {
                        answer.retry_after(u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX).max(1))
                    }
                    _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                        answer.retry_after(1 + u32::from(random_bytes::<1>()[0] % 4))
                    }
                    _ => answer,
                }
            }
            Self::Body(error @ BodyError::TooLarge { .. }) => {
                envelope(StatusCode::PAYLOAD_TOO_LARGE, "body.too.large", error.to_string(), vec![])
            }
            Self::Body(error @ BodyError::TimedOut) => {
                envelope(StatusCode::REQUEST_TIMEOUT, "request.timeout", error.to_string(), vec![])
            }
            Self::Body(error @ BodyError::Broken) => {
                envelope(bad_request, "invalid.resource.argument", error.to_string(), vec![])
            }
            Self::NotAnObject { detail } => {
                let reason = format!("the body must be a JSON object: {detail}");
                envelope(bad_request, "invalid.resource.argument", reason, vec![])
            }
            Self::Query { member, detail } => {
                let reason = format!("{member} {detail}");
                envelope(bad_request, "invalid.resource.argument", reason, vec![member.to_owned()])
            }
            Self::IdempotencyKey => {
                let reason = format!("Idempotency-Key must be 1 to {} visible ASCII characters", once::KEY_BYTES_MAX);
                envelope(bad_request, "invalid.resource.argument", reason, vec!["Idempotency-Key".to_owned()])
            }
            Self::ForeignETag => {
                let reason = "If-Match names no revision of this object".to_owned();
                envelope(StatusCode::PRECONDITION_FAILED, "precondition.failed", reason, vec![])
            }
            Self::NoToken => {
                let (status, body) = unauthorized();
                Answer::json(status, &body).challenging()
            }
            Self::NoSuchRoute => {
                envelope(StatusCode::NOT_FOUND, "resource.not.found", "no such resource".to_owned(), vec![])
            }
            Self::NotOffered { reason } => {
                envelope(bad_request, "config.change.not.allowed.sku.not.enabled", reason.to_owned(), vec![])
            }
            Self::MethodNotAllowed { allowed } => {
                let reason = "the resource does not take this method".to_owned();
                envelope(StatusCode::METHOD_NOT_ALLOWED, "method.not.allowed", reason, vec![]).allowing(allowed)
            }
            Self::OAuth { error: "invalid_client", detail } => {
                Answer::json(StatusCode::UNAUTHORIZED, &ErrorBody::oauth("invalid_client", detail))
            }
            Self::OAuth { error, detail } => Answer::json(bad_request, &ErrorBody::oauth(error, detail)),
            Self::TooManyFailedSignIns { retry_after_seconds } => {
                let reason = "too many failed sign-ins from this address".to_owned();
                envelope(StatusCode::TOO_MANY_REQUESTS, "invalid.toomanyrequests", reason, vec![])
                    .retry_after(retry_after_seconds)
            }
        }
    }
}

/// For the parts of an answer that says of several things what came of each.
pub(super) fn of_use_case(error: &Error, reference: &Reference) -> (StatusCode, ErrorBody) {
    let bad_request = StatusCode::BAD_REQUEST;
    match error {
        Error::Invalid(errors) => {
            let id = if errors.only_missing() { "missing.mandatory.params" } else { "invalid.resource.argument" };
            let (reasons, members): (Vec<_>, Vec<_>) = errors
                .iter()
                .map(|error| (wire::member_of(error.field), &error.problem))
                .map(|(member, problem)| (format!("{member} {problem}"), member.to_owned()))
                .unzip();
            fault(bad_request, id, reasons.join("; "), members)
        }
        // Of the portal: no endpoint makes both.
        Error::InvalidWithGroup { .. } => fault(bad_request, "invalid.resource.argument", error.to_string(), vec![]),
        Error::IdempotencyKeyReused => {
            let reason = "the Idempotency-Key was used for another request".to_owned();
            fault(bad_request, "invalid.resource.argument", reason, vec!["Idempotency-Key".to_owned()])
        }
        Error::InvalidCredentials => {
            let reason = "unknown name or wrong secret".to_owned();
            fault(StatusCode::UNAUTHORIZED, "access.denied", reason, vec![])
        }
        Error::InvalidToken(why) => {
            tracing::debug!(request.id = %reference, reason = %why, "a token was refused");
            unauthorized()
        }
        Error::Forbidden { role, needed } => {
            let reason = format!("this takes the role {needed}; the caller is {role}");
            fault(StatusCode::FORBIDDEN, "authorization.failed", reason, vec![])
        }
        Error::TooManySignIns { .. } => {
            let reason = "too many sign-ins that failed".to_owned();
            fault(StatusCode::TOO_MANY_REQUESTS, "invalid.toomanyrequests", reason, vec![])
        }
        Error::NobodyMay { what } => {
            let reason = format!("nobody may {what}");
            fault(StatusCode::FORBIDDEN, "authorization.failed", reason, vec![])
        }
        Error::LastOwner => {
            let reason = "no enabled owner would be left".to_owned();
            fault(bad_request, "last.owner", reason, vec![])
        }
        Error::ReadOnly { label } => {
            let reason = format!("managed by {label}; read-only to all others");
            fault(StatusCode::FORBIDDEN, "readonly.entity", reason, vec![])
        }
        Error::NotFound { object, id } => {
            let reason = format!("Resource not found: {} {id}", resource(*object));
            fault(StatusCode::NOT_FOUND, "resource.not.found", reason, vec![id.clone()])
        }
        Error::DuplicateKeyPair => {
            let reason = "another signing certificate has this private key".to_owned();
            fault(bad_request, "duplicate.resource.name", reason, vec!["privateKey".to_owned()])
        }
        Error::DuplicateKeyString => {
            let reason = "the key string is known already".to_owned();
            fault(bad_request, "duplicate.resource.name", reason, vec!["provisioningKey".to_owned()])
        }
        Error::DuplicateFingerprint => {
            let reason = "another component of that provisioning key has the same fingerprint".to_owned();
            fault(bad_request, "invalid.resource.argument", reason, vec!["provisioningKeyId".to_owned()])
        }
        Error::AlreadyExists { object } => {
            let reason = format!("there is a {} already; it can be edited", resource(*object));
            fault(bad_request, "resource.already.exist", reason, vec![resource(*object).to_owned()])
        }
        Error::DuplicateName { object, name } => {
            let reason = format!("a {} named {name:?} exists already", resource(*object));
            let member = if *object == Object::Administrator { "username" } else { "name" };
            fault(bad_request, "duplicate.resource.name", reason, vec![member.to_owned()])
        }
        Error::AlreadyRotated { successor } => {
            let reason = format!("the key has a successor already, {successor}: rotate that one, or delete it first");
            fault(bad_request, "already.rotated", reason, vec![successor.to_string()])
        }
        Error::AnchorRoll { .. } | Error::PepperRotation(_) => {
            fault(bad_request, "invalid.resource.argument", error.to_string(), vec![])
        }
        Error::KeyExhausted => {
            let reason = "all uses of the key are taken: raise maxUsage, then export it".to_owned();
            fault(bad_request, "nonce.usage.exceeded", reason, vec!["maxUsage".to_owned()])
        }
        Error::NotExportable => {
            let reason = "the key may not be viewed or exported: its string is no longer kept".to_owned();
            fault(bad_request, "not.exportable", reason, vec!["exportable".to_owned()])
        }
        Error::Referenced { object, by, name } => {
            let reason = format!("the {} is in use by: {by}", resource(*object));
            fault(bad_request, "resource.referenced", reason, vec![resource(*object).to_owned(), name.clone()])
        }
        Error::Vanished { what } => {
            let reason = format!("what it refers to was deleted meanwhile: {what}");
            fault(bad_request, "invalid.resource.argument", reason, vec![])
        }
        Error::Outdated { expected, found, .. } => {
            let reason = format!("the object has revision \"{}\" and not \"{}\"", found.0, expected.0);
            fault(StatusCode::PRECONDITION_FAILED, "precondition.failed", reason, vec![])
        }
        Error::Contended { .. }
        | Error::PasswordsOverloaded { .. }
        | Error::StoreOverloaded { .. }
        | Error::StoreUnavailable { .. }
        | Error::OutcomeUnknown { .. } => {
            tracing::error!(request.id = %reference, error = %error, "a management request failed for a while");
            let reason = format!("not now; reference {reference}");
            fault(StatusCode::SERVICE_UNAVAILABLE, "retryable.server.error", reason, vec![])
        }
        Error::Internal { .. } => {
            tracing::error!(request.id = %reference, error = %error, "a management request failed");
            let reason = format!("internal error; reference {reference}");
            fault(StatusCode::INTERNAL_SERVER_ERROR, "internal.server.error", reason, vec![])
        }
    }
}

/// The same for no token, a bad one, and one whose client is gone.
fn unauthorized() -> (StatusCode, ErrorBody) {
    let reason = "the token is missing, expired or not valid".to_owned();
    fault(StatusCode::UNAUTHORIZED, "access.denied", reason, vec![])
}

fn envelope(status: StatusCode, id: &'static str, reason: String, params: Vec<String>) -> Answer {
    Answer::json(status, &ErrorBody::new(id, reason, params))
}

fn fault(status: StatusCode, id: &'static str, reason: String, params: Vec<String>) -> (StatusCode, ErrorBody) {
    (status, ErrorBody::new(id, reason, params))
}

/// The name of an object's resource.
fn resource(object: Object) -> &'static str {
    match object {
        Object::Administrator => "administrator",
        Object::ApiClient => "apiClient",
        Object::CleanUpSchedule => "schedule",
        Object::Component => "component",
        Object::Customer => "customer",
        Object::Group => "group",
        Object::Preference => "preference",
        Object::ProvisioningKey => "provisioningKey",
        Object::SavedFilter => "savedFilter",
        Object::Service => "service",
        Object::Session => "session",
        Object::SigningCertificate => "enrollmentCert",
        Object::TlsTrustAnchor => "tlsTrustAnchor",
        Object::Webhook => "webhook",
    }
}
